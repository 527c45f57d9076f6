# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every limit in the kernel's files: at creation and on what exists, of domains and of drivers, read back."""
import contextlib
import pathlib
import subprocess

import pytest

from cordon import ERROR, INFINITY, BusError, steady
from machine import V1, Driver, refused, unified
from truth import bandwidth

MIB = 1 << 20


def io_max(**limits):
    return "254:0 " + " ".join(f"{key}={limits.get(key, 'max')}" for key in ("rbps", "wbps", "riops", "wiops"))


# Name, file, and two values with what the file then holds. The second value also shows how a limit is taken away.
VDA = "/dev/vda"
LIMITS = [
    ("CPUWeight", "cpu.weight", (250, "250"), (100, "100")),
    ("CPUQuotaPerSecUSec", "cpu.max", (1500000, "150000 100000"), (INFINITY, "max 100000")),
    ("CPUQuotaPeriodUSec", "cpu.max", (50000, "max 50000"), (100000, "max 100000")),
    ("CPUBurstUSec", "cpu.max.burst", (10000, "10000"), (0, "0")),
    ("AllowedCPUs", "cpuset.cpus", ("1", "1"), ("0-1", "0-1")),
    ("AllowedMemoryNodes", "cpuset.mems", ("0", "0"), ("", "")),
    ("MemoryMin", "memory.min", (MIB, str(MIB)), (0, "0")),
    ("MemoryLow", "memory.low", (MIB, str(MIB)), (INFINITY, "max")),
    ("MemoryHigh", "memory.high", (64 * MIB, str(64 * MIB)), (INFINITY, "max")),
    ("MemoryMax", "memory.max", (64 * MIB, str(64 * MIB)), (INFINITY, "max")),
    ("MemorySwapMax", "memory.swap.max", (0, "0"), (INFINITY, "max")),
    ("MemoryZSwapMax", "memory.zswap.max", (MIB, str(MIB)), (INFINITY, "max")),
    ("MemoryOOMGroup", "memory.oom.group", (True, "1"), (False, "0")),
    ("TasksMax", "pids.max", (25, "25"), (INFINITY, "max")),
    ("IOWeight", "io.weight", (210, "default 210"), (100, "default 100")),
    ("IODeviceWeight", "io.weight", ([(VDA, 300)], "default 100\n254:0 300"), ([], "default 100")),
    ("IOReadBandwidthMax", "io.max", ([(VDA, MIB)], io_max(rbps=MIB)), ([], "")),
    ("IOWriteBandwidthMax", "io.max", ([(VDA, MIB)], io_max(wbps=MIB)), ([], "")),
    ("IOReadIOPSMax", "io.max", ([(VDA, 500)], io_max(riops=500)), ([], "")),
    ("IOWriteIOPSMax", "io.max", ([(VDA, 500)], io_max(wiops=500)), ([], "")),
    ("IODeviceLatencyTargetUSec", "io.latency", ([(VDA, 5000)], "254:0 target=5000"), ([], "")),
    ("MaxDescendants", "cgroup.max.descendants", (5, "5"), (INFINITY, "max")),
    ("MaxDepth", "cgroup.max.depth", (3, "3"), (INFINITY, "max")),
]
# The same where the controllers are on cgroup v1; what is not here, it does not have (cordon-hosts(7)).
NONE = str((1 << 63) - 4096)  # in bytes, of whole pages
ON_V1 = {
    "CPUWeight": ("cpu.shares", "2560", "1024"),
    "CPUQuotaPerSecUSec": ("cpu.cfs_quota_us", "150000", "-1"),
    "CPUQuotaPeriodUSec": ("cpu.cfs_period_us", "50000", "100000"),
    "CPUBurstUSec": ("cpu.cfs_burst_us", "10000", "0"),
    "AllowedCPUs": ("cpuset.cpus", "1", "0-1"),
    "AllowedMemoryNodes": ("cpuset.mems", "0", "0"),
    "MemoryMax": ("memory.limit_in_bytes", str(64 * MIB), NONE),
    "MemorySwapMax": ("memory.memsw.limit_in_bytes", str(64 * MIB), NONE),
    "TasksMax": ("pids.max", "25", "max"),
    "IOWeight": ("blkio.bfq.weight", "110", "100"),
    "IOReadBandwidthMax": ("blkio.throttle.read_bps_device", f"254:0 {MIB}", ""),
    "IOWriteBandwidthMax": ("blkio.throttle.write_bps_device", f"254:0 {MIB}", ""),
    "IOReadIOPSMax": ("blkio.throttle.read_iops_device", "254:0 500", ""),
    "IOWriteIOPSMax": ("blkio.throttle.write_iops_device", "254:0 500", ""),
    "MaxDescendants": ("cgroup.max.descendants", "5", "max"),
    "MaxDepth": ("cgroup.max.depth", "3", "max"),
}
if V1:
    LIMITS = [(name, file, (first, texts[0]), (second, texts[1]))
              for name, _, (first, _), (second, _) in LIMITS for file, *texts in [ON_V1.get(name, (None, "", ""))]]
