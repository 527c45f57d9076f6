# SPDX-License-Identifier: LGPL-2.1-or-later
"""Limits that bite real processes."""
import os
import pathlib
import signal
import time

import pytest

import cordon
from machine import TREE, V1, Driver, systemctl, unified, until
from truth import oom_kills

MIB = 1 << 20
PSEUDO = [("@pseudo", "rw")]


def hog(mib):
    """Holds so much at once, at the end."""
    return "sh", "-c", f"head -c {mib * MIB} /dev/zero | tail -c {mib * MIB} | wc -c"


# ---- memory ----

def test_a_hog_is_killed_at_its_maximum(driver, signals):
    domain = driver.domain(DeviceAllow=PSEUDO, MemoryMax=16 * MIB, MemorySwapMax=0)
    bystander = domain.probe()
    status, _ = domain.run("tail", "/dev/zero")
    assert status == -9
    signals.wait_oom_kills(domain.path)
    assert domain.get("OOMKills") == oom_kills(domain.directory) >= 1
    assert domain.get("MemoryPeak") <= 16 * MIB
    assert bystander.group().endswith(f"/{driver.name}/{domain.name}")  # one that does no harm lives on


@unified  # v1 has no MemoryOOMGroup
def test_one_hog_ends_all(driver, signals):
    domain = driver.domain(DeviceAllow=PSEUDO, MemoryMax=16 * MIB, MemorySwapMax=0, MemoryOOMGroup=True)
    bystander = domain.start("sleep", "1000")
    assert domain.run("tail", "/dev/zero")[0] == -9
    assert bystander.wait() == -9
    signals.wait_oom_kills(domain.path)
    until(lambda: domain.get("State") == "empty")


def test_swap_takes_what_the_maximum_does_not(driver):
    domain = driver.domain(DeviceAllow=PSEUDO, MemoryMax=12 * MIB, MemorySwapMax=64 * MIB)
    assert domain.run(*hog(20)) == (0, f"{20 * MIB}\n")
    held_back = int(domain.file("memory.failcnt")) if V1 else domain.key("memory.events", "max")
    assert oom_kills(domain.directory) == 0 < held_back
    domain.set(MemorySwapMax=0)
    domain.run(*hog(20))
    assert domain.get("OOMKills") > 0


@unified  # v1 has no MemoryHigh
def test_a_high_mark_holds_back(driver):
    domain = driver.domain(DeviceAllow=PSEUDO, MemoryHigh=12 * MIB)
    assert domain.run(*hog(16)) == (0, f"{16 * MIB}\n")
    assert domain.key("memory.events", "high") > 0
    assert domain.get("OOMKills") == 0


def test_a_driver_bounds_its_domains_together(driver):
    domains = [driver.domain(DeviceAllow=PSEUDO) for _ in range(2)]
    probes = [domain.probe() for domain in domains]
    driver.set(TasksMax=4)
    try:
        assert [probe.fork() > 0 for probe in probes] == [True, True]
        assert [probe.fork() for probe in probes] == ["EAGAIN", "EAGAIN"]
        assert (driver.get("TasksCurrent"), [domain.get("TasksCurrent") for domain in domains]) == (4, [2, 2])
    finally:
        driver.set(TasksMax=cordon.INFINITY)
    assert probes[0].fork() > 0


# ---- tasks ----

def test_a_fork_bomb_stops(driver):
    domain = driver.domain(DeviceAllow=PSEUDO, TasksMax=10)
    probe = domain.probe()
    assert probe.fork_bomb(100) == 9
    domain.set(TasksMax=3)
    assert [probe.fork() > 0 for _ in range(2)] == [True, True]
    assert (probe.fork(), domain.get("TasksCurrent")) == ("EAGAIN", 3)
    domain.set(TasksMax=4)
    assert probe.fork() > 0


# ---- processors ----

@pytest.mark.parametrize("quota", [100000, 300000])
def test_a_busy_loop_is_held_to_its_quota(driver, quota):
    """The kernel counts periods of 100 ms while there is something to run: the loop had its part of each, no more."""
    domain = driver.domain(DeviceAllow=PSEUDO, CPUQuotaPerSecUSec=quota)
    domain.start("sh", "-c", "while :; do :; done")
    until(lambda: domain.key("cpu.stat", "nr_throttled") >= 10)
    domain.call("Kill", "(9,)")
    until(lambda: domain.get("State") == "empty")
    used, periods = domain.get("CPUUsageNSec") // 1000, domain.key("cpu.stat", "nr_periods")
    # A slice of 5 ms more for each processor and period may be handed out (sched-bwc.rst).
    assert quota / 10 * 9 <= used <= (periods + 1) * (quota / 10 + 10000)
    assert domain.get("CPUThrottledUSec") > 0


