"""Every method, property and signal, used as it should be."""
import os
import re
import signal
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

from cordon import (ANY, DOMAIN, DRIVER, ERROR, INFINITY, MANAGER, NAME, PROPERTIES, ROOT, TOP, BusError, Gio, GLib,
                    cgroup2_mount, domain_path, driver_path, wait_for)

ESCAPED = ["web-1", "1a", "a.b@c", "_x", "Z" * 64]
FUSE = ("/dev/fuse", "rw")
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"


def managed(client):
    return client.call(ROOT, OBJECT_MANAGER, "GetManagedObjects")[0]


def controllers(service):
    return (service.group / "cgroup.controllers").read_text().split()


# ---- the manager ----

def test_manager_properties(service, root):
    values = root.get_all(ROOT, MANAGER)
    mounts = [line.partition(" - ")[2].split() for line in open("/proc/self/mountinfo")]
    v1 = any(fields[0] == "cgroup" and "name=" not in fields[2] for fields in mounts)
    assert values["Version"] == re.search(r"version: '(.*?)'", (TOP / "meson.build").read_text()).group(1)
    assert values["Hierarchy"] == ("hybrid" if v1 else "unified")
    assert values["Controllers"] == controllers(service)
    assert values["ControlGroup"] == "/" + service.tree_name
    assert values["SealStrength"] in ("devices", "guarded")
    assert (values["SealNotes"] == []) == (values["SealStrength"] == "guarded")
    assert (values["NDrivers"], values["NDomains"]) == (0, 0)


def test_a_property_alone_and_all_together(root):
    root.create_driver("lxc")
    root.create_domain("lxc", "web")
    for path, interface in [(ROOT, MANAGER), (driver_path("lxc"), DRIVER), (domain_path("lxc", "web"), DOMAIN)]:
        for name, value in root.get_all(path, interface).items():
            assert root.get(path, interface, name) == value, name


@pytest.mark.parametrize("path, interface", [(ROOT, MANAGER), (driver_path("lxc"), DRIVER),
                                             (domain_path("lxc", "web"), DOMAIN)])
def test_properties_cannot_be_set_without_a_method(root, path, interface):
    root.create_driver("lxc")
    root.create_domain("lxc", "web")
    for name, value in root.get_all(path, interface).items():
        with pytest.raises(BusError) as caught:
            root.call(path, PROPERTIES, "Set", GLib.Variant("(ssv)", (interface, name, GLib.Variant("s", "x"))))
        assert caught.value.name == "org.freedesktop.DBus.Error.PropertyReadOnly"
        assert root.get(path, interface, name) == value


def test_drivers_and_domains_are_listed(root, user):
    owner = user(1)
    root.create_driver("yes")
    root.create_driver("lxc")
    root.create_driver("bare")
    owner.create_domain("yes", "d")
    for name in ESCAPED:
        root.create_domain("lxc", name)

    def row(driver, name, uid=0):
        return driver, name, "empty", uid, domain_path(driver, name)
    lxc = [row("lxc", name) for name in ESCAPED]
    assert sorted(root.call(ROOT, MANAGER, "ListDrivers")[0]) == [(d, driver_path(d)) for d in ("bare", "lxc", "yes")]
    assert sorted(root.list_domains("lxc")) == sorted(lxc)
    assert root.list_domains("yes") == [row("yes", "d", 1)]
    assert root.list_domains("bare") == []
    assert sorted(root.list_domains()) == sorted(lxc + [row("yes", "d", 1)])
    assert (root.get(ROOT, MANAGER, "NDrivers"), root.get(ROOT, MANAGER, "NDomains")) == (3, 6)
    assert root.get(driver_path("lxc"), DRIVER, "NDomains") == len(ESCAPED)


@pytest.mark.parametrize("name", ESCAPED)
def test_paths_of_odd_names(service, root, name):
    assert root.create_driver(name) == driver_path(name)
    assert root.create_domain(name, name) == domain_path(name, name)
    assert root.call(ROOT, MANAGER, "GetDriver", f"({name!r},)") == (driver_path(name),)
    assert root.call(ROOT, MANAGER, "GetDomain", f"({name!r}, {name!r})") == (domain_path(name, name),)
    assert root.get(driver_path(name), DRIVER, "Name") == name
    assert root.get(domain_path(name, name), DOMAIN, "Name") == name
    assert root.get(domain_path(name, name), DOMAIN, "Driver") == driver_path(name)
    assert (service.group / name / name).is_dir()
    root.call(domain_path(name, name), DOMAIN, "Remove", "(false,)")
    root.call(driver_path(name), DRIVER, "Remove", "(false,)")
    assert not (service.group / name).exists()


