# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every error, provoked over the bus: its name, a message that says what is wrong, and no trace left."""
import contextlib
import os
import subprocess

import pytest

from seals import check_seals
from cordon import (DOMAIN, DRIVER, ERROR, MANAGER, ROOT, TOP, BusError, Service, Signals, block_device, domain_path,
                    driver_path, published_properties)

LXC, WEB = driver_path("lxc"), domain_path("lxc", "web")
NO_PROCESS = 4194305  # past the largest pid_max
NAME_RULE = ["1 to 64 characters of A-Z a-z 0-9 _ . @ -"]


def everything(service, client):
    """Groups, attributes, objects."""
    groups = sorted(str(path) for path in service.group.rglob("*") if path.is_dir())
    attributes = {group: {name: os.getxattr(group, name) for name in os.listxattr(group)} for group in groups}
    return attributes, client.managed(), client.list_domains()


class Fails:
    """Asserts an error and its words, and that nothing has changed and nobody was told of anything."""

    def __init__(self, service, client, error, *words):
        self.service, self.client, self.words = service, client, words
        self.error = error if "." in error else ERROR + error

    def __enter__(self):
        self.before, self.signals = everything(self.service, self.client), Signals(self.client)

    def __exit__(self, kind, error, _traceback):
        told = [signal for signal in self.signals.take_all() if signal[0].startswith(ROOT)]
        self.signals.close()
        assert kind is BusError, f"{self.error} was expected"
        assert error.name == self.error, error
        for word in self.words:
            assert str(word) in error.message
        assert everything(self.service, self.client) == self.before
        assert told == []
        return True


@pytest.fixture
def fails(service, root):
    """A driver `lxc` with the domain `web`, and what asserts that a call fails."""
    root.create_driver("lxc")
    root.create_domain("lxc", "web", "{'DeviceAllow': <[('/dev/null', 'r')]>}")
    yield lambda error, *words: Fails(service, root, error, *words)
    check_seals(service)


# ---- names ----

@pytest.mark.parametrize("name, words", [
    ("", NAME_RULE), ("-a", NAME_RULE), (".", NAME_RULE), ("..", NAME_RULE), (".a", NAME_RULE), ("@a", NAME_RULE),
    ("a/b", NAME_RULE), ("a b", NAME_RULE), ("a\n", NAME_RULE), ("é", NAME_RULE), ("a" * 65, NAME_RULE),
    ("keeper", ["reserved"]), ("tasks", ["reserved"]), ("cgroup.procs", ["kernel interface file"]),
    ("memory.max", ["kernel interface file"]), ("cpu.x", ["kernel interface file"])])
def test_invalid_name(root, fails, name, words):
    quoted = name[:64]
    with fails("InvalidName", f'driver name "{quoted}', *words):
        root.create_driver(name)
    with fails("InvalidName", f'domain name "{quoted}', *words):
        root.create_domain("lxc", name)


def test_already_exists(root, fails):
    with fails("AlreadyExists", 'driver "lxc" exists already'):
        root.create_driver("lxc")
    with fails("AlreadyExists", 'domain "web"', '"lxc"', "exists already"):
        root.create_domain("lxc", "web")


@pytest.mark.parametrize("member, arguments", [
    ("CreateDomain", "('none', 'web', @a{sv} {})"), ("GetDriver", "('none',)"), ("GetDomain", "('none', 'web')"),
    ("ListDomains", "('none',)"), ("RemoveDriver", "('none', true)"), ("RemoveDomain", "('none', 'web', true)")])
def test_no_such_driver(root, fails, member, arguments):
    with fails("NoSuchDriver", 'there is no driver "none"'):
        root.call(ROOT, MANAGER, member, arguments)


@pytest.mark.parametrize("member, arguments", [("GetDomain", "('lxc', 'none')"),
                                               ("RemoveDomain", "('lxc', 'none', true)")])
def test_no_such_domain(root, fails, member, arguments):
    with fails("NoSuchDomain", 'driver "lxc" has no domain "none"'):
        root.call(ROOT, MANAGER, member, arguments)


@pytest.mark.parametrize("path, interface", [(driver_path("none"), DRIVER), (domain_path("lxc", "none"), DOMAIN)])
def test_no_such_object(root, fails, path, interface):
    with fails("org.freedesktop.DBus.Error.UnknownObject"):
        root.call(path, interface, "Remove", "(true,)")


