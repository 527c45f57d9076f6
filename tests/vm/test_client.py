# SPDX-License-Identifier: LGPL-2.1-or-later
"""A plain client with a cache: what GDBusObjectManagerClient holds is the kernel's truth after each step."""
import pytest
from gi.repository import Gio

from cordon import DOMAIN, DRIVER, MANAGER, NAME, ROOT, wait_for
from machine import Driver

MIB = 1 << 20
STATES = {(0, 0): "empty", (1, 0): "running", (0, 1): "frozen", (1, 1): "frozen"}


def number(text):
    return 18446744073709551615 if text == "max" else int(text)


# What a cached value must be, from the files of the group.
TRUTH = {
    "State": lambda group: STATES[group.key("cgroup.events", "populated"), group.key("cgroup.events", "frozen")],
    "OOMKills": lambda group: group.key("memory.events", "oom_kill"),
    "MemoryMax": lambda group: number(group.file("memory.max")),
    "MemoryHigh": lambda group: number(group.file("memory.high")),
    "TasksMax": lambda group: number(group.file("pids.max")),
    "CPUWeight": lambda group: number(group.file("cpu.weight")),
    "CPUQuotaPerSecUSec": lambda group: number(group.file("cpu.max").split()[0]) if group.file("cpu.max").startswith(
        "max") else int(group.file("cpu.max").split()[0]) * 1000000 // int(group.file("cpu.max").split()[1]),
    "AllowedCPUs": lambda group: group.file("cpuset.cpus") and group.file("cpuset.cpus.effective"),
}


class Cache:
    def __init__(self, bus):
        self.manager = Gio.DBusObjectManagerClient.new_sync(bus.connection, Gio.DBusObjectManagerClientFlags.NONE, NAME,
                                                            ROOT, None, None, None)

    def properties(self, path, interface):
        """What is cached of an object; a property that was invalidated is not."""
        proxy = self.manager.get_interface(path, interface)
        return proxy and {name: proxy.get_cached_property(name).unpack() for name in proxy.get_cached_property_names()}

    def domains(self):
        return {each.get_object_path() for each in self.manager.get_objects() if each.get_interface(DOMAIN)}

    def check(self, *groups):
        """Everything that was announced has arrived when the cache agrees; if it never does, the test fails."""
        def agrees():
            for group in groups:
                if group.directory.exists() != (group.path in self.domains()):
                    return False
                if group.directory.exists():
                    cached = self.properties(group.path, DOMAIN)
                    if any(cached.get(name) != truth(group) for name, truth in TRUTH.items()):
                        return False
            return True
        try:
            wait_for(agrees, timeout=20)
        except TimeoutError:
            lines = [f"{group.name}: {name}: cached {(self.properties(group.path, DOMAIN) or {}).get(name)}, "
                     f"is {truth(group)}" for group in groups if group.directory.exists()
                     for name, truth in TRUTH.items()]
            pytest.fail("\n".join([*lines, f"domains cached: {self.domains()}"]))


@pytest.fixture
def cache(bus):
    return Cache(bus)


def test_a_cache_sees_truth(bus, cache, driver):
    first = driver.domain(MemoryMax=16 * MIB + 1, TasksMax=10, DeviceAllow=[("@pseudo", "rw")])
    second = driver.domain(AllowedCPUs="0-1", CPUQuotaPerSecUSec=333333)
    both = first, second
    cache.check(*both)
    assert cache.properties(driver.path, DRIVER)["NDomains"] == 2

    first.set(MemoryMax=12 * MIB + 5, MemorySwapMax=0, CPUWeight=33)
    second.set(CPUQuotaPerSecUSec=100000, MemoryHigh=8 * MIB)
    cache.check(*both)
    driver.set(AllowedCPUs="1", TasksMax=80)
    cache.check(*both)
    assert cache.properties(driver.path, DRIVER)["TasksMax"] == 80
    driver.set(AllowedCPUs="")

    probe, sleeper = first.probe(), second.start("sleep", "1000")
    cache.check(*both)
    second.call("Freeze")
    cache.check(*both)
    assert first.run("tail", "/dev/zero")[0] == -9
    cache.check(*both)
    second.call("Thaw")
    second.call("Kill", "(15,)")
    assert sleeper.wait() == -15
    cache.check(*both)

    # lists of devices are not sent, but never cached when they are old
    before = cache.properties(first.path, DOMAIN).get("DeviceAllow")
    first.call("AllowDevices", "([('/dev/fuse', 'r')],)")
    wait_for(lambda: cache.properties(first.path, DOMAIN).get("DeviceAllow") != before)
    assert cache.properties(first.path, DOMAIN).get("DeviceAllow") in (None, first.get("DeviceAllow"))

    first.call("Remove", "(true,)")
    cache.check(*both)
    assert probe.process.wait() == -9
    bus.remove_domain(driver.name, second.name)
    cache.check(*both)
    wait_for(lambda: cache.properties(driver.path, DRIVER)["NDomains"] == 0)


def test_a_driver_comes_and_goes(bus, cache):
    top = Gio.DBusProxy.new_sync(bus.connection, Gio.DBusProxyFlags.NONE, None, NAME, ROOT, MANAGER, None)
    drivers = bus.get(ROOT, MANAGER, "NDrivers")
    driver = Driver(bus, MaxDomains=5)
    wait_for(lambda: cache.properties(driver.path, DRIVER))
    wait_for(lambda: top.get_cached_property("NDrivers").unpack() == drivers + 1)
    assert cache.properties(driver.path, DRIVER)["MaxDomains"] == 5
    domain = driver.domain()
    cache.check(domain)
    driver.set(MaxDomains=7)
    wait_for(lambda: cache.properties(driver.path, DRIVER)["MaxDomains"] == 7)
    driver.remove()
    wait_for(lambda: cache.manager.get_object(driver.path) is None)
    cache.check(domain)
    wait_for(lambda: top.get_cached_property("NDrivers").unpack() == drivers)