def test_domain_of_a_process(root, probe):
    root.create_driver("lxc")
    path = root.create_domain("lxc", "web")
    process = probe()
    pidfd = os.pidfd_open(process.pid)
    try:
        for call in (lambda: root.call(ROOT, MANAGER, "GetDomainByPID", f"(uint32 {process.pid},)"),
                     lambda: root.call(ROOT, MANAGER, "GetDomainByPIDFD", "(handle 0,)", fds=[pidfd])):
            with pytest.raises(BusError) as caught:
                call()
            assert caught.value.name == ERROR + "NoSuchDomain"
            assert str(process.pid) in caught.value.message and process.group() in caught.value.message
            root.attach("lxc", "web", process.pid)
            assert call() == (path,)
            process.enter(str(cgroup2_mount()) + process.group() + "/nested")
            assert call() == (path,)
            process.enter(str(cgroup2_mount()))
    finally:
        os.close(pidfd)


# ---- a driver ----

def test_driver_properties(service, root):
    root.create_driver("plain")
    root.create_driver("bounded", "{'DeviceCeiling': <[('/dev/fuse', 'rw'), ('@pseudo', 'wr')]>, "
                                  "'MaxDomains': <uint32 2>}")
    plain, bounded = (root.get_all(driver_path(name), DRIVER) for name in ("plain", "bounded"))
    assert (plain["Name"], plain["Owner"], plain["Sealed"], plain["NDomains"]) == ("plain", 0, True, 0)
    assert plain["ControlGroup"] == f"/{service.tree_name}/plain"
    assert sorted(plain["DeviceCeiling"]) == [("b:*:*", "rwm"), ("c:*:*", "rwm")]
    assert plain["MaxDomains"] >= 10000
    assert bounded["DeviceCeiling"] == [FUSE, ("@pseudo", "rw")]
    assert bounded["MaxDomains"] == 2


def test_driver_owner_is_its_creator(root, user):
    user(1).create_driver("yes")
    assert root.get(driver_path("yes"), DRIVER, "Owner") == 1


def test_driver_set_properties(root, signals):
    path = root.create_driver("lxc")
    root.create_domain("lxc", "web", "{'DeviceAllow': <[('/dev/fuse', 'r')]>}")
    signals.take()
    root.call(path, DRIVER, "SetProperties", "({'DeviceCeiling': <[('/dev/fuse', 'rw')]>, 'MaxDomains': <uint32 7>},)")
    assert root.get(path, DRIVER, "DeviceCeiling") == [FUSE]
    assert root.get(path, DRIVER, "MaxDomains") == 7
    changes = merged_changes(signals.take(), path)
    assert changes == {"DeviceCeiling": [FUSE], "MaxDomains": 7}
    root.call(path, DRIVER, "SetProperties", "(@a{sv} {},)")
    assert root.get(path, DRIVER, "MaxDomains") == 7 and signals.take() == []


def test_remove_driver(service, root, probe):
    process = probe()
    root.create_driver("lxc")
    root.create_domain("lxc", "web")
    root.create_domain("lxc", "db")
    root.attach("lxc", "web", process.pid)
    process.enter(str(service.group / "lxc/web/nested"))
    root.remove_driver("lxc")
    assert process.process.wait() == -signal.SIGKILL
    assert root.call(ROOT, MANAGER, "ListDrivers")[0] == [] and root.list_domains() == []
    assert os.listdir(service.group / ".").count("lxc") == 0


# ---- limits ----

