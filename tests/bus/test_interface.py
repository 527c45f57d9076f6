# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every method, property and signal, used as it should be."""
import os
import re
import select
import signal
import subprocess
import threading
import time
import xml.etree.ElementTree as ElementTree

import pytest

from cordon import (ANY, DOMAIN, DRIVER, ERROR, FIGURES, HIERARCHY, INFINITY, MANAGER, NAME, PROPERTIES, ROOT, TIMEOUT,
                    TOP, BusError, Gio, GLib, block_device, cgroup2_mount, domain_path, driver_path,
                    published, published_properties, steady, wait_for)

ESCAPED = ["web-1", "1a", "a.b@c", "_x", "Z" * 64]
FUSE = ("/dev/fuse", "rw")
OBJECTS = [(ROOT, MANAGER), (driver_path("lxc"), DRIVER), (domain_path("lxc", "web"), DOMAIN)]
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
INVALIDATED = object()


def controllers(service):
    return (service.group / "cgroup.controllers").read_text().split() + list(service.v1)


# ---- the manager ----

def test_manager_properties(service, root):
    values = root.get_all(ROOT, MANAGER)
    assert values["Version"] == re.search(r"version: '(.*?)'", (TOP / "meson.build").read_text()).group(1)
    assert values["Hierarchy"] == (HIERARCHY or ("hybrid" if service.v1 else "unified"))
    assert values["Controllers"] == controllers(service)
    assert values["ControlGroup"] == "/" + service.tree_name
    assert values["SealStrength"] in ("devices", "guarded")
    assert (values["SealNotes"] == []) == (values["SealStrength"] == "guarded")
    assert (values["NDrivers"], values["NDomains"]) == (0, 0)


def test_a_property_alone_and_all_together(root):
    root.create_driver("lxc")
    root.create_domain("lxc", "web")
    for path, interface in OBJECTS:
        for name, value in root.get_all(path, interface).items():
            alone = root.get(path, interface, name)
            assert alone == value or name in FIGURES, name


def types_of(values):
    """{name: type} of a Variant of type a{sv}."""
    return {name: values.lookup_value(name).get_type_string() for name in values.keys()}


@pytest.mark.parametrize("path, interface", OBJECTS)
def test_properties_have_the_types_that_are_published(root, signals, path, interface):
    """Alone, together, and with the object."""
    root.create_driver("lxc")
    root.create_domain("lxc", "web")
    together = root.ask(path, PROPERTIES, "GetAll", f"({interface!r},)").get_child_value(0)
    assert types_of(together) == published_properties(interface)
    for name, kind in published_properties(interface).items():
        value = root.ask(path, PROPERTIES, "Get", f"({interface!r}, {name!r})").get_child_value(0).get_variant()
        assert value.get_type_string() == kind, name
    if interface != MANAGER:
        objects = root.ask(ROOT, OBJECT_MANAGER, "GetManagedObjects").get_child_value(0)
        values = objects.lookup_value(path).lookup_value(interface)
        assert types_of(values) == published_properties(interface)


@pytest.mark.parametrize("path, interface", OBJECTS)
def test_properties_cannot_be_set_without_a_method(root, path, interface):
    root.create_driver("lxc")
    root.create_domain("lxc", "web")
    for name, value in root.get_all(path, interface).items():
        with pytest.raises(BusError) as caught:
            root.call(path, PROPERTIES, "Set", GLib.Variant("(ssv)", (interface, name, GLib.Variant("s", "x"))))
        assert caught.value.name == "org.freedesktop.DBus.Error.PropertyReadOnly"
        assert root.get(path, interface, name) == value or name in FIGURES


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
    signals.take_all()
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

PAGES = next(iter(sorted(path.name.split(".")[1] for path in cgroup2_mount().glob("*/hugetlb.*.max"))), "2MB")
DISK, NUMBER = block_device()


def per_device(value):
    return f"[({DISK!r}, uint64 {value})]"


