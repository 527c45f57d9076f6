# SPDX-License-Identifier: LGPL-2.1-or-later
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import cordon  # noqa: E402
from sealed import World  # noqa: E402

# About a host with controllers on cgroup v1.
collect_ignore = ["test_v1.py"] if not cordon.v1_mounts() else []


@pytest.fixture(scope="module")
def world():
    with World() as world:
        yield world


@pytest.fixture
def domain(world):
    """A domain without any device, and with one process in it: domain.probe."""
    domain = world.domain()
    domain.probe = domain.process()
    yield domain
    domain.remove()