LIMITS = {  # name: controller, kernel file, value, kernel's text
    "CPUWeight": ("cpu", "cpu.weight", "uint64 50", "50"),
    "CPUQuotaPerSecUSec": ("cpu", "cpu.max", "uint64 250000", "25000 100000"),
    "AllowedCPUs": ("cpuset", "cpuset.cpus", "'0'", "0"),
    "MemoryHigh": ("memory", "memory.high", "uint64 1048576", "1048576"),
    "MemoryMax": ("memory", "memory.max", "uint64 2097152", "2097152"),
    "MemorySwapMax": ("memory", "memory.swap.max", "uint64 4096", "4096"),
    "TasksMax": ("pids", "pids.max", "uint64 20", "20"),
    "IOWeight": ("io", "io.weight", "uint64 50", "default 50"),
}


def test_every_limit_is_in_the_table_above(root):
    interface = ElementTree.parse(TOP / f"dbus/{DRIVER}.xml").getroot().find("interface")
    others = {"Name", "ControlGroup", "Owner", "Sealed", "DeviceCeiling", "MaxDomains", "NDomains"}
    assert set(LIMITS) == {p.get("name") for p in interface.findall("property")} - others


@pytest.mark.parametrize("name", LIMITS)
def test_limits_take_effect_or_say_what_is_missing(service, root, name):
    """On a host without the controller: the error, and no trace."""
    controller, file, value, text = LIMITS[name]
    setting = f"{{{name!r}: <{value}>}}"
    root.create_driver("lxc")
    domain = root.create_domain("lxc", "web")
    calls = [lambda: root.create_driver("new", setting), lambda: root.create_domain("lxc", "new", setting),
             lambda: root.call(driver_path("lxc"), DRIVER, "SetProperties", f"({setting},)"),
             lambda: root.call(domain, DOMAIN, "SetProperties", f"({setting},)")]
    if controller in controllers(service):
        for call, group in zip(calls, ["new", "lxc/new", "lxc", "lxc/web"]):
            call()
            assert (service.group / group / file).read_text().splitlines()[0] == text
        assert root.get(domain, DOMAIN, name) == GLib.Variant.parse(None, value, None, None).unpack()
        return
    for call in calls:
        with pytest.raises(BusError) as caught:
            call()
        assert caught.value.name == ERROR + "ControllerUnavailable"
        assert name in caught.value.message and f'"{controller}"' in caught.value.message
        assert "available: " + (" ".join(controllers(service)) or "none") in caught.value.message
    assert root.get(domain, DOMAIN, name) == ("" if value.startswith("'") else INFINITY)
    assert not (service.group / "new").exists() and not (service.group / "lxc/new").exists()


# ---- a domain ----

def test_domain_properties(service, root, user):
    user(1).create_driver("yes")
    path = user(5).create_domain("yes", "web")
    values = root.get_all(path, DOMAIN)
    assert {name: values[name] for name in ("Name", "Driver", "Owner", "State", "ControlGroup")} == {
        "Name": "web", "Driver": driver_path("yes"), "Owner": 5, "State": "empty",
        "ControlGroup": f"/{service.tree_name}/yes/web"}
    assert (values["DeviceAllow"], values["EffectiveDevices"]) == ([], [])


def node(path):
    status = os.stat(path)
    return os.major(status.st_rdev), os.minor(status.st_rdev)


def test_devices_of_every_form(root):
    root.create_driver("lxc")
    granted = [("/dev/fuse", "rw"), ("/dev/loop0", "r"), ("char-pts", "w"), ("block-loo*", "m"), ("c:5:*", "r"),
               ("b:*:3", "rwm"), ("@tun", "rw")]
    path = root.create_domain("lxc", "web", f"{{'DeviceAllow': <{granted}>}}")
    assert root.get(path, DOMAIN, "DeviceAllow") == granted
    effective = [("c", *node("/dev/fuse"), "rw"), ("b", *node("/dev/loop0"), "r"), ("b", 7, ANY, "m"),
                 ("c", 5, ANY, "r"), ("b", ANY, 3, "rwm"), ("c", 10, 200, "rw")]
    pts = [int(line.split()[0]) for line in open("/proc/devices") if line.split()[1:] == ["pts"]]
    effective += [("c", major, ANY, "w") for major in pts]
    assert pts and sorted(root.get(path, DOMAIN, "EffectiveDevices")) == sorted(effective)


@pytest.mark.parametrize("preset, sample", [("@pseudo", (1, 3)), ("@kvm", (10, 232)), ("@dri", (226, ANY)),
                                            ("@input", (13, ANY)), ("@sound", (116, ANY)), ("@fuse", (10, 229)),
                                            ("@tun", (10, 200))])