LIMITS = {  # name: controller, kernel file, value, a line of the kernel's
    "CPUWeight": ("cpu", "cpu.weight", "uint64 50", "50"),
    "CPUQuotaPeriodUSec": ("cpu", "cpu.max", "uint64 50000", "max 50000"),
    "CPUQuotaPerSecUSec": ("cpu", "cpu.max", "uint64 250000", "25000 100000"),
    "CPUBurstUSec": ("cpu", "cpu.max.burst", "uint64 5000", "5000"),
    "AllowedCPUs": ("cpuset", "cpuset.cpus", "'0'", "0"),
    "AllowedMemoryNodes": ("cpuset", "cpuset.mems", "'0'", "0"),
    "MemoryMin": ("memory", "memory.min", "uint64 4096", "4096"),
    "MemoryLow": ("memory", "memory.low", "uint64 8192", "8192"),
    "MemoryHigh": ("memory", "memory.high", "uint64 1048576", "1048576"),
    "MemoryMax": ("memory", "memory.max", "uint64 2097152", "2097152"),
    "MemorySwapMax": ("memory", "memory.swap.max", "uint64 4096", "4096"),
    "MemoryZSwapMax": ("memory", "memory.zswap.max", "uint64 4096", "4096"),
    "MemoryOOMGroup": ("memory", "memory.oom.group", "true", "1"),
    "TasksMax": ("pids", "pids.max", "uint64 20", "20"),
    "IOWeight": ("io", "io.weight", "uint64 50", "default 50"),
    "IODeviceWeight": ("io", "io.weight", per_device(60), f"{NUMBER} 60"),
    "IOReadBandwidthMax": ("io", "io.max", per_device(1000), f"{NUMBER} rbps=1000 wbps=max riops=max wiops=max"),
    "IOWriteBandwidthMax": ("io", "io.max", per_device(2000), f"{NUMBER} rbps=max wbps=2000 riops=max wiops=max"),
    "IOReadIOPSMax": ("io", "io.max", per_device(30), f"{NUMBER} rbps=max wbps=max riops=30 wiops=max"),
    "IOWriteIOPSMax": ("io", "io.max", per_device(40), f"{NUMBER} rbps=max wbps=max riops=max wiops=40"),
    "IODeviceLatencyTargetUSec": ("io", "io.latency", per_device(5000), f"{NUMBER} target=5000"),
    "HugetlbMax": ("hugetlb", f"hugetlb.{PAGES}.max", f"[({PAGES!r}, uint64 0)]", "0"),
    "MaxDescendants": (None, "cgroup.max.descendants", "uint64 30", "30"),
    "MaxDepth": (None, "cgroup.max.depth", "uint64 4", "4"),
}
V1 = {  # name: controller, kernel file and line where the controller is on cgroup v1
    "CPUWeight": ("cpu", "cpu.shares", "512"),
    "CPUQuotaPeriodUSec": ("cpu", "cpu.cfs_period_us", "50000"),
    "CPUQuotaPerSecUSec": ("cpu", "cpu.cfs_quota_us", "25000"),
    "CPUBurstUSec": ("cpu", "cpu.cfs_burst_us", "5000"),
    "AllowedCPUs": ("cpuset", "cpuset.cpus", "0"),
    "AllowedMemoryNodes": ("cpuset", "cpuset.mems", "0"),
    "MemoryMax": ("memory", "memory.limit_in_bytes", "2097152"),
    "TasksMax": ("pids", "pids.max", "20"),
    "IOWeight": ("blkio", "blkio.bfq.weight", "50"),
    "IOReadBandwidthMax": ("blkio", "blkio.throttle.read_bps_device", f"{NUMBER} 1000"),
    "IOWriteBandwidthMax": ("blkio", "blkio.throttle.write_bps_device", f"{NUMBER} 2000"),
    "IOReadIOPSMax": ("blkio", "blkio.throttle.read_iops_device", f"{NUMBER} 30"),
    "IOWriteIOPSMax": ("blkio", "blkio.throttle.write_iops_device", f"{NUMBER} 40"),
    "HugetlbMax": ("hugetlb", f"hugetlb.{PAGES}.limit_in_bytes", "0"),
}
# v1's controllers that have no such limit; MemorySwapMax there needs MemoryMax (test_swap_comes_with_memory_on_v1()).
V1_NONE = {"MemoryMin": "memory", "MemoryLow": "memory", "MemoryHigh": "memory", "MemoryZSwapMax": "memory",
           "MemoryOOMGroup": "memory", "IODeviceWeight": "blkio", "IODeviceLatencyTargetUSec": "blkio"}
MISSING = {"t": INFINITY, "s": "", "b": False, "a(st)": []}  # what a host shows that does not have the limit


def test_every_limit_and_figure_is_in_a_table_here():
    """A property belongs to one of them, and the tables know no other."""
    driver = {"Name", "ControlGroup", "Owner", "Sealed", "DeviceCeiling", "MaxDomains", "NDomains"}
    domain = {"Name", "Driver", "Owner", "ControlGroup", "State", "DeviceAllow", "EffectiveDevices", "DeniedDevices",
              "OOMKills"}
    assert set(published_properties(DRIVER)) == driver | set(LIMITS) | set(USAGE)
    assert set(published_properties(DOMAIN)) == domain | set(LIMITS) | set(USAGE)
    assert FIGURES == {*USAGE, "DeniedDevices"}


def limit_file(service, name):
    """The tree's group, the file and the line that the kernel shows for the value; no group where this host has no such."""
    controller, file, _, line = LIMITS[name]
    v1_controller, v1_file, v1_line = V1.get(name, (None, None, None))
    if v1_controller in service.v1:
        return service.v1[v1_controller], v1_file, v1_line
    missing = name in V1_NONE and V1_NONE[name] in service.v1
    return (None if missing or not (service.group / file).exists() else service.group), file, line


