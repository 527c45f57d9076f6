# SPDX-License-Identifier: LGPL-2.1-or-later
"""Daemons come and go; what they enforce stays, and nothing is left of what they removed."""
import os
import signal
import sys

import pytest

import bpf
import cordon
from sealed import bpftool, refused

LIST = [("/dev/null", "rw"), ("char-misc", "r"), ("@pseudo", "m"), ("b:7:*", "rm"), ("c:240:*", "w"), ("c:*:8", "r")]
REQUESTS = [("open", path, mode) for path in ("/dev/null", "/dev/zero", "/dev/fuse", "/dev/loop0", "/dev/random")
            for mode in ("r", "w", "rw")] + [("mknod", "c", 1, 5), ("mknod", "b", 7, 9), ("mknod", "b", 8, 9)]
GIVEN = dict.fromkeys(map(tuple, REQUESTS), "EPERM") | dict.fromkeys(
    [("open", "/dev/null", "r"), ("open", "/dev/null", "w"), ("open", "/dev/null", "rw"), ("open", "/dev/fuse", "r"),
     ("open", "/dev/loop0", "r"), ("open", "/dev/random", "r"), ("mknod", "c", 1, 5), ("mknod", "b", 7, 9)], 0)


def answers(probe):
    return dict(zip(GIVEN, probe.each(*GIVEN)))


def seals(*groups):
    """The programs attached to each of the groups."""
    return [bpftool("cgroup", "show", group) for group in groups]


def assert_sealed_once(group):
    (programs,) = seals(group)
    assert [(p["name"], p["attach_type"], p["attach_flags"]) for p in programs] == \
        [("cordon_seal", "cgroup_device", "multi")]


def domains_in(group, name):
    """The domains by which the keys of a map of a driver group's seal begin, once for each key."""
    (program,) = seals(group)[0]
    for id_ in bpftool("prog", "show", "id", program["id"])["map_ids"]:
        if bpftool("map", "show", "id", id_).get("name") == name:
            return [int.from_bytes(bytes(int(octet, 16) for octet in entry["key"][:8]), sys.byteorder)
                    for entry in bpftool("map", "dump", "id", id_)]
    pytest.fail(f"the seal has no map {name}")


def bpf_objects(pid):
    """("prog", id) and ("map", id) that the process holds."""
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{fd}") as file:
            for line in file:
                if line.startswith(("prog_id:", "map_id:")):
                    kind, id_ = line.split(":")
                    found.add((kind.removesuffix("_id"), int(id_)))
    return found


def n_descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.parametrize("number_", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_without_a_daemon(world, domain, number_):
    domain.set(*LIST)
    domain.probe.enter(str(domain.group / "n"))
    effective, allowed, programs = domain.EffectiveDevices, domain.DeviceAllow, seals(world.service.group / "d")
    assert answers(domain.probe) == GIVEN

    world.end_daemon(number_)
    assert answers(domain.probe) == GIVEN
    assert seals(world.service.group / "d") == programs
    with pytest.raises(cordon.BusError):  # nobody has started another one meanwhile
        world.bus.daemon_pid()

    world.start_daemon()
    assert (domain.EffectiveDevices, domain.DeviceAllow) == (effective, allowed)
    assert seals(world.service.group / "d") == programs
    assert answers(domain.probe) == GIVEN
    domain.allow(("/dev/zero", "r"))
    domain.revoke(("/dev/null", "w"))
    assert answers(domain.probe) == GIVEN | {("open", "/dev/zero", "r"): 0, ("open", "/dev/null", "w"): "EPERM",
                                             ("open", "/dev/null", "rw"): "EPERM"}


def test_programs_are_found_again(world):
    groups = []
    with world.driver("one") as one, world.driver("two") as two:
        groups = [world.service.group / "d", one, two]
        domains = [world.domain(("/dev/null", "r"), driver=name) for name in ("one", "one", "two")]
        before = seals(*groups)
        for i in range(6):
            world.end_daemon(signal.SIGKILL if i % 2 else signal.SIGTERM)
            world.start_daemon()
            domains[i % 3].allow((f"c:240:{i}", "r"))
            assert seals(*groups) == before
        for group in groups:
            assert_sealed_once(group)
        assert [len(domain.EffectiveDevices) for domain in domains] == [3, 3, 3]


def test_nothing_leaks(world):
    """Of a program and its maps nothing is left: not in the kernel, not in the daemon."""
    pid = world.bus.daemon_pid()
    held, n, seen = bpf_objects(pid), n_descriptors(pid), set()
    for i in range(200):
        with world.driver("leak") as group:
            domain = world.domain(("/dev/null", "rw"), ("/dev/zero", "rw"), driver="leak")
            domain.set(*LIST)
            if i % 20 == 0:
                assert_sealed_once(group)
            seen |= bpf_objects(pid) - held
            if i % 2:
                domain.remove()
    assert world.bus.daemon_pid() == pid
    assert bpf_objects(pid) == held
    assert n_descriptors(pid) == n
    assert len(seen) >= 200 * 6, "a program and five maps for each driver"

    # The kernel frees them after a grace period of its own, of which nobody is told.
    for _ in range(100):
        left = {(kind, item["id"]) for kind in ("prog", "map") for item in bpftool(kind, "list")} & seen
        if not left:
            return
    pytest.fail(f"still there after 100 looks: {left}")


def test_domains_leave_nothing(world):
    """The maps of a driver that stays know the domains that there are, and no others."""
    with world.driver("long") as group:
        pid = world.bus.daemon_pid()
        stays = world.domain(("/dev/null", "r"), driver="long")
        held, n = bpf_objects(pid), n_descriptors(pid)
        for i in range(200):
            world.domain(("/dev/null", "r"), ("/dev/zero", "r"), driver="long").remove()
        with refused("NoSuchProcess"):
            world.domain(("/dev/null", "r"), driver="long", PIDs=("au", [0]))
        with refused("InvalidProperty"):  # after all else was done
            world.domain(("/dev/null", "r"), driver="long", PIDs=("au", [1]))
        gone = world.domain(("/dev/null", "r"), driver="long")
        gone.group.rmdir()  # behind the daemon's back
        with refused("NoSuchDomain"):
            gone.remove()
        assert (bpf_objects(pid), n_descriptors(pid)) == (held, n)
        for name in ("rules", "refusals"):
            assert domains_in(group, name) == [os.stat(stays.group).st_ino], name


def test_lost_seal(world):
    """A seal that root took off is put back by the next start, which gives nobody anything: that is to be asked for."""
    with world.driver("lost") as group:
        domain = world.domain(*LIST, driver="lost")
        probe = domain.process()
        (program,) = seals(group)[0]
        bpf.detach(group, bpf.open_program(program["id"]))
        # This root can, where no lists of v1 stand behind the seal.
        assert probe.open("/dev/zero", "r") == ("EPERM" if "devices" in world.service.v1 else 0)

        world.end_daemon()
        world.start_daemon()
        assert_sealed_once(group)
        assert set(answers(probe).values()) == {"EPERM"}
        assert domain.EffectiveDevices == [] and domain.DeviceAllow == []
        domain.set(*LIST)
        assert answers(probe) == GIVEN