@pytest.mark.parametrize("path, interface, member", [
    (ROOT, MANAGER, "Destroy"), (LXC, DRIVER, "Kill"), (LXC, DOMAIN, "Remove"), (WEB, DRIVER, "Remove")])
def test_no_such_method(root, fails, path, interface, member):
    with fails("org.freedesktop.DBus.Error.UnknownMethod", member):
        root.call(path, interface, member, "(true,)")


def test_wrong_arguments(root, fails):
    with fails("org.freedesktop.DBus.Error.InvalidArgs", "sa{sv}"):
        root.call(ROOT, MANAGER, "CreateDriver", "('x',)")


# ---- properties ----

DRIVER_CALLS = ["CreateDriver", "Driver.SetProperties"]
DOMAIN_CALLS = ["CreateDomain", "Domain.SetProperties"]


def with_properties(client, call, properties):
    if call == "CreateDriver":
        client.create_driver("new", properties)
    elif call == "CreateDomain":
        client.create_domain("lxc", "new", properties)
    else:
        client.call(LXC if call[:6] == "Driver" else WEB, MANAGER + "." + call.split(".")[0], "SetProperties",
                    f"({properties},)")


@pytest.mark.parametrize("call", DRIVER_CALLS + DOMAIN_CALLS)
@pytest.mark.parametrize("properties, words", [
    ("{'Colour': <'red'>}", ['"Colour"', "allowed: ", "TasksMax", "CPUWeight"]),
    ("{'Name': <'x'>}", ['"Name"', "allowed: "]),
    ("{'': <'x'>}", ['""', "allowed: "]),
    ("{'TasksMax': <uint32 5>}", ["TasksMax", 'type "t"', 'not "u"']),
    ("{'TasksMax': <'5'>}", ["TasksMax", 'type "t"', 'not "s"']),
    ("{'AllowedCPUs': <uint64 1>}", ["AllowedCPUs", 'type "s"', 'not "t"']),
    ("{'CPUWeight': <uint64 0>}", ["CPUWeight=0", "1 to 10000"]),
    ("{'CPUWeight': <uint64 10001>}", ["CPUWeight=10001", "1 to 10000"]),
    ("{'CPUQuotaPerSecUSec': <uint64 999>}", ["CPUQuotaPerSecUSec=999", "1000 to ", "18446744073709551615"]),
    ("{'TasksMax': <uint64 2147483648>}", ["TasksMax=2147483648", "0 to 2147483647", "for no limit"]),
    ("{'MemoryMax': <uint64 18446744073709551614>}", ["MemoryMax=18446744073709551614", "bytes"]),
    ("{'AllowedCPUs': <'0-'>}", ['AllowedCPUs="0-"', '"0-3,7"']),
    ("{'AllowedCPUs': <'3-1'>}", ['AllowedCPUs="3-1"']),
    ("{'AllowedMemoryNodes': <'a'>}", ['AllowedMemoryNodes="a"']),
    ("{'CPUQuotaPeriodUSec': <uint64 999>}", ["CPUQuotaPeriodUSec=999", "1000 to 1000000"]),
    ("{'CPUBurstUSec': <uint64 18446744073709551615>}", ["CPUBurstUSec=18446744073709551615", "0 to "]),
    ("{'MemoryOOMGroup': <uint64 1>}", ["MemoryOOMGroup", 'type "b"', 'not "t"']),
    ("{'MaxDescendants': <uint64 2147483648>}", ["MaxDescendants=2147483648", "0 to 2147483647", "for no limit"]),
    ("{'MaxDepth': <uint64 2147483648>}", ["MaxDepth=2147483648", "0 to 2147483647", "for no limit"]),
    ("{'IOWeight': <uint64 10001>}", ["IOWeight=10001", "1 to 10000"]),
    ("{'IOReadBandwidthMax': <[('/dev/vda', uint32 1)]>}", ["IOReadBandwidthMax", 'type "a(st)"', 'not "a(su)"']),
    ("{'HugetlbMax': <uint64 1>}", ["HugetlbMax", 'type "a(st)"', 'not "t"']),
    ("{'HugetlbMax': <[('2MB', uint64 1), ('2MB', uint64 2)]>}", ["HugetlbMax", "2MB twice"]),
    *[(f"{{'HugetlbMax': <[({size!r}, uint64 1)]>}}", ["HugetlbMax", f'"{size}"', "no size of a page"])
      for size in ["", "2", "MB", "2mb", "2MB=1 TasksMax", "2MB ", " 2MB", "2TB", "../x.2MB", "9" * 20 + "MB"]],
    ("{'MemoryCurrent': <uint64 1>}", ['"MemoryCurrent"', "allowed: "]),
])
def test_invalid_property(root, fails, call, properties, words):
    with fails("InvalidProperty", *words):
        with_properties(root, call, properties)