@pytest.mark.parametrize("name", LIMITS)
def test_limits_take_effect_or_say_what_is_missing(service, root, signals, name):
    """On a host without the controller: the error, and no trace."""
    if name == "MemorySwapMax" and "memory" in service.v1:
        return test_swap_comes_with_memory_on_v1(service, root)
    controller, _, value, _ = LIMITS[name]
    tree, file, line = limit_file(service, name)
    setting = f"{{{name!r}: <{value}>}}"
    root.create_driver("lxc")
    domain = root.create_domain("lxc", "web")
    calls = [lambda: root.create_driver("new", setting), lambda: root.create_domain("lxc", "new", setting),
             lambda: root.call(domain, DOMAIN, "SetProperties", f"({setting},)"),
             lambda: root.call(driver_path("lxc"), DRIVER, "SetProperties", f"({setting},)")]
    paths = [(driver_path("new"), DRIVER), (domain_path("lxc", "new"), DOMAIN), (domain, DOMAIN),
             (driver_path("lxc"), DRIVER)]
    if tree:
        shown = GLib.Variant.parse(None, value.replace(DISK, NUMBER), None, None).unpack()
        for call, group, (path, interface) in zip(calls, ["new", "lxc/new", "lxc/web", "lxc"], paths):
            signals.take_all()
            call()
            assert line in (tree / group / file).read_text().splitlines()
            assert root.get(path, interface, name) == shown
            taken = signals.take_all()
            if "new" in group:
                added, = (arguments[1] for at, member, arguments in taken if member == "InterfacesAdded")
                assert added[interface][name] == shown
            else:
                assert merged_changes(taken, path) == {name: shown}
        return
    for call in calls:
        signals.take_all()
        with pytest.raises(BusError) as caught:
            call()
        assert caught.value.name == ERROR + "ControllerUnavailable" and name in caught.value.message
        if V1_NONE.get(name) in service.v1:
            assert f'"{V1_NONE[name]}" on cgroup v1, which has no such limit' in caught.value.message
        elif controller in controllers(service):
            assert "this kernel has no" in caught.value.message
        else:
            assert f'"{controller}"' in caught.value.message
            assert "available: " + (" ".join(controllers(service)) or "none") in caught.value.message
        assert signals.take_all() == []
    for path, interface in paths[2:]:
        assert root.get(path, interface, name) == MISSING[published_properties(interface)[name]]
    for tree in (service.group, *service.v1.values()):
        assert not (tree / "new").exists() and not (tree / "lxc/new").exists()


def refused(root, domain, name, **settings):
    values = ", ".join(f"{key!r}: <{value}>" for key, value in settings.items())
    with pytest.raises(BusError) as caught:
        root.call(domain, DOMAIN, "SetProperties", f"({{{values}}},)")
    assert caught.value.name == ERROR + name
    return caught.value.message


def test_swap_comes_with_memory_on_v1(service, root):
    """memory.memsw bounds both together: the difference is shown and kept, and memory alone cannot lose its bound."""
    if "memory" not in service.v1:
        return
    root.create_driver("lxc")
    domain = root.create_domain("lxc", "web")
    group = service.v1["memory"] / "lxc/web"
    assert "MemoryMax must be set" in refused(root, domain, "InvalidProperty", MemorySwapMax="uint64 4096")
    root.call(domain, DOMAIN, "SetProperties", "({'MemorySwapMax': <uint64 8192>, 'MemoryMax': <uint64 1048576>},)")
    for memory in (4194304, 1048576):
        root.call(domain, DOMAIN, "SetProperties", f"({{'MemoryMax': <uint64 {memory}>}},)")
        assert (root.get(domain, DOMAIN, "MemoryMax"), root.get(domain, DOMAIN, "MemorySwapMax")) == (memory, 8192)
        assert int((group / "memory.memsw.limit_in_bytes").read_text()) == memory + 8192
    assert "MemoryMax" in refused(root, domain, "InvalidProperty", MemoryMax=f"uint64 {INFINITY}")
    both = f"{{'MemoryMax': <uint64 {INFINITY}>, 'MemorySwapMax': <uint64 {INFINITY}>}}"
    root.call(domain, DOMAIN, "SetProperties", f"({both},)")
    assert root.get(domain, DOMAIN, "MemoryMax") == root.get(domain, DOMAIN, "MemorySwapMax") == INFINITY


