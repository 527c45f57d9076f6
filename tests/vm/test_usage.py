# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every figure moves as it should, and is what the kernel says."""
import pathlib

import pytest

from cordon import FIGURES, INFINITY
from machine import refused, until

MIB = 1 << 20
PRESSURE = {"CPUPressure": "cpu.pressure", "MemoryPressure": "memory.pressure", "IOPressure": "io.pressure"}
NUMBERS = ("MemoryCurrent", "MemoryPeak", "MemorySwapCurrent", "CPUUsageNSec", "CPUThrottledUSec", "TasksCurrent",
           "IOReadBytes", "IOWriteBytes", "IOReadOperations", "IOWriteOperations")


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
    """Of a domain, and of its driver, which has nothing else."""
    domain = driver.domain(DeviceAllow=[("@pseudo", "rw"), ("/dev/vda", "r")])
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
        assert got["CPUUsageNSec"] == 1000 * group.key("cpu.stat", "usage_usec") > 0
        assert got["TasksCurrent"] == 0


def test_tasks_and_memory_of_what_runs(driver):
    domain = driver.domain(DeviceAllow=[("/dev/null", "rw")])
    probe = domain.probe()
    children = [probe.fork() for _ in range(3)]
    assert all(child > 0 for child in children)
    assert domain.get("TasksCurrent") == driver.get("TasksCurrent") == 4
    assert 0 < domain.get("MemoryCurrent") <= domain.get("MemoryPeak") < INFINITY


def pressure(text):
    lines = {line.split()[0]: [float(word.split("=")[1]) for word in line.split()[1:]] for line in text.splitlines()}
    return tuple(lines["some"] + lines.get("full", [0, 0, 0, INFINITY]))


def test_pressure_of_one_that_waits(driver):
    """Two that are busy on a processor which is theirs for a tenth of the time: one always waits."""
    domain = driver.domain(AllowedCPUs="0", CPUQuotaPerSecUSec=200000)
    for _ in range(2):
        domain.start("sh", "-c", "while :; do :; done")
    until(lambda: domain.get("CPUPressure")[3] > 100000)
    domain.call("Kill", "(9,)")
    until(lambda: domain.get("State") == "empty")
    assert domain.get("CPUThrottledUSec") == domain.key("cpu.stat", "throttled_usec") > 0
    for name, file in PRESSURE.items():
        got, kernel = domain.get(name), pressure(domain.file(file))
        assert [got[3], got[7]] == [kernel[3], kernel[7]], name


def test_figures_are_not_set(driver):
    with refused("InvalidProperty", "MemoryCurrent"):
        driver.domain(MemoryCurrent=1)
    assert pathlib.Path("/proc/pressure/cpu").exists()