@pytest.mark.parametrize("call, properties, words", [
    ("CreateDriver", "{'DeviceAllow': <[('@tun', 'r')]>}", ['"DeviceAllow"', "allowed:", "DeviceCeiling", "MaxDomains"]),
    ("CreateDomain", "{'MaxDomains': <uint32 1>}", ['"MaxDomains"', "allowed:", "DeviceAllow PIDs PIDFDs DelegateUser"]),
    ("Domain.SetProperties", "{'DeviceAllow': <[('@tun', 'r')]>}", ['"DeviceAllow"', "allowed:"]),
    ("CreateDriver", "{'MaxDomains': <uint32 0>}", ["MaxDomains=0", "1 to "]),
    ("Driver.SetProperties", "{'MaxDomains': <uint32 4294967295>}", ["MaxDomains=4294967295", "1 to "]),
    ("CreateDriver", "{'DeviceCeiling': <['@tun']>}", ["DeviceCeiling", 'type "a(ss)"', 'not "as"']),
    ("CreateDomain", "{'DeviceAllow': <'@tun'>}", ["DeviceAllow", 'type "a(ss)"', 'not "s"']),
    ("CreateDomain", "{'PIDs': <[1]>}", ["PIDs", 'type "au"', 'not "ai"']),
    ("CreateDomain", "{'DelegateUser': <0>}", ["DelegateUser", 'type "u"', 'not "i"']),
    ("CreateDomain", "{'DelegateUser': <uint32 4294967295>}", ["DelegateUser=4294967295", "no user"]),
    ("CreateDriver", "{'DelegateUser': <uint32 0>}", ['"DelegateUser"', "allowed:"]),
    ("Driver.SetProperties", "{'DelegateUser': <uint32 0>}", ['"DelegateUser"', "allowed:"]),
    ("Domain.SetProperties", "{'DelegateUser': <uint32 0>}", ['"DelegateUser"', "allowed:"]),
])
def test_invalid_property_of_one_call(root, fails, call, properties, words):
    with fails("InvalidProperty", *words):
        with_properties(root, call, properties)


IO_LISTS = [name for name, kind in published_properties(DOMAIN).items() if kind == "a(st)" and name != "HugetlbMax"]


@pytest.mark.parametrize("call", DRIVER_CALLS + DOMAIN_CALLS)
@pytest.mark.parametrize("name", IO_LISTS)
def test_invalid_block_device(root, fails, call, name):
    """Told apart from a controller that is missing, which this host may lack: tests/bus/test_interface.py."""
    disk, number = block_device()
    neither = "neither the path of a block device below /dev nor MAJOR:MINOR"
    major, minor = number.split(":")
    keys = {**dict.fromkeys(["", "/dev/null", "/dev", "/dev/cordon-none", "/etc/passwd", major,
                             disk.removeprefix("/dev/"), f"{number}:0", f"{number} ", f" {number}", f"{major}: {minor}", f"+{number}",
                             f"{major}:-{minor}", f"{major}:*", f"b:{number}", f"{2**32 + int(major)}:{minor}", "*"],
                            neither),
            "4095:1": "there is no block device 4095:1"}
    for key, words in keys.items():
        with fails("InvalidProperty", name, f'"{key}"' if words == neither else "", words):
            with_properties(root, call, f"{{{name!r}: <[({disk!r}, uint64 100), ({key!r}, 100)]>}}")
    with fails("InvalidProperty", name, f"{number} twice"):
        with_properties(root, call, f"{{{name!r}: <[({disk!r}, uint64 100), ({number!r}, 200)]>}}")
    with fails("InvalidProperty", f"{name}={number} 0 is out of range", "1 to "):
        with_properties(root, call, f"{{{name!r}: <[({disk!r}, uint64 0)]>}}")


