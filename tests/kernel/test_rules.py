# SPDX-License-Identifier: LGPL-2.1-or-later
"""The map by which a seal decides: whole lists at one moment, more room when it is full, what a killed daemon left."""
import os
import struct

import bpf
import cordon
from sealed import Opener, bpftool

NULL, FUSE, ZERO = "/dev/null", "/dev/fuse", "/dev/zero"
CHAR, READ_WRITE = 2, 6  # BPF_DEVCG_DEV_CHAR, BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE
ROOM, NUMBERS = 16384, 2000  # SEAL_RULES_FIRST; of one domain


def maps(group):
    """The maps of a driver's seal: {name: what bpftool shows}."""
    (program,) = bpftool("cgroup", "show", group)
    shown = (bpftool("map", "show", "id", id_) for id_ in bpf.map_ids(program["id"]) if id_)
    return {map_["name"]: map_ for map_ in shown if "name" in map_}


def test_no_mixture(domain):
    """What one list lets read and the other write is never opened for both, and what both give always is."""
    many = [f"c:240:{minor}" for minor in range(400)]  # with which a change takes as long as some hundred opens
    exact = ((NULL, "rw"), (FUSE, "r"), *((device, "r") for device in many))
    wild = (("c:1:*", "rw"), ("c:10:*", "w"), *((device, "w") for device in many))
    with Opener("steady", NULL, FUSE, ZERO) as opener:
        domain.set(*exact)
        domain.attach(opener.pid)
        for _ in range(50):
            opener.expect("?")
            domain.set(*wild)
            opener.expect("+")
            opener.expect("?")
            domain.set(*exact)
            opener.expect("-")
        _, _, opened, refused = opener.finish()
        assert opened >= 50 and refused >= 50


def fill(world, driver, n):
    """Domains that have n rules together."""
    devices = [(f"c:{240 + i // 256}:{i % 256}", "r") for i in range(NUMBERS)]
    return [world.domain(*devices[:n - done], driver=driver) for done in range(0, n, NUMBERS)]


def test_more_room(world):
    """A driver's map is exchanged for a larger one while devices are opened."""
    with world.driver("full") as group, Opener("steady", NULL, FUSE, ZERO) as opener:
        domain = world.domain((NULL, "rw"), driver="full", PIDs=("au", [opener.pid]))
        before = maps(group)
        assert before["rules"]["max_entries"] == ROOM
        opener.expect("-")
        many = fill(world, "full", ROOM + 1)
        opener.expect("-")
        opener.expect("?")
        domain.allow((ZERO, "rw"))
        opener.expect("+")
        opener.finish()

        after = maps(group)
        constants = {name for name in before if name.endswith(".rodata")}
        assert after["rules"]["max_entries"] == 2 * ROOM
        assert before.keys() == after.keys() == {"rules", "turn", "refusals", "denials", "events"} | constants
        assert {name for name in after if after[name]["id"] != before[name]["id"]} == {"rules"} | constants
        world.end_daemon()
        world.start_daemon()
        assert maps(group) == after
        assert [len(each.EffectiveDevices) for each in many] == [NUMBERS] * (len(many) - 1) + [ROOM + 1 - 8 * NUMBERS]


def test_one_more_than_there_is_room_for(world):
    with world.driver("full") as group:
        fill(world, "full", ROOM - 1)
        domain = world.domain((NULL, "rw"), driver="full")
        assert maps(group)["rules"]["max_entries"] == ROOM
        domain.allow((ZERO, "rw"))
        assert maps(group)["rules"]["max_entries"] == 2 * ROOM
        probe, signals = domain.process(), cordon.Signals(world.bus)
        assert [probe.open(path, "rw") for path in (NULL, ZERO, FUSE)] == [0, 0, "EPERM"]
        signals.wait(lambda path, member, _: (path, member) == (domain.path, "DeviceDenied"))
        signals.close()


def test_a_change_that_was_not_finished(world, domain):
    """A daemon that died between preparing a list and putting it in force: it never comes in force."""
    domain.set((NULL, "rw"))
    probe, effective = domain.process(), domain.EffectiveDevices
    ours = maps(world.service.group / "d")
    world.end_daemon()
    turn, = struct.unpack("Q", bpf.lookup(ours["turn"]["id"], bytes(4), 8))
    coming = (turn | 0xffffffff) + 1

    def key(major, minor):
        return struct.pack("QIIII", os.stat(domain.group).st_ino, CHAR, major, minor, 0)

    bpf.update(ours["rules"]["id"], key(1, 3), struct.pack("IIQ", READ_WRITE, 0, coming))
    bpf.update(ours["rules"]["id"], key(1, 5), struct.pack("IIQ", 0, READ_WRITE, coming))
    assert [probe.open(path, "rw") for path in (NULL, ZERO)] == [0, "EPERM"]

    world.start_daemon()
    assert domain.EffectiveDevices == effective
    other = world.domain((NULL, "r"), ("/dev/full", "r"))
    other.set((NULL, "w"), ("/dev/full", "w"))  # by which the turn comes
    assert struct.unpack("Q", bpf.lookup(ours["turn"]["id"], bytes(4), 8))[0] >= coming
    assert [probe.open(path, "rw") for path in (NULL, ZERO)] == [0, "EPERM"]
    other.remove()
