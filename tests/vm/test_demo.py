# SPDX-License-Identifier: LGPL-2.1-or-later
"""What ./run shows, where every limit is there: README.md has it to the letter."""
import re
import subprocess

from cordon import TOP
from machine import TREE, V1


def test_transcript():
    shown = re.search(r"<!-- What ./run prints.*?```\n(.*?)```", (TOP / "README.md").read_text(), re.S).group(1)
    done = subprocess.run(["/usr/bin/python3", TOP / "tools/demo.py"], stdout=subprocess.PIPE, text=True, timeout=120)
    if V1:
        shown = shown.replace("unified", "legacy" if "/run/" in str(TREE) else "hybrid", 1)
    assert (done.returncode, done.stdout) == (0, shown)