def test_sets_shrink_from_below_on_v1(service, root):
    """v1's kernel refuses a driver a set that lacks what a domain has; "" takes over what the parent has."""
    if "cpuset" not in service.v1:
        return
    root.create_driver("lxc")
    domain = root.create_domain("lxc", "web")
    everything = root.get(domain, DOMAIN, "AllowedCPUs")
    assert everything == (service.v1["cpuset"].parent / "cpuset.cpus").read_text().strip()
    if everything == "0":
        return
    with pytest.raises(BusError) as caught:
        root.call(driver_path("lxc"), DRIVER, "SetProperties", "({'AllowedCPUs': <'0'>},)")
    assert caught.value.name == ERROR + "KernelRefused" and "cpuset.cpus" in caught.value.message
    root.call(domain, DOMAIN, "SetProperties", "({'AllowedCPUs': <'0'>},)")
    root.call(driver_path("lxc"), DRIVER, "SetProperties", "({'AllowedCPUs': <'0'>},)")
    root.call(driver_path("lxc"), DRIVER, "SetProperties", "({'AllowedCPUs': <''>},)")
    root.call(domain, DOMAIN, "SetProperties", "({'AllowedCPUs': <''>},)")
    assert root.get(domain, DOMAIN, "AllowedCPUs") == everything


@pytest.mark.parametrize("key", [DISK, NUMBER])
def test_a_block_device_has_two_names(service, root, key):
    """Where `io` is not handed over, the controller is what is missing, not the device."""
    root.create_driver("lxc")
    domain = root.create_domain("lxc", "web")
    call = (domain, DOMAIN, "SetProperties", f"({{'IOReadBandwidthMax': <[({key!r}, uint64 1000)]>}},)")
    if limit_file(service, "IOReadBandwidthMax")[0]:
        root.call(*call)
        assert root.get(domain, DOMAIN, "IOReadBandwidthMax") == [(NUMBER, 1000)]
    else:
        with pytest.raises(BusError) as caught:
            root.call(*call)
        assert caught.value.name == ERROR + "ControllerUnavailable"


def mkdir(path):
    """Whether the kernel lets a group be made."""
    try:
        path.mkdir()
    except BlockingIOError:  # EAGAIN: cgroup-v2.rst, "cgroup.max.descendants"
        return False
    return True


def test_the_number_of_groups_in_a_domain(service, root):
    root.create_driver("lxc")
    domain, group = root.create_domain("lxc", "web", "{'MaxDescendants': <uint64 2>}"), service.group / "lxc/web"
    assert root.get(domain, DOMAIN, "MaxDescendants") == 2
    assert [mkdir(group / name) for name in ("a", "a/b", "a/c", "d")] == [True, True, False, False]
    root.call(domain, DOMAIN, "SetProperties", "({'MaxDescendants': <uint64 3>},)")
    assert [mkdir(group / name) for name in ("a/c", "d")] == [True, False]
    root.call(domain, DOMAIN, "SetProperties", f"({{'MaxDescendants': <uint64 {INFINITY}>}},)")
    assert mkdir(group / "d") and root.get(domain, DOMAIN, "MaxDescendants") == INFINITY
    root.call(domain, DOMAIN, "SetProperties", "({'MaxDescendants': <uint64 0>},)")
    assert not mkdir(group / "e") and root.get(domain, DOMAIN, "MaxDescendants") == 0


def test_the_depth_of_groups_in_a_domain(service, root):
    root.create_driver("lxc")
    domain, group = root.create_domain("lxc", "web", "{'MaxDepth': <uint64 1>}"), service.group / "lxc/web"
    assert [mkdir(group / name) for name in ("a", "b", "a/b")] == [True, True, False]
    root.call(domain, DOMAIN, "SetProperties", "({'MaxDepth': <uint64 2>, 'MaxDescendants': <uint64 4>},)")
    assert (root.get(domain, DOMAIN, "MaxDepth"), root.get(domain, DOMAIN, "MaxDescendants")) == (2, 4)
    assert [mkdir(group / name) for name in ("a/b", "a/b/c", "b/a", "b/b")] == [True, False, True, False]


def test_limits_of_a_driver_hold_for_its_domains(service, root):
    """The driver's groups count: the domains, and what is in them."""
    root.create_driver("lxc", "{'MaxDescendants': <uint64 2>, 'MaxDepth': <uint64 2>}")
    root.create_domain("lxc", "web")
    assert [mkdir(service.group / "lxc/web" / name) for name in ("a", "a/b", "c")] == [True, False, False]
    with pytest.raises(BusError) as caught:
        root.create_domain("lxc", "db")
    assert caught.value.name == ERROR + "KernelRefused"
    root.call(driver_path("lxc"), DRIVER, "SetProperties", "({'MaxDescendants': <uint64 3>},)")
    root.create_domain("lxc", "db")


# ---- figures ----

USAGE = {  # name: kernel file, and what it says
    "MemoryCurrent": ("memory.current", int),
    "MemoryPeak": ("memory.peak", int),
    "MemorySwapCurrent": ("memory.swap.current", int),
    "CPUUsageNSec": ("cpu.stat", lambda text: 1000 * int(re.search(r"^usage_usec (\d+)$", text, re.M).group(1))),
    "CPUThrottledUSec": ("cpu.stat", lambda text: next(
        (int(number) for number in re.findall(r"^throttled_usec (\d+)$", text, re.M)), INFINITY)),
    "TasksCurrent": ("pids.current", int),
    **{name: ("io.stat", lambda text, key=key: sum(map(int, re.findall(rf"\b{key}=(\d+)", text))))
       for name, key in [("IOReadBytes", "rbytes"), ("IOWriteBytes", "wbytes"), ("IOReadOperations", "rios"),
                         ("IOWriteOperations", "wios")]},
    **{name: (file, lambda text: pressure(text, "some") + pressure(text, "full"))
       for name, file in [("CPUPressure", "cpu.pressure"), ("MemoryPressure", "memory.pressure"),
                          ("IOPressure", "io.pressure")]},
}


