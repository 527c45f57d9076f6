# SPDX-License-Identifier: LGPL-2.1-or-later
"""The process behind cordon.Probe: reads requests, one JSON list a line, and answers with what the kernel said."""
import collections
import errno
import json
import os
import stat
import subprocess
import sys
import tempfile
import threading
import time

MODES = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR}
TYPES = {"c": stat.S_IFCHR, "b": stat.S_IFBLK}


def answer_of(call, *arguments):
    try:
        return call(*arguments) or 0
    except OSError as error:
        return errno.errorcode[error.errno]


def op_open(path, mode):
    os.close(os.open(path, MODES[mode] | os.O_NONBLOCK | os.O_NOCTTY))


def op_open_often(path, mode, times):
    """How often each answer came."""
    answers = collections.Counter(answer_of(op_open, path, mode) for _ in range(times))
    return dict(answers)


def op_mknod(kind, major, minor):
    with tempfile.TemporaryDirectory() as directory:
        os.mknod(directory + "/node", TYPES[kind] | 0o600, os.makedev(major, minor))


def op_access(path, mode=os.F_OK):
    """os.access() hides the errno: a refusal is EPERM, as of open."""
    if not os.access(path, mode):
        raise PermissionError(errno.EPERM, path)


def op_hold(path, mode):
    """Opens, and keeps the descriptor: its number."""
    return os.open(path, MODES[mode] | os.O_NONBLOCK | os.O_NOCTTY)


def op_read(fd):
    return len(os.read(fd, 1))


def op_each(*requests):
    """Many in one turn."""
    return [answer_of(globals()["op_" + operation], *arguments) for operation, *arguments in requests]


def op_thread():
    """A thread that waits; its id."""
    thread = threading.Thread(target=threading.Event().wait, daemon=True)
    thread.start()
    return thread.native_id


insisted = [0, []]


def insist(allowed, forbidden):
    while True:
        for path, expected in (allowed, 0), (forbidden, "EPERM"):
            answer = answer_of(op_open, path, "r")
            if answer != expected:
                insisted[1].append([path, answer])
        insisted[0] += 1


def op_insist(allowed, forbidden):
    """From now on opens both, over and over."""
    threading.Thread(target=insist, args=(allowed, forbidden), daemon=True).start()


def op_insisted():
    """How often, and what was not as it should be."""
    return insisted


def op_enter(directory):
    """Makes a group (an absolute path of its directory) if it is missing, and moves there."""
    os.makedirs(directory, exist_ok=True)
    with open(directory + "/cgroup.procs", "w") as file:
        file.write("0")


def op_write(path, text):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def op_group():
    with open("/proc/self/cgroup") as file:
        return next(line[3:].strip() for line in file if line.startswith("0::"))


def op_fork():
    """A child that sleeps; its pid."""
    return subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).pid


def op_fork_bomb(most):
    """Forks until refused, at most so often; how often it succeeded. The children end at once when told."""
    keep, children = os.pipe(), []
    try:
        while len(children) < most:
            pid = os.fork()
            if pid == 0:
                os.close(keep[1])
                os.read(keep[0], 1)
                os._exit(0)
            children.append(pid)
    except OSError:
        pass
    os.close(keep[1])
    os.close(keep[0])
    for pid in children:
        os.waitpid(pid, 0)
    return len(children)


def op_fill(mib):
    """A child that takes so much memory: the signal that ended it, or 0."""
    pid = os.fork()
    if pid == 0:
        memory = bytearray(mib << 20)
        memory[::4096] = b"x" * (mib << 8)
        os._exit(0)
    return os.WTERMSIG(os.waitpid(pid, 0)[1])


def op_spin(seconds):
    """Uses so much time of a processor."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def op_seteuid(uid):
    os.seteuid(uid)


def op_setresuid(real, effective, saved):
    os.setresuid(real, effective, saved)


def op_run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return [done.returncode, done.stdout]


for line in sys.stdin:
    operation, *arguments = json.loads(line)
    print(json.dumps(answer_of(globals()["op_" + operation], *arguments)), flush=True)