NAMES = [row[0] for row in LIMITS]
# One that is missing on this host, behind most others in the order in which limits are set.
MISSING = {"IODeviceLatencyTargetUSec": [(VDA, 5000)]} if V1 else {"HugetlbMax": [("2MB", 1)]}
# v1 bounds swap only together with memory.
NEEDED = {"MemorySwapMax": {"MemoryMax": 64 * MIB}} if V1 else {}


def why_missing(file):
    return f"this kernel has no {file}" if file else "on cgroup v1, which has no such limit"


@pytest.fixture(scope="module", autouse=True)
def weights():
    """Weights of single devices need the kernel's cost model (cgroup-v2.rst, "IO"), which an administrator turns on; on
    cgroup v1 weights are those of a scheduler, which is a module."""
    if V1:
        subprocess.run(["modprobe", "bfq"], check=True)
        yield
        return
    switch = pathlib.Path("/sys/fs/cgroup/io.cost.qos")
    switch.write_text("254:0 enable=1")
    yield
    switch.write_text("254:0 enable=0")


@pytest.fixture(params=["domain", "driver"])
def group(request, driver):
    """A domain in which something runs, or its driver."""
    name = request.node.callspec.params.get("name")
    # v1's kernel lets a driver have no set of processors that lacks one of its domain's.
    domain = driver.domain(**({"AllowedCPUs": "1"} if V1 and name == "AllowedCPUs" and request.param == "driver" else {}))
    if name != "AllowedMemoryNodes":  # the kernel lets nobody empty that list while something runs
        domain.start("sleep", "1000")
    made = domain if request.param == "domain" else driver
    needed = NEEDED.get(name, {})
    if needed:
        made.set(**needed)
    yield made
    if needed:
        made.set(**dict.fromkeys(needed, INFINITY))


def shown(value, text):
    """As the property shows a value: the device as the kernel calls it, and a set as it is written, which may be another."""
    if isinstance(value, list):
        return [("254:0", number) for _, number in value]
    return text if isinstance(value, str) else value


def test_the_table_is_whole(driver):
    """What a driver and a domain both have and what no figure is."""
    both = set(steady(driver.get_all())) & set(driver.domain().get_all())
    assert both - {"Name", "ControlGroup", "Owner"} == {*NAMES, "HugetlbMax"}


@pytest.mark.parametrize("name, file, first, second", LIMITS, ids=NAMES)
def test_on_what_exists(group, signals, name, file, first, second):
    if not file or group.file(file) is None:  # not of every kernel, nor on cgroup v1
        before = group.get(name)
        with refused("ControllerUnavailable", name, why_missing(file)):
            group.set(**{name: first[0]})
        assert group.get(name) == before and before in (INFINITY, [], False)
        return
    for value, text in first, second, first, second:
        group.set(**{name: value})
        assert (group.file(file), group.get(name)) == (text, shown(value, text))
        signals.wait_property(group.path, name, shown(value, text))


@pytest.mark.parametrize("name, whole", [("AllowedCPUs", "0-1"), ("AllowedMemoryNodes", "0")])
def test_an_empty_list_is_the_parents(driver, name, whole):
    """While something runs a kernel may take no empty list: then it is the parent's that is written."""
    domain = driver.domain(**{name: "0"})
    domain.start("sleep", "1000")
    domain.set(**{name: ""})
    assert domain.get(name) in ("", whole)


