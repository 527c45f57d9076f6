# SPDX-License-Identifier: LGPL-2.1-or-later
"""A process whose main thread has ended is where its other threads are; the kernel looks for it where the main thread
was, and does not find it when that group is gone. No tenant hides so."""
import os
import signal
import subprocess
import sys

import pytest

from cordon import DOMAIN, ERROR, MANAGER, ROOT, BusError, domain_path

WEB = domain_path("lxc", "web")

# argv: a group to move to, and the one to remove then. It starts a child for each line that it reads.
HALF_DEAD = """
import ctypes, os, subprocess, sys, threading
def rest():
    while " Z " not in open(f"/proc/{os.getpid()}/stat").read():
        pass
    if sys.argv[1:]:
        with open(sys.argv[1] + "/cgroup.procs", "w") as file:
            file.write(str(os.getpid()))
        os.rmdir(sys.argv[2])
    print(flush=True)
    for line in sys.stdin:
        print(subprocess.Popen(["sleep", "1000"]).pid, flush=True)
threading.Thread(target=rest).start()
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[os.uname().machine], 0)  # exit(2), of this thread
"""


def half_dead(group=None, *arguments):
    """Started in a group."""
    enter = f"echo 0 > {group}/cgroup.procs; " if group else ""
    process = subprocess.Popen(["sh", "-ec", enter + 'exec "$@"', "sh", sys.executable, "-c", HALF_DEAD,
                                *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


@pytest.fixture
def stray(service, root):
    """In a group of the tenant's, with a child."""
    root.create_driver("lxc")
    root.create_domain("lxc", "web", "{'DeviceAllow': <[('@pseudo', 'rw')]>}")
    old, new = (service.group / "lxc/web" / name for name in ("old", "new"))
    old.mkdir()
    new.mkdir()
    process = half_dead(old, new, old)
    process.stdin.write("\n")
    process.stdin.flush()
    yield process, int(process.stdout.readline())
    process.kill()


def test_a_stray_is_listed(root, stray):
    process, child = stray
    assert sorted(root.call(WEB, DOMAIN, "ListProcesses")[0]) == sorted([(process.pid, "/new"), (child, "/new")])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stray_is_signalled(root, signals, stray, number):
    root.call(WEB, DOMAIN, "Kill", f"({int(number)},)")
    assert stray[0].wait(30) == -number
    signals.wait_property(WEB, "State", "empty")


@pytest.mark.parametrize("remove", [lambda root: root.call(WEB, DOMAIN, "Remove", "(true,)"),
                                    lambda root: root.remove_driver("lxc")], ids=["domain", "driver"])
def test_a_stray_keeps_no_group(service, root, stray, remove):
    remove(root)
    assert stray[0].wait(30) == -signal.SIGKILL
    assert not (service.group / "lxc/web").exists()


def test_none_is_moved_in(root, probe):
    """Whoever was looked for outside would be taken for a caller outside, too."""
    root.create_driver("lxc")
    root.create_domain("lxc", "web")
    first, process = probe(), half_dead()
    before = first.group()
    for call in (lambda: root.attach("lxc", "web", first.pid, process.pid),
                 lambda: root.create_domain("lxc", "new", f"{{'PIDs': <[uint32 {process.pid}]>}}")):
        with pytest.raises(BusError) as caught:
            call()
        assert caught.value.name == ERROR + "InvalidProperty" and str(process.pid) in caught.value.message
    assert first.group() == before and root.get(ROOT, MANAGER, "NDomains") == 1
    with open(f"/proc/{process.pid}/task/{os.listdir(f'/proc/{process.pid}/task')[-1]}/cgroup") as file:
        assert "/lxc/" not in file.read()
    process.kill()
    assert process.wait(30) == -signal.SIGKILL
