# SPDX-License-Identifier: LGPL-2.1-or-later
"""Granting and revoking over the bus, judged by what opens then."""
import pytest

import cordon
from sealed import refused

R, W, RW = "r", "w", "rw"
EFFECTIVE_NULL = ("c", 1, 3, "rw")


def check(probe, *, opens=(), refuses=()):
    """(path, mode) and ("c", major, minor) for mknod."""
    for expected, requests in ((0, opens), ("EPERM", refuses)):
        for request in requests:
            answer = probe.mknod(*request) if len(request) == 3 else probe.open(*request)
            assert answer == expected, request


def numbers(first, last, access="m"):
    return [(f"c:240:{minor}", access) for minor in range(first, last + 1)]


def test_part_of_a_preset(domain):
    domain.set(("@pseudo", "rw"))
    domain.revoke(("c:1:3", "rw"))
    check(domain.probe, opens=[("/dev/zero", RW), ("/dev/ptmx", RW)], refuses=[("/dev/null", R), ("/dev/null", W)])
    domain.revoke(("/dev/zero", "w"))
    check(domain.probe, opens=[("/dev/zero", R)], refuses=[("/dev/zero", W), ("/dev/zero", RW)])
    assert not [what for what, _ in domain.DeviceAllow if what in ("@pseudo", "c:1:3")]
    domain.revoke(("@pseudo", "rwm"))
    check(domain.probe, refuses=[("/dev/zero", R), ("/dev/ptmx", R)])
    assert domain.DeviceAllow == [] and domain.EffectiveDevices == []


@pytest.mark.parametrize("granted, revoked", [
    ("/dev/null", "c:1:3"), ("c:1:3", "/dev/null"), ("/dev/null", "char-mem"), ("/dev/null", "@pseudo"),
    ("c:1:3", "c:*:3"), ("c:1:3", "c:*:*"), ("char-mem", "c:1:*"), ("c:1:*", "char-mem"), ("/dev/null", "/dev/null"),
])
def test_by_another_form(domain, granted, revoked):
    domain.set((granted, "rw"), ("/dev/loop0", "r"))
    domain.revoke((revoked, "w"))
    check(domain.probe, opens=[("/dev/null", R)], refuses=[("/dev/null", W), ("/dev/null", RW)])
    assert (granted, "r") in domain.DeviceAllow
    domain.revoke((revoked, "r"))
    check(domain.probe, opens=[("/dev/loop0", R)], refuses=[("/dev/null", R)])
    assert domain.DeviceAllow == [("/dev/loop0", "r")]


def test_granted_twice_revoked_once(domain):
    """A device goes, whichever names gave it."""
    domain.set(("/dev/null", "rw"), ("c:1:3", "rw"), ("@pseudo", "r"))
    domain.revoke(("/dev/null", "rw"))
    check(domain.probe, opens=[("/dev/zero", R)], refuses=[("/dev/null", R), ("/dev/null", W)])


def test_what_was_not_granted(domain):
    domain.set(("/dev/null", "r"))
    domain.revoke(("/dev/fuse", "rwm"), ("b:*:*", "rwm"), ("/dev/null", "w"))
    check(domain.probe, opens=[("/dev/null", R)], refuses=[("/dev/null", W), ("/dev/fuse", R)])
    assert domain.DeviceAllow == [("/dev/null", "r")]


@pytest.mark.parametrize("granted, revoked", [("c:1:*", "c:1:3"), ("char-mem", "/dev/null"), ("c:*:*", "c:1:*"),
                                              ("c:*:3", "c:1:*"), ("c:1:*", "@pseudo")])
def test_under_a_wildcard(domain, granted, revoked):
    """There is no way to except a device from a wildcard: refused, and none of the call is done."""
    domain.set((granted, "rw"), ("/dev/loop0", "r"))
    effective = domain.EffectiveDevices
    with refused("InvalidDevice", revoked, granted):
        domain.revoke(("/dev/loop0", "r"), (revoked, "rw"))
    check(domain.probe, opens=[("/dev/null", RW), ("/dev/loop0", R)])
    assert domain.EffectiveDevices == effective
    domain.revoke((revoked, "m"))  # an access that it does not give
    assert domain.EffectiveDevices == effective


def test_all_or_nothing(domain):
    domain.set(("/dev/null", "r"))
    for method in (domain.set, domain.allow, domain.revoke):
        with refused("InvalidDevice", "/dev/missing"):
            method(("/dev/fuse", "r"), ("/dev/missing", "r"))
        check(domain.probe, opens=[("/dev/null", R)], refuses=[("/dev/fuse", R)])
        assert domain.EffectiveDevices == [("c", 1, 3, "r")]


def test_empty_lists(domain):
    domain.set(("/dev/null", "rw"))
    domain.allow()
    domain.revoke()
    check(domain.probe, opens=[("/dev/null", RW)])
    domain.set()
    check(domain.probe, refuses=[("/dev/null", R)])
    assert domain.DeviceAllow == [] and domain.EffectiveDevices == []