@pytest.mark.parametrize("name, file, value, text", [(*row[:2], *row[2]) for row in LIMITS], ids=NAMES)
def test_at_creation(driver, name, file, value, text):
    if not file or driver.file(file) is None:
        with refused("ControllerUnavailable", name, why_missing(file)):
            driver.domain(**{name: value})
        return
    domain = driver.domain(**NEEDED.get(name, {}), **{name: value})
    assert (domain.file(file), domain.get(name)) == (text, shown(value, text))


@unified  # v1 has such pages wherever there are any: test_biting.py
def test_huge_pages_are_not_handed_over(driver, group):
    with refused("ControllerUnavailable", "HugetlbMax", '"hugetlb" is not handed over', "available: cpuset cpu io"):
        group.set(HugetlbMax=[("2MB", 4 * MIB)])
    with refused("ControllerUnavailable", "HugetlbMax"):
        driver.domain(HugetlbMax=[("2MB", 4 * MIB)])
    assert group.get("HugetlbMax") == []


# ---- what the kernel makes of a value ----

@pytest.mark.parametrize("name, given, held", [
    ("MemoryMax", 10 * MIB + 1, 10 * MIB),
    pytest.param("MemoryHigh", 10 * MIB + 4097, 10 * MIB + 4096, marks=unified),  # v1 has no such limit
    ("IOWeight", 200, 199 if V1 else 200),  # of BFQ's scale, which is coarser above 100
    ("AllowedCPUs", "1,0", "0-1"),
    ("CPUQuotaPerSecUSec", 333333, 333330),  # 33333 µs in 100 ms
])
def test_a_property_shows_what_holds(driver, name, given, held):
    domain = driver.domain(**{name: given})
    assert domain.get(name) == held
    domain.set(**{name: given})
    assert domain.get(name) == held


@unified  # v1's kernel refuses the driver such a set: tests/bus/test_interface.py
def test_a_set_of_processors_shrinks_with_the_drivers(driver, signals):
    domain = driver.domain(AllowedCPUs="0-1")
    for given, held in ("1", "1"), ("0", "0"), ("", "0-1"):
        driver.set(AllowedCPUs=given)
        assert (domain.file("cpuset.cpus.effective"), domain.get("AllowedCPUs")) == (held, held)
        signals.wait_property(domain.path, "AllowedCPUs", held)
    assert domain.file("cpuset.cpus") == "0-1"


def test_a_quota_keeps_its_period(driver):
    domain = driver.domain(CPUQuotaPerSecUSec=500000, CPUQuotaPeriodUSec=20000)
    assert bandwidth(domain.directory) == ["10000", "20000"]
    domain.set(CPUQuotaPeriodUSec=100000)
    assert bandwidth(domain.directory) == ["50000", "100000"]
    domain.set(CPUQuotaPerSecUSec=100000)
    assert bandwidth(domain.directory) == ["10000", "100000"]


def test_no_quota_is_above_the_drivers(driver):
    """v1's kernel demands it of both (sched-bwc.rst, "Hierarchical considerations"); cgroup2's takes the smaller one."""
    def answer():
        return refused("KernelRefused", "CPUQuotaPerSecUSec", "cpu.cfs_quota_us") if V1 else contextlib.nullcontext()
    domain = driver.domain(CPUQuotaPerSecUSec=500000)
    with answer():
        driver.set(CPUQuotaPerSecUSec=400000)
    driver.set(CPUQuotaPerSecUSec=500000)
    with answer():
        domain.set(CPUQuotaPerSecUSec=600000)
    domain.set(CPUQuotaPerSecUSec=INFINITY)
    driver.set(CPUQuotaPerSecUSec=INFINITY)


# ---- several at once ----

def files(group):
    return {file: group.file(file) for _, file, *_ in LIMITS if file}


