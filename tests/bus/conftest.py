# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the bus suite: one service for a module, empty again after each test."""
import os
import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from cordon import MANAGER, NAME, ROOT, Service, Signals  # noqa: E402

RULES = pathlib.Path(__file__).parent / "rules"


@pytest.fixture(scope="module")
def service():
    with Service(rules=RULES) as running:
        yield running


@pytest.fixture(scope="module")
def root(service):
    return service.client()


@pytest.fixture(autouse=True)
def clean(request):
    """Nothing is left for the next test of the module."""
    yield
    if "service" in request.fixturenames:
        root = request.getfixturevalue("root")
        for name, _ in root.call(ROOT, MANAGER, "ListDrivers")[0]:
            root.remove_driver(name)


@pytest.fixture
def signals(root):
    listening = Signals(root)
    yield listening
    listening.close()


@pytest.fixture
def user(service):
    """Makes clients of other users, which leave with the test."""
    made = []

    def make(uid):
        made.append(service.client(uid))
        return made[-1]
    yield make
    for client in made:
        client.close()


@pytest.fixture
def probe():
    """Makes processes to put into domains."""
    from cordon import Probe
    made = []

    def make(uid=0):
        made.append(Probe(uid))
        return made[-1]
    yield make
    for each in made:
        each.close()


def end_daemon(client, how, name=NAME):
    """Ends a service of the private bus by a signal, and waits until the bus knows."""
    signals = Signals(client)
    os.kill(client.owner_pid(name), how)
    signals.wait_name(name, owned=False)
    signals.close()


def kill_daemon(client, name=NAME):
    end_daemon(client, signal.SIGKILL, name)
