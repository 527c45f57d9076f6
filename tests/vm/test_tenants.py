# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real tenants beneath a domain: each starts there, has the domain's devices and no others although its own
configuration allows all of them, and is held by the domain's limit. All share the machine's own programs as their
root, and run tests/probe.py; the options that a tenant needs are said where it is started.
"""
import contextlib
import functools
import json
import os
import pathlib
import re
import select
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import cordon  # noqa: E402
from cordon import DOMAIN, cgroup2_mount, domain_path  # noqa: E402

WORK = pathlib.Path("/run/tenants")
ROOTFS = WORK / "rootfs"
PERMITTED, FORBIDDEN = ("c", 10, 229), ("c", 10, 200)  # /dev/fuse, /dev/net/tun
TASKS = 20
USER = 1000
TIMEOUT = 120  # a bound, never a measure


def probe_command(name):
    """What a tenant runs; the name tells its probe from others, seen from outside."""
    return ["/usr/bin/python3", str(cordon.TOP / "tests/probe.py"), name]


# ---- how each is started: the command, given the domain's group and what is to run ----

def in_subgroup(group, command):
    """For engines that make groups of their own: as in any delegated group they must not stay in the one whose
    controllers they hand on; and LXC wants to write all of its group's files, of which the domain's own are sealed."""
    return ["sh", "-ec", 'mkdir "$0" && echo 0 > "$0/cgroup.procs" && exec "$@"',
            cgroup2_mount() / group[1:] / "engine", *command]


def crun_run(command, narrow=False, **linux):
    bundle = WORK / "bundle"
    bundle.mkdir(exist_ok=True)
    (bundle / "config.json").unlink(missing_ok=True)
    subprocess.run(["crun", "spec"], cwd=bundle, check=True)
    spec = json.loads((bundle / "config.json").read_text())
    spec["root"] = {"path": str(ROOTFS)}
    spec["process"] |= {"args": command, "terminal": False}
    for names in spec["process"]["capabilities"].values():
        names.append("CAP_MKNOD")
    spec["linux"] |= {"resources": {"devices": [{"allow": not narrow, "access": "rwm"}]}, **linux}
    (bundle / "config.json").write_text(json.dumps(spec))
    return ["run", "--bundle", str(bundle), command[-1]]


def crun_moved(_group, command):
    """Without a group of its own: it would make that outside the domain, which is refused."""
    return ["crun", "--cgroup-manager=disabled", *crun_run(command)]


def crun_below(group, command, narrow=False):
    return ["crun", "--cgroup-manager=cgroupfs", *crun_run(command, narrow, cgroupsPath=f"{group}/container")]


def crun_nested(group, command, narrow=False):
    return in_subgroup(group, crun_below(group, command, narrow))


def podman(*options, storage, command):
    return ["podman", "--cgroup-manager=cgroupfs", "--storage-driver=vfs", "--events-backend=none",
            f"--root={storage}/storage", f"--runroot={storage}/run", f"--tmpdir={storage}/tmp",
            "run", "-i", "--rm", "--network=none", "--log-driver=none", "--cap-add=all", *options,
            "--rootfs", str(ROOTFS), *command]


# Not --privileged, which makes a node of every device of the machine, and fails at the first that it may not make.
ALL_DEVICES = "--device-cgroup-rule=c *:* rwm", "--device-cgroup-rule=b *:* rwm"


def podman_parent(group, command):
    return podman("--cgroup-parent=" + group, *ALL_DEVICES, storage=WORK / "podman", command=command)


def podman_nested(_group, command, narrow=False):
    """--cgroups=split: its groups are made in the group that it was started in, and it leaves that for one of them."""
    return podman("--cgroups=split", *(() if narrow else ALL_DEVICES), storage=WORK / "podman", command=command)


def podman_rootless(_group, command):
    """A user's engine has no device rules of its own. The domain is DelegateUser's."""
    return podman("--cgroups=split", storage=WORK / "user", command=command)


def lxc(group, command, narrow=False):
    config = WORK / "lxc.conf"
    config.write_text(f"""
        lxc.rootfs.path = dir:{ROOTFS}
        lxc.mount.auto = proc sys cgroup
        lxc.net.0.type = none
        lxc.apparmor.profile = unconfined
        lxc.cgroup.relative = 1
        lxc.cgroup2.devices.{"deny" if narrow else "allow"} = a
        lxc.cgroup2.devices.allow = c 1:3 rwm
        """)
    return in_subgroup(group, ["lxc-execute", "-P", str(WORK), "-f", str(config), "-n", command[-1], "--", *command])


def nspawn(_group, command, *options):
    """Without a scope of its own, which systemd would make elsewhere. It leaves the group that it was started in for
    one below, as podman does."""
    return ["systemd-nspawn", "-q", "--register=no", "--keep-unit", "-D", str(ROOTFS), "--link-journal=no",
            "--resolv-conf=off", "--timezone=off", "--console=pipe", *options, *command]


def nspawn_booted(group, command):
    """systemd as PID 1, with the journal and the probe as its services; pipes in the file system lead to the probe."""
    (ROOTFS / "etc/systemd/system/tenant.service").write_text(
        "[Unit]\nDefaultDependencies=no\nRequires=systemd-journald.service\nAfter=systemd-journald.service\n[Service]\n"
        f"ExecStart={' '.join(command)}\nStandardInput=file:/srv/in\nStandardOutput=file:/srv/out\n")
    for name in "in", "out":
        os.mkfifo(ROOTFS / "srv" / name)
    # A name of its own: an nspawn that is killed may leave a mount of its machine's behind.
    boot = nspawn(group, ["--boot", "--", "--unit=tenant.service"], "--console=read-only", "--machine=booted")
    return ["sh", "-c", 'exec 3<&0; cat <&3 > "$0/in" & in=$!; cat "$0/out" & "$@" < /dev/null >&2; kill $in $!',
            ROOTFS / "srv", *boot]


def bubblewrap(_group, command):
    """--dev-bind, for --bind forbids device nodes by itself."""
    return ["bwrap", "--dev-bind", str(ROOTFS), "/", "--proc", "/proc", "--unshare-pid", "--unshare-ipc",
            "--cap-add", "ALL", "--", *command]


class Tenant(cordon.Probe):
    """A probe that was started by `launch`, from a process that is in the domain by then if `inside`."""

    def __init__(self, bus, domain, launch, *, inside=True, uid=0):
        self.domain = domain
        self.errors = open(WORK / "errors", "w+")  # pylint: disable=consider-using-with
        group = bus.get(domain_path("tenants", domain), DOMAIN, "ControlGroup")
        argv = launch(group, probe_command(domain))
        self.process = subprocess.Popen(
            ["sh", "-c", 'read go && exec "$@"', "sh", *argv], user=uid, group=uid, extra_groups=[], cwd="/",
            env={**os.environ, "HOME": str(WORK / "user"), "XDG_RUNTIME_DIR": str(WORK / "user")} if uid else None,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.pid = self.process.pid
        if inside:
            bus.attach("tenants", domain, self.pid)
        self.process.stdin.write("go\n")

    def ask(self, operation, *arguments):
        self.process.stdin.write(json.dumps([operation, *arguments]) + "\n")
        self.process.stdin.flush()
        readable, _, _ = select.select([self.process.stdout], [], [], TIMEOUT)
        answer = self.process.stdout.readline() if readable else ""
        assert answer, "no answer; the tenant says: " + self.said()
        return json.loads(answer)

    def said(self):
        self.errors.seek(0)
        return self.errors.read()

    def group(self):
        """Of its probe, as seen from outside."""
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "cmdline").read_text().split("\0")[:-1] == probe_command(self.domain):
                    return (process / "cgroup").read_text().strip().removeprefix("0::")
        raise AssertionError("no process is the tenant's")

    def tries(self, kind, major, minor):
        """What mknod and, on a node made by others, open answer."""
        return self.mknod(kind, major, minor), self.open(f"/srv/{kind}{major}:{minor}", "r")


@pytest.fixture(scope="module")
def bus():
    client = cordon.Client("unix:path=/run/dbus/system_bus_socket")
    assert client.get(cordon.ROOT, cordon.MANAGER, "SealStrength") == "guarded"
    client.create_driver("tenants")
    yield client
    client.remove_driver("tenants")
    client.close()


@pytest.fixture(scope="module", autouse=True)
def rootfs():
    """The machine's root file system, written to a tmpfs, with a node of each device."""
    for name in "upper", "work", "rootfs", "user":
        (WORK / name).mkdir(parents=True)
    os.chown(WORK / "user", USER, USER)
    subprocess.run(["mount", "-t", "overlay", "overlay", ROOTFS,
                    "-o", f"lowerdir=/,upperdir={WORK}/upper,workdir={WORK}/work"], check=True)
    for kind, major, minor in PERMITTED, FORBIDDEN:
        node = ROOTFS / f"srv/{kind}{major}:{minor}"
        os.mknod(node, 0o020666, os.makedev(major, minor))
        node.chmod(0o666)
    # Where a user's engine, which may not make them, mounts files.
    for name in "etc/resolv.conf", "etc/hosts", "etc/hostname", "run/.containerenv":
        (ROOTFS / name).touch()
    yield
    subprocess.run(["umount", "--lazy", ROOTFS], check=True)


