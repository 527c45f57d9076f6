# SPDX-License-Identifier: LGPL-2.1-or-later
"""What comes over a machine in its life, with domains in place: nothing changes for them, and nothing is open for a
moment. A process in the running one opens what it may and what it may not, over and over."""
import os
import pathlib
import signal

import pytest

from cordon import MANAGER, NAME, ROOT, cgroup2_mount, cgroup_mounts, steady, wait_for
from machine import ALICE, TREE, V1, Driver, drop_in, keepers, show, systemctl, until, wait_for_end
from truth import LIMITS

MIB = 1 << 20
OWN_MOUNT = pathlib.Path("/run/cordon/cgroup2")  # run-cordon-cgroup2.mount


class World:
    """A driver with a domain in which something runs, and one in which nothing does."""

    def __init__(self, driver):
        self.driver = driver
        driver.set(TasksMax=100)
        self.empty = driver.domain("empty", DelegateUser=ALICE, MemoryMax=32 * MIB, CPUQuotaPerSecUSec=500000,
                                   IOReadIOPSMax=[("/dev/vda", 90)],
                                   DeviceAllow=[("@pseudo", "rw"), ("/dev/fuse", "r")])
        # The quota leaves some of this slow machine to those that the test waits for.
        self.running = driver.domain("running", TasksMax=20, CPUQuotaPerSecUSec=300000, IOReadIOPSMax=[("/dev/vda", 100)],
                                     DeviceAllow=[("@pseudo", "rw"), ("char-misc", "r"), ("b:254:*", "r")])
        self.running.call("RevokeDevices", "([('char-misc', 'r')],)")
        self.probe = self.running.probe()
        self.probe.insist("/dev/null", "/dev/fuse")
        self.before = self.state(self.empty), self.state(self.running), self.state(driver)

    def state(self, group):
        """All that is no figure, what the kernel's own files say, and where there is a group: in every hierarchy."""
        there = {mount: mount.joinpath(group.directory.relative_to(cgroup2_mount())).is_dir() for mount in cgroup_mounts()}
        return steady(group.get_all()), {name: truth(group.directory) for name, truth in LIMITS.items()}, there

    def check_enforced(self):
        """The process went on all the time, and got what it should; a new process and a new node do, too."""
        rounds, wrong = self.probe.insisted()
        assert wrong == []
        until(lambda: self.probe.insisted()[0] > rounds)
        assert [self.probe.open("/dev/zero", "rw"), self.probe.mknod("c", 10, 229),
                self.probe.run("head", "-c", "1", "/dev/fuse")[0]] == [0, "EPERM", 1]

    def check(self):
        self.check_enforced()
        assert (self.state(self.empty), self.state(self.running), self.state(self.driver)) == self.before
        self.check_enforced()


@pytest.fixture
def world(driver):
    return World(driver)


def kill_daemon(bus, signals):
    os.kill(bus.daemon_pid(), signal.SIGKILL)
    signals.wait_name(owned=False)


def stop_and_start(bus, signals):
    systemctl("stop", "cordon.service")
    signals.wait_name(owned=False)
    assert show("cordon-tree.service", "ActiveState") == "active"
    systemctl("start", "cordon.service")


def kill_keepers(bus, signals):
    """The older and the younger in turn, four times. The other one makes the next before it waits again."""
    for turn in range(4):
        pid = sorted(keepers())[turn % 2]
        os.kill(pid, signal.SIGKILL)
        wait_for_end(pid)
        until(lambda: len(keepers()) == 2)


def kill_all_keepers(bus, signals):
    old = keepers()
    (TREE / "keeper/cgroup.kill").write_text("1")
    for pid in old:
        wait_for_end(pid)
    until(lambda: bus.get(ROOT, MANAGER, "Version") and len(keepers()) == 2)


def kill_all_keepers_and_the_daemon(bus, signals):
    systemctl("stop", "cordon.service")
    kill_all_keepers(bus, signals)


