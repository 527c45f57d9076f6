# SPDX-License-Identifier: LGPL-2.1-or-later
"""DelegateUser: the group is the user's, its limits are not."""
import os

import pytest

import cordon
from machine import ALICE, BOB, V1
from truth import where

MIB = 1 << 20


@pytest.fixture
def domain(driver):
    return driver.domain(DelegateUser=ALICE, MemoryMax=256 * MIB, TasksMax=50, DeviceAllow=[("/dev/null", "rw")])


def owners(directory):
    """{file: its owner}, with the directory itself as a dot."""
    return {".": directory.stat().st_uid, **{entry.name: entry.stat().st_uid for entry in os.scandir(directory)}}


def test_what_is_handed_over(domain):
    """The directory and the kernel's own list of files, and nothing else; marked as systemd does. On cgroup v1 nothing by
    which a limit could be changed: only what is in systemd's own hierarchy."""
    with open("/sys/kernel/cgroup/delegate") as file:
        handed_over = {".", *file.read().split()}
    expected = {name: ALICE if name in handed_over else 0 for name in owners(domain.directory)}
    assert owners(domain.directory) == expected
    assert os.getxattr(domain.directory, "user.delegate") == b"1"
    for name, mount in cordon.v1_mounts((*cordon.V1_CONTROLLERS, "name=systemd")).items():
        hers = {file for file, uid in owners(mount / domain.directory.relative_to(cordon.cgroup2_mount())).items() if uid}
        assert hers == ({".", "cgroup.procs", "tasks"} if name == "name=systemd" else set()), name


def test_a_plain_domain_is_not(driver):
    domain = driver.domain()
    assert set(owners(domain.directory).values()) == {0}
    assert "user.delegate" not in os.listxattr(domain.directory)


def test_its_user_lives_in_it(domain):
    probe, top = domain.probe(ALICE), str(domain.directory)
    assert probe.enter(f"{top}/a") == 0
    if "memory" in (domain.directory / "cgroup.controllers").read_text().split():
        assert probe.write(f"{top}/cgroup.subtree_control", "+memory +pids +cpu") == 0
        assert probe.write(f"{top}/a/memory.max", str(8 * MIB)) == 0
        assert (domain.directory / "a/memory.max").read_text() == f"{8 * MIB}\n"
    # a process moves among her groups
    child = probe.fork()
    assert probe.enter(f"{top}/b") == 0
    assert probe.write(f"{top}/b/cgroup.procs", str(child)) == 0
    assert sorted(domain.call("ListProcesses")[0]) == sorted([(probe.pid, "/b"), (child, "/b")])
    # the limits above are not hers, nor is what lies outside
    for file, text in ("memory.limit_in_bytes" if V1 else "memory.max", "-1"), ("pids.max", "max"), (
            "cpu.shares" if V1 else "cpu.weight", "1"), ("cgroup.freeze", "1"), ("cgroup.kill", "1"), (
            "cgroup.max.depth", "9"):
        assert probe.write(str(where(domain.directory, file)), text) in ("EACCES", "EPERM"), file
    assert probe.write(f"{domain.driver.directory}/cgroup.procs", str(child)) in ("EACCES", "EPERM")
    assert probe.enter(f"{domain.driver.directory}/other") in ("EACCES", "EPERM")
    # nor are the devices
    assert (probe.open("/dev/null", "rw"), probe.open("/dev/zero", "r")) == (0, "EPERM")


def test_another_user_does_not(domain):
    probe, top = domain.probe(BOB), str(domain.directory)
    assert probe.enter(f"{top}/a") in ("EACCES", "EPERM")
    assert probe.write(f"{top}/cgroup.subtree_control", "+pids") in ("EACCES", "EPERM")


def test_root_outside_still_rules(domain, bus):
    probe = domain.probe(ALICE)
    assert probe.enter(f"{domain.directory}/deep/down") == 0
    domain.set(MemoryMax=64 * MIB)
    assert domain.limit("MemoryMax") == 64 * MIB
    domain.call("Freeze")
    domain.call("Remove", "(true,)")
    assert not domain.directory.exists()
    assert probe.process.wait() == -9