@pytest.mark.parametrize("call, entry", [("CreateDriver", "{'MaxDomains', <uint32 1>}"),
                                         ("CreateDomain", "{'PIDs', <@au []>}"),
                                         ("Domain.SetProperties", "{'TasksMax', <uint64 1>}")])
def test_a_property_given_twice(root, fails, call, entry):
    with fails("InvalidProperty", entry.split("'")[1], "given twice"):
        with_properties(root, call, f"[{entry}, {entry}]")


@pytest.mark.parametrize("number", [0, -1, 65, 2**31 - 1, -2**31])
def test_invalid_signal(root, fails, probe, number):
    process = probe()
    root.attach("lxc", "web", process.pid)
    with fails("InvalidProperty", f"signal={number}", "1 to 64"):
        root.call(WEB, DOMAIN, "Kill", f"({number},)")
    assert process.group().endswith("/web")


# ---- devices ----

DEVICE_LISTS = [
    lambda root, devices: root.create_driver("new", f"{{'DeviceCeiling': <{devices}>}}"),
    lambda root, devices: root.create_domain("lxc", "new", f"{{'DeviceAllow': <{devices}>}}"),
    *(lambda root, devices, member=member: root.call(WEB, DOMAIN, member, f"({devices},)")
      for member in ("SetDevices", "AllowDevices", "RevokeDevices")),
]


@pytest.mark.parametrize("what, access, words", [
    ("/dev/null", "", ['access ""', 'subset of "rwm"']), ("/dev/null", "rx", ['access "rx"']),
    ("/dev/null", "rr", ['access "rr"']), ("/dev/null", "R", ['access "R"']),
    ("", "r", ["none of: a path below /dev"]), ("null", "r", ["none of: a path below /dev"]),
    ("/dev", "r", ["none of: a path below /dev"]), ("/etc/passwd", "r", ["none of: a path below /dev"]),
    ("/dev/", "r", []), ("/dev/cordon-none", "r", ["No such file"]), ("/dev/pts", "r", ["not a device node"]),
    ("/dev/../etc/passwd", "r", ["leads out of /dev"]), ("/dev/fd/0", "r", ["leads out of /dev"]),
    ("/dev/null/x", "r", ["Not a directory"]),
    ("char-", "r", ["/proc/devices", "character"]), ("char-cordon", "r", ["/proc/devices"]),
    ("block-", "r", ["/proc/devices", "block"]), ("block-pts", "r", ["/proc/devices", "block"]),
    ("c:1", "r", ["TYPE:MAJOR:MINOR"]), ("c:1:2:3", "r", ["TYPE:MAJOR:MINOR"]), ("c:4096:0", "r", ["0 to 4095"]),
    ("b:0:1048576", "r", ["0 to 1048575"]), ("c:-1:0", "r", ["TYPE:MAJOR:MINOR"]), ("c: 1:0", "r", ["TYPE:MAJOR:MINOR"]),
    ("c:0x1:0", "r", ["TYPE:MAJOR:MINOR"]), ("c::", "r", ["TYPE:MAJOR:MINOR"]), ("u:1:3", "r", ["none of"]),
    ("@none", "r", ["no preset", "@pseudo, @kvm"]), ("@", "r", ["no preset"]), ("@PSEUDO", "r", ["no preset"]),
    ("@pseudo\tx", "r", ["control character"]),
])
def test_invalid_device(root, fails, what, access, words):
    for call in DEVICE_LISTS:
        named = [] if "\t" in what else [f'device "{what}"']
        with fails("InvalidDevice", *named, *words):
            call(root, [("/dev/fuse", "r"), (what, access)])


def test_part_of_a_wider_grant_cannot_be_revoked(root, fails):
    root.call(WEB, DOMAIN, "AllowDevices", "([('c:1:*', 'rw')],)")
    with fails("InvalidDevice", '"/dev/null"', '"c:1:*"', "set the whole list"):
        root.call(WEB, DOMAIN, "RevokeDevices", "([('/dev/null', 'w')],)")


