# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the virtual machine suite, which runs where Cordon is installed: tests/vm/boot."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import cordon  # noqa: E402
from machine import BUS, Driver  # noqa: E402


@pytest.fixture(scope="session")
def bus():
    client = cordon.Client(BUS)
    yield client
    client.close()


@pytest.fixture
def signals(bus):
    listening = cordon.Signals(bus)
    yield listening
    listening.close()


@pytest.fixture(scope="module")
def shared(bus):
    """The driver of a module: to make one, whose programs the kernel has to check, takes seconds in this machine."""
    driver = Driver(bus)
    yield driver
    driver.remove()


@pytest.fixture
def driver(shared):
    """Without domains."""
    yield shared
    shared.clear()


@pytest.fixture
def user():
    """Makes clients of other users."""
    made = []

    def make(uid):
        made.append(cordon.UserClient(BUS, uid))
        return made[-1]
    yield make
    for client in made:
        client.close()
