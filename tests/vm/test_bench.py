# SPDX-License-Identifier: LGPL-2.1-or-later
"""The benchmarks that need an installed service work, on a small scale; how long they take is not looked at."""
import subprocess

import pytest

from cordon import TOP
from machine import unified


# Of what others need to create the same, systemd has no name where the controllers are on cgroup v1.
@pytest.mark.parametrize("name", ["start", pytest.param("create", marks=unified), "get-all", "guard"])
def test_small(name):
    done = subprocess.run([TOP / "tests/bench/bench.py", "--installed", "--smoke", name], stdout=subprocess.PIPE,
                          text=True, timeout=120)
    assert done.returncode == 0 and "target" in done.stdout, done.stdout