def test_presets(root, preset, sample):
    root.create_driver("lxc")
    path = root.create_domain("lxc", "web", f"{{'DeviceAllow': <[({preset!r}, 'r')]>}}")
    assert ("c", *sample, "r") in root.get(path, DOMAIN, "EffectiveDevices")


def test_a_link_is_granted_as_what_it_leads_to(root):
    """So that nobody can swap the link between the question and the grant."""
    root.create_driver("lxc")
    link = f"/dev/cordon-test-{os.getpid()}"
    os.symlink("fuse", link)
    try:
        path = root.create_domain("lxc", "web", f"{{'DeviceAllow': <[({link!r}, 'r')]>}}")
    finally:
        os.unlink(link)
    assert root.get(path, DOMAIN, "DeviceAllow") == [("/dev/fuse", "r")]


def test_devices_widen_and_narrow(root, signals, probe):
    process = probe()
    root.create_driver("lxc")
    path = root.create_domain("lxc", "web", "{'DeviceAllow': <[('/dev/null', 'rw')]>}")
    root.attach("lxc", "web", process.pid)
    fuse, null = ("c", *node("/dev/fuse")), ("c", *node("/dev/null"))

    def change(member, devices, allow, effective, opens):
        signals.take()
        root.call(path, DOMAIN, member, f"(@a(ss) {devices},)")
        assert root.get(path, DOMAIN, "DeviceAllow") == allow
        assert root.get(path, DOMAIN, "EffectiveDevices") == effective
        assert merged_changes(signals.take(), path) == {"DeviceAllow": allow, "EffectiveDevices": effective}
        assert {mode for mode in ("r", "w", "rw") if process.open("/dev/fuse", mode) == 0} == opens

    change("AllowDevices", [("/dev/fuse", "r")], [("/dev/null", "rw"), ("/dev/fuse", "r")],
           [(*null, "rw"), (*fuse, "r")], {"r"})
    change("AllowDevices", [("/dev/fuse", "w")], [("/dev/null", "rw"), ("/dev/fuse", "rw")],
           [(*null, "rw"), (*fuse, "rw")], {"r", "w", "rw"})
    change("RevokeDevices", [("/dev/fuse", "r")], [("/dev/null", "rw"), ("/dev/fuse", "w")],
           [(*null, "rw"), (*fuse, "w")], {"w"})
    change("SetDevices", [("@fuse", "r"), ("c:10:*", "w")], [("@fuse", "r"), ("c:10:*", "w")],
           [("c", 10, 229, "r"), ("c", 10, ANY, "w")], {"r", "w", "rw"})
    change("SetDevices", [], [], [], set())


def test_attach_by_pid_and_by_pidfd(root, probe):
    root.create_driver("lxc")
    path = root.create_domain("lxc", "web")
    first, second, third = probe(), probe(), probe()
    root.attach("lxc", "web", first.pid, second.pid)
    pidfd = os.pidfd_open(third.pid)
    root.call(path, DOMAIN, "AttachPIDFDs", "([handle 0],)", fds=[pidfd])
    os.close(pidfd)
    group = root.get(path, DOMAIN, "ControlGroup")
    assert [process.group() for process in (first, second, third)] == [group] * 3
    root.attach("lxc", "web", first.pid)  # it is there already
    root.attach("lxc", "web")


def test_create_domain_with_processes(root, probe):
    root.create_driver("lxc")
    first, second = probe(), probe()
    pidfd = os.pidfd_open(second.pid)
    path = root.create_domain("lxc", "web", f"{{'PIDs': <[uint32 {first.pid}]>, 'PIDFDs': <[handle 0]>}}", fds=[pidfd])
    os.close(pidfd)
    assert sorted(root.call(path, DOMAIN, "ListProcesses")[0]) == sorted([(first.pid, "/"), (second.pid, "/")])
    assert root.get(path, DOMAIN, "State") == "running"


