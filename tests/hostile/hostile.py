# SPDX-License-Identifier: LGPL-2.1-or-later
"""A tenant who attacks, and an observer outside who looks whether anything was gained.

The attacks are build/tests/hostile/attack (attack.c); this puts it into a domain, feeds it one attempt after the other
and compares, after each, everything that was to hold with what it was before.
"""
import collections
import contextlib
import json
import os
import pathlib
import select
import subprocess

import bpf
import cordon

VM = "CORDON_VM" in os.environ
BUILD = pathlib.Path(os.environ.get("CORDON_BUILD", cordon.TOP / "build"))
ATTACK = cordon.TOP / "attack" if VM else BUILD / "tests/hostile/attack"
SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"
FORBIDDEN, PERMITTED = "/dev/fuse", "/dev/null"
DEVICES = '[("/dev/null", "rw"), ("/dev/zero", "rw"), ("/dev/urandom", "r")]'
LIMITS = {"TasksMax": 100, "MemoryMax": 1 << 28, "MemoryHigh": 1 << 27, "MemorySwapMax": 0,
          "CPUQuotaPerSecUSec": 1500000, "CPUWeight": 50, "MaxDescendants": 50}
FILES = "pids.max", "memory.max", "memory.high", "memory.min", "cpu.max", "cpu.weight", "cgroup.max.descendants", \
    "cgroup.type", "cgroup.freeze", "cgroup.procs", "cgroup.subtree_control"
V1_FILES = "devices.list", "pids.max", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cpu.shares", \
    "cpu.cfs_quota_us", "cpuset.cpus"
NOBODY = 65534
TIMEOUT = 600  # of an attempt or a look at the field; a bound, never a measure

answers = collections.defaultdict(collections.Counter)  # attacker -> the kernel's answers, for the summary


def attempts(scope):
    return subprocess.run([ATTACK, "--list", scope], stdout=subprocess.PIPE, text=True, check=True).stdout.split()


class System:
    """In a virtual machine Cordon is a service of the system; elsewhere it is cordon.Service."""

    address = SYSTEM_BUS

    def __init__(self):
        self.bus = cordon.Client(self.address)
        group = self.bus.get(cordon.ROOT, cordon.MANAGER, "ControlGroup")
        self.group = pathlib.Path(f"{cordon.cgroup2_mount()}{group}")

    def client(self):
        return self.bus

    def close(self):
        self.bus.close()

    def configure(self, guard):
        """For the daemon that the next call starts."""
        pathlib.Path("/etc/cordon/cordon.conf").write_text(f"[Cordon]\nGuard={guard}\n")
        subprocess.run(["systemctl", "stop", "cordon.service"], check=True)


def service():
    return System() if VM else cordon.Service()


def await_line(stream, who):
    """From a pipe that nothing was read of before. Whoever does not answer, frozen or ended, fails its own test only."""
    readable, _, _ = select.select([stream], [], [], TIMEOUT)
    line = stream.readline() if readable else ""
    assert line, f"the {who} has ended" if readable else f"the {who} does not answer"
    return line


class Witness(cordon.Probe):
    def ask(self, operation, *arguments):
        self.process.stdin.write(json.dumps([operation, *arguments]) + "\n")
        self.process.stdin.flush()
        return json.loads(await_line(self.process.stdout, "witness"))


