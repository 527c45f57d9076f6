# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host whose controllers are on cgroup v1: a group in each hierarchy, limits that bite, and lists behind the seal."""
import os
import signal
import subprocess

import pytest
from gi.repository import GLib

import cordon
from sealed import Opener, bpftool, refused
from test_live import CHANGES

MIB = 1 << 20
PERMITTED, FORBIDDEN, CHANGING = "/dev/null", "/dev/fuse", "/dev/zero"
NULL, FUSE, ZERO = "c 1:3", "c 10:229", "c 1:5"


@pytest.fixture(autouse=True)
def driver(world):
    """The driver `d` is another one for each test, with an empty list."""
    yield
    world.bus.remove_driver("d")
    world.bus.create_driver("d")


def trees(world):
    """The tree's group in each hierarchy."""
    return [world.service.group, *world.service.v1.values()]


def read_list(world, group):
    """{device: access} of the devices controller."""
    lines = (world.service.v1["devices"] / group / "devices.list").read_text().splitlines()
    return {device: access for device, _, access in (line.rpartition(" ") for line in lines)}


def places(pid):
    """{hierarchy: path}"""
    with open(f"/proc/{pid}/cgroup") as file:
        return {name: path for _, name, path in (line.rstrip("\n").split(":", 2) for line in file)}


# ---- groups ----

def test_a_domain_is_in_every_hierarchy_and_goes_from_all(world):
    domain = world.domain((PERMITTED, "rw"))
    process = domain.process()
    for tree in trees(world):
        assert (tree / "d" / domain.name).is_dir()
    path = f"/{world.service.tree_name}/d/{domain.name}"
    assert {path} == {place for name, place in places(process.pid).items()
                      if name == "" or set(name.split(",")) & set(world.service.v1)}
    domain.remove()
    for tree in trees(world):
        assert not (tree / "d" / domain.name).exists()


def test_a_domain_is_made_in_all_or_none(world):
    """One hierarchy has a group of that name with a process in it, left by somebody."""
    left = world.service.v1["memory"] / "d/left"
    left.mkdir()
    with cordon.Probe() as process:
        (left / "cgroup.procs").write_text(str(process.pid))
        with refused("KernelRefused", "memory", '"left"'):
            world.domain(name="left")
        assert [tree for tree in trees(world) if (tree / "d/left").exists()] == [left.parent.parent]
        (left.parent.parent.parent / "cgroup.procs").write_text(str(process.pid))
    (left / "nested").mkdir()
    domain = world.domain(name="left", MemoryMax=("t", MIB))  # empty, it is no obstacle, and its limits do not stay
    assert domain.MemoryMax == MIB
    domain.remove()


def test_processes_go_back_in_every_hierarchy(world):
    domain = world.domain()
    gone = subprocess.Popen(["true"])
    with cordon.Probe() as process:
        before = places(process.pid)
        pidfd = os.pidfd_open(gone.pid)
        gone.wait()
        with refused("NoSuchProcess"):
            domain.attach(process.pid, gone.pid)
        os.close(pidfd)
        assert places(process.pid) == before
    domain.remove()


def test_a_stray_is_told_and_killed(world):
    """A process that is in a domain's v1 group alone keeps the domain, and goes with it when that is asked for."""
    domain = world.domain()
    with cordon.Probe() as process:
        (world.service.v1["pids"] / "d" / domain.name / "cgroup.procs").write_text(str(process.pid))
        with refused("Busy", "holds processes"):
            world.bus.remove_domain("d", domain.name, kill=False)
        for tree in trees(world):
            assert (tree / "d" / domain.name).is_dir()
        inside = domain.process()
        world.bus.remove_domain("d", domain.name, kill=True)
        assert process.process.wait() == inside.process.wait() == -signal.SIGKILL


def test_nested_groups_go_too(world):
    domain = world.domain()
    for tree in trees(world):
        (tree / "d" / domain.name / "a/b").mkdir(parents=True)
    domain.remove()
    for tree in trees(world):
        assert not (tree / "d" / domain.name).exists()


