# SPDX-License-Identifier: LGPL-2.1-or-later
"""README.md shows what ./run prints."""
import pathlib
import re
import subprocess

import pytest

from cordon import TOP


ROWS = {"forks": "TasksMax", "MiB of memory": "MemoryMax", "a busy loop": "CPUQuotaPerSecUSec"}


def expected(lines, left_out, first):
    """README's lines as this host prints them: what depends on the host is taken from `first` and `left_out`."""
    yield re.sub(r", .*", first[first.index(","):], lines[0])
    for line in lines[1:]:
        if line.startswith("Domain "):
            devices, _, limits = line.rpartition(", limits ")
            rest = [limit for limit in limits.split(", ") if limit not in left_out]
            yield f"{devices}, limits {', '.join(rest) or 'none'}"
        elif not any(words in line and limit in left_out for words, limit in ROWS.items()):
            yield line


def test_transcript():
    """Limits that this host cannot set, its hierarchy and the seal's strength may differ; nothing else."""
    if pathlib.Path("/run/systemd/system").exists():
        pytest.skip("./run would install on this machine")
    shown = re.search(r"<!-- What ./run prints.*?```\n(.*?)```", (TOP / "README.md").read_text(), re.S).group(1)
    done = subprocess.run([TOP / "run"], stdout=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 0
    printed = done.stdout.splitlines()
    left_out = {line.split(":")[1].strip() for line in printed if line.startswith("  left out: ")}
    printed = [line for line in printed if not line.startswith("  left out: ")]
    assert re.fullmatch(r"Cordon \S+, (unified|hybrid) hierarchy, seal: (guarded|devices)", printed[0])
    assert printed == list(expected(shown.splitlines(), left_out, printed[0]))