def test_device_not_in_ceiling(root, fails):
    root.create_driver("low", "{'DeviceCeiling': <[('/dev/null', 'rw'), ('@fuse', 'r')]>}")
    low = root.create_domain("low", "web", "{'DeviceAllow': <[('/dev/null', 'r')]>}")
    words = ['driver "low"', "/dev/null rw, @fuse r"]
    for device, access in [("/dev/null", "rwm"), ("/dev/zero", "r"), ("c:1:*", "r"), ("b:*:*", "r"), ("@fuse", "rw")]:
        for call in [lambda it: root.create_domain("low", "new", f"{{'DeviceAllow': <{it}>}}"),
                     lambda it: root.call(low, DOMAIN, "SetDevices", f"({it},)"),
                     lambda it: root.call(low, DOMAIN, "AllowDevices", f"({it},)")]:
            with fails("DeviceNotInCeiling", f'"{device}" with access "{access}"', *words):
                call([("/dev/null", "r"), (device, access)])
    with fails("DeviceNotInCeiling", 'domain "web"', '"/dev/null"', "revoke it first"):
        root.call(driver_path("low"), DRIVER, "SetProperties", "({'DeviceCeiling': <[('@fuse', 'r')]>},)")
    root.create_driver("none", "{'DeviceCeiling': <@a(ss) []>}")
    with fails("DeviceNotInCeiling", 'driver "none": no device'):
        root.create_domain("none", "new", "{'DeviceAllow': <[('/dev/null', 'r')]>}")


# ---- processes ----

@pytest.mark.parametrize("pid", [0, NO_PROCESS, 2**31, 2**32 - 1])
def test_no_such_process(root, fails, pid):
    shown = pid if pid < 2**31 else 0
    for call in [lambda: root.create_domain("lxc", "new", f"{{'PIDs': <[uint32 {pid}]>}}"),
                 lambda: root.attach("lxc", "web", pid)]:
        with fails("NoSuchProcess", f"no process {shown}"):
            call()
    if pid > 0:
        with fails("NoSuchProcess", f"no process {shown}"):
            root.call(ROOT, MANAGER, "GetDomainByPID", f"(uint32 {pid},)")


def test_no_such_process_any_more(root, fails, probe):
    """All or nothing: one that is gone keeps the others where they are."""
    stays, gone = probe(), probe()
    pidfd = os.pidfd_open(gone.pid)
    group = stays.group()
    gone.close()
    for call in [lambda: root.create_domain("lxc", "new", f"{{'PIDs': <[uint32 {stays.pid}, {gone.pid}]>}}"),
                 lambda: root.attach("lxc", "web", stays.pid, gone.pid),
                 lambda: root.call(WEB, DOMAIN, "AttachPIDFDs", "([handle 0],)", fds=[pidfd]),
                 lambda: root.call(ROOT, MANAGER, "GetDomainByPIDFD", "(handle 0,)", fds=[pidfd])]:
        with fails("NoSuchProcess"):
            call()
        assert stays.group() == group
    os.close(pidfd)


def test_a_thread_and_a_descriptor_are_no_process(root, fails):
    thread = next(int(each) for process in os.listdir("/proc") if process.isdigit()
                  for each in os.listdir(f"/proc/{process}/task") if each != process)
    with fails("NoSuchProcess", thread, "thread"):
        root.attach("lxc", "web", thread)
    with open("/dev/null") as file, fails("NoSuchProcess", "no pidfd"):
        root.call(WEB, DOMAIN, "AttachPIDFDs", "([handle 0],)", fds=[file.fileno()])


def test_processes_that_cannot_be_confined(service, root, fails):
    daemon = root.daemon_pid()
    init = open("/proc/1/cgroup").read()
    try:
        for pid, reason in [(daemon, "Cordon itself"), (1, "first process")]:
            with fails("InvalidProperty", f"process {pid} ", reason):
                root.attach("lxc", "web", pid)
    finally:  # were it ever confined, taking the tree down would take down the machine
        if open("/proc/1/cgroup").read() != init:
            (service.group.parent / "cgroup.procs").write_text("1")


def test_busy(service, root, fails, probe):
    process, other = probe(), probe()
    root.create_domain("lxc", "db")
    root.attach("lxc", "web", process.pid)
    group = other.group()
    with fails("Busy", f"process {process.pid}", 'domain "web"', 'driver "lxc"'):
        root.attach("lxc", "db", other.pid, process.pid)
    with fails("Busy", f"process {process.pid}", 'domain "web"', 'driver "lxc"'):
        root.create_domain("lxc", "new", f"{{'PIDs': <[uint32 {other.pid}, {process.pid}]>}}")
    assert other.group() == group
    with fails("Busy", 'domain "web"', 'driver "lxc"', "holds processes"):
        root.remove_domain("lxc", "web", kill=False)
    with fails("Busy", 'driver "lxc" has 2 domains'):
        root.remove_driver("lxc", kill=False)
    process.enter(str(service.group / "lxc/web/nested"))
    with fails("Busy", 'domain "web"'):
        root.call(WEB, DOMAIN, "Remove", "(false,)")


