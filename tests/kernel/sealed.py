# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the kernel suite shares: a world with one driver, domains in it, and a look at the kernel's side of them."""
import contextlib
import itertools
import json
import os
import pathlib
import select
import signal
import subprocess

import pytest
from gi.repository import GLib

import cordon

TIMEOUT = 30  # a bound, never a measure: what is waited for either comes or the test fails
BUILD = pathlib.Path(os.environ.get("CORDON_BUILD", cordon.TOP / "build"))
OPENER = cordon.TOP / "opener" if "CORDON_VM" in os.environ else BUILD / "tests/kernel/opener"


def devices(*pairs):
    """("/dev/null", "rw"), … as the argument of SetDevices, AllowDevices, RevokeDevices."""
    return GLib.Variant("(a(ss))", (pairs,))


class World:
    """The service with driver `d` and root's connection to it."""

    def __init__(self):
        self.service = cordon.Service()
        self.bus = self.service.client()
        self.numbers = itertools.count()
        self.bus.create_driver("d")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.service.close()

    def domain(self, *allowed, driver="d", name=None, fds=None, **properties):
        """With these devices, and properties as (type, value)."""
        return Domain(self, driver, name or f"x{next(self.numbers)}", allowed, properties, fds)

    @contextlib.contextmanager
    def driver(self, name, properties="@a{sv} {}"):
        """A driver for a while; its group."""
        self.bus.create_driver(name, properties)
        try:
            yield self.service.group / name
        finally:
            self.bus.remove_driver(name)

    def end_daemon(self, number=signal.SIGKILL):
        """The next call starts a new one. Returns when the bus knows that the old one is gone."""
        pid = self.bus.daemon_pid()
        pidfd = os.pidfd_open(pid)
        signal.pidfd_send_signal(pidfd, number)
        wait_for_end(pidfd)
        for _ in range(1000):
            if not self.bus.call("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner",
                                 f"({cordon.NAME!r},)", name="org.freedesktop.DBus")[0]:
                return
        pytest.fail("the bus keeps the name of a daemon that has ended")

    def start_daemon(self):
        self.bus.get(cordon.ROOT, cordon.MANAGER, "Version")


class Domain:
    def __init__(self, world, driver, name, allowed, properties, fds):
        self.world, self.bus, self.driver, self.name = world, world.bus, driver, name
        values = {key: GLib.Variant(*value) for key, value in properties.items()}
        if allowed:
            values["DeviceAllow"] = GLib.Variant("a(ss)", allowed)
        self.bus.call(cordon.ROOT, cordon.MANAGER, "CreateDomain", GLib.Variant("(ssa{sv})", (driver, name, values)),
                      fds=fds)
        self.path = cordon.domain_path(driver, name)
        self.group = world.service.group / driver / name
        self.processes = []

    def __getattr__(self, property_name):
        if not property_name[0].isupper():
            raise AttributeError(property_name)
        return self.bus.get(self.path, cordon.DOMAIN, property_name)

    def call(self, method, arguments="()", **options):
        return self.bus.call(self.path, cordon.DOMAIN, method, arguments, **options)

    def set(self, *pairs):
        self.call("SetDevices", devices(*pairs))

    def allow(self, *pairs):
        self.call("AllowDevices", devices(*pairs))

    def revoke(self, *pairs):
        self.call("RevokeDevices", devices(*pairs))

    def attach(self, *pids):
        self.bus.attach(self.driver, self.name, *pids)

    def process(self):
        """A probe inside."""
        probe = cordon.Probe()
        self.processes.append(probe)
        self.attach(probe.pid)
        return probe

    def remove(self):
        self.bus.remove_domain(self.driver, self.name)
        for probe in self.processes:
            probe.close()


class Opener:
    """tests/kernel/opener.c, started outside of every domain."""

    def __init__(self, *arguments, cwd=None):
        self.process = subprocess.Popen([OPENER, *arguments], cwd=cwd, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.pid = self.process.pid

    def expect(self, order):
        """Returns the line that answers: when the order is in force, rounds, wrong answers, opened, refused."""
        self.process.stdin.write(order.encode())
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the opener ended: {self.process.stderr.read().decode()}"
        return tuple(map(int, line.split()))

    def finish(self):
        """The same counters; wrong answers fail the test, and say which."""
        counters = self.expect("?")
        self.process.stdin.close()
        complaints = self.process.stderr.read().decode()
        assert self.process.wait(TIMEOUT) == 0, complaints
        assert counters[1] == 0, complaints
        return counters

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def wait_for_end(pidfd):
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(TIMEOUT * 1000), "the process does not end"
    os.close(pidfd)


def move(pid, group):
    """As root outside does, past Cordon: in every hierarchy."""
    relative = group.relative_to(cordon.cgroup2_mount())
    for mount in cordon.cgroup_mounts():
        if (mount / relative).is_dir():
            (mount / relative / "cgroup.procs").write_text(str(pid))


def group_of(pid, thread=None):
    """As in /proc/PID/cgroup."""
    path = f"/proc/{pid}/task/{thread}/cgroup" if thread else f"/proc/{pid}/cgroup"
    with open(path) as file:
        return next(line[3:].strip() for line in file if line.startswith("0::"))


def bpftool(*arguments):
    """What it prints; None when it fails, as for an id that is no more."""
    done = subprocess.run(["bpftool", "-j", *map(str, arguments)], stdout=subprocess.PIPE, timeout=TIMEOUT)
    return json.loads(done.stdout.strip() or "[]") if done.returncode == 0 else None


@contextlib.contextmanager
def refused(error, *words):
    """The call fails with this error, whose message holds all the words."""
    with pytest.raises(cordon.BusError) as caught:
        yield
    assert caught.value.name == (error if "." in error else cordon.ERROR + error), caught.value
    for word in words:
        assert word in caught.value.message