def available(group):
    """Every limit that this kernel has, each with two values; the second are in the order in which limits are taken away."""
    rows = [row for row in LIMITS if row[1] and group.file(row[1]) is not None]
    return {row[0]: row[2][0] for row in rows}, {row[0]: row[3][0] for row in reversed(rows)}


@pytest.fixture
def everything(driver):
    return available(driver)


def test_a_driver_with_everything(bus, everything):
    driver = Driver(bus, **everything[0])
    try:
        assert {name: driver.get(name) for name in everything[0]} == {
            name: shown(value, value) for name, value in everything[0].items()}
    finally:
        driver.remove()


@pytest.mark.parametrize("bad, error", [
    (MISSING, "ControllerUnavailable"),
    ({"AllowedCPUs": "0,77"}, "KernelRefused"),
    ({"AllowedMemoryNodes": "9"}, "KernelRefused"),
])
def test_all_or_nothing(driver, everything, signals, bad, error):
    domain = driver.domain(**everything[0])
    before = files(domain)
    signals.take()
    with refused(error, next(iter(bad))):
        domain.set(**{**everything[1], **bad})
    assert files(domain) == before
    assert [signal for signal in signals.take() if signal[1] == "PropertiesChanged"] == []


def test_a_refused_creation_leaves_nothing(driver, everything):
    with refused("ControllerUnavailable"):
        driver.domain("whole", **everything[0], **MISSING)
    assert not (driver.directory / "whole").exists()
    assert driver.get("NDomains") == 0


# ---- block devices ----

@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A loop device with a partition; the numbers of both."""
    image = tmp_path_factory.mktemp("disk") / "image"
    partition = bytes([0, 0, 2, 0, 0x83, 0, 2, 0]) + (8).to_bytes(4, "little") + (64).to_bytes(4, "little")
    image.write_bytes((bytes(446) + partition + bytes(48) + b"\x55\xaa").ljust(MIB, b"\0"))
    node = subprocess.run(["losetup", "--find", "--show", "--partscan", image], stdout=subprocess.PIPE, check=True,
                          text=True).stdout.strip()
    yield node
    subprocess.run(["losetup", "--detach", node], check=True)


def held(domain):
    """The limits of disks, as the property and the kernel's files say them: {limit: {disk: number}}"""
    names = [name for name in NAMES if name.endswith(("BandwidthMax", "IOPSMax"))]
    assert {name: domain.get(name) for name in names} == {name: sorted(domain.limit(name)) for name in names}
    return {name: dict(limits) for name in names if (limits := domain.limit(name))}


@pytest.mark.parametrize("suffix", ["", "p1"])
def test_a_partition_is_limited_at_its_disk(driver, disk, suffix):
    number = pathlib.Path(f"/sys/block/{pathlib.Path(disk).name}/dev").read_text().strip()
    domain = driver.domain(IOReadIOPSMax=[(disk + suffix, 100)])
    assert held(domain) == {"IOReadIOPSMax": {number: 100}}


def test_devices_come_and_go(driver, disk):
    loop = pathlib.Path(f"/sys/block/{pathlib.Path(disk).name}/dev").read_text().strip()
    domain = driver.domain(IOReadBandwidthMax=[(VDA, MIB), (loop, 2 * MIB)], IOWriteIOPSMax=[("254:0", 7)])
    assert held(domain) == {"IOReadBandwidthMax": {"254:0": MIB, loop: 2 * MIB}, "IOWriteIOPSMax": {"254:0": 7}}
    domain.set(IOReadBandwidthMax=[(disk, 3 * MIB)])
    assert held(domain) == {"IOReadBandwidthMax": {loop: 3 * MIB}, "IOWriteIOPSMax": {"254:0": 7}}
    domain.set(IOReadBandwidthMax=[], IOWriteIOPSMax=[(VDA, INFINITY)])
    assert held(domain) == {}


@pytest.mark.parametrize("device", ["/dev/null", "/dev/nothing", "254:99", "vda", "/dev/../dev/vda/"])
def test_what_is_no_disk_is_named(driver, device):
    with pytest.raises(BusError) as caught:
        driver.domain(IOReadIOPSMax=[(device, 1)])
    assert caught.value.name == ERROR + "InvalidProperty" and device in caught.value.message
