# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the seal does not prevent, and the manual says so (cordon-seal(7)): each test shows one such thing."""
import contextlib
import os
import pathlib
import signal
import subprocess

import pytest

import hostile


@pytest.fixture
def field():
    with contextlib.closing(hostile.System()) as system, hostile.Field(system) as made:
        yield made


def options(mount):
    line = next(line for line in pathlib.Path("/proc/mounts").read_text().splitlines() if f" {mount} cgroup2 " in line)
    return set(line.split()[3].split(","))


def test_open_mounting_changes_the_options_of_the_hierarchy(field):
    """In the host's cgroup namespace a fresh mount of cgroup2 sets the flags of the only hierarchy there is."""
    subprocess.run(["mount", "-o", "remount,nsdelegate", field.root], check=True)
    before = options(field.root)
    try:
        assert field.witness.run("unshare", "--mount", "mount", "-t", "cgroup2", "none", "/mnt") == [0, ""]
        assert "nsdelegate" in before and "nsdelegate" not in options(field.root)
    finally:
        subprocess.run(["mount", "-o", "remount," + ",".join(before), field.root], check=True)
    assert options(field.root) == before


def test_a_cgroup_namespace_keeps_the_options(field):
    before = options(field.root)
    assert field.witness.run("unshare", "--mount", "--cgroup", "mount", "-t", "cgroup2", "none", "/mnt") == [0, ""]
    assert options(field.root) == before


def test_open_the_hosts_services_serve_root(field):
    """Whoever may ask systemd as root can have a process outside: keep the host's bus and sockets from tenants."""
    status, output = field.witness.run("systemd-run", "--quiet", "--pipe", "--wait", "cat", "/proc/self/cgroup")
    assert status == 0 and "0::/system.slice/run-" in output


def test_open_signals_reach_outside(field):
    """A pid namespace is what keeps root from that."""
    assert field.witness.run("kill", "-KILL", str(field.victim.pid)) == [0, ""]
    assert os.waitstatus_to_exitcode(os.waitpid(field.victim.pid, 0)[1]) == -signal.SIGKILL
    field.victim.returncode = -signal.SIGKILL


def test_open_root_watches_outside(field):
    """With CAP_PERFMON, perf_event_open(2) asks for no other right; it sees, and changes nothing."""
    program = ("import ctypes, sys; attr = (ctypes.c_uint32 * 32)(1, 128); "
               "sys.exit(ctypes.CDLL(None).syscall(298, attr, int(sys.argv[1]), -1, -1, 0) < 0)")
    assert field.witness.run("/usr/bin/python3", "-c", program, str(field.victim.pid)) == [0, ""]


def test_open_descriptors_handed_in(field):
    """What a process outside opens and hands in is used, not opened, here."""
    with open(hostile.FORBIDDEN, "r+b", buffering=0) as device:
        holder = subprocess.Popen(["sh", "-c", "read line; readlink /proc/self/fd/3; exec 4<&3"], pass_fds=[],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                  preexec_fn=lambda: os.dup2(device.fileno(), 3), close_fds=False)
    field.bus.attach("hostile", "inside", holder.pid)
    assert holder.communicate("\n", timeout=60)[0] == hostile.FORBIDDEN + "\n"
    assert holder.returncode == 0
