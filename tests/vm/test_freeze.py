# SPDX-License-Identifier: LGPL-2.1-or-later
"""Freeze, thaw, kill: what the processes do, what the kernel says, and what a listener is told."""
import ctypes
import os
import pathlib
import re
import signal
import subprocess

import pytest

from cordon import MANAGER, ROOT
from machine import TIMEOUT, refused, unified, until
from truth import oom_kills


class Ticker:
    """Writes for as long as it runs."""

    def __init__(self, domain):
        self.process = domain.start("sh", "-c", "while :; do echo tick; done")
        self.output = self.process.stdout.fileno()
        os.set_blocking(self.output, False)

    def drain(self):
        """How much it has written since. The pipe holds more than is written during a call, so that none ends here."""
        n = 0
        try:
            while data := os.read(self.output, 1 << 16):
                n += len(data)
        except BlockingIOError:
            pass
        return n

    def wait(self):
        """Something new."""
        os.set_blocking(self.output, True)
        assert os.read(self.output, 1)
        os.set_blocking(self.output, False)


@pytest.fixture
def domain(driver):
    return driver.domain(DeviceAllow=[("@pseudo", "rw")])


def test_nothing_runs_until_it_is_thawed(domain, signals):
    ticker = Ticker(domain)
    ticker.wait()
    for _ in range(2):
        domain.call("Freeze")
        signals.wait_property(domain.path, "State", "frozen")
        assert (domain.get("State"), domain.key("cgroup.events", "frozen")) == ("frozen", 1)
        ticker.drain()
        used = domain.get("CPUUsageNSec")
        for _ in range(20):  # a while
            domain.get_all()
        assert ticker.drain() == 0
        assert domain.get("CPUUsageNSec") == used
        domain.call("Thaw")
        signals.wait_property(domain.path, "State", "running")
        ticker.wait()
    domain.call("Thaw")  # of what is not frozen


def test_what_comes_later_is_frozen_too(domain):
    domain.call("Freeze")
    assert domain.get("State") == "frozen"
    ticker = Ticker(domain)
    assert ticker.drain() == 0
    domain.call("Thaw")
    ticker.wait()


def test_kill_reaches_the_frozen(domain, signals):
    ticker = Ticker(domain)
    domain.call("Freeze")
    domain.call("Kill", "(9,)")
    assert ticker.process.wait() == -9
    domain.call("Thaw")
    signals.wait_property(domain.path, "State", "empty")


def test_a_frozen_domain_is_removed(domain, signals):
    ticker = Ticker(domain)
    domain.call("Freeze")
    domain.call("Remove", "(true,)")
    assert ticker.process.wait() == -9
    assert not domain.directory.exists()
    signals.wait(lambda _path, member, arguments: member == "InterfacesRemoved" and arguments[0] == domain.path)


def test_state_follows_the_kernel(domain, signals):
    probe = domain.probe()
    signals.wait_property(domain.path, "State", "running")
    (domain.directory / "cgroup.freeze").write_text("1")  # by somebody else
    signals.wait_property(domain.path, "State", "frozen")
    (domain.directory / "cgroup.freeze").write_text("0")
    signals.wait_property(domain.path, "State", "running")
    probe.close()
    signals.wait_property(domain.path, "State", "empty")
    assert domain.key("cgroup.events", "populated") == 0


@pytest.fixture
def silent(tmp_path):
    """A file system whose server never answers: whoever looks at it waits in the kernel, and only a kill ends that."""
    server = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()
    assert ctypes.CDLL(None).mount(b"silent", bytes(tmp_path), b"fuse", 0, options) == 0
    yield tmp_path
    os.close(server)
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def is_held(process):
    """It waits in the kernel for that server, where no freezer reaches it (proc(5): state D), and not for a page of its own."""
    proc = pathlib.Path(f"/proc/{process.pid}")
    state, function = (proc / "stat").read_text().rpartition(")")[2].split()[0], (proc / "wchan").read_text()
    return state == "D" and ("fuse" in function or function == "request_wait_answer")


def times_woken(pid):
    return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1])


@unified  # cgroup2 freezes, wherever the controllers are, and this takes half a minute
def test_what_does_not_freeze_in_time_is_thawed(bus, domain, silent):
    """The daemon waits for half a minute, and sleeps; a kill is not held up."""
    held, ticker = domain.start("stat", str(silent)), Ticker(domain)
    until(lambda: is_held(held))
    woken = times_woken(bus.daemon_pid())
    with refused("Busy", f'"{domain.name}"', "did not freeze in time"):
        domain.call("Freeze", timeout=10 * TIMEOUT)
    assert times_woken(bus.daemon_pid()) - woken < 60  # by the call, not by looking again and again
    assert (domain.file("cgroup.freeze"), domain.key("cgroup.events", "frozen"), domain.get("State")) == ("0", 0, "running")
    ticker.drain()
    ticker.wait()
    domain.call("Remove", "(true,)")
    assert held.wait() == -9


def test_state_and_kills_for_memory_come_in_one_turn(bus, driver, signals):
    """The daemon stands still while both happen. A call that comes after is served one turn later at most."""
    domain = driver.domain(DeviceAllow=[("@pseudo", "rw")], MemoryMax=16 << 20, MemorySwapMax=0)
    hog = domain.start("sh", "-c", "read -r line; exec tail /dev/zero")
    daemon = bus.daemon_pid()
    os.kill(daemon, signal.SIGSTOP)
    try:
        hog.stdin.write(b"\n")
        hog.stdin.flush()
        assert hog.wait() == -9
        until(lambda: domain.key("cgroup.events", "populated") == 0)
        signals.take()
    finally:
        os.kill(daemon, signal.SIGCONT)
    for _ in range(2):
        bus.get(ROOT, MANAGER, "Version")
    told = [arguments[1] for at, member, arguments in signals.take() if (at, member) == (domain.path, "PropertiesChanged")]
    assert sorted(told, key=str) == [{"OOMKills": oom_kills(domain.directory)}, {"State": "empty"}]
