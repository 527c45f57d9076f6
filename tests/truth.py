# SPDX-License-Identifier: LGPL-2.1-or-later
"""What every announced property and every figure must be, read from the kernel's own files, of either version of cgroup;
and a client's cache, held against it. Where a controller is on cgroup v1, what its files say is taken from the kernel's
admin-guide/cgroup-v1 and scheduler/sched-bwc.rst, and what a weight becomes there from systemd, which has the same weights.

GDBusObjectManagerClient is the plainest client there is: it knows the conventions and nothing of Cordon.
"""
import os
import pathlib

from cordon import (DOMAIN, DRIVER, INFINITY, MANAGER, NAME, ROOT, Gio, GLib, cgroup2_mount, domain_path, driver_path,
                    published_properties, v1_mounts, wait_for)

V1 = v1_mounts()

INVALIDATED = set(published_properties(DOMAIN, "invalidates"))
STATES = {(0, 0): "empty", (1, 0): "running", (0, 1): "frozen", (1, 1): "frozen"}


def where(group, file):
    """The file of a group, which is named as in cgroup2, in the hierarchy of its controller."""
    mount = V1.get(file.split(".")[0])
    return (mount / group.relative_to(cgroup2_mount()) if mount else group) / file


def read(group, file):
    """None where the kernel has no such file."""
    path = where(group, file)
    return path.read_text().strip() if path.exists() else None


def key_of(text, name):
    """A number in the text of a file of keys and numbers."""
    return INFINITY if text is None else int(dict(line.split(" ", 1) for line in text.splitlines())[name])


def key(group, file, name):
    return key_of(read(group, file), name)


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


def bandwidth(group):
    """Quota and period, or nothing; v1 has a file for each (sched-bwc.rst)."""
    if "cpu" not in V1:
        return (read(group, "cpu.max") or "").split()
    quota = read(group, "cpu.cfs_quota_us")
    return ["max" if quota == "-1" else quota, read(group, "cpu.cfs_period_us")]


def quota(group):
    used, period = bandwidth(group) or ("max", 0)
    return INFINITY if used == "max" else int(used) * 1000000 // int(period)


def period(group):
    return int(bandwidth(group)[1]) if bandwidth(group) else INFINITY


def per_device(file, name):
    def truth(group):
        lines = [line.split() for line in (read(group, file) or "").splitlines()]
        found = ((words[0], dict(word.split("=") for word in words[1:])[name]) for words in lines)
        return [(device, int(value)) for device, value in found if value != "max"]
    return truth


def device_weights(group):
    lines = [line.split() for line in (read(group, "io.weight") or "").splitlines()]
    return [(device, int(weight)) for device, weight in lines if device != "default"]


def pages(file):
    """Of all sizes; `file` has a * for the size."""
    def truth(group):
        paths = where(group, file).parent.glob(file)
        found = [(path.name.split(".")[1], path.read_text().strip()) for path in paths if "rsvd" not in path.name]
        return [(size, int(value)) for size, value in found if value != "max" and bounded(value) != INFINITY]
    return truth


# ---- the same on cgroup v1 ----

def bounded(text):
    """Without a limit v1 has the largest number of whole pages that 63 bits hold (memory.rst); half of it is none, too."""
    number = int(text)
    return INFINITY if number >> 62 else number


def bytes_v1(group):
    return bounded(read(group, "memory.limit_in_bytes"))


def swap_v1(group):
    """What memory and swap may have together, without what memory may (memory.rst, "memsw")."""
    together = bounded(read(group, "memory.memsw.limit_in_bytes"))
    return together if together == INFINITY else together - bytes_v1(group)


def shares_v1(group):
    """systemd's 100 are the kernel's 1024."""
    return round(int(read(group, "cpu.shares")) * 100 / 1024)


def bfq_v1(group):
    """BFQ's 1 to 1000, with 100 for 100; only where its module is there."""
    text = read(group, "blkio.bfq.weight")
    return INFINITY if text is None else int(text) if int(text) <= 100 else 100 + (int(text) - 100) * 11


def per_device_v1(file):
    return lambda group: [(device, int(value)) for device, value in map(str.split, read(group, file).splitlines())]