def test_list_processes_of_nested_groups(service, root, probe):
    root.create_driver("lxc")
    path = root.create_domain("lxc", "web")
    top, nested, deep = probe(), probe(), probe()
    root.attach("lxc", "web", top.pid, nested.pid, deep.pid)
    nested.enter(str(service.group / "lxc/web/one"))
    deep.enter(str(service.group / "lxc/web/one/two"))
    assert sorted(root.call(path, DOMAIN, "ListProcesses")[0]) == sorted(
        [(top.pid, "/"), (nested.pid, "/one"), (deep.pid, "/one/two")])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGRTMAX])
def test_kill(service, root, signals, probe, number):
    root.create_driver("lxc")
    path = root.create_domain("lxc", "web")
    top, nested = probe(), probe()
    root.attach("lxc", "web", top.pid, nested.pid)
    nested.enter(str(service.group / "lxc/web/nested"))
    root.call(path, DOMAIN, "Kill", f"({int(number)},)")
    assert [process.process.wait() for process in (top, nested)] == [-number] * 2
    signals.wait_property(path, "State", "empty")
    assert root.call(path, DOMAIN, "ListProcesses")[0] == []


def test_a_signal_that_a_process_survives(root, probe):
    root.create_driver("lxc")
    path = root.create_domain("lxc", "web")
    process = probe()
    root.attach("lxc", "web", process.pid)
    root.call(path, DOMAIN, "Kill", f"({int(signal.SIGCONT)},)")
    assert process.group() == root.get(path, DOMAIN, "ControlGroup")
    assert root.get(path, DOMAIN, "State") == "running"


@pytest.mark.parametrize("remove", [
    lambda root, kill: root.call(domain_path("lxc", "web"), DOMAIN, "Remove", f"({kill},)"),
    lambda root, kill: root.call(ROOT, MANAGER, "RemoveDomain", f"('lxc', 'web', {kill})")])
def test_remove_domain(service, root, probe, remove):
    root.create_driver("lxc")
    root.create_domain("lxc", "web")
    process = probe()
    root.attach("lxc", "web", process.pid)
    process.enter(str(service.group / "lxc/web/a/b"))
    with pytest.raises(BusError) as caught:
        remove(root, "false")
    assert caught.value.name == ERROR + "Busy" and '"web"' in caught.value.message
    assert process.group().endswith("lxc/web/a/b") and root.get(driver_path("lxc"), DRIVER, "NDomains") == 1
    remove(root, "true")
    assert process.process.wait() == -signal.SIGKILL
    assert root.list_domains() == [] and not (service.group / "lxc/web").exists()
    assert root.create_domain("lxc", "web")  # the name is free again


def test_remove_an_empty_domain_with_groups_in_it(service, root):
    root.create_driver("lxc")
    root.create_domain("lxc", "web")
    os.makedirs(service.group / "lxc/web/a/b")
    os.makedirs(service.group / "lxc/web/c")
    root.remove_domain("lxc", "web", kill=False)
    assert not (service.group / "lxc/web").exists()


# ---- ObjectManager, signals, introspection ----

def merged_changes(taken, path):
    """What PropertiesChanged of one object said, together."""
    changes = {}
    for at, member, arguments in taken:
        if (at, member) == (path, "PropertiesChanged"):
            changes.update(arguments[1])
    return changes


def test_managed_objects_are_what_exists(root):
    assert managed(root) == {}
    root.create_driver("lxc", "{'MaxDomains': <uint32 9>}")
    root.create_driver("1a")
    root.create_domain("lxc", "web-1", "{'DeviceAllow': <[('@pseudo', 'rw')]>}")
    root.create_domain("1a", "b.c")
    objects = managed(root)
    expected = {driver_path("lxc"): DRIVER, driver_path("1a"): DRIVER, domain_path("lxc", "web-1"): DOMAIN,
                domain_path("1a", "b.c"): DOMAIN}
    assert set(objects) == set(expected)
    for path, interface in expected.items():
        assert [name for name in objects[path] if name.startswith(MANAGER)] == [interface]
        assert objects[path][interface] == root.get_all(path, interface)


