# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real users, the real polkitd, and a rule as an administrator writes it."""
import pathlib

import pytest

from cordon import ACCESS_DENIED, DOMAIN, INTERACTIVE, MANAGER, ROOT, Probe
from machine import ALICE, BOB, Driver, refused

RULE = """
polkit.addRule(function(action, subject) {
    if (action.id == "org.cordon.CgroupManager1.create-domain" && subject.user == "alice" &&
        action.lookup("driver") == "vms" && action.lookup("devices") == "/dev/fuse rw")
        return polkit.Result.YES;
});
"""
FUSE = "{'DeviceAllow': <[('/dev/fuse', 'rw')]>}"


@pytest.fixture(scope="module")
def drivers(bus):
    made = [Driver(bus, name) for name in ("vms", "other")]
    yield
    for driver in made:
        driver.remove()


@pytest.fixture
def alice(user, drivers):
    return user(ALICE)


@pytest.fixture
def rule(signals):
    """polkitd says when it has read its rules again."""
    path = pathlib.Path("/etc/polkit-1/rules.d/50-cordon-test.rules")

    def wait():
        signals.wait(lambda at, member, _: (at, member) == ("/org/freedesktop/PolicyKit1/Authority", "Changed"))
    path.write_text(RULE)
    wait()
    yield
    path.unlink()
    wait()


def test_a_user_is_refused(alice):
    for arguments in "('vms', 'd', @a{sv} {})", f"('vms', 'd', {FUSE})":
        with refused(INTERACTIVE):
            alice.call(ROOT, MANAGER, "CreateDomain", arguments)
    with refused(INTERACTIVE):
        alice.create_driver("mine")
    assert alice.list_domains() == []  # to look is free


def test_a_rule_lets_one_in(alice, bus, user, rule):
    path = alice.create_domain("vms", "hers", FUSE)
    assert bus.get(path, DOMAIN, "Owner") == ALICE
    assert bus.get(path, DOMAIN, "DeviceAllow") == [("/dev/fuse", "rw")]
    # another driver, more, less and other devices
    for driver, devices in (("other", FUSE), ("vms", "{'DeviceAllow': <[('/dev/fuse', 'rwm')]>}"),
                            ("vms", "{'DeviceAllow': <[('/dev/fuse', 'rw'), ('/dev/null', 'r')]>}"),
                            ("vms", "@a{sv} {}"), ("vms", "{'DeviceAllow': <[('/dev/vda', 'rw')]>}")):
        with refused(INTERACTIVE):
            alice.create_domain(driver, "more", devices)
    # what she owns she does not own altogether
    with refused(INTERACTIVE):
        alice.call(path, DOMAIN, "AllowDevices", "([('/dev/null', 'r')],)")
    with refused(INTERACTIVE):
        alice.call(path, DOMAIN, "SetProperties", "({'TasksMax': <uint64 5>},)")
    bob = user(BOB)
    for call in (lambda: bob.create_domain("vms", "his", FUSE), lambda: bob.call(path, DOMAIN, "Kill", "(9,)"),
                 lambda: bob.remove_domain("vms", "hers")):
        with refused(INTERACTIVE):
            call()
    assert [name for _, name, *_ in bus.list_domains("vms")] == ["hers"]


def test_the_owner_runs_the_domain(alice, bus, driver, rule):
    path = alice.create_domain("vms", "own", FUSE)
    with Probe(ALICE) as mine, Probe(BOB) as theirs:
        alice.attach("vms", "own", mine.pid)
        assert (mine.open("/dev/fuse", "rw"), mine.open("/dev/null", "r")) == (0, "EPERM")
        with refused(INTERACTIVE):
            alice.attach("vms", "own", theirs.pid)
        alice.call(path, DOMAIN, "RevokeDevices", "([('/dev/fuse', 'rw')],)")
        assert mine.open("/dev/fuse", "rw") == "EPERM"
        for method in "Freeze", "Thaw":
            alice.call(path, DOMAIN, method)
        alice.call(path, DOMAIN, "Remove", "(true,)")
    assert "own" not in [name for _, name, *_ in bus.list_domains("vms")]


def test_nobody_asks_where_there_is_nobody_to_ask(alice):
    """The caller allows for a password prompt, and there is no agent."""
    with refused(ACCESS_DENIED):
        alice.create_domain("vms", "d", FUSE, interactive=True)


def test_inside_is_no_place_to_call_from(bus, driver):
    domain = driver.domain(DeviceAllow=[("@pseudo", "rw")])
    assert domain.run("busctl", "call", MANAGER, ROOT, MANAGER, "RemoveDriver", "sb", driver.name, "true") == (
        1, "Call failed: Access denied\n")
    assert driver.get("NDomains") == 1
