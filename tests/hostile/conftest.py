# SPDX-License-Identifier: LGPL-2.1-or-later
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "kernel")]

import hostile  # noqa: E402

# What needs the guard, or does harm where it succeeds.
collect_ignore = [] if hostile.VM else ["test_guard_versions.py", "test_open.py", "test_tenant.py",
                                         "test_without_guard.py"]


def pytest_terminal_summary(terminalreporter):
    for attacker, counts in hostile.answers.items():
        refusals = ", ".join(f"{answer} {n}" for answer, n in counts.most_common() if answer != "0")
        terminalreporter.write_line(
            f"{attacker}: {sum(counts.values())} attempts, {counts['0']} succeeded ({refusals})")
