# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every benchmark works, on a small scale; how long it takes is not looked at."""
import re
import subprocess

import pytest

import bench

LINE = re.compile(r"[a-z0-9/-]+: -?[\d.e+-]+ \S.*")


@pytest.mark.parametrize("name", bench.BENCHMARKS)
def test_small(name):
    done = subprocess.run([bench.HERE / "bench.py", "--smoke", name], stdout=subprocess.PIPE, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and any("target" in line for line in lines), done.stdout
    assert not [line for line in lines if not LINE.fullmatch(line)]