# ---- quotas, the kernel, the seal ----

def test_quota_of_domains(root, fails):
    root.call(LXC, DRIVER, "SetProperties", "({'MaxDomains': <uint32 1>},)")
    with fails("QuotaExceeded", 'driver "lxc" has 1 domains', "MaxDomains=1"):
        root.create_domain("lxc", "new")


def test_quota_of_a_call(root, fails):
    devices = [(f"c:1:{i}", "r") for i in range(2049)]
    for call in DEVICE_LISTS:
        with fails("QuotaExceeded", "2049", "2048"):
            call(root, devices)
    majors = open("/proc/devices").read().partition("Block devices:")[0].strip().count("\n")
    wide = [("char-" + "*" * i, "r") for i in range(1, 4096 // majors + 2)]
    for call in DEVICE_LISTS:
        with fails("QuotaExceeded", f"{len(wide)} devices with {len(wide) * majors} rules", "4096"):
            call(root, wide)
    pages = ", ".join(f"('{i}KB', uint64 1)" for i in range(100000))  # each is looked for among those before it
    for call in DRIVER_CALLS + DOMAIN_CALLS:
        with fails("QuotaExceeded", "HugetlbMax", "1024"):
            with_properties(root, call, f"{{'HugetlbMax': <[{pages}]>}}")
    with fails("QuotaExceeded", "256"):
        root.attach("lxc", "web", *[os.getpid()] * 257)
    long = [(f"char-[m{i:060}]em", "r") for i in range(2000)]  # too much for the attribute that records them
    with fails("QuotaExceeded", "2000 devices take", "65536"):
        root.call(WEB, DOMAIN, "SetDevices", f"({long},)")
    with fails("InvalidDevice", "255"):
        root.call(WEB, DOMAIN, "SetDevices", f"([('char-{'m' * 255}', 'r')],)")
    root.call(WEB, DOMAIN, "SetDevices", f"({devices[:2000]},)")
    with fails("QuotaExceeded", "2049", "2048"):
        root.call(WEB, DOMAIN, "AllowDevices", f"({devices[2000:]},)")
    root.call(WEB, DOMAIN, "SetDevices", f"({wide[:-1]},)")
    with fails("QuotaExceeded", f"{len(wide)} devices with {len(wide) * majors} rules", "4096"):
        root.call(WEB, DOMAIN, "AllowDevices", f"({wide[-1:]},)")


def test_kernel_refuses_a_group(service, root, fails):
    limit = service.group / "cgroup.max.descendants"
    limit.write_text("2")
    try:
        with fails("KernelRefused", f"/{service.tree_name}:", '"new"', "Resource temporarily unavailable"):
            root.create_driver("new")
        with fails("KernelRefused", f"/{service.tree_name}/lxc:", '"new"', "Resource temporarily unavailable"):
            root.create_domain("lxc", "new")
    finally:
        limit.write_text("max")
    root.create_domain("lxc", "new")


def test_kernel_refuses_a_process(service, root, fails, probe):
    """The last step of CreateDomain fails: a sibling that is threaded makes the new group one that holds no process."""
    process = probe()
    group = process.group()
    root.create_domain("lxc", "threads")
    (service.group / "lxc/threads/cgroup.type").write_text("threaded")
    words = ["cgroup.procs", f'refused "{process.pid}"', "Operation not supported"]
    with fails("KernelRefused", f"/{service.tree_name}/lxc/web", *words):
        root.attach("lxc", "web", process.pid)
    with fails("KernelRefused", f"/{service.tree_name}/lxc/new", *words):
        root.create_domain("lxc", "new", f"{{'PIDs': <[uint32 {process.pid}]>, 'DeviceAllow': <[('@tun', 'rw')]>}}")
    assert process.group() == group


def test_seal_failed():
    """A driver that cannot be sealed does not come into being."""
    build = os.environ.get("CORDON_BUILD", TOP / "build")
    with Service(wrapper=f"{os.path.abspath(build)}/tests/bus/without-bpf") as service:
        root = service.client()
        with Fails(service, root, "SealFailed", f"/{service.tree_name}/new", "Operation not permitted"):
            root.create_driver("new", "{'MaxDomains': <uint32 5>}")
        assert root.call(ROOT, MANAGER, "ListDrivers")[0] == []


# ---- all or nothing ----

def test_twenty_properties_of_which_the_last_is_bad(root, fails, probe):
    """What the message carries is read in full before anything is done."""
    process = probe()
    group = process.group()
    good = ["{'DeviceAllow', <[('@pseudo', 'rw'), ('/dev/fuse', 'rw')]>}", f"{{'PIDs', <[uint32 {process.pid}]>}}",
            "{'PIDFDs', <@ah []>}", "{'CPUWeight', <uint64 50>}", "{'CPUQuotaPerSecUSec', <uint64 500000>}",
            "{'AllowedCPUs', <'0'>}", "{'MemoryHigh', <uint64 1000000>}", "{'MemoryMax', <uint64 1000000>}",
            "{'MemorySwapMax', <uint64 0>}", "{'TasksMax', <uint64 10>}", "{'IOWeight', <uint64 10>}",
            "{'DelegateUser', <uint32 5>}", "{'MaxDescendants', <uint64 1>}", "{'MaxDepth', <uint64 1>}"]
    for bad in ["{'Last', <uint64 1>}", "{'PIDs', <@au []>}", "{'TasksMax', <uint64 11>}"]:
        with fails("InvalidProperty", bad.split("'")[1]):
            root.create_domain("lxc", "new", f"[{', '.join([*good, bad])}]")
        assert process.group() == group


@pytest.mark.parametrize("call", DRIVER_CALLS + DOMAIN_CALLS)
def test_a_limit_that_this_host_does_not_have(root, fails, call):
    """Of several limits: the others stay as they were, whichever is written first."""
    for path, interface in [(LXC, DRIVER), (WEB, DOMAIN)]:
        root.call(path, interface, "SetProperties", "({'MaxDescendants': <uint64 40>, 'MaxDepth': <uint64 30>},)")
    hugetlb = "hugetlb" in root.get(ROOT, MANAGER, "Controllers")
    with fails("InvalidProperty" if hugetlb else "ControllerUnavailable", "HugetlbMax", "3MB" if hugetlb else "hugetlb"):
        with_properties(root, call, "{'MaxDescendants': <uint64 20>, 'HugetlbMax': <[('3MB', uint64 0)]>, "
                                    "'MaxDepth': <uint64 10>}")


@contextlib.contextmanager
def hidden(root, path):
    """From the daemon alone: a file of the kernel's is covered, which is why it is not opened any more."""
    nsenter = ["nsenter", "--mount", f"--target={root.daemon_pid()}"]
    subprocess.run([*nsenter, "mount", "--bind", "/dev/null", path], check=True, timeout=30)
    try:
        yield
    finally:
        subprocess.run([*nsenter, "umount", path], check=True, timeout=30)


@pytest.mark.parametrize("call, group", [("Driver.SetProperties", "lxc"), ("Domain.SetProperties", "lxc/web")])
def test_what_was_written_before_is_put_back(service, root, fails, call, group):
    root.call(LXC, DRIVER, "SetProperties", "({'MaxDomains': <uint32 50>, 'MaxDescendants': <uint64 40>},)")
    root.call(WEB, DOMAIN, "SetProperties", "({'MaxDescendants': <uint64 40>},)")
    more = "'MaxDomains': <uint32 5>, 'DeviceCeiling': <[('/dev/null', 'rw')]>, " if call[:6] == "Driver" else ""
    with hidden(root, service.group / group / "cgroup.max.depth"):
        with fails("KernelRefused", f"/{group}/cgroup.max.depth"):
            with_properties(root, call, f"{{{more}'MaxDescendants': <uint64 20>, 'MaxDepth': <uint64 10>}}")
        assert (service.group / group / "cgroup.max.descendants").read_text() == "40\n"
    assert (service.group / group / "cgroup.max.depth").read_text() == "max\n"
    with_properties(root, call, f"{{{more}'MaxDescendants': <uint64 20>, 'MaxDepth': <uint64 10>}}")
    assert (service.group / group / "cgroup.max.depth").read_text() == "10\n"