EVENTS = {
    "daemon-reload": lambda bus, signals: systemctl("daemon-reload"),
    "daemon-reexec": lambda bus, signals: systemctl("daemon-reexec"),
    "restart": lambda bus, signals: systemctl("restart", "cordon.service"),
    "stop-and-start": stop_and_start,
    "daemon-killed": kill_daemon,
    "set-property": lambda bus, signals: systemctl("set-property", "--runtime", "cordon-tree.service", "CPUWeight=90"),
    "restart-of-others": lambda bus, signals: systemctl("restart", "systemd-journald", "systemd-logind", "polkit"),
    "keepers-killed-one-by-one": kill_keepers,
    "all-keepers-killed": kill_all_keepers,
    "all-keepers-killed-without-the-daemon": kill_all_keepers_and_the_daemon,
}


@pytest.mark.parametrize("event", EVENTS)
def test_both_domains_survive(bus, signals, world, event):
    EVENTS[event](bus, signals)
    world.check()
    assert show("cordon-tree.service", "SubState") == "running"


def test_the_tree_starts_anew_around_what_runs(bus, world):
    """To restart cordon-tree.service is to ask for what it holds to be dropped: empty domains go, the others stay."""
    systemctl("restart", "cordon-tree.service")
    world.check_enforced()
    assert [name for _, name, *_ in bus.list_domains(world.driver.name)] == ["running"]
    assert not world.empty.directory.exists()  # gone with the unit, or from Cordon's own cgroup2 by this call
    assert world.state(world.running) == world.before[1]
    world.check_enforced()
    assert (show("cordon-tree.service", "SubState"), len(keepers())) == ("running", 2)


def test_the_tree_is_stopped_around_what_runs(bus, signals, world):
    systemctl("stop", "cordon-tree.service")
    assert show("cordon.service", "ActiveState") == "inactive"
    signals.wait_name(owned=False)
    world.check_enforced()
    assert world.state(world.running) == world.before[1]  # the call has started both again
    assert len(keepers()) == 2
    world.check_enforced()


@pytest.mark.parametrize("daemon", [True, False], ids=["daemon", "no-daemon"])
def test_nothing_runs_and_nobody_keeps_it(bus, signals, driver, daemon):
    """The one case in which empty domains are lost: systemd clears the unit, and the next call finds a new tree. On a legacy
    host systemd does not know cgroup2's groups: the driver's stays there, and the domain goes for want of the others."""
    is_legacy = cgroup2_mount() == OWN_MOUNT
    driver.domain("empty")
    if not daemon:
        systemctl("stop", "cordon.service")
    old = keepers()
    (TREE / "keeper/cgroup.kill").write_text("1")
    for pid in old:
        wait_for_end(pid)
    cleared = V1["pids"] / driver.name if is_legacy else driver.directory
    until(lambda: not cleared.exists())
    signals.take()
    until(lambda: show("cordon-tree.service", "SubState") == ("running" if daemon else "exited"))
    if daemon:
        until(lambda: show("cordon.service", "ActiveState") == "active")
    assert bus.list_domains() == []
    assert len(keepers()) == 2
    (driver if is_legacy else Driver(bus, driver.name)).domain("empty")  # all is well again


def test_an_idle_daemon_leaves_and_comes_back(bus, signals, driver):
    """With a domain that is empty. One in which something runs holds the daemon; when that ends, it leaves."""
    domain, running = driver.domain(TasksMax=7), driver.domain()
    process = running.start("sleep", "1000")
    start = show("cordon.service", "ExecStart").partition("argv[]=")[2].partition(" ;")[0]
    with drop_in("cordon.service", f"[Service]\nExecStart=\nExecStart={start} --idle 1\n"):
        systemctl("restart", "cordon.service")
        pid = bus.daemon_pid()
        assert domain.get("TasksMax") == 7
        signals.take()
        with pytest.raises(TimeoutError):
            wait_for(lambda: any(member == "NameOwnerChanged" and arguments[0] == NAME
                                 for _, member, arguments in signals.seen), timeout=3)
        process.kill()
        signals.wait_name(owned=False)
        wait_for_end(pid)
        assert (show("cordon.service", "Result"), domain.directory.exists()) == ("success", True)
        assert domain.get("TasksMax") == 7 and bus.daemon_pid() != pid
    systemctl("restart", "cordon.service")
