# SPDX-License-Identifier: LGPL-2.1-or-later
"""Freeze, thaw, kill: what the processes do, what the kernel says, and what a listener is told."""
import os

import pytest


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
