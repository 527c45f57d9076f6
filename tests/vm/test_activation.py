# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a user has after the installation: a service that comes when it is called, and units that are in order."""
import subprocess

import pytest

from cordon import MANAGER, NAME, ROOT
from machine import TREE, V1, keepers, show, systemctl, wait_for_end

UNITS = "cordon.service", "cordon-tree.service"


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def test_the_first_call_starts_everything():
    systemctl("stop", *UNITS)  # nothing, on a machine that has just booted
    assert run("busctl", "call", NAME, ROOT, MANAGER, "ListDrivers") == (0, "a(so) 0\n")
    assert [show(unit, "ActiveState") for unit in UNITS] == ["active", "active"]
    assert len(keepers()) == 2
    assert run("busctl", "get-property", NAME, ROOT, MANAGER, "ControlGroup") == (
        0, 's "/system.slice/cordon-tree.service"\n')


def test_where_it_is(bus):
    hierarchy = bus.get(ROOT, MANAGER, "Hierarchy")
    assert hierarchy == ("unified" if not V1 else "legacy" if "/run/" in str(TREE) else "hybrid")
    assert set(bus.get(ROOT, MANAGER, "Controllers")) >= {"cpu", "cpuset", "blkio" if V1 else "io", "memory", "pids"}
    assert (bus.get(ROOT, MANAGER, "SealStrength"), bus.get(ROOT, MANAGER, "SealNotes")) == ("guarded", [])
    assert set(TREE.joinpath("cgroup.subtree_control").read_text().split()) == set(
        TREE.joinpath("cgroup.controllers").read_text().split())


@pytest.mark.parametrize("unit", UNITS)
def test_units_are_in_order(unit):
    status, output = run("systemd-analyze", "verify", "--man=no", unit)
    assert (status, [line for line in output.splitlines() if "cordon" in line]) == (0, [])
    status, output = run("systemd-analyze", "security", "--no-pager", "--threshold=25", unit)
    assert status == 0, output


def test_no_program_of_systemd_binds_the_domains(bus):
    """Sandboxing that systemd enforces on the group of cordon-tree.service would hold in every domain."""
    assert show("cordon-tree.service", "DevicePolicy") == "auto"
    for name in "DeviceAllow", "IPAddressDeny", "RestrictFileSystems", "RestrictNetworkInterfaces", "SocketBindDeny":
        assert show("cordon-tree.service", name).strip("~") == "", name


def test_what_a_shutdown_does(bus):
    """shutdown.target stops the tree, as anybody may: its keepers end, so that nothing waits for them."""
    assert "shutdown.target" in show("cordon-tree.service", "Conflicts").split()
    assert "shutdown.target" in show("cordon-tree.service", "Before").split()
    bus.get(ROOT, MANAGER, "Version")
    old = keepers()
    systemctl("stop", "cordon-tree.service")
    for pid in old:
        wait_for_end(pid)
    assert "/run/" in str(TREE) or not TREE.exists()  # where cgroup2 is Cordon's own, systemd clears nothing
    assert bus.get(ROOT, MANAGER, "NDrivers") == 0  # and the next call finds all in order