class Field:
    """Driver `hostile`; domains `inside` (the tenant's), `sibling` (with a process) and `empty`; a process outside."""

    def __init__(self, where, *, delegate=None):
        self.where, self.bus = where, where.client()
        self.root, self.tree, self.driver = cordon.cgroup2_mount(), where.group, where.group / "hostile"
        self.inside, self.sibling, self.empty = (self.driver / name for name in ("inside", "sibling", "empty"))
        controllers = self.bus.get(cordon.ROOT, cordon.MANAGER, "Controllers")
        limits = ", ".join(f"'{name}': <uint64 {value}>" for name, value in LIMITS.items()
                           if name == "MaxDescendants" or
                           {"T": "pids", "M": "memory", "C": "cpu"}[name[0]] in controllers and
                           not (name == "MemoryHigh" and "memory" in cordon.v1_mounts()))
        delegation = f", 'DelegateUser': <uint32 {delegate}>" if delegate else ""
        with contextlib.suppress(cordon.BusError):  # what an attempt broke, and could not be undone then
            self.bus.remove_driver("hostile")
        self.bus.create_driver("hostile", "{'MaxDomains': <uint32 10>}", timeout=TIMEOUT)
        self.guarded = self.bus.get(cordon.ROOT, cordon.MANAGER, "SealStrength") == "guarded"
        self.bus.create_domain("hostile", "inside", f"{{{limits}, 'DeviceAllow': <{DEVICES}>{delegation}}}")
        self.bus.create_domain("hostile", "sibling", f"{{'DeviceAllow': <{DEVICES}>}}")
        self.bus.create_domain("hostile", "empty")
        self.neighbour, self.witness = cordon.Probe(), Witness()
        self.bus.attach("hostile", "sibling", self.neighbour.pid)
        self.bus.attach("hostile", "inside", self.witness.pid)
        with open(FORBIDDEN, "r+b", buffering=0) as device:
            self.victim = subprocess.Popen(["sleep", "infinity"], stdin=device, cwd="/")
        self.pin = None

    def pin_map(self, map_id):
        """Where a tenant in the host's mount namespace sees it."""
        if VM and not self.pin:
            self.pin = f"/sys/fs/bpf/cordon-hostile-{map_id}"
            bpf.pin_map(map_id, self.pin)
        return self.pin or "/sys/fs/bpf/none"

    def facts(self):
        """What attack.c is told: all that an insider could know."""
        program = bpf.query(self.driver, bpf.CGROUP_DEVICE)[0]
        guard = bpf.query(self.driver, bpf.LSM_CGROUP) if self.guarded else []
        maps = {bpf.map_name(id_): id_ for id_ in bpf.map_ids(program) if id_}
        modules = pathlib.Path(f"/lib/modules/{os.uname().release}/kernel")
        v1 = {f"v1-{name}": "/none" for name in ("cpu", "cpuset", "devices", "memory", "pids")}
        for name, mount in cordon.v1_mounts().items():
            v1[f"v1-{name}"] = mount / self.inside.relative_to(self.root)
        return {**v1, "root": self.root, "tree": self.tree, "driver": self.driver, "domain": self.inside,
                "sibling": self.sibling, "empty": self.empty, "victim": self.victim.pid,
                "neighbour": self.neighbour.pid, "device": FORBIDDEN, "program": program, "link": 1,
                "map": maps["rules"], "turn": maps["turn"], "pin": self.pin_map(maps["rules"]),
                "guard": guard[0] if guard else 0,
                "disk": "/dev/vdb", "rootdisk": "/dev/vda",
                "module": next(modules.rglob("dummy.ko*"), "none") if VM else "none",
                "kernel": next(pathlib.Path("/boot").glob("vmlinuz*"), "none")}

    def properties(self):
        """What the service says of what a tenant must not change."""
        domain = self.bus.get_all(cordon.domain_path("hostile", "inside"), cordon.DOMAIN)
        driver = self.bus.get_all(cordon.driver_path("hostile"), cordon.DRIVER)
        return [*(domain[name] for name in ("DeviceAllow", "EffectiveDevices", "Owner", "State", *LIMITS)),
                *(driver[name] for name in ("Sealed", "DeviceCeiling", "MaxDomains", "NDomains"))]

    def state(self):
        """The same as the kernel has it, and more; quick, for it is looked at after every attempt."""
        return {
            "devices": self.bus.get(cordon.domain_path("hostile", "inside"), cordon.DOMAIN, "EffectiveDevices"),
            "programs": bpf.query(self.driver, bpf.CGROUP_DEVICE),
            "guard": bpf.query(self.driver, bpf.LSM_CGROUP) if self.guarded else [],
            "files": {f"{group}/{name}": read(group / name) for group in (self.tree, self.driver, self.inside,
                                                                          self.sibling, self.empty)
                      for name in FILES if group != self.inside or name != "cgroup.procs"},
            "v1": {f"{group}/{name}": read(mount / group.relative_to(self.root) / name)
                   for mount in cordon.cgroup_mounts()[1:] for group in (self.driver, self.inside, self.sibling)
                   for name in V1_FILES},
            "modes": [(path.stat().st_mode, path.stat().st_uid) for group in (self.root, self.driver, self.inside)
                      for path in (group, group / "cgroup.procs")],
            "attributes": {str(group): {name: os.getxattr(group, name) for name in sorted(os.listxattr(group))}
                           for group in (self.driver, self.inside)},
            "places": [place(process.pid) for process in (self.neighbour, self.witness, self.victim)],
            "permitted": self.witness.open(PERMITTED, "rw"),
            "forbidden": self.witness.open(FORBIDDEN, "rw"),
        }

    def close(self):
        for process in (self.neighbour, self.witness):
            process.close()
        self.victim.kill()
        self.victim.wait()
        self.bus.remove_driver("hostile")
        if self.pin:
            os.unlink(self.pin)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def read(path):
    try:
        return path.read_text()
    except OSError as error:
        return error.strerror


def place(pid):
    """The group of a process, as in /proc/PID/cgroup; None when it has ended."""
    try:
        with open(f"/proc/{pid}/cgroup") as file:
            return next(line[3:].strip() for line in file if line.startswith("0::"))
    except OSError:
        return None


class Attacker:
    """attack.c, in the domain or outside."""

    def __init__(self, field, *, uid=0, inside=True, wrapper=()):
        facts = [f"{key}={value}" for key, value in field.facts().items()]
        self.field, self.inside = field, inside
        self.process = subprocess.Popen([*wrapper, ATTACK, *facts], user=uid, group=uid, extra_groups=[], cwd="/",
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": field.where.address})
        assert self.process.stdout.readline() == "ready\n"
        if inside:
            field.bus.attach("hostile", "inside", self.process.pid)

    def attempt(self, name):
        """What it did last, the answers of the kernel to that and to opening the device, and its process."""
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        line = await_line(self.process.stdout, "attacker")
        assert line.startswith(name + "|"), line
        _, stage, answer, device, pid = line.rstrip("\n").split("|")
        return stage, answer, device, int(pid)

    def is_inside(self, pid):
        """Whether an attempt's process is where it was put."""
        here, group = place(pid), "/" + str(self.field.inside.relative_to(self.field.root))
        return here is None or here == group or here.startswith(group + "/")

    def end_attempt(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def close(self):
        self.process.kill()
        self.process.wait()