def test_somebody_removes_a_domain_in_part(world):
    """In a v1 hierarchy: the domain can still be removed. From cgroup2: it is gone, and its other groups with it."""
    domain = world.domain()
    (world.service.v1["memory"] / "d" / domain.name).rmdir()
    domain.remove()
    for tree in trees(world):
        assert not (tree / "d" / domain.name).exists()
    domain = world.domain()
    signals = cordon.Signals(world.bus)
    (world.service.group / "d" / domain.name).rmdir()
    signals.wait(lambda _path, member, arguments: member == "InterfacesRemoved" and arguments[0] == domain.path)
    signals.close()
    for tree in trees(world):
        assert not (tree / "d" / domain.name).exists()


def test_a_group_that_went_missing(world):
    """With processes in it, it is made again and they are in it; empty, the domain goes with the limits it lost."""
    domain, empty = world.domain((PERMITTED, "rw")), world.domain(MemoryMax=("t", MIB))
    process = domain.process()
    before = places(process.pid)
    world.end_daemon()
    tree = world.service.v1["memory"]
    (tree.parent / "cgroup.procs").write_text(str(process.pid))
    for each in (domain, empty):
        (tree / "d" / each.name).rmdir()
    world.start_daemon()
    assert places(process.pid) == before
    assert read_list(world, f"d/{domain.name}") == {NULL: "rw"}
    assert domain.MemoryMax == cordon.INFINITY
    assert "had no group in the hierarchy memory" in world.service.log()
    assert [name for _, name, *_ in world.bus.list_domains("d")] == [domain.name]
    for tree in trees(world):
        assert not (tree / "d" / empty.name).exists()
    domain.remove()


# ---- limits that bite ----

def test_memory_bites(world):
    domain = world.domain(("@pseudo", "rw"), MemoryMax=("t", 16 * MIB), MemorySwapMax=("t", 0))
    signals = cordon.Signals(world.bus)
    status, _ = domain.process().run("tail", "/dev/zero")
    assert status == -9
    signals.wait_property(domain.path, "OOMKills", 1)
    signals.close()
    assert domain.OOMKills == 1 and domain.MemoryPeak <= 16 * MIB
    domain.remove()


def test_tasks_bite(world):
    domain = world.domain(("@pseudo", "rw"), TasksMax=("t", 10))
    assert domain.process().fork_bomb(100) == 9
    domain.remove()


def test_processors_bite(world):
    """The kernel counts periods of 100 ms while there is something to run: the loop had its part of each, no more."""
    domain = world.domain(("@pseudo", "rw"), CPUQuotaPerSecUSec=("t", 200000), AllowedCPUs=("s", "0"))
    probe = domain.process()
    assert os.sched_getaffinity(probe.pid) == {0}
    before = domain.CPUUsageNSec
    probe.spin(0.2)
    stat = dict(line.split() for line in
                (world.service.v1["cpu"] / "d" / domain.name / "cpu.stat").read_text().splitlines())
    assert int(stat["nr_throttled"]) >= 8 and domain.CPUThrottledUSec > 0
    # A slice of 5 ms more for each processor and period may be handed out (sched-bwc.rst).
    assert domain.CPUUsageNSec - before <= (int(stat["nr_periods"]) + 1) * 30_000_000
    domain.remove()


# ---- the lists behind the seal ----

def test_a_driver_has_what_its_domains_have(world):
    assert read_list(world, "d") == {}
    first, second = world.domain((PERMITTED, "rw")), world.domain((PERMITTED, "r"), (FORBIDDEN, "rw"))
    assert read_list(world, f"d/{first.name}") == {NULL: "rw"}
    assert read_list(world, f"d/{second.name}") == {NULL: "r", FUSE: "rw"}
    assert read_list(world, "d") == {NULL: "rw", FUSE: "rw"}
    first.allow((FORBIDDEN, "r"), (CHANGING, "w"))
    assert read_list(world, "d") == {NULL: "rw", FUSE: "rw", ZERO: "w"}
    second.revoke((FORBIDDEN, "rw"))
    assert read_list(world, f"d/{second.name}") == {NULL: "r"}
    assert read_list(world, "d") == {NULL: "rw", FUSE: "r", ZERO: "w"}
    first.remove()
    assert read_list(world, "d") == {NULL: "r"}
    second.set()
    assert read_list(world, "d") == read_list(world, f"d/{second.name}") == {}
    second.remove()


