# SPDX-License-Identifier: LGPL-2.1-or-later
"""A plain client with a cache: what GDBusObjectManagerClient holds is the kernel's truth after each step.

tests/bus/test_client.py shows that every property which is announced is compared.
"""
import os
import signal

import pytest

from cordon import DOMAIN, DRIVER, INFINITY, wait_for
from machine import ALICE, TREE, V1, Driver
from test_limits import available, weights  # noqa: F401 pylint: disable=unused-import
from truth import Cache

MIB = 1 << 20


@pytest.fixture
def cache(bus):
    return Cache(bus, TREE)


def test_a_cache_sees_truth(cache, driver):
    first = driver.domain(MemoryMax=16 * MIB + 1, TasksMax=10, DeviceAllow=[("@pseudo", "rw")])
    second = driver.domain(AllowedCPUs="0-1", CPUQuotaPerSecUSec=333333, DelegateUser=ALICE)
    cache.check()

    probe, sleeper = first.probe(), second.start("sleep", "1000")
    cache.check()
    assert cache.properties(second.path, DOMAIN)["State"] == "running"
    second.call("Freeze")
    cache.check()
    assert cache.properties(second.path, DOMAIN)["State"] == "frozen"
    first.set(MemorySwapMax=0)
    assert first.run("tail", "/dev/zero")[0] == -9
    cache.check()
    assert cache.properties(first.path, DOMAIN)["OOMKills"] >= 1
    second.call("Thaw")
    second.call("Kill", "(15,)")
    assert sleeper.wait() == -15
    cache.check()
    assert cache.properties(second.path, DOMAIN)["State"] == "empty"

    first.call("Remove", "(true,)")
    cache.check()
    assert probe.process.wait() == -9
    second.directory.rmdir()  # behind its back
    cache.check()
    assert driver.path in cache.paths() and cache.properties(driver.path, DRIVER)["NDomains"] == 0


def test_devices_that_are_old_are_not_cached(cache, driver):
    domain = driver.domain(DeviceAllow=[("@pseudo", "rw")])
    cache.check()
    assert cache.properties(domain.path, DOMAIN)["DeviceAllow"] == [("@pseudo", "rw")]
    for method, devices in ("AllowDevices", "[('/dev/fuse', 'rw')]"), ("RevokeDevices", "[('/dev/fuse', 'w')]"), (
            "SetDevices", "[('@tun', 'rw')]"):
        domain.call(method, f"({devices},)")
        cache.check()
        proxy = Cache(domain.bus, TREE)  # one that comes now
        proxy.check()
        assert proxy.properties(domain.path, DOMAIN)["EffectiveDevices"] == domain.get("EffectiveDevices")
    domain.call("SetDevices", "([('/dev/null', 'r')],)")
    for each in cache, proxy:
        each.check()
        wait_for(lambda each=each: "EffectiveDevices" not in each.properties(domain.path, DOMAIN))


@pytest.mark.parametrize("kind", ["domain", "driver"])
def test_every_limit(cache, driver, kind):
    """At creation, one after the other, and all at once. A driver's may narrow the domain's."""
    some, others = available(driver)
    # v1's kernel lets no driver have a smaller part of the processors than a domain, also between two of its files.
    free = ["CPUQuotaPerSecUSec"] if V1 and kind == "driver" else []
    group = driver.domain(**{name: value for name, value in some.items() if name not in free})
    cache.check()
    group = driver if kind == "driver" else group
    for values in others, some:
        for name, value in values.items():
            group.set(**{name: value})
        cache.check()
    group.set(**others)
    cache.check()
    assert cache.properties(group.path, group.interface)["TasksMax"] == INFINITY


def test_a_driver_comes_and_goes(bus, cache):
    driver = Driver(bus, MaxDomains=5, DeviceCeiling=[("@pseudo", "rw")])
    cache.check()
    driver.domain()
    cache.check()
    driver.set(MaxDomains=7, DeviceCeiling=[("@pseudo", "rwm"), ("/dev/fuse", "r")])
    cache.check()
    driver.domain().probe()
    driver.remove()
    cache.check()
    assert driver.path not in cache.paths()


def test_the_service_goes_and_comes_back(bus, cache, driver, signals):
    """What a client had of it is gone with its name, and there again with the next."""
    domain = driver.domain(TasksMax=9)
    cache.check()
    os.kill(bus.daemon_pid(), signal.SIGKILL)
    signals.wait_name(owned=False)
    domain.set(TasksMax=8)
    cache.check()
    assert cache.properties(domain.path, DOMAIN)["TasksMax"] == 8
