# SPDX-License-Identifier: LGPL-2.1-or-later
"""What every announced property must be, read from the kernel's own files; and a client's cache, held against it.

GDBusObjectManagerClient is the plainest client there is: it knows the conventions and nothing of Cordon.
"""
import os
import pathlib

from cordon import (DOMAIN, DRIVER, INFINITY, MANAGER, NAME, ROOT, Gio, GLib, cgroup2_mount, domain_path, driver_path,
                    published_properties, wait_for)

INVALIDATED = set(published_properties(DOMAIN, "invalidates"))
STATES = {(0, 0): "empty", (1, 0): "running", (0, 1): "frozen", (1, 1): "frozen"}


def read(group, file):
    """None where the kernel has no such file."""
    path = group / file
    return path.read_text().strip() if path.exists() else None


def key(group, file, name):
    text = read(group, file)
    return INFINITY if text is None else int(dict(line.split(" ", 1) for line in text.splitlines())[name])


def attribute(group, name):
    return os.getxattr(group, f"trusted.cordon.{name}").decode()


def grants(group, name):
    return [tuple(line.split("\t")[:2]) for line in attribute(group, name).splitlines()]


# ---- limits, by the form of their file ----

def number(file):
    def truth(group):
        text = read(group, file)
        return INFINITY if text in (None, "max") else int(text.removeprefix("default ").split("\n")[0])
    return truth


def flag(file):
    return lambda group: read(group, file) == "1"


def members(file):
    """Of a cpuset: all, or what is left of those that were asked for."""
    return lambda group: read(group, file) and read(group, file + ".effective") or ""


def quota(group):
    used, period = (read(group, "cpu.max") or "max 0").split()
    return INFINITY if used == "max" else int(used) * 1000000 // int(period)


def period(group):
    text = read(group, "cpu.max")
    return int(text.split()[1]) if text else INFINITY


def per_device(file, name):
    def truth(group):
        lines = [line.split() for line in (read(group, file) or "").splitlines()]
        found = ((words[0], dict(word.split("=") for word in words[1:])[name]) for words in lines)
        return [(device, int(value)) for device, value in found if value != "max"]
    return truth


def device_weights(group):
    lines = [line.split() for line in (read(group, "io.weight") or "").splitlines()]
    return [(device, int(weight)) for device, weight in lines if device != "default"]


def pages(group):
    found = [(path.name.split(".")[1], path.read_text().strip()) for path in group.glob("hugetlb.*B.max")
             if "rsvd" not in path.name]
    return [(size, int(value)) for size, value in found if value != "max"]


LIMITS = {
    **{name: number(file) for name, file in [
        ("CPUWeight", "cpu.weight"), ("CPUBurstUSec", "cpu.max.burst"), ("MemoryMin", "memory.min"),
        ("MemoryLow", "memory.low"), ("MemoryHigh", "memory.high"), ("MemoryMax", "memory.max"),
        ("MemorySwapMax", "memory.swap.max"), ("MemoryZSwapMax", "memory.zswap.max"), ("TasksMax", "pids.max"),
        ("IOWeight", "io.weight"), ("MaxDescendants", "cgroup.max.descendants"), ("MaxDepth", "cgroup.max.depth")]},
    **{name: per_device("io.max", key) for name, key in [
        ("IOReadBandwidthMax", "rbps"), ("IOWriteBandwidthMax", "wbps"), ("IOReadIOPSMax", "riops"),
        ("IOWriteIOPSMax", "wiops")]},
    "CPUQuotaPerSecUSec": quota, "CPUQuotaPeriodUSec": period,
    "AllowedCPUs": members("cpuset.cpus"), "AllowedMemoryNodes": members("cpuset.mems"),
    "MemoryOOMGroup": flag("memory.oom.group"), "IODeviceWeight": device_weights,
    "IODeviceLatencyTargetUSec": per_device("io.latency", "target"), "HugetlbMax": pages,
}
OF_BOTH = {
    **LIMITS, "Name": lambda group: group.name, "Owner": lambda group: int(attribute(group, "owner")),
    "ControlGroup": lambda group: f"/{group.relative_to(cgroup2_mount())}",
}
OF_DRIVER = {
    **OF_BOTH, "DeviceCeiling": lambda group: grants(group, "ceiling"),
    "MaxDomains": lambda group: int(attribute(group, "max-domains")),
    "NDomains": lambda group: len(groups(group)),
}
OF_DOMAIN = {
    **OF_BOTH, "Driver": lambda group: driver_path(group.parent.name),
    "State": lambda group: STATES[key(group, "cgroup.events", "populated"), key(group, "cgroup.events", "frozen")],
    "OOMKills": lambda group: key(group, "memory.events", "oom_kill"),
    "DeviceAllow": lambda group: grants(group, "devices"),
}


def groups(directory):
    """Of the drivers in the tree, or of the domains in a driver."""
    return {path for path in directory.iterdir() if path.is_dir() and path.name not in ("keeper", ".control")}


class Cache:
    """Of a client that watches the service whose tree is the group `tree`."""

    def __init__(self, bus, tree):
        self.bus, self.tree = bus, pathlib.Path(tree)
        self.objects = Gio.DBusObjectManagerClient.new_sync(
            bus.connection, Gio.DBusObjectManagerClientFlags.NONE, NAME, ROOT, None, None, None)
        self.manager = Gio.DBusProxy.new_sync(bus.connection, Gio.DBusProxyFlags.NONE, None, NAME, ROOT, MANAGER, None)

    def properties(self, path, interface):
        """What is cached of an object; a property that was invalidated is not."""
        proxy = self.manager if interface == MANAGER else self.objects.get_interface(path, interface)
        return proxy and {name: proxy.get_cached_property(name).unpack() for name in proxy.get_cached_property_names()}

    def paths(self):
        return {each.get_object_path() for each in self.objects.get_objects()}

    def truths(self):
        """(path, interface): {name: what the kernel says}, of all that there is."""
        drivers = groups(self.tree)
        domains = {domain for driver in drivers for domain in groups(driver)}
        found = {(ROOT, MANAGER): {"NDrivers": len(drivers), "NDomains": len(domains)}}
        for group in drivers:
            found[driver_path(group.name), DRIVER] = {name: truth(group) for name, truth in OF_DRIVER.items()}
        for group in domains:
            path = domain_path(group.parent.name, group.name)
            found[path, DOMAIN] = {name: truth(group) for name, truth in OF_DOMAIN.items()}
        return found

    def lies(self):
        """What is cached and not so, or not cached though its value is announced."""
        truths = self.truths()
        wrong = {path: ("cached", "gone") for path in self.paths() - {path for path, _ in truths}}
        for (path, interface), properties in truths.items():
            cached = self.properties(path, interface)
            for name, truth in properties.items():
                if cached is None or cached.get(name, truth if name in INVALIDATED else "nothing") != truth:
                    wrong[path, name] = cached and cached.get(name), truth
        return wrong

    def check(self):
        """What was announced has arrived when the cache is true; if that never comes, it fails."""
        self.bus.get(ROOT, MANAGER, "Version")  # most of it is there with the answer, and is taken in one go
        while GLib.MainContext.default().iteration(False):
            pass
        try:
            wait_for(lambda: not self.lies(), timeout=20)
        except TimeoutError:
            raise AssertionError(f"cached, and true: {self.lies()}") from None
