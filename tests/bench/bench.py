#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures what Cordon promises to be fast at, each against something measured in the same run.

Prints lines "NAME: VALUE UNIT", and for each ratio that counts its target and whether it is met. The calls that are timed
are made by clients in C (bench.c). Run by ./check bench: natively, and with --installed in a virtual machine.
"""
import argparse
import contextlib
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import cordon  # noqa: E402
from cordon import MANAGER, NAME, ROOT  # noqa: E402

HOSTNAMED = "org.freedesktop.hostname1", "/org/freedesktop/hostname1", "org.freedesktop.hostname1", "Hostname"
CORDON = NAME, ROOT, MANAGER, "Version"
DRIVER = "bench"

# rounds of a comparison; domains, rules: how many; opens in one round; clients, calls: of each client
FULL = {"rounds": 500, "few": 10, "many": 10000, "steps": [10, 1000, 10000], "lists": [1, 10, 100, 1000],
        "rules": [1, 10, 100, 1000, 10000], "domains": [1, 10, 100, 1000], "opens": 2000, "open-rounds": 200,
        "clients": 50, "calls": 20, "gated-rounds": 3, "starts": 20, "guards": 3}
# In the virtual machine instructions are counted, so that there is little to be averaged.
FULL_VM = {**FULL, "rounds": 20, "opens": 500, "open-rounds": 10, "starts": 5, "guards": 2}
SMOKE = {"rounds": 2, "few": 2, "many": 6, "steps": [2, 6], "lists": [1, 10], "rules": [1, 10], "domains": [1, 2],
         "opens": 10, "open-rounds": 2, "clients": 2, "calls": 2, "gated-rounds": 1, "starts": 1, "guards": 1}


class Sample:
    def __init__(self, median, p99, n):
        self.median, self.p99, self.n = int(median), int(p99), int(n)


# ---- what is printed ----

def figure(name, value, unit):
    print(f"{name}: {value:.4g} {unit}", flush=True)


def micros(name, ns):
    figure(name, ns / 1000, "us")


def ratio(name, value, target, at_least=False):
    met = value >= target if at_least else value <= target
    print(f"{name}: {value:.3g} times (target: {target:g} or {'more' if at_least else 'less'}; "
          f"{'met' if met else 'MISSED'})", flush=True)


# ---- where it is measured ----

class Native:
    """The service on a private bus, as on a unified host; hostnamed is there, too."""
    has_systemd = False

    def __init__(self):
        self.service = cordon.Service(rules=HERE / "rules", hierarchy="unified")
        self.client, self.tree, self.address = self.service.client(), self.service.group, self.service.address
        self.binary = pathlib.Path(os.environ.get("CORDON_BUILD", cordon.TOP / "build")) / "tests/bench/bench"
        (self.service.directory / "services/org.freedesktop.hostname1.service").write_text(
            "[D-BUS Service]\nName=org.freedesktop.hostname1\n"
            f"Exec=/usr/bin/env DBUS_SYSTEM_BUS_ADDRESS={self.address} /usr/lib/systemd/systemd-hostnamed\n")
        self.client.ask_bus("ReloadConfig")

    def stop(self, name):
        """Ends a service that the bus activates, and waits until it has gone."""
        if not self.client.ask_bus("NameHasOwner", f"({name!r},)")[0]:
            return
        pidfd = os.pidfd_open(pid := self.client.owner_pid(name))
        os.kill(pid, signal.SIGTERM)
        wait_for_end(pidfd)

    def close(self):
        self.stop(HOSTNAMED[0])
        self.service.close()


class Installed:
    """The service of a booted system."""
    has_systemd = True
    UNITS = {NAME: "cordon.service", HOSTNAMED[0]: "systemd-hostnamed.service"}

    def __init__(self):
        self.address = "unix:path=/run/dbus/system_bus_socket"
        self.client, self.binary = cordon.Client(self.address), cordon.TOP / "bench"
        self.tree = cordon.cgroup2_mount() / "system.slice/cordon-tree.service"

    def stop(self, name):
        subprocess.run(["systemctl", "stop", self.UNITS[name]], check=True)

    def close(self):
        self.client.close()


def wait_for_end(pidfd):
    select.select([pidfd], [], [])
    os.close(pidfd)


class Bench:
    """One place to measure in, with a driver of its own that is empty at the start of each benchmark."""

    def __init__(self, host, sizes):
        self.host, self.client, self.sizes = host, host.client, sizes
        self.directory = host.tree / DRIVER

    def run(self, *arguments):
        """One of the commands in bench.c: {name: Sample}."""
        done = subprocess.run([self.host.binary, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True,
                              env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.host.address})
        return {name: Sample(*rest) for name, *rest in map(str.split, done.stdout.splitlines())}

    @contextlib.contextmanager
    def driver(self, name=DRIVER):
        self.client.create_driver(name)
        try:
            yield self.host.tree / name
        finally:
            self.client.remove_driver(name, timeout=600)

    def fill(self, first, last):
        self.run("fill", DRIVER, first, last)

    def first_reply(self, name, *property_):
        self.host.stop(name)
        return self.run("first", name, *property_)["first"].median

    def memory(self, name):
        """Resident, and of that what is shared with nobody, in KiB."""
        rollup = pathlib.Path(f"/proc/{self.client.owner_pid(name)}/smaps_rollup").read_text()
        values = {line.split(":")[0]: int(line.split()[1]) for line in rollup.splitlines()[1:]}
        return values["Rss"], values["Private_Clean"] + values["Private_Dirty"]


# ---- the benchmarks ----

def create(bench):
    """CreateDomain against a Ping and what the kernel needs; where there is systemd, against what does the same."""
    create_named(bench, "create")
    if bench.host.has_systemd:
        with favordynmods():
            create_named(bench, "create-favordynmods")


def create_named(bench, name):
    with bench.driver() as directory, contextlib.ExitStack() as stack:
        others = ["scope", "crun", stack.enter_context(bundle()), "cgroup-tools"] if bench.host.has_systemd else []
        times = bench.run("create", DRIVER, directory, bench.sizes["rounds"], "apart", *others)
    figure(f"{name}/limits", times.pop("limits").median, "limits set")
    for subject, sample in times.items():
        micros(f"{name}/{subject}", sample.median)
    cordon_ = times["create"].median
    ratio(f"{name}/against-ping-and-kernel", cordon_ / (times["ping"].median + times["kernel"].median), 1.5)
    if others:
        ratio(f"{name}/scope-against-it", times["scope"].median / cordon_, 5, at_least=True)
        ratio(f"{name}/crun-against-it", times["crun"].median / cordon_, 1, at_least=True)
        ratio(f"{name}/cgroup-tools-against-it", times["cgroup-tools"].median / cordon_, 1, at_least=True)


@contextlib.contextmanager
def favordynmods():
    """The mount option with which moving a process waits for no grace period of RCU (cgroup-v2.rst)."""
    mount = cordon.cgroup2_mount()
    options = subprocess.run(["findmnt", "-no", "FS-OPTIONS", mount], stdout=subprocess.PIPE, text=True, check=True).stdout
    subprocess.run(["mount", "-o", f"remount,{options.strip()},favordynmods", mount], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", f"remount,{options.strip()}", mount], check=True)


@contextlib.contextmanager
def bundle():
    """A container with the limits and devices of create.c, and as little else as crun takes."""
    numbers = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)]
    devices = [{"allow": False, "access": "rwm"}] + [
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"} for major, minor in numbers]
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory, "root")
        root.mkdir()
        pathlib.Path(directory, "config.json").write_text(json.dumps({
            "ociVersion": "1.0.0", "root": {"path": "root"}, "mounts": [],
            "process": {"cwd": "/", "args": ["/bin/sleep", "infinity"], "user": {"uid": 0, "gid": 0}, "env": []},
            "linux": {"cgroupsPath": "/cordon-bench", "namespaces": [{"type": "mount"}], "resources": {
                "cpu": {"quota": 50000, "period": 100000}, "memory": {"limit": 1 << 29}, "pids": {"limit": 512},
                "unified": {"memory.high": str(1 << 28), "cpu.weight": "50"}, "devices": devices}}}))
        subprocess.run(["mount", "--bind", "/", root], check=True)
        try:
            yield directory
        finally:
            subprocess.run(["umount", root], check=True)


def kernel_memory():
    """What the kernel has for itself, in KiB."""
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Slab:", "Percpu:")))


def many(bench):
    """Whether the cost of a domain depends on how many there are: of making one, in memory, at a restart."""
    few, most = bench.sizes["few"], bench.sizes["many"]
    with bench.driver() as directory:
        def measure():
            return bench.run("create", DRIVER, directory, bench.sizes["rounds"])["create"]

        bench.fill(0, few)
        idle, kernel_idle = bench.memory(NAME)[0], kernel_memory()
        before = measure()
        bench.fill(few, most)
        after = measure()
        full, kernel_full = bench.memory(NAME)[0], kernel_memory()
        started = time.monotonic()
        bench.client.ask(ROOT, MANAGER, "ListDomains", "('',)")
        listed = time.monotonic() - started
    with bench.driver() as directory:  # what changes on the machine meanwhile shows
        bench.fill(0, few)
        again = measure()
    for name, at_few, at_most in (("median", (before.median + again.median) / 2, after.median),
                                  ("p99", (before.p99 + again.p99) / 2, after.p99)):
        micros(f"many/create-with-{few}-{name}", at_few)
        micros(f"many/create-with-{most}-{name}", at_most)
        ratio(f"many/{name}", at_most / at_few, 1.2)
    figure(f"many/list-{most}", listed * 1000, "ms")
    figure("many/kernel-memory", (kernel_full - kernel_idle) / (most - few), "KiB a domain")
    figure("many/memory", (full - idle) / (most - few), "KiB a domain")
    ratio("many/memory-against-1-kib", (full - idle) / (most - few), 1)


def restart(bench):
    """From the call that starts the daemon to its answer, with domains to find again."""
    done, times = 0, {}
    with bench.driver():
        for step in bench.sizes["steps"]:
            bench.fill(done, step)
            done = step
            times[step] = sorted(bench.first_reply(*CORDON) for _ in range(3))[1]
            figure(f"restart/first-reply-with-{step}", times[step] / 1e6, "ms")
    low, *_, high = times
    figure("restart/slope", (times[high] - times[low]) / (high - low) / 1000, "us a domain")
    ratio("restart/against-1-s", times[high] / 1e9, 1)


def allow(bench):
    """One device more in lists of different lengths."""
    with bench.driver():
        objects = []
        for n in bench.sizes["lists"]:
            devices = ", ".join(f"('c:{200 + i // 256}:{i % 256}', 'rw')" for i in range(n))
            path = bench.client.create_domain(DRIVER, f"list{n}", f"{{'DeviceAllow': <[{devices}]>}}")
            objects.append(f"{n}={path}")
        times = bench.run("allow", bench.sizes["rounds"], *objects)
    for name, sample in times.items():
        micros(f"allow/{name}", sample.median)
    shortest, *_, longest = map(str, bench.sizes["lists"])
    ratio(f"allow/{longest}-against-{shortest}", times[longest].median / times[shortest].median, 1.1)


def compare_open(name, times, base):
    """Times are in picoseconds."""
    outside = times[base].median / 1000
    figure(f"{name}/{base}", outside, "ns")
    for key, sample in times.items():
        if key == base:
            continue
        more = sample.median / 1000 - outside
        figure(f"{name}/{key}", sample.median / 1000, "ns")
        if key == "empty-program":
            figure(f"{name}/{key}-more", more, "ns")
            continue
        allowed = max(100, 0.05 * outside)
        print(f"{name}/{key}-more: {more:.4g} ns (target: {allowed:.4g} or less; {'met' if more <= allowed else 'MISSED'})",
              flush=True)


@contextlib.contextmanager
def plain_group(name):
    """A group that nobody seals, for the same process."""
    group = cordon.cgroup2_mount() / f"cordon-bench-{name}"
    group.mkdir()
    try:
        yield group
    finally:
        group.rmdir()


def seal(bench):
    """An open of a device under the seal, by the number of rules and of domains."""
    opens, rounds = bench.sizes["opens"], bench.sizes["open-rounds"]
    with bench.driver() as directory, plain_group("outside") as outside, plain_group("empty") as empty:
        bench.run("empty", empty)
        groups = [f"outside={outside}", f"empty-program={empty}"]
        for n in bench.sizes["rules"]:
            bench.client.create_domain(DRIVER, f"r{n}")
            bench.run("rules", directory, directory / f"r{n}", n)
            groups.append(f"with-{n}-rules={directory}/r{n}")
        # No exact rule, but that of the wildcard that is looked up last.
        bench.client.create_domain(DRIVER, "wild", "{'DeviceAllow': <[('c:*:3', 'rw')]>}")
        groups.append(f"by-the-last-wildcard={directory}/wild")
        compare_open("seal", bench.run("open", "/dev/null", rounds, opens, *groups), "outside")

        done = 0
        for n in bench.sizes["domains"]:
            bench.fill(done, n)
            done = n
            compare_open(f"seal/{n}-domains", bench.run("open", "/dev/null", rounds, opens, groups[0],
                                                        f"inside={directory}/fill0"), "outside")


def wait_until_gone(group):
    """Programs stay attached until the kernel has let go of a removed group, which it tells nobody."""
    while "nr_dying_descendants 0" not in (group / "cgroup.stat").read_text():
        time.sleep(0.1)


def guard(bench):
    """Opens under the guard, and of ordinary files on the rest of the system, guard on and off."""
    opens, rounds = bench.sizes["opens"], bench.sizes["open-rounds"]
    configuration = pathlib.Path("/etc/cordon/cordon.conf")
    old = configuration.read_text() if configuration.exists() else None

    def set_guard(policy):
        configuration.parent.mkdir(exist_ok=True)
        configuration.write_text(f"[Cordon]\nGuard={policy}\n")
        bench.host.stop(NAME)

    def of(device):
        return f"{{'DeviceAllow': <[('{device}', 'rw')]>}}"

    outside_, inside = {"off": [], "on": []}, {}
    file = tempfile.NamedTemporaryFile(dir="/var/tmp")
    try:
        with file, plain_group("outside") as outside:
            for _ in range(bench.sizes["guards"]):
                set_guard("off")
                with bench.driver("plain") as plain:
                    bench.client.create_domain("plain", "d", of("/dev/null"))
                    off = bench.run("open", file.name, rounds, opens, f"outside={outside}")
                    set_guard("require")
                    with bench.driver("guarded") as guarded:
                        bench.client.create_domain("guarded", "d", of("/dev/null"))
                        on = bench.run("open", file.name, rounds, opens, f"outside={outside}")
                        inside = {kind: bench.run("open", name, rounds, opens, f"off={plain}/d", f"on={guarded}/d")
                                  for kind, name in (("device", "/dev/null"), ("file", file.name))}
                outside_["off"].append(off["outside"])
                outside_["on"].append(on["outside"])
                wait_until_gone(bench.host.tree)
    finally:
        bench.host.stop(NAME)
        configuration.unlink()
        if old is not None:
            configuration.write_text(old)
    outside_ = {state: min(samples, key=lambda sample: sample.median) for state, samples in outside_.items()}
    for kind, times in {"outside-file": outside_, **{f"inside-{k}": v for k, v in inside.items()}}.items():
        for state in "off", "on":
            figure(f"guard/{kind}-{state}", times[state].median / 1000, "ns")
        ratio(f"guard/{kind}", times["on"].median / times["off"].median, 1.02)


def gated(bench):
    """Calls for which polkit is asked, by many unprivileged clients at once."""
    clients, calls = bench.sizes["clients"], bench.sizes["calls"]
    with bench.driver():
        path = bench.client.create_domain(DRIVER, "d")
        times = bench.run("gated", path, clients, calls, bench.sizes["gated-rounds"], 1)
    figure("gated/clients", clients, "clients")
    for name, sample in times.items():
        figure(f"gated/{name}", 1e9 / sample.median, "calls/s")
    ratio("gated/against-polkit-alone", times["cordon"].median / times["polkit"].median, 1.5)


def get_all(bench):
    with bench.driver() as directory:
        path = bench.client.create_domain(DRIVER, "d", "{'DeviceAllow': <[('/dev/null', 'rw')]>}")
        times = bench.run("get-all", path, directory / "d", bench.sizes["rounds"])
    figure("get-all/n-files", times.pop("n-files").median, "files")
    for name, sample in times.items():
        micros(f"get-all/{name}", sample.median)
    ratio("get-all/against-ping-and-files",
          times["get-all"].median / (times["ping"].median + times["files"].median), 1.5)


def start(bench):
    """The first reply after activation, and what is resident then."""
    ours, theirs = [], []
    for _ in range(bench.sizes["starts"]):
        ours.append(bench.first_reply(*CORDON))
        theirs.append(bench.first_reply(*HOSTNAMED))
    ours, theirs = sorted(ours)[len(ours) // 2], sorted(theirs)[len(theirs) // 2]
    micros("start/cordon", ours)
    micros("start/hostnamed", theirs)
    ratio("start/against-hostnamed", ours / theirs, 1)
    for name, (resident, private) in (("cordon", bench.memory(NAME)), ("hostnamed", bench.memory(HOSTNAMED[0]))):
        figure(f"memory/{name}", resident, "KiB")
        figure(f"memory/{name}-private", private, "KiB")
    ratio("memory/against-hostnamed", bench.memory(NAME)[0] / bench.memory(HOSTNAMED[0])[0], 1)


BENCHMARKS = {function.__name__.replace("_", "-"): function
              for function in (start, create, get_all, allow, seal, gated, many, restart)}
INSTALLED = {"start": start, "create": create, "get-all": get_all, "guard": guard}


def main():
    parser = argparse.ArgumentParser(prog="tests/bench/bench.py", description="Measures Cordon.")
    parser.add_argument("--installed", action="store_true", help="measure the service that this machine has installed")
    parser.add_argument("--smoke", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("benchmark", nargs="*", help="one of: " + ", ".join({**BENCHMARKS, **INSTALLED}))
    arguments = parser.parse_args()
    known = INSTALLED if arguments.installed else BENCHMARKS
    sizes = SMOKE if arguments.smoke else FULL_VM if arguments.installed else FULL
    if not arguments.smoke and not arguments.installed:
        # What is started from here, bus and services, goes before whatever else this machine has to do.
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    host = Installed() if arguments.installed else Native()
    try:
        for name in arguments.benchmark or known:
            known[name](Bench(host, sizes))
    finally:
        host.close()


if __name__ == "__main__":
    main()