def written(file):
    """v1's sets have what is written, for they never have more than the parent's."""
    return lambda group: read(group, file)


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
    "IODeviceLatencyTargetUSec": per_device("io.latency", "target"), "HugetlbMax": pages("hugetlb.*B.max"),
}
# What is not here, v1 has not (cordon-hosts(7)): it is read as missing from cgroup2's file.
LIMITS_V1 = {
    "cpu": {"CPUWeight": shares_v1, "CPUBurstUSec": number("cpu.cfs_burst_us")},
    "cpuset": {"AllowedCPUs": written("cpuset.cpus"), "AllowedMemoryNodes": written("cpuset.mems")},
    "memory": {"MemoryMax": bytes_v1, "MemorySwapMax": swap_v1},
    "blkio": {"IOWeight": bfq_v1, **{name: per_device_v1(f"blkio.throttle.{file}_device") for name, file in [
        ("IOReadBandwidthMax", "read_bps"), ("IOWriteBandwidthMax", "write_bps"), ("IOReadIOPSMax", "read_iops"),
        ("IOWriteIOPSMax", "write_iops")]}},
    "hugetlb": {"HugetlbMax": pages("hugetlb.*B.limit_in_bytes")},
}


# ---- figures ----

def sum_of_devices(name):
    def truth(group):
        words = [word.partition("=") for word in read(group, "io.stat").split()]
        return sum(int(value) for key, _, value in words if key == name)
    return truth


def sum_of_devices_v1(file, name):
    """Of lines as "254:0 Read 4096" (blkio-controller.rst)."""
    def truth(group):
        lines = map(str.split, read(group, f"blkio.throttle.{file}_recursive").splitlines())
        return sum(int(words[2]) for words in lines if words[1] == name)
    return truth


def core_key(group, name):
    """cgroup2 itself counts the time of processors, on every host, whoever has a file of that name beside it."""
    return key_of((group / "cpu.stat").read_text(), name)


USAGE = {
    "MemoryCurrent": number("memory.current"), "MemoryPeak": number("memory.peak"),
    "MemorySwapCurrent": number("memory.swap.current"), "TasksCurrent": number("pids.current"),
    "CPUUsageNSec": lambda group: 1000 * core_key(group, "usage_usec"),
    "CPUThrottledUSec": lambda group: key(group, "cpu.stat", "throttled_usec"),
    "IOReadBytes": sum_of_devices("rbytes"), "IOWriteBytes": sum_of_devices("wbytes"),
    "IOReadOperations": sum_of_devices("rios"), "IOWriteOperations": sum_of_devices("wios"),
}
USAGE_V1 = {
    "memory": {"MemoryCurrent": number("memory.usage_in_bytes"), "MemoryPeak": number("memory.max_usage_in_bytes"),
               "MemorySwapCurrent": lambda group: key(group, "memory.stat", "total_swap")},
    "cpu": {"CPUThrottledUSec": lambda group: key(group, "cpu.stat", "throttled_time") // 1000},
    "blkio": {name: sum_of_devices_v1(file, kind) for name, file, kind in [
        ("IOReadBytes", "io_service_bytes", "Read"), ("IOWriteBytes", "io_service_bytes", "Write"),
        ("IOReadOperations", "io_serviced", "Read"), ("IOWriteOperations", "io_serviced", "Write")]},
}
for controller in V1:
    LIMITS.update(LIMITS_V1.get(controller, {}))
    USAGE.update(USAGE_V1.get(controller, {}))


def pressure(group, file):
    """Totals of some and full, which cgroup2 has on every host; of processors not every kernel knows full."""
    totals = {line.split()[0]: int(line.rpartition("total=")[2]) for line in (group / file).read_text().splitlines()}
    return totals["some"], totals.get("full", INFINITY)


# ---- objects ----

def oom_kills(group):
    """v1 has them in a file of its own (memory.rst, "OOM Control")."""
    return key(group, "memory.oom_control" if "memory" in V1 else "memory.events", "oom_kill")


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
    "OOMKills": oom_kills, "DeviceAllow": lambda group: grants(group, "devices"),
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
