# SPDX-License-Identifier: LGPL-2.1-or-later
"""Processes into domains, all or none; killing and removing what is inside."""
import os
import signal
import subprocess
import sys

import pytest

import cordon
from sealed import TIMEOUT, group_of, move, refused, wait_for_end

# The main thread ends, another one lives on.
HALF_DEAD = """
import ctypes, sys, threading
def rest():
    print(threading.get_native_id(), flush=True)
    sys.stdin.read()
threading.Thread(target=rest).start()
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[__import__("os").uname().machine], 0)
"""

# Ends as soon as another process is in another group.
ENDS_WHEN_MOVED = """
import os, sys
path = f"/proc/{sys.argv[1]}/cgroup"
def read():
    with open(path) as file:
        return file.read()
before = read()
print(flush=True)
for _ in range(10000000):
    if read() != before:
        os._exit(0)
"""

# 30 chains, each in a group of its own, of processes that fork and end: at most 60 at a time, 30,000 in all, or 60 s.
STORM = """
import os, signal, sys
nested = sys.argv[1]
sys.stdin.readline()
for i in range(30):
    if os.fork() == 0:
        signal.alarm(60)
        os.makedirs(f"{nested}/{i}", exist_ok=True)
        with open(f"{nested}/{i}/cgroup.procs", "w") as file:
            file.write("0")
        if i == 29:
            os.write(1, b"raging\\n")
        for _ in range(1000):
            if os.fork():
                os._exit(0)
            signal.alarm(60)
        os._exit(0)
signal.pause()
"""


@pytest.fixture
def outside():
    """Two processes that are nowhere yet."""
    with cordon.Probe() as a, cordon.Probe() as b:
        yield a, b


@pytest.fixture
def zombie():
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    yield process.pid
    process.wait()


def gone_pid():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def python(program, *arguments):
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            text=True)


def attach_pidfds(domain, *fds):
    domain.call("AttachPIDFDs", f"(@ah [{', '.join(map(str, range(len(fds))))}],)", fds=fds)


def pidfds(*pids):
    return [os.pidfd_open(pid) for pid in pids]


def close_all(fds):
    for fd in fds:
        os.close(fd)


def test_several_at_once(domain, outside):
    a, b = outside
    domain.attach(a.pid, b.pid)
    assert group_of(a.pid) == group_of(b.pid) == domain.ControlGroup
    assert {pid for pid, _ in domain.call("ListProcesses")[0]} == {a.pid, b.pid, domain.probe.pid}
    domain.attach()  # nobody
    domain.attach(a.pid, a.pid)  # there already, and twice
    a.enter(str(domain.group / "n"))
    domain.attach(a.pid)  # back from a group below
    assert group_of(a.pid) == domain.ControlGroup


def test_several_pidfds(domain, outside):
    fds = pidfds(*(probe.pid for probe in outside))
    attach_pidfds(domain, *fds)
    close_all(fds)
    assert {group_of(probe.pid) for probe in outside} == {domain.ControlGroup}


BAD = {
    "nobody": (lambda world, domain, other: gone_pid(), "NoSuchProcess"),
    "zero": (lambda world, domain, other: 0, "NoSuchProcess"),
    "no number of a process": (lambda world, domain, other: 4294967295, "NoSuchProcess"),
    "kernel thread": (lambda world, domain, other: kernel_thread(), "InvalidProperty"),
    "first process": (lambda world, domain, other: 1, "InvalidProperty"),
    "the daemon": (lambda world, domain, other: world.bus.daemon_pid(), "InvalidProperty"),
    "of another domain": (lambda world, domain, other: other.probe.pid, "Busy"),
    "nested in another domain": (lambda world, domain, other: nested(other), "Busy"),
    "thread": (lambda world, domain, other: domain.probe.thread(), "NoSuchProcess"),
}


def kernel_thread():
    with open("/proc/2/comm") as file:
        assert file.read() == "kthreadd\n"
    return 2


def nested(domain):
    domain.probe.enter(str(domain.group / "n"))
    return domain.probe.pid


@pytest.fixture
def other(world):
    other = world.domain()
    other.probe = other.process()
    yield other
    other.remove()


@pytest.mark.parametrize("make, error", BAD.values(), ids=BAD.keys())
def test_one_bad(world, domain, other, outside, make, error):
    """Among good ones, wherever it stands: nobody has moved, and no domain is made."""
    a, b = outside
    bad = make(world, domain, other)
    pids = [a.pid, b.pid, other.probe.pid] + ([bad] if error == "InvalidProperty" else [])
    before = [group_of(pid) for pid in pids]
    for list_ in ([bad], [bad, a.pid, b.pid], [a.pid, bad, b.pid], [a.pid, b.pid, bad]):
        with refused(error, str(bad) if 0 < bad < 2 ** 31 else ""):
            domain.attach(*list_)
        assert [group_of(pid) for pid in pids] == before
        with refused(error):
            world.domain(("/dev/null", "r"), name="bad", PIDs=("au", list_))
        assert [group_of(pid) for pid in pids] == before
        assert not (domain.group.parent / "bad").exists()


def test_zombie(domain, outside, zombie):
    """Has nothing left to confine."""
    before, fds = group_of(outside[0].pid), pidfds(outside[0].pid, zombie)
    with refused("NoSuchProcess", str(zombie)):
        domain.attach(outside[0].pid, zombie)
    with refused("NoSuchProcess", str(zombie)):
        attach_pidfds(domain, *fds)
    close_all(fds)
    assert group_of(outside[0].pid) == before


