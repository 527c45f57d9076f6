# SPDX-License-Identifier: LGPL-2.1-or-later
"""A signal reaches processes that are forked while it is sent, or the answer says that it cannot be complete."""
import os
import pathlib
import select
import signal
import subprocess
import sys

import pytest

from cordon import DOMAIN, ERROR, TOP, BusError, Service, domain_path

MODULE = pathlib.Path(os.environ.get("CORDON_BUILD", TOP / "build")).resolve() / "tests/bus/signal-waits.so"
WEB = domain_path("lxc", "web")
ROUNDS = 64  # SIGNAL_ROUNDS_MAX in service/domain.c

# Each of so many processes makes the next when it gets the signal, and ends.
CHAIN = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print(flush=True)
for _ in range(int(sys.argv[1]) - 1):
    signal.sigwait([signal.SIGUSR1])
    if os.fork():
        os._exit(0)
signal.sigwait([signal.SIGUSR1])
"""


@pytest.fixture(scope="module")
def root():
    """Of a service that sends no signal before the last one has had its effect."""
    with Service(wrapper=f"/usr/bin/env ASAN_OPTIONS=verify_asan_link_order=0 LD_PRELOAD={MODULE}") as service:
        client = service.client()
        client.create_driver("lxc")
        yield client
        client.remove_driver("lxc")


@pytest.fixture
def chain(root):
    """Starts a chain in domain `web`."""
    root.create_domain("lxc", "web")

    def start(length):
        process = subprocess.Popen([sys.executable, "-c", CHAIN, str(length)], stdout=subprocess.PIPE)
        process.stdout.readline()
        root.attach("lxc", "web", process.pid)
        return process
    yield start
    root.remove_domain("lxc", "web")


def kill(root):
    root.call(WEB, DOMAIN, "Kill", f"({int(signal.SIGUSR1)},)")


@pytest.mark.parametrize("length", [1, 10, ROUNDS - 1])
def test_all_that_are_forked_meanwhile(root, chain, length):
    process = chain(length)
    kill(root)
    assert root.call(WEB, DOMAIN, "ListProcesses")[0] == []  # the last one ends by it, too
    assert process.wait() == 0


def test_more_than_can_be_followed(root, chain):
    """It ends, and says how many got it; SIGKILL needs no rounds."""
    process = chain(10 * ROUNDS)
    with pytest.raises(BusError) as caught:
        kill(root)
    assert caught.value.name == ERROR + "Busy"
    for words in '"web"', f"{ROUNDS} processes got signal {int(signal.SIGUSR1)}, some did not":
        assert words in caught.value.message
    (rest, _), = root.call(WEB, DOMAIN, "ListProcesses")[0]
    assert process.wait() == 0 and rest != process.pid
    ended = select.poll()
    ended.register(os.pidfd_open(rest), select.POLLIN)
    root.call(WEB, DOMAIN, "Kill", "(9,)")
    assert ended.poll(30000)