def test_objects_come_and_go_with_signals(root, signals):
    for create, remove, interface in [
            (lambda: root.create_driver("lxc"), lambda: root.remove_driver("lxc"), DRIVER),
            (lambda: root.create_domain("lxc", "web"), lambda: root.remove_domain("lxc", "web"), DOMAIN)]:
        if interface == DOMAIN:
            root.create_driver("lxc")
        signals.take()
        path = create()
        added = [arguments for at, member, arguments in signals.take() if (at, member) == (ROOT, "InterfacesAdded")]
        assert [arguments[0] for arguments in added] == [path]
        assert added[0][1] == managed(root)[path]
        remove()
        removed = [arguments for at, member, arguments in signals.take() if member == "InterfacesRemoved"]
        assert [arguments[0] for arguments in removed] == [path]
        assert set(removed[0][1]) == set(added[0][1])  # else a client keeps the rest of the object


def test_a_standard_client_follows(service, root):
    """GLib's ObjectManager client, which knows no more than the conventions."""
    follower = Gio.DBusObjectManagerClient.new_sync(root.connection, Gio.DBusObjectManagerClientFlags.NONE, NAME, ROOT,
                                                    None, None, None)

    def paths():
        return {each.get_object_path() for each in follower.get_objects()}
    root.create_driver("lxc")
    root.create_domain("lxc", "web")
    wait_for(lambda: paths() == {driver_path("lxc"), domain_path("lxc", "web")})
    root.remove_domain("lxc", "web")
    wait_for(lambda: paths() == {driver_path("lxc")})
    root.remove_driver("lxc")
    wait_for(lambda: paths() == set())


def test_counts_and_states_are_announced(root, signals, probe):
    process = probe()
    root.create_driver("lxc")
    assert merged_changes(signals.take(), ROOT) == {"NDrivers": 1}
    path = root.create_domain("lxc", "web")
    taken = signals.take()
    assert merged_changes(taken, ROOT) == {"NDomains": 1}
    assert merged_changes(taken, driver_path("lxc")) == {"NDomains": 1}
    root.attach("lxc", "web", process.pid)
    assert merged_changes(signals.take(), path) == {"State": "running"}
    assert root.list_domains()[0][2] == "running"
    process.close()
    signals.wait_property(path, "State", "empty")
    assert root.get(path, DOMAIN, "State") == "empty" and root.list_domains()[0][2] == "empty"
    signals.take()
    root.remove_domain("lxc", "web")
    taken = signals.take()
    assert merged_changes(taken, ROOT) == {"NDomains": 0}
    assert merged_changes(taken, driver_path("lxc")) == {"NDomains": 0}
    root.remove_driver("lxc")
    assert merged_changes(signals.take(), ROOT) == {"NDrivers": 0}


def test_a_process_that_a_tenant_moves_out_is_noticed(root, signals, probe):
    process = probe()
    root.create_driver("lxc")
    path = root.create_domain("lxc", "web")
    root.attach("lxc", "web", process.pid)
    process.enter(str(cgroup2_mount()))
    signals.wait_property(path, "State", "empty")


def busctl(service, *arguments):
    done = subprocess.run(["busctl", f"--address={service.address}", "--no-pager", *arguments], text=True, check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    return done.stdout


def test_busctl_tree(service, root):
    root.create_driver("lxc")
    root.create_domain("lxc", "web-1")
    paths = busctl(service, "tree", "--list", NAME).split()
    assert set(paths) >= {ROOT, driver_path("lxc"), domain_path("lxc", "web-1")}
    assert not [path for path in paths if "web" in path and path != domain_path("lxc", "web-1")]


@pytest.mark.parametrize("path, interface", [(ROOT, MANAGER), (driver_path("lxc"), DRIVER),
                                             (domain_path("lxc", "web"), DOMAIN)])
def test_introspection_is_the_published_interface(service, root, path, interface):
    root.create_driver("lxc")
    root.create_domain("lxc", "web")

    def canonical(document):
        found = [each for each in document.iter("interface") if each.get("name").startswith(MANAGER)]
        return [ElementTree.canonicalize(ElementTree.tostring(each), strip_text=True) for each in found]
    live = ElementTree.fromstring(busctl(service, "--xml-interface", "introspect", NAME, path))
    published = ElementTree.parse(TOP / f"dbus/{interface}.xml").getroot()
    assert canonical(live) == canonical(published) and len(canonical(live)) == 1

    table = busctl(service, "introspect", NAME, path)
    for member in published.iter():
        if member.tag in ("method", "property"):
            assert re.search(rf"^\.{member.get('name')} +{member.tag} ", table, re.MULTILINE), member.get("name")
