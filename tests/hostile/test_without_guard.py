# SPDX-License-Identifier: LGPL-2.1-or-later
"""The attempts are real: without the guard root gets out of a domain by many of them."""
import contextlib

import pytest

import cordon
import hostile

# What succeeds on every machine without the guard, and how many do at least. A machine with its controllers on cgroup v1
# shows those on v1 only: the others need none, and take minutes.
KNOWN = {"procs-root", "procs-sibling", "clone-into-root", "make-in-driver",
         "xattr-devices", "bpf-program-by-id", "bpf-map-by-id", "bpf-map-update", "bpf-map-delete", "bpf-map-turn",
         "bpf-detach-driver-descriptor",
         "outside-pidfd-descriptor", "outside-ptrace-seize", "outside-namespace-mount", "kernel-kexec",
         "kernel-core-pattern", "v1-mount-devices", "v1-release-agent", "v2-mount-procs", "v2-handle-root",
         "uring-group", "limit-pids-max"}
KNOWN_V1 = {"v1-mount-devices", "v1-release-agent", "limit-v1-pids", "limit-v1-cpu", "procs-v1-driver"}
AT_LEAST, AT_LEAST_V1 = 80, 16
V1 = bool(cordon.v1_mounts())


@pytest.fixture
def unguarded():
    with contextlib.closing(hostile.System()) as system:
        system.configure("off")
        yield system
        system.configure("auto")


def attack_until_harm(system, names):
    """Goes on until something is changed, then leaves the rest for a new field. Returns what succeeded."""
    succeeded = set()
    with hostile.Field(system) as field, contextlib.closing(hostile.Attacker(field)) as attacker:
        before, harm = field.state(), False
        while not harm and names:
            name = names.pop(0)
            _, answer, device, pid = attacker.attempt(name)
            hostile.answers["root without the guard"][answer] += 1
            if answer == "0" or device == "0" or not attacker.is_inside(pid):
                succeeded.add(name)
                harm = field.state() != before
            attacker.end_attempt()
    return succeeded


def test_without_the_guard(unguarded, capsys):
    names, succeeded = [name for name in hostile.attempts("vm") if "v1" in name or not V1], set()
    while names:
        succeeded |= attack_until_harm(unguarded, names)
    with capsys.disabled():
        print(f"\nwithout the guard {len(succeeded)} succeed: {' '.join(sorted(succeeded))}")
    assert (KNOWN_V1 if V1 else KNOWN) <= succeeded
    assert len(succeeded) >= (AT_LEAST_V1 if V1 else AT_LEAST)
    # The seal alone holds against these.
    assert not succeeded & set(hostile.attempts("anywhere"))