def key(name, divisor=1):
    return lambda text: int(re.search(rf"^{name} (\d+)$", text, re.M).group(1)) // divisor


def device_sum(name):
    return lambda text: sum(map(int, re.findall(rf"^\d+:\d+ {name} (\d+)$", text, re.M)))


V1_USAGE = {  # name: controller, kernel file and what it says, where the controller is on cgroup v1
    "MemoryCurrent": ("memory", "memory.usage_in_bytes", int),
    "MemoryPeak": ("memory", "memory.max_usage_in_bytes", int),
    "MemorySwapCurrent": ("memory", "memory.stat", key("total_swap")),
    "CPUThrottledUSec": ("cpu", "cpu.stat", key("throttled_time", 1000)),
    "TasksCurrent": ("pids", "pids.current", int),
    **{f"IO{way}{what}": ("blkio", f"blkio.throttle.{file}_recursive", device_sum(way))
       for way in ("Read", "Write") for what, file in [("Bytes", "io_service_bytes"), ("Operations", "io_serviced")]},
}


def pressure(text, kind):
    found = re.search(rf"^{kind} avg10=(\S+) avg60=(\S+) avg300=(\S+) total=(\d+)$", text, re.M)
    return (*map(float, found.groups()[:3]), int(found.group(4))) if found else (0.0, 0.0, 0.0, INFINITY)


@pytest.mark.parametrize("name", USAGE)
def test_figures_are_the_kernels(service, root, probe, name):
    """Those of a domain with a process, and of its driver; none where the kernel keeps none."""
    tree, (file, read) = service.group, USAGE[name]
    if V1_USAGE.get(name, [None])[0] in service.v1:
        controller, file, read = V1_USAGE[name]
        tree = service.v1[controller]
    root.create_driver("lxc")
    process = probe()
    root.create_domain("lxc", "web", f"{{'PIDs': <[uint32 {process.pid}]>}}")
    process.spin(0.05)
    for (path, interface), group in zip(OBJECTS[1:], ["lxc", "lxc/web"]):
        missing = (0.0, 0.0, 0.0, INFINITY) * 2 if "Pressure" in name else INFINITY
        texts = lambda: (tree / group / file).read_text() if (tree / group / file).exists() else None
        for _ in range(100):  # until it does not change meanwhile
            before, value, after = texts(), root.get(path, interface, name), texts()
            expected = missing if before is None else read(before)
            if before == after:
                break
        assert value == expected


def test_the_time_of_processors(root, probe):
    root.create_driver("lxc")
    process = probe()
    root.create_domain("lxc", "web", f"{{'PIDs': <[uint32 {process.pid}]>}}")
    before = root.get(domain_path("lxc", "web"), DOMAIN, "CPUUsageNSec")
    process.spin(0.2)
    for path, interface in OBJECTS[1:]:
        assert root.get(path, interface, "CPUUsageNSec") >= before + 200_000_000


# ---- a domain ----

def test_domain_properties(service, root, user):
    user(1).create_driver("yes")
    path = user(5).create_domain("yes", "web")
    values = root.get_all(path, DOMAIN)
    assert {name: values[name] for name in ("Name", "Driver", "Owner", "State", "ControlGroup")} == {
        "Name": "web", "Driver": driver_path("yes"), "Owner": 5, "State": "empty",
        "ControlGroup": f"/{service.tree_name}/yes/web"}
    assert (values["DeviceAllow"], values["EffectiveDevices"], values["DeniedDevices"]) == ([], [], 0)
    counted = "memory" in service.v1 or (service.group / "yes/web/memory.events").exists()
    assert values["OOMKills"] == (0 if counted else INFINITY)


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
        assert merged_changes(signals.take(), path) == {"DeviceAllow": INVALIDATED,
                                                          "EffectiveDevices": INVALIDATED}
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


# ---- freezing ----

@pytest.fixture
def cold(root, probe):
    """Domain `web` with a process, and one in a group in it."""
    root.create_driver("lxc")
    path = root.create_domain("lxc", "web")
    processes = probe(), probe()
    root.attach("lxc", "web", *(process.pid for process in processes))
    processes[1].enter(f"{cgroup2_mount()}{processes[1].group()}/nested")
    return path, processes


def events(service, group):
    return dict(line.split() for line in (service.group / group / "cgroup.events").read_text().splitlines())


