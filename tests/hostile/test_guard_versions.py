# SPDX-License-Identifier: LGPL-2.1-or-later
"""Another version's guard may use other hooks. The kernel has ten places for hooks, and the guard uses them all."""
import contextlib
import os
import subprocess
import time

import bpf
import cordon
import hostile


def until(condition):
    """The kernel tells nobody."""
    end = time.monotonic() + hostile.TIMEOUT
    while not condition():
        assert time.monotonic() < end, "it did not happen"


def guard(group):
    """{name: id} of the programs in force."""
    return {bpf.program_name(id_): id_ for id_ in bpf.query(group, bpf.LSM_CGROUP)}


def test_hooks_that_another_version_used_are_given_up():
    with contextlib.closing(hostile.System()) as system, hostile.Field(system) as field:
        before = guard(field.driver)
        assert len(before) == 10
        # As if a version had gone before that was without one of these, and with another.
        remount = bpf.open_program(before["guard_remount"])
        bpf.detach(field.driver, remount, bpf.LSM_CGROUP)
        os.close(remount)
        gone = bpf.load_lsm("sb_umount", "guard_gone")
        until(lambda: bpf.outcome(bpf.attach, field.driver, gone, 2, bpf.LSM_CGROUP) == "0")  # there is a place again
        os.close(gone)
        os.setxattr(field.driver, "trusted.cordon.guard", b"another version's")
        assert guard(field.driver).keys() == {*before, "guard_gone"} - {"guard_remount"}

        subprocess.run(["systemctl", "stop", "cordon.service"], check=True)
        notes = system.bus.get(cordon.ROOT, cordon.MANAGER, "SealNotes")
        assert system.bus.get(cordon.ROOT, cordon.MANAGER, "SealStrength") == "guarded", notes
        after = guard(field.driver)
        assert after.keys() == before.keys()
        assert {name for name in after if after[name] == before[name]} == {*before} - {"guard_remount"}
