# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the virtual machine suite shares: the installed service on the real system bus, and its groups in the tree."""
import contextlib
import itertools
import os
import pathlib
import select
import subprocess
import time

import pytest
from gi.repository import GLib

import cordon
import truth

BUS = "unix:path=/run/dbus/system_bus_socket"
# What the first call would do: on a legacy machine there is no cgroup2 before.
subprocess.run(["systemctl", "start", "run-cordon-cgroup2.mount"], check=True)
TREE = cordon.cgroup2_mount() / "system.slice/cordon-tree.service"
# The same in the hierarchy of each controller on cgroup v1, where the machine was booted with them.
V1 = {name: mount / "system.slice/cordon-tree.service" for name, mount in cordon.v1_mounts().items()}
unified = pytest.mark.unified  # left out where the controllers are on cgroup v1
ALICE, BOB = 1000, 1001
TIMEOUT = 60  # a bound, never a measure: what is waited for either comes or the test fails
# The D-Bus type of every property that the suite sets.
TYPES = {**cordon.published_properties(cordon.DRIVER), **cordon.published_properties(cordon.DOMAIN),
         "DelegateUser": "u", "PIDs": "au"}


def variants(properties):
    """For an a{sv}."""
    return {name: GLib.Variant(TYPES[name], value) for name, value in properties.items()}


class Group:
    """What drivers and domains have in common: an object on the bus, and a directory in the kernel."""

    def __init__(self, bus, path, interface, directory):
        self.bus, self.path, self.interface, self.directory = bus, path, interface, directory

    def call(self, method, arguments="()", **options):
        return self.bus.call(self.path, self.interface, method, arguments, **options)

    def get(self, name):
        return self.bus.get(self.path, self.interface, name)

    def get_all(self):
        return self.bus.get_all(self.path, self.interface)

    def set(self, **properties):
        self.call("SetProperties", GLib.Variant("(a{sv})", (variants(properties),)))

    def file(self, name):
        """What the kernel has, in the hierarchy of the file's controller, or None where it has no such file."""
        return truth.read(self.directory, name)

    def key(self, file, key):
        """A number in a file of keys and numbers."""
        return truth.key(self.directory, file, key)

    def limit(self, name):
        """What a limit is by the kernel's files."""
        return truth.LIMITS[name](self.directory)


class Driver(Group):
    numbers = itertools.count()

    def __init__(self, bus, name=None, **properties):
        self.name = name or f"d{next(Driver.numbers)}"
        bus.call(cordon.ROOT, cordon.MANAGER, "CreateDriver",
                 GLib.Variant("(sa{sv})", (self.name, variants(properties))))
        super().__init__(bus, cordon.driver_path(self.name), cordon.DRIVER, TREE / self.name)
        self.processes = []

    def domain(self, name=None, **properties):
        return Domain(self, name, properties)

    def clear(self):
        for _, name, *_ in self.bus.list_domains(self.name):
            self.bus.remove_domain(self.name, name)
        while self.processes:
            self.processes.pop().close()

    def remove(self):
        self.clear()
        self.bus.remove_driver(self.name)


class Domain(Group):
    numbers = itertools.count()

    def __init__(self, driver, name, properties):
        self.driver, self.name = driver, name or f"x{next(Domain.numbers)}"
        driver.bus.call(cordon.ROOT, cordon.MANAGER, "CreateDomain",
                        GLib.Variant("(ssa{sv})", (driver.name, self.name, variants(properties))))
        super().__init__(driver.bus, cordon.domain_path(driver.name, self.name), cordon.DOMAIN,
                         driver.directory / self.name)

    def probe(self, uid=0):
        """A probe inside, which ends with the driver."""
        probe = cordon.Probe(uid)
        self.driver.processes.append(probe)
        self.bus.attach(self.driver.name, self.name, probe.pid)
        return probe

    def start(self, *command, **options):
        """A program that starts inside: a shell waits outside for a line, and becomes it."""
        process = subprocess.Popen(["sh", "-c", 'read -r line; exec "$@"', "sh", *command], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
        self.driver.processes.append(Program(process))
        self.bus.attach(self.driver.name, self.name, process.pid)
        process.stdin.write(b"\n")
        process.stdin.flush()
        return process

    def run(self, *command, **options):
        """Its status and output, when it has ended."""
        process = self.start(*command, **options)
        output, _ = process.communicate(timeout=TIMEOUT)
        return process.returncode, output.decode()


class Program:
    def __init__(self, process):
        self.process = process

    def close(self):
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def refused(error, *words):
    """The call fails with this error, whose message holds all the words."""
    with pytest.raises(cordon.BusError) as caught:
        yield
    assert caught.value.name == (error if "." in error else cordon.ERROR + error), caught.value
    for word in words:
        assert word in caught.value.message


def until(condition):
    """Asks again and again: for what the kernel or systemd tell nobody. What the bus tells is for Signals."""
    end = time.monotonic() + TIMEOUT
    while not (result := condition()):
        assert time.monotonic() < end, "it did not happen"
    return result


def systemctl(*arguments):
    """Its output; a failure fails the test."""
    done = subprocess.run(["systemctl", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=TIMEOUT)
    assert done.returncode == 0, f"systemctl {' '.join(arguments)}: {done.stdout}"
    return done.stdout.strip()


def show(unit, name):
    return systemctl("show", "--value", "--property", name, unit)


def wait_for_end(pid):
    """Of a process that need not be ours."""
    with contextlib.suppress(OSError):  # gone, or a zombie, of which Linux 6.1 says EINVAL
        fd = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        assert poll.poll(TIMEOUT * 1000), f"process {pid} does not end"
        os.close(fd)


def keepers():
    return [int(pid) for pid in pathlib.Path(TREE, "keeper/cgroup.procs").read_text().split()]


@contextlib.contextmanager
def drop_in(unit, text):
    """Changes a unit for a while."""
    directory = pathlib.Path(f"/run/systemd/system/{unit}.d")
    directory.mkdir(parents=True)
    (directory / "test.conf").write_text(text)
    systemctl("daemon-reload")
    try:
        yield
    finally:
        (directory / "test.conf").unlink()
        directory.rmdir()
        systemctl("daemon-reload")