def test_freeze_and_thaw(service, root, signals, cold):
    path, processes = cold
    for member, then, frozen in [("Freeze", "frozen", "1"), ("Freeze", "frozen", "1"), ("Thaw", "running", "0"),
                                 ("Thaw", "running", "0"), ("Freeze", "frozen", "1")]:
        before = root.get(path, DOMAIN, "State")
        signals.take_all()
        assert root.call(path, DOMAIN, member) == ()
        for group in ("lxc/web", "lxc/web/nested"):  # by the time of the answer
            assert events(service, group)["frozen"] == frozen
        assert merged_changes(signals.take_all(), path) == ({"State": then} if then != before else {})
        assert root.get(path, DOMAIN, "State") == then and root.list_domains()[0][2] == then
        if then == "running":
            assert [process.open("/dev/null", "r") for process in processes] == ["EPERM", "EPERM"]
    root.call(path, DOMAIN, "Thaw")


def test_a_frozen_process_does_nothing(root, cold):
    path, (process, _) = cold
    root.call(path, DOMAIN, "Freeze")
    process.process.stdin.write('["group"]\n')
    process.process.stdin.flush()
    answer = select.poll()
    answer.register(process.process.stdout, select.POLLIN)
    assert answer.poll(300) == []
    root.call(path, DOMAIN, "Thaw")
    assert "/lxc/web" in process.process.stdout.readline()


@pytest.mark.parametrize("end", [
    lambda root, path: root.call(path, DOMAIN, "Kill", f"({int(signal.SIGKILL)},)"),
    lambda root, path: root.call(path, DOMAIN, "Remove", "(true,)"),
    lambda root, path: root.remove_driver("lxc")], ids=["Kill", "Remove", "RemoveDriver"])
def test_a_frozen_domain_can_be_ended(root, cold, end):
    path, processes = cold
    root.call(path, DOMAIN, "Freeze")
    end(root, path)
    assert [process.process.wait(timeout=30) for process in processes] == [-signal.SIGKILL] * 2


def test_a_signal_that_is_survived_thaws_nothing(service, root, cold):
    path, processes = cold
    root.call(path, DOMAIN, "Freeze")
    root.call(path, DOMAIN, "Kill", f"({int(signal.SIGCONT)},)")
    assert root.get(path, DOMAIN, "State") == "frozen" and events(service, "lxc/web")["frozen"] == "1"
    root.call(path, DOMAIN, "Thaw")
    assert [process.process.poll() for process in processes] == [None, None]


def test_an_empty_domain_freezes_who_comes(service, root, signals, probe):
    root.create_driver("lxc")
    path, process = root.create_domain("lxc", "web"), probe()
    root.call(path, DOMAIN, "Freeze")
    assert root.get(path, DOMAIN, "State") == "frozen"
    root.attach("lxc", "web", process.pid)
    wait_for_state(signals, root, path, "frozen")
    assert events(service, "lxc/web") == {"populated": "1", "frozen": "1"}
    root.call(path, DOMAIN, "Thaw")
    assert process.group().endswith("/lxc/web") and root.get(path, DOMAIN, "State") == "running"


def wait_for_state(signals, root, path, state):
    """It may be so already, or be told soon."""
    if root.get(path, DOMAIN, "State") != state:
        signals.wait_property(path, "State", state)


def test_who_freezes_behind_its_back_is_noticed(service, root, signals, cold):
    path, _ = cold
    for text, then in [("1", "frozen"), ("0", "running")]:
        (service.group / "lxc/web/cgroup.freeze").write_text(text)
        signals.wait_property(path, "State", then)


def test_a_tenants_frozen_group_is_not_a_frozen_domain(service, root, cold):
    path, _ = cold
    (service.group / "lxc/web/nested/cgroup.freeze").write_text("1")
    wait_for_event(service.group / "lxc/web/nested", "frozen 1")
    assert root.get(path, DOMAIN, "State") == "running"
    root.call(path, DOMAIN, "Freeze")
    root.call(path, DOMAIN, "Thaw")
    assert root.get(path, DOMAIN, "State") == "running" and events(service, "lxc/web/nested")["frozen"] == "1"
    (service.group / "lxc/web/nested/cgroup.freeze").write_text("0")


def wait_for_event(group, line):
    """Who has read cgroup.events is told of what changes in it afterwards (cgroup-v2.rst, "poll and [id]notify")."""
    poll = select.poll()
    with (group / "cgroup.events").open() as file:
        poll.register(file, select.POLLPRI)
        while line not in file.read().splitlines():
            assert poll.poll(TIMEOUT * 1000), f"{group} never had {line!r}"
            file.seek(0)


# ---- delegation ----

def owners(group):
    """Who owns the directory and each file: {name: uid}."""
    return {path.name: path.stat().st_uid for path in [group, *group.iterdir()] if path == group or path.is_file()}