@pytest.fixture
def start(bus):
    """Starts a tenant in a domain of the same name."""
    with contextlib.ExitStack() as stack:
        def start_one(name, launch, *, uid=0, **options):
            delegate = f"'DelegateUser': <uint32 {uid}>, " if uid else ""
            bus.create_domain("tenants", name, "{%s'DeviceAllow': <[('@pseudo', 'rwm'), ('%s:%d:%d', 'rwm')]>}" % (
                delegate, *PERMITTED))
            stack.callback(bus.remove_domain, "tenants", name)
            return stack.enter_context(Tenant(bus, name, launch, uid=uid, **options))
        yield start_one


# How, in which group below the domain it then runs, and where it is started.
TENANTS = {
    "crun": (crun_moved, "", {}),
    "crun-cgroupspath": (crun_below, "/container", {"inside": False}),
    "crun-nested": (crun_nested, "/container", {}),
    "podman": (podman_parent, "/libpod-[0-9a-f]+", {"inside": False}),
    "podman-nested": (podman_nested, "/libpod-payload-[0-9a-f]+", {}),
    "podman-rootless": (podman_rootless, "/libpod-payload-[0-9a-f]+", {"uid": USER}),
    "lxc": (lxc, "/engine/lxc.payload.lxc", {}),
    "nspawn": (nspawn, "/payload", {}),
    "nspawn-booted": (nspawn_booted, "/payload/system.slice/tenant.service", {}),
    "bubblewrap": (bubblewrap, "", {}),
}