def test_bad_pidfds(domain, outside):
    before = group_of(outside[0].pid)
    child = subprocess.Popen(["true"])
    fds = pidfds(outside[0].pid, child.pid) + [os.open("/dev/null", os.O_RDONLY)]
    child.wait()
    for bad in fds[1:]:
        with refused("NoSuchProcess"):
            attach_pidfds(domain, fds[0], bad)
        assert group_of(outside[0].pid) == before
    close_all(fds)


def test_ends_while_it_is_moved(domain):
    """Whoever ends after others have moved takes them back to where they were."""
    with cordon.Probe() as good:
        before = group_of(good.pid)
        for _ in range(50):
            watcher = python(ENDS_WHEN_MOVED, str(good.pid))
            watcher.stdout.readline()
            try:
                domain.attach(*[good.pid] * 250, watcher.pid)  # long enough for it to see the first move, and end
            except cordon.BusError as error:
                assert error.name == cordon.ERROR + "NoSuchProcess" and str(watcher.pid) in error.message
                assert group_of(good.pid) == before
                return
            finally:
                assert watcher.wait(TIMEOUT) == 0
            assert group_of(good.pid) == domain.ControlGroup, "all had moved before it ended: once more"
            move(good.pid, cordon.cgroup2_mount())
        pytest.fail("it never ended in between")


def test_threads_move_together(domain, outside):
    process = outside[0]
    threads = [process.thread() for _ in range(10)]
    domain.attach(process.pid)
    assert {group_of(process.pid, thread) for thread in threads} == {domain.ControlGroup}


def test_main_thread_has_ended(domain, outside):
    """The kernel would move the rest of its threads, and look for it where the main thread was."""
    process, before = python(HALF_DEAD), group_of(outside[0].pid)
    thread = int(process.stdout.readline())
    assert any(state_of(process.pid) == "Z" for _ in range(100000)), "its main thread ends at once, and tells nobody"
    with refused("InvalidProperty", str(process.pid), "main thread has ended"):
        domain.attach(outside[0].pid, process.pid)
    assert group_of(process.pid, thread) == group_of(outside[0].pid) == before
    process.stdin.close()
    assert process.wait(TIMEOUT) == 0


def state_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_created_with_processes(world, outside):
    a, b = outside
    fds = pidfds(b.pid)
    domain = world.domain(("/dev/null", "r"), PIDs=("au", [a.pid]), PIDFDs=("ah", [0]), fds=fds)
    close_all(fds)
    for probe in outside:
        assert group_of(probe.pid) == domain.ControlGroup
        assert (probe.open("/dev/null", "r"), probe.open("/dev/zero", "r")) == (0, "EPERM")
    assert domain.State == "running"
    domain.remove()


def test_kill(domain, outside):
    """Every process, in nested groups, too; nobody else."""
    inside, bystander = outside
    domain.attach(inside.pid)
    inside.enter(str(domain.group / "a/b"))
    fds = pidfds(domain.probe.pid, inside.pid)
    domain.call("Kill", f"({int(signal.SIGTERM)},)")
    for fd in fds:
        wait_for_end(fd)
    assert domain.probe.process.wait(TIMEOUT) == inside.process.wait(TIMEOUT) == -signal.SIGTERM
    assert bystander.open("/dev/null", "r") == 0
    domain.call("Kill", f"({int(signal.SIGTERM)},)")  # an empty one
    assert domain.State == "empty"
    with refused("InvalidProperty", "65"):
        domain.call("Kill", "(65,)")


def test_remove_needs_kill(world):
    domain = world.domain(("/dev/null", "r"))
    probe = domain.process()
    probe.enter(str(domain.group / "a/b"))
    for remove in (lambda: domain.call("Remove", "(false,)"),
                   lambda: world.bus.remove_domain("d", domain.name, kill=False)):
        with refused("Busy", domain.name):
            remove()
    with world.driver("full"):
        world.domain(driver="full")
        with refused("Busy", "full"):
            world.bus.remove_driver("full", kill=False)
    assert probe.open("/dev/null", "r") == 0
    domain.remove()
    assert probe.process.wait(TIMEOUT) == -signal.SIGKILL
    assert not domain.group.exists()
    with refused("NoSuchDomain"):
        domain.remove()


def test_remove_empty_nest(world):
    """Groups that a tenant left go with it, without any kill."""
    domain = world.domain()
    (domain.group / "/".join("n" * 50)).mkdir(parents=True)
    for i in range(50):
        (domain.group / f"m{i}").mkdir()
    domain.call("Remove", "(false,)")
    assert not domain.group.exists()


@pytest.mark.parametrize("of_driver", [False, True], ids=["domain", "driver"])
def test_remove_in_a_fork_storm(world, of_driver):
    with cordon.Probe() as bystander:
        world.bus.create_driver("storm")
        domain = world.domain(("/dev/null", "r"), driver="storm")
        bystander_domain = world.domain()
        bystander_domain.attach(bystander.pid)
        storm = python(STORM, str(domain.group / "nested"))
        domain.attach(storm.pid)
        storm.stdin.write("\n")
        storm.stdin.flush()
        assert storm.stdout.readline() == "raging\n"
        if of_driver:
            world.bus.remove_driver("storm")
        else:
            domain.remove()
            world.bus.remove_driver("storm", kill=False)
        assert storm.wait(TIMEOUT) == -signal.SIGKILL
        assert not domain.group.exists()
        assert bystander.group() == bystander_domain.ControlGroup
        bystander_domain.remove()
