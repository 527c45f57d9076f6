# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the seal does not prevent, and the manual says so (cordon-seal(7)): each test shows one such thing."""
import contextlib
import ctypes
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
    assert status == 0 and ":/system.slice/run-" in output


def test_open_signals_reach_outside(field):
    """And so do priorities and limits. A pid namespace is what keeps root from that."""
    assert field.witness.run("renice", "-n", "5", "-p", str(field.victim.pid))[0] == 0
    assert os.getpriority(os.PRIO_PROCESS, field.victim.pid) == 5
    assert field.witness.run("prlimit", "--pid", str(field.victim.pid), "--nofile=99") == [0, ""]
    assert field.witness.run("kill", "-KILL", str(field.victim.pid)) == [0, ""]
    assert os.waitstatus_to_exitcode(os.waitpid(field.victim.pid, 0)[1]) == -signal.SIGKILL
    field.victim.returncode = -signal.SIGKILL


def test_open_root_watches_outside(field):
    """With CAP_PERFMON, perf_event_open(2) asks for no other right; it sees, and changes nothing."""
    program = ("import ctypes, sys; attr = (ctypes.c_uint32 * 32)(1, 128); "
               "sys.exit(ctypes.CDLL(None).syscall(298, attr, int(sys.argv[1]), -1, -1, 0) < 0)")
    assert field.witness.run("/usr/bin/python3", "-c", program, str(field.victim.pid)) == [0, ""]


def test_open_root_traces_the_machine(field):
    """It reads what all processes do, for one."""
    instance = "/mnt/instances/cordon-hostile"
    assert field.witness.run("unshare", "--mount", "sh", "-ec", f"""
        mount -t tracefs none /mnt
        mkdir {instance}
        echo 1 > {instance}/events/sched/sched_switch/enable
        grep -q prev_pid= {instance}/trace
        echo 0 > {instance}/events/sched/sched_switch/enable
        rmdir {instance}""") == [0, ""]


HANDLE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
path, handle = sys.argv[1], bytes.fromhex(sys.argv[2])
assert not os.path.exists(path), "it is hidden"
fd = libc.open_by_handle_at(os.open("/", os.O_RDONLY), handle, os.O_RDONLY)
assert fd >= 0, os.strerror(ctypes.get_errno())
sys.stdout.write(os.read(fd, 100).decode())
"""


def handle_of(path):
    """struct file_handle; a tenant would guess it, for it is little more than the number of the inode."""
    handle, mount = (ctypes.c_uint32 * 34)(128), ctypes.c_int()
    assert ctypes.CDLL(None).name_to_handle_at(-100, os.fsencode(path), handle, ctypes.byref(mount), 0) == 0
    return bytes(handle)[:8 + handle[0]]


def test_open_handles_reach_the_whole_file_system(field, tmp_path):
    """With CAP_DAC_READ_SEARCH, of a file system that the tenant has any directory of."""
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    assert field.witness.run("unshare", "--mount", "sh", "-c", f"mount -t tmpfs none {tmp_path} && "
                             'exec /usr/bin/python3 -c "$@"', "sh", HANDLE, str(secret), handle_of(secret).hex()) == \
        [0, "of the host"]


@pytest.mark.parametrize("path", ["/proc/sys/vm/swappiness", "/sys/block/vda/queue/read_ahead_kb"])
def test_open_settings_of_the_machine(field, path):
    """What no namespace has of its own is the host's; mounted read-only, it is out of the tenant's reach as a mistake."""
    file = pathlib.Path(path)
    before = file.read_text().strip()
    other = str(int(before) + 4)
    try:
        assert field.witness.write(path, other) == 0
        assert file.read_text().strip() == other
    finally:
        file.write_text(before)


def test_open_drivers_of_devices(field):
    assert field.witness.open("/sys/bus/pci/drivers/virtio-pci/unbind", "w") == 0


def test_open_descriptors_handed_in(field):
    """What a process outside opens and hands in is used, not opened, here."""
    with open(hostile.FORBIDDEN, "r+b", buffering=0) as device:
        holder = subprocess.Popen(["sh", "-c", "read line; readlink /proc/self/fd/3; exec 4<&3"], pass_fds=[],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                  preexec_fn=lambda: os.dup2(device.fileno(), 3), close_fds=False)
    field.bus.attach("hostile", "inside", holder.pid)
    assert holder.communicate("\n", timeout=60)[0] == hostile.FORBIDDEN + "\n"
    assert holder.returncode == 0
