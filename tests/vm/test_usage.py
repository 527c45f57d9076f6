# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every figure moves as it should, and is what the kernel says."""
import pathlib

import pytest

from cordon import FIGURES, INFINITY
from machine import refused, until
from truth import USAGE, pressure

MIB = 1 << 20
PRESSURE = {"CPUPressure": "cpu.pressure", "MemoryPressure": "memory.pressure", "IOPressure": "io.pressure"}
NUMBERS = tuple(USAGE)


def figures(group):
    return {name: value for name, value in group.get_all().items() if name in FIGURES}


def test_the_list_is_whole():
    assert FIGURES - {"DeniedDevices"} == {*NUMBERS, *PRESSURE}


def test_of_an_empty_domain(driver):
    got = figures(driver.domain())
    assert {name: got[name] for name in NUMBERS} == dict.fromkeys(NUMBERS, 0)
    for name in PRESSURE:
        assert got[name][3] != INFINITY and got[name][7] != INFINITY, name  # the machine boots with psi=1


def test_of_work(driver, tmp_path):
    """Of a domain, and of its driver, which has nothing else. v1 counts what there is a limit for."""
    limits = {name: [("/dev/vda", 1 << 20)] for name in ("IOReadIOPSMax", "IOWriteIOPSMax")}
    domain = driver.domain(DeviceAllow=[("@pseudo", "rw"), ("/dev/vda", "r")], **limits)
    script = f"""
        dd if=/dev/vda of=/dev/null bs=64k count=4 iflag=direct status=none &&
        dd if=/dev/zero of={tmp_path}/file bs=64k count=2 oflag=direct status=none &&
        head -c {8 * MIB} /dev/zero | tail -c {8 * MIB} > /dev/null"""
    assert domain.run("sh", "-c", script) == (0, "")
    for group in domain, driver:
        got = figures(group)
        assert got["IOReadBytes"] >= 4 * 65536 and got["IOReadOperations"] >= 4
        assert got["IOWriteBytes"] >= 2 * 65536 and got["IOWriteOperations"] >= 2
        assert got["MemoryPeak"] >= 8 * MIB > got["MemoryCurrent"]
        assert got["CPUUsageNSec"] > 0 == got["TasksCurrent"]
        for name in set(USAGE) - {"MemoryCurrent"}:  # which the kernel goes on making smaller
            assert got[name] == USAGE[name](group.directory), name


def test_tasks_and_memory_of_what_runs(driver):
    domain = driver.domain(DeviceAllow=[("/dev/null", "rw")])
    probe = domain.probe()
    children = [probe.fork() for _ in range(3)]
    assert all(child > 0 for child in children)
    assert domain.get("TasksCurrent") == driver.get("TasksCurrent") == 4
    assert 0 < domain.get("MemoryCurrent") <= domain.get("MemoryPeak") < INFINITY


def test_pressure_of_one_that_waits(driver):
    """Two that are busy on a processor which is theirs for a tenth of the time: one always waits."""
    domain = driver.domain(AllowedCPUs="0", CPUQuotaPerSecUSec=200000)
    for _ in range(2):
        domain.start("sh", "-c", "while :; do :; done")
    until(lambda: domain.get("CPUPressure")[3] > 100000)
    domain.call("Kill", "(9,)")
    until(lambda: domain.get("State") == "empty")
    # The kernel counts on until the quota's period ends, though nobody waits any more.
    before = USAGE["CPUThrottledUSec"](domain.directory)
    got = domain.get("CPUThrottledUSec")
    assert 0 < before <= got <= USAGE["CPUThrottledUSec"](domain.directory)
    for name, file in PRESSURE.items():
        got = domain.get(name)
        assert (got[3], got[7]) == pressure(domain.directory, file), name


def test_figures_are_not_set(driver):
    with refused("InvalidProperty", "MemoryCurrent"):
        driver.domain(MemoryCurrent=1)
    assert pathlib.Path("/proc/pressure/cpu").exists()