def test_weights_share_a_processor(driver):
    """Both are busy on the same one. Ten to one is what they are to get in the end; this looks after two seconds."""
    light, heavy = (driver.domain(AllowedCPUs="1", CPUWeight=weight) for weight in (100, 1000))
    for domain in light, heavy:
        domain.start("sh", "-c", "while :; do :; done")

    def used():
        return [domain.get("CPUUsageNSec") // 1000 for domain in (light, heavy)]
    until(lambda: min(used()) > 10000)  # both are under way
    before = used()
    until(lambda: sum(used()) - sum(before) > 2000000)
    little, much = (now - then for now, then in zip(used(), before))
    assert much > 3 * little


def test_processors_confine(driver):
    domain = driver.domain(DeviceAllow=PSEUDO, AllowedCPUs="1")
    probe = domain.probe()

    def where():
        """As the process itself sees it, and it is there, too."""
        allowed = os.sched_getaffinity(probe.pid)
        with open(f"/proc/{probe.pid}/stat") as file:
            probe.group()  # runs, since the change
            return allowed, {int(file.read().rpartition(")")[2].split()[36])}
    assert where() == ({1}, {1})
    domain.set(AllowedCPUs="0")
    assert where() == ({0}, {0})
    domain.set(AllowedCPUs="0-1")
    assert os.sched_getaffinity(probe.pid) == {0, 1}


# ---- disks ----

READ = "dd", "if=/dev/vda", "of=/dev/null", "bs=64k", "count=8", "iflag=direct", "status=none"


@pytest.mark.parametrize("limit", [{"IOReadBandwidthMax": [("/dev/vda", 512 * 1024)]},
                                   {"IOReadIOPSMax": [("254:0", 8)]}], ids=["bandwidth", "operations"])
def test_reading_is_held_back(driver, limit):
    """Half a megabyte in eight operations: a second. What is held back may take longer, but never less."""
    domain = driver.domain(DeviceAllow=[*PSEUDO, ("/dev/vda", "r")])

    def measure():
        start, before = time.monotonic(), domain.get("IOReadBytes")
        assert domain.run(*READ) == (0, "")
        assert domain.get("IOReadBytes") - before >= 512 * 1024
        return time.monotonic() - start
    domain.set(**limit)
    assert measure() > 0.8
    domain.set(**{name: [] for name in limit})
    assert [domain.get(name) for name in limit] == [[]]


@pytest.mark.parametrize("limit", [{"IOWriteBandwidthMax": [("/dev/vda", 512 * 1024)]},
                                   {"IOWriteIOPSMax": [("254:0", 8)]}], ids=["bandwidth", "operations"])
def test_writing_is_held_back(driver, tmp_path, limit):
    domain = driver.domain(DeviceAllow=PSEUDO, **limit)
    start = time.monotonic()
    assert domain.run("dd", "if=/dev/zero", f"of={tmp_path}/file", "bs=64k", "count=8", "oflag=direct",
                      "status=none") == (0, "")
    assert time.monotonic() - start > 0.8


# ---- huge pages ----

PAGE = 2 * MIB
# Touches so many huge pages.
TOUCH = """
import mmap, sys
n = int(sys.argv[1])
memory = mmap.mmap(-1, n << 21, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000)  # MAP_HUGETLB: asm-generic/mman-common.h
for i in range(n):
    memory[i << 21] = 1
"""


@pytest.fixture
def huge(bus):
    """A driver of a service that has "hugetlb", on a machine with such pages. On cgroup2 systemd does not hand it on."""
    above, pages = [] if V1 else [cordon.cgroup2_mount(), TREE.parent], pathlib.Path("/proc/sys/vm/nr_hugepages")
    pages.write_text("8")
    assert pages.read_text() == "8\n"
    for group in above:
        (group / "cgroup.subtree_control").write_text("+hugetlb")
    systemctl("restart", "cordon.service")
    driver = Driver(bus)
    yield driver
    driver.remove()
    pages.write_text("0")
    for group in [TREE, *reversed(above)] if above else []:
        (group / "cgroup.subtree_control").write_text("-hugetlb")
    systemctl("restart", "cordon.service")


def test_huge_pages_are_held_back(huge):
    """Who touches one too many gets SIGBUS (Documentation/admin-guide/cgroup-v1/hugetlb.rst)."""
    domain = huge.domain(HugetlbMax=[("2MB", 2 * PAGE)])
    assert domain.get("HugetlbMax") == domain.limit("HugetlbMax") == [("2MB", 2 * PAGE)]
    assert [domain.run("python3", "-c", TOUCH, str(n)) for n in (2, 3)] == [(0, ""), (-signal.SIGBUS, "")]
    domain.set(HugetlbMax=[])
    assert domain.get("HugetlbMax") == domain.limit("HugetlbMax") == []
    assert domain.run("python3", "-c", TOUCH, "3") == (0, "")
    huge.set(HugetlbMax=[("2MB", PAGE)])
    assert domain.run("python3", "-c", TOUCH, "2")[0] == -signal.SIGBUS


# ---- groups ----

@pytest.mark.parametrize("limit, answers", [({"MaxDescendants": 1}, [0, "EAGAIN", "EAGAIN"]),
                                            ({"MaxDepth": 1}, [0, "EAGAIN", 0])])
def test_groups_below_are_counted(driver, limit, answers):
    domain = driver.domain(DeviceAllow=PSEUDO, **limit)
    probe = domain.probe()
    assert [probe.enter(str(domain.directory / name)) for name in ("a", "a/b", "c")] == answers