def test_delegation(service, root, probe):
    """As systemd delegates: the directory, the files that the kernel lists, and a mark."""
    listed = set(open("/sys/kernel/cgroup/delegate").read().split())
    root.create_driver("lxc")
    root.create_domain("lxc", "plain")
    path = root.create_domain("lxc", "web", "{'DelegateUser': <uint32 5>}")
    group = service.group / "lxc/web"
    assert root.get(path, DOMAIN, "Owner") == 0  # what the tenant owns is the group, not the domain
    assert owners(group) == {name: 5 if name in listed | {"web"} else 0 for name in owners(group)}
    assert {"cgroup.procs", "cgroup.subtree_control"} <= listed & set(owners(group))
    assert os.getxattr(group, "user.delegate") == b"1"
    assert set(owners(service.group / "lxc/plain").values()) == set(owners(service.group / "lxc").values()) == {0}
    assert "user.delegate" not in os.listxattr(service.group / "lxc/plain")


def test_what_a_delegate_can_do(service, root, probe):
    root.create_driver("lxc")
    root.create_domain("lxc", "web", "{'DelegateUser': <uint32 5>, 'MaxDescendants': <uint64 2>}")
    group, process, stranger = service.group / "lxc/web", probe(5), probe(1)
    root.attach("lxc", "web", process.pid, stranger.pid)
    assert process.enter(str(group / "a")) == 0 and process.group().endswith("/lxc/web/a")
    assert stranger.enter(str(group / "b")) == "EACCES" and stranger.group().endswith("/lxc/web")
    assert [process.write(str(group / file), text) for file, text in [
        ("cgroup.max.descendants", "max"), ("cgroup.freeze", "1"), ("cgroup.kill", "1")]] == ["EACCES"] * 3
    for way_out in (service.group / "lxc", service.group, service.group.parent):
        assert process.write(str(way_out / "cgroup.procs"), "0") == "EACCES"
    root.remove_domain("lxc", "web")
    assert not group.exists()


# ---- denials ----

def wait_denied(signals, path, *denial):
    signals.wait(lambda at, member, arguments: (at, member) == (path, "DeviceDenied") and arguments == denial)


def test_denials_are_told(service, root, signals, probe):
    """The first of each kind at once; which access was lacking, not which was asked for."""
    root.create_driver("lxc")
    process = probe()
    path = root.create_domain("lxc", "web", "{'DeviceAllow': <[('/dev/null', 'r')]>, "
                                            f"'PIDs': <[uint32 {process.pid}]>}}")
    other = root.create_domain("lxc", "db")
    fuse = node("/dev/fuse")
    for ask, denial in [(("open", "/dev/fuse", "r"), ("c", *fuse, "r")),
                        (("open", "/dev/fuse", "rw"), ("c", *fuse, "rw")),
                        (("open", "/dev/null", "rw"), ("c", 1, 3, "w")), (("mknod", "c", 1, 3), ("c", 1, 3, "m")),
                        (("open", "/dev/loop0", "r"), ("b", 7, 0, "r")),
                        (("mknod", "b", 300, 70000), ("b", 300, 70000, "m"))]:
        assert process.ask(*ask) == "EPERM"
        wait_denied(signals, path, *denial, 1)
    assert process.open("/dev/null", "r") == 0
    assert (root.get(path, DOMAIN, "DeniedDevices"), root.get(other, DOMAIN, "DeniedDevices")) == (6, 0)


def test_the_signal_is_what_is_published_and_names_no_process(root, probe):
    root.create_driver("lxc")
    process = probe()
    path, seen = root.create_domain("lxc", "web", f"{{'PIDs': <[uint32 {process.pid}]>}}"), []
    subscription = root.connection.signal_subscribe(
        NAME, DOMAIN, "DeviceDenied", path, None, Gio.DBusSignalFlags.NONE,
        lambda *arguments: seen.append(arguments[5]))
    root.ask_bus("GetId")
    try:
        process.open("/dev/fuse", "r")
        value = wait_for(lambda: seen and seen[0])
    finally:
        root.connection.signal_unsubscribe(subscription)
    signal_ = published(DOMAIN).find("signal[@name='DeviceDenied']")
    assert value.get_type_string() == "(" + "".join(each.get("type") for each in signal_.findall("arg")) + ")"
    assert value.unpack() == ("c", *node("/dev/fuse"), "r", 1)