def test_entries_say_what_wider_ones_say(world):
    """The seal adds rules up, v1 looks for one entry that has all of what is asked."""
    domain = world.domain(("c:1:*", "r"), (PERMITTED, "w"), ("c:*:5", "w"))
    probe = domain.process()
    assert read_list(world, f"d/{domain.name}") == {"c 1:*": "r", NULL: "rw", "c *:5": "w", ZERO: "rw"}
    assert [probe.open(PERMITTED, "rw"), probe.open(CHANGING, "rw"), probe.open("/dev/full", "r"),
            probe.open("/dev/full", "w")] == [0, 0, 0, "EPERM"]
    domain.remove()


def test_the_lists_hold_alone(world, domain):
    """With the seal's program taken away the lists of v1 decide, and say the same."""
    other = world.domain((FORBIDDEN, "rw"))  # so that the driver's list has it
    domain.set((PERMITTED, "rw"))
    programs = bpftool("cgroup", "show", world.service.group / "d")
    for program in programs:
        bpftool("cgroup", "detach", world.service.group / "d", "device", "id", program["id"])
    assert bpftool("cgroup", "show", world.service.group / "d") == []
    assert [domain.probe.open(PERMITTED, "rw"), domain.probe.open(FORBIDDEN, "rw"), domain.probe.open(CHANGING, "r"),
            domain.probe.mknod("c", 1, 3)] == [0, "EPERM", "EPERM", "EPERM"]
    with Opener("steady", PERMITTED, FORBIDDEN, CHANGING) as opener:
        domain.attach(opener.pid)
        opener.expect("-")
        for _ in range(8):
            for gives, with_it, takes, without_it in CHANGES:
                opener.expect("?")
                domain.call(gives, GLib.Variant("(a(ss))", (with_it,)))
                opener.expect("+")
                opener.expect("?")
                domain.call(takes, GLib.Variant("(a(ss))", (without_it,)))
                opener.expect("-")
        opener.finish()
    other.remove()


def test_the_seal_holds_against_a_domains_own_list(world, domain):
    """A tenant that writes devices.allow gets up to the driver's list there, and nothing of it from the seal."""
    other = world.domain((FORBIDDEN, "rw"))
    domain.set((PERMITTED, "rw"))
    own = world.service.v1["devices"] / "d" / domain.name
    assert domain.probe.write(str(own / "devices.allow"), f"{FUSE} rw") == 0
    assert domain.probe.write(str(own / "devices.allow"), f"{ZERO} rw") == "EPERM"
    assert domain.probe.open(FORBIDDEN, "rw") == "EPERM"
    other.remove()


def test_a_restart_makes_the_lists_right(world):
    """What was changed behind Cordon's back is narrowed and completed; what a domain left behind goes."""
    first, second = world.domain((PERMITTED, "rw")), world.domain((FORBIDDEN, "rw"))
    devices = world.service.v1["devices"]
    world.end_daemon()
    for group in ("d", f"d/{first.name}"):
        (devices / group / "devices.allow").write_text(f"{ZERO} rw")
    (devices / "d" / second.name / "devices.deny").write_text(f"{FUSE} w")
    world.start_daemon()
    assert read_list(world, f"d/{first.name}") == {NULL: "rw"}
    assert read_list(world, f"d/{second.name}") == {FUSE: "rw"}
    assert read_list(world, "d") == {NULL: "rw", FUSE: "rw"}
    first.remove()
    second.remove()
    assert read_list(world, "d") == {}
