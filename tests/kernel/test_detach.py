# SPDX-License-Identifier: LGPL-2.1-or-later
"""The seal cannot be taken off by who lacks the right: the flags it is attached with decide (FACTS, device control)."""
import subprocess

import pytest

import bpf
import cordon
from sealed import bpftool

SCRIPT = ["/usr/bin/python3", bpf.__file__]
NO_CAPABILITIES = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]


def run_as(who, *command):
    user = {"user": 65534, "group": 65534, "extra_groups": []} if who == "nobody" else {}
    prefix = NO_CAPABILITIES if who == "root without capabilities" else []
    return subprocess.run([*prefix, *SCRIPT, *map(str, command)], stdout=subprocess.PIPE, text=True, timeout=30,
                          check=True, **user).stdout.strip()


@pytest.fixture
def loose(world):
    """A group of our own with a program attached the wrong way."""
    group = cordon.cgroup2_mount() / (world.service.tree_name + "-loose")
    (program,) = bpftool("cgroup", "show", world.service.group / "d")
    group.mkdir()
    try:
        bpf.attach(group, bpf.open_program(program["id"]), 0)
        yield group
    finally:
        group.rmdir()


@pytest.mark.parametrize("who", ["nobody", "root without capabilities"])
def test_from_outside(world, domain, loose, who):
    seal = bpftool("cgroup", "show", world.service.group / "d")
    for program in (-1, 0):  # any; and by a descriptor that is none of a program
        assert run_as(who, "detach", world.service.group / "d", program) in ("EPERM", "EINVAL", "EBADF")
    assert run_as(who, "open", seal[0]["id"]) == "EPERM"
    assert bpftool("cgroup", "show", world.service.group / "d") == seal
    assert domain.probe.open("/dev/null", "r") == "EPERM"

    assert run_as(who, "detach", loose) == "0", "the attempt is a real one"
    assert not bpftool("cgroup", "show", loose)


def test_from_inside(world):
    domain = world.domain(("@pseudo", "rw"))
    with cordon.Probe(uid=65534) as probe:
        domain.attach(probe.pid)
        for group in (world.service.group / "d", domain.group):
            status, text = probe.run(*SCRIPT, "detach", str(group))
            assert (status, text.strip()) in [(0, "EPERM"), (0, "EINVAL"), (0, "ENOENT")]
        assert probe.open("/dev/null", "r") == 0
        assert probe.mknod("c", 1, 3) == "EPERM"
        domain.set()
        assert probe.open("/dev/null", "r") == "EPERM"
        domain.remove()