def test_a_hundred_thousand_denials(root, signals, probe):
    """Every one is counted, of several processes at once; few are told, and the last count is among them."""
    root.create_driver("lxc")
    processes = [probe(), probe()]
    path = root.create_domain("lxc", "web", f"{{'PIDs': <[uint32 {processes[0].pid}, {processes[1].pid}]>}}")
    answers, began = [], time.monotonic()

    def open_often(process):
        answers.append(process.open_often("/dev/fuse", "rw", 50000))
    threads = [threading.Thread(target=open_often, args=(process,)) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [{"EPERM": 50000}] * 2
    assert root.get(path, DOMAIN, "DeniedDevices") == 100000
    told = []
    while not told or told[-1][4] < 100000:
        told.append(signals.wait(lambda at, member, _arguments: (at, member) == (path, "DeviceDenied"))[2])
    counts = [arguments[4] for arguments in told]
    assert {arguments[:4] for arguments in told} == {("c", *node("/dev/fuse"), "rw")}
    assert counts[0] == 1 and counts == sorted(set(counts)) and counts[-1] == 100000
    assert len(counts) <= time.monotonic() - began + 2  # one a second
    assert processes[0].open("/dev/fuse", "r") == "EPERM"
    wait_denied(signals, path, "c", *node("/dev/fuse"), "r", 1)
    assert root.get(path, DOMAIN, "DeniedDevices") == 100001


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
            changes.update(arguments[1], **dict.fromkeys(arguments[2], INVALIDATED))
    return changes


def test_managed_objects_are_what_exists(root):
    assert root.managed() == {}
    root.create_driver("lxc", "{'MaxDomains': <uint32 9>}")
    root.create_driver("1a")
    root.create_domain("lxc", "web-1", "{'DeviceAllow': <[('@pseudo', 'rw')]>}")
    root.create_domain("1a", "b.c")
    objects = root.managed()
    expected = {driver_path("lxc"): DRIVER, driver_path("1a"): DRIVER, domain_path("lxc", "web-1"): DOMAIN,
                domain_path("1a", "b.c"): DOMAIN}
    assert set(objects) == set(expected)
    for path, interface in expected.items():
        assert [name for name in objects[path] if name.startswith(MANAGER)] == [interface]
        assert objects[path][interface] == steady(root.get_all(path, interface))


def test_objects_come_and_go_with_signals(root, signals):
    for create, remove, interface in [
            (lambda: root.create_driver("lxc"), lambda: root.remove_driver("lxc"), DRIVER),
            (lambda: root.create_domain("lxc", "web"), lambda: root.remove_domain("lxc", "web"), DOMAIN)]:
        if interface == DOMAIN:
            root.create_driver("lxc")
        signals.take_all()
        path = create()
        added = [arguments for at, member, arguments in signals.take_all() if (at, member) == (ROOT, "InterfacesAdded")]
        assert [arguments[0] for arguments in added] == [path]
        values, now = added[0][1], root.managed()[path]
        if interface == DOMAIN:  # lists of any length and what changes by itself are left to who wants them
            del now[DOMAIN]["EffectiveDevices"]
            assert set(values[DOMAIN]) == set(published_properties(DOMAIN)) - FIGURES - {"EffectiveDevices"}
        assert {name: steady(each) for name, each in values.items()} == now
        remove()
        removed = [arguments for at, member, arguments in signals.take() if member == "InterfacesRemoved"]
        assert [arguments[0] for arguments in removed] == [path]
        assert set(removed[0][1]) == set(added[0][1])  # else a client keeps the rest of the object


def test_a_new_domain_is_told_with_its_own_values(root, signals, probe):
    """Those of a group that is new are known without looking; those that were set are read."""
    root.create_driver("lxc", "{'MaxDepth': <uint64 9>}")
    settings = ["'MaxDescendants': <uint64 3>, 'DeviceAllow': <[('@pseudo', 'rw')]>", "'MaxDepth': <uint64 2>", "",
                f"'PIDs': <[uint32 {probe().pid}]>", "'MaxDepth': <uint64 4>, 'MaxDescendants': <uint64 5>"]
    for i, setting in enumerate(settings):
        signals.take_all()
        path = root.create_domain("lxc", f"d{i}", f"@a{{sv}} {{{setting}}}")
        added, = (arguments for _, member, arguments in signals.take_all() if member == "InterfacesAdded")
        values = steady(root.get_all(path, DOMAIN))
        del values["EffectiveDevices"]
        assert added[0] == path and added[1][DOMAIN] == values


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
    assert merged_changes(signals.take_all(), ROOT) == {"NDrivers": 1}
    path = root.create_domain("lxc", "web")
    taken = signals.take_all()
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
    taken = signals.take_all()
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


@pytest.mark.parametrize("path, interface", OBJECTS)
def test_introspection_is_the_published_interface(service, root, path, interface):
    root.create_driver("lxc")
    root.create_domain("lxc", "web")

    def canonical(document):
        found = [each for each in document.iter("interface") if each.get("name").startswith(MANAGER)]
        return [ElementTree.canonicalize(ElementTree.tostring(each), strip_text=True) for each in found]
    live = ElementTree.fromstring(busctl(service, "--xml-interface", "introspect", NAME, path))
    ours = ElementTree.parse(TOP / f"dbus/{interface}.xml").getroot()
    assert canonical(live) == canonical(ours) and len(canonical(live)) == 1

    table = busctl(service, "introspect", NAME, path)
    for member in published(interface):
        if member.tag in ("method", "property", "signal"):
            assert re.search(rf"^\.{member.get('name')} +{member.tag} ", table, re.MULTILINE), member.get("name")
