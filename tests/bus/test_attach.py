# SPDX-License-Identifier: LGPL-2.1-or-later
"""All processes move or none; where the kernel does not let one go back, the answer says so."""
import subprocess
import sys

import pytest

from cordon import ERROR, BusError, cgroup2_mount

# Ends as soon as another process is in another group, and takes the group with it that the other one was in.
ENDS_WHEN_MOVED = """
import os, sys
path, old = f"/proc/{sys.argv[1]}/cgroup", sys.argv[2]
def read():
    with open(path) as file:
        return [line for line in file if line.startswith("0::")]
before = read()
print(flush=True)
for _ in range(10000000):
    if read() != before:
        os.rmdir(old)
        os._exit(0)
"""


def test_one_that_cannot_go_back_is_named(service, root, probe):
    root.create_driver("lxc")
    root.create_domain("lxc", "web")
    process, old = probe(), service.group / "old"
    for _ in range(50):
        process.enter(str(old))
        watcher = subprocess.Popen([sys.executable, "-c", ENDS_WHEN_MOVED, str(process.pid), str(old)],
                                   stdout=subprocess.PIPE)
        watcher.stdout.readline()
        try:
            # Often enough for the watcher to see the first move, and end.
            root.attach("lxc", "web", *[process.pid] * 250, watcher.pid)
        except BusError as error:
            assert error.name == ERROR + "NoSuchProcess" and str(watcher.pid) in error.message
            assert error.message.count(f"process {process.pid} stays in the domain: ") == 1
            assert process.group().endswith("/lxc/web")
            return
        finally:
            assert watcher.wait(30) == 0
        process.enter(str(cgroup2_mount()))  # all had moved before it ended: once more
    pytest.fail("it never ended in between")