def test_ceiling(world):
    ceiling = "{'DeviceCeiling': <[('@pseudo', 'rw'), ('b:7:*', 'r'), ('c:240:*', 'm')]>}"
    with world.driver("low", ceiling):
        domain = world.domain(("/dev/null", "rw"), driver="low")
        probe = domain.process()
        for beyond in (("/dev/fuse", "r"), ("/dev/null", "m"), ("c:1:*", "r"), ("/dev/loop0", "rw"), ("@fuse", "r")):
            for method in (domain.allow, domain.set):
                with refused("DeviceNotInCeiling", beyond[0]):
                    method(("/dev/zero", "r"), beyond)
        check(probe, opens=[("/dev/null", RW)],
              refuses=[("/dev/fuse", R), ("/dev/zero", R), ("/dev/loop0", R), ("c", 1, 3)])
        with refused("DeviceNotInCeiling", "/dev/fuse"):
            world.domain(("/dev/null", "r"), ("/dev/fuse", "r"), driver="low", name="beyond")
        assert not (world.service.group / "low/beyond").exists()

        domain.allow(("b:7:0", "r"), ("c:240:7", "m"), ("c:1:5", "w"))
        check(probe, opens=[("/dev/loop0", R), ("/dev/zero", W), ("c", 240, 7)],
              refuses=[("/dev/loop0", RW), ("/dev/zero", R), ("c", 240, 8)])

        # It does not sink below what is granted, and then bounds what comes.
        path = cordon.driver_path("low")
        with refused("DeviceNotInCeiling", domain.name):
            world.bus.call(path, cordon.DRIVER, "SetProperties", "({'DeviceCeiling': <[('@pseudo', 'rw')]>},)")
        assert ("b:7:*", "r") in world.bus.get(path, cordon.DRIVER, "DeviceCeiling")
        check(probe, opens=[("/dev/loop0", R)])
        domain.revoke(("b:*:*", "rwm"), ("c:240:*", "m"))
        world.bus.call(path, cordon.DRIVER, "SetProperties", "({'DeviceCeiling': <[('@pseudo', 'rw')]>},)")
        with refused("DeviceNotInCeiling", "/dev/loop0"):
            domain.allow(("/dev/loop0", "r"))
        check(probe, opens=[("/dev/null", RW)], refuses=[("/dev/loop0", R)])


def test_thousand_entries(world):
    domain = world.domain(*numbers(1, 1000), ("/dev/null", "rw"))
    probe = domain.process()
    check(probe, opens=[("c", 240, 1), ("c", 240, 500), ("c", 240, 1000), ("/dev/null", RW)],
          refuses=[("c", 240, 0), ("c", 240, 1001), ("/dev/zero", R)])
    domain.allow(("c:240:1001", "m"))
    domain.revoke(("c:240:500", "m"))
    check(probe, opens=[("c", 240, 499), ("c", 240, 501), ("c", 240, 1001), ("/dev/null", RW)],
          refuses=[("c", 240, 0), ("c", 240, 500), ("c", 240, 1002)])
    expected = [("c", 1, 3, "rw"), *(("c", 240, minor, "m") for minor in range(1, 1002) if minor != 500)]
    assert domain.EffectiveDevices == expected
    world.end_daemon()
    assert domain.EffectiveDevices == expected
    domain.remove()


def test_limits_of_a_list(domain):
    """2048 entries in a list, and what an attribute of the group can hold: nothing is in force of one that is longer."""
    domain.set(*numbers(1, 1500), ("/dev/null", "rw"))
    effective = domain.EffectiveDevices
    for method, list_ in ((domain.set, [("/dev/zero", "r"), *numbers(1, 2048)]),
                          (domain.allow, [("/dev/zero", "r"), *numbers(3000, 4000)])):
        with refused("QuotaExceeded", "2048"):
            method(*list_)
        assert domain.EffectiveDevices == effective
    with refused("QuotaExceeded", "bytes"):
        domain.set(("/dev/zero", "r"), *((f"char-[m{i:060}]em", "r") for i in range(2000)))
    assert domain.EffectiveDevices == effective
    with refused("QuotaExceeded"):
        domain.world.domain(*numbers(1, 2049), name="toolong")
    assert not (domain.group.parent / "toolong").exists()
    check(domain.probe, opens=[("/dev/null", RW), ("c", 240, 1500)],
          refuses=[("/dev/zero", R), ("c", 240, 2000), ("c", 240, 3000)])


def test_growing_one_by_one(domain):
    """Past 64, past 128: what the kernel's list was made for, and what it was remade for."""
    domain.set(("/dev/null", "rw"))
    for minor in range(300):
        domain.allow((f"c:240:{minor}", "m"))
        check(domain.probe, opens=[("/dev/null", RW), ("c", 240, 0), ("c", 240, minor)],
              refuses=[("c", 240, minor + 1), ("/dev/zero", R)])
    assert len(domain.EffectiveDevices) == len(domain.DeviceAllow) == 301
    for minor in range(300):
        domain.revoke((f"c:240:{minor}", "m"))
    check(domain.probe, opens=[("/dev/null", RW)], refuses=[("c", 240, 0), ("c", 240, 299)])
    assert domain.EffectiveDevices == [EFFECTIVE_NULL]