@pytest.mark.parametrize("name", TENANTS)
def test_tenant(bus, start, name):
    launch, below, options = TENANTS[name]
    tenant = start(name, launch, **options)
    path = domain_path("tenants", name)
    made = "EPERM" if "uid" in options else 0  # in a user's own namespace nobody makes nodes, whatever is granted

    tenant.each()  # once it has answered it is there
    assert re.fullmatch(re.escape(bus.get(path, DOMAIN, "ControlGroup")) + below, tenant.group())

    assert tenant.tries(*PERMITTED) == (made, 0)
    assert tenant.tries(*FORBIDDEN) == ("EPERM", "EPERM")
    bus.call(path, DOMAIN, "AllowDevices", "([('%s:%d:%d', 'rwm')],)" % FORBIDDEN)
    assert tenant.tries(*FORBIDDEN) == (made, 0)  # so that it was the domain that refused

    set_tasks_max(bus, path, bus.get(path, DOMAIN, "TasksCurrent") + 2)
    assert tenant.fork_bomb(TASKS) < TASKS
    set_tasks_max(bus, path, cordon.INFINITY)
    assert tenant.fork_bomb(TASKS) == TASKS


def set_tasks_max(bus, path, value):
    bus.call(path, DOMAIN, "SetProperties", "({'TasksMax': <uint64 %d>},)" % value)


@pytest.mark.parametrize("name", ["crun-nested", "podman-nested", "lxc"])
def test_engine_narrows_its_own_group(start, name):
    """By a device program below the domain, which the guard lets an engine in the domain attach there."""
    launch, _, options = TENANTS[name]
    tenant = start(name + "-narrow", functools.partial(launch, narrow=True), **options)
    assert tenant.tries(*PERMITTED)[1] == "EPERM"


def test_podman_privileged_does_not_start(start):
    """What ALL_DEVICES is for. It fails closed, and names the node."""
    tenant = start("privileged", lambda group, command: podman("--cgroup-parent=" + group, "--privileged",
                                                               storage=WORK / "podman", command=command), inside=False)
    tenant.process.stdin.close()
    assert tenant.process.wait(TIMEOUT) != 0
    assert re.search("mknod `?/dev/.*: Operation not permitted", tenant.said())
