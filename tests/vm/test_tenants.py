# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real tenants beneath a domain: each starts there by what cordon-tenants(7) shows, has the domain's devices and no
others although its own configuration allows all of them, and is held by the domain's limit. All share the machine's own
programs as their root, and run tests/probe.py.
"""
import contextlib
import json
import os
import pathlib
import re
import select
import subprocess
import tempfile

import pytest

import cordon
from machine import ALICE, V1, unified
from manual import as_script, marked_examples

PAGE = marked_examples(pathlib.Path("/usr/share/man/man7/cordon-tenants.7").read_text())
WORK = pathlib.Path("/run/tenants")
ROOTFS = WORK / "rootfs"
PERMITTED, FORBIDDEN = ("c", 10, 229), ("c", 10, 200)  # /dev/fuse, /dev/net/tun
TASKS = 20
TIMEOUT = 300  # a bound, never a measure
STORAGE = f"""
    [storage]
    driver = "vfs"
    graphroot = "{WORK}/podman/storage"
    runroot = "{WORK}/podman/run"
    """
PODMAN = """
    [engine]
    events_logger = "none"
    [containers]
    log_driver = "none"
    netns = "none"
    """
# What nspawn would otherwise change in the root that all share, or ask the terminal for.
NSPAWN = "--quiet --link-journal=no --resolv-conf=off --timezone=off"


# ---- what an engine finds ----

def prepare_crun(tenant, narrow):
    bundle = WORK / tenant.name
    bundle.mkdir()
    subprocess.run(["crun", "spec"], cwd=bundle, check=True)
    spec = json.loads((bundle / "config.json").read_text())
    spec["root"] = {"path": str(ROOTFS)}
    spec["process"] |= {"args": tenant.command, "terminal": False}
    for names in spec["process"]["capabilities"].values():
        names.append("CAP_MKNOD")
    spec["linux"] |= {"cgroupsPath": f"{tenant.top}/container",
                      "resources": {"devices": [{"allow": not narrow, "access": "rwm"}]}}
    (bundle / "config.json").write_text(json.dumps(spec))
    return {"BUNDLE": bundle}


def prepare_podman(_tenant, narrow):
    (WORK / "storage.conf").write_text(STORAGE)
    (WORK / "containers.conf").write_text(PODMAN)
    return {"CONTAINERS_CONF": WORK / "containers.conf", "CONTAINERS_STORAGE_CONF": WORK / "storage.conf"}


def prepare_lxc(tenant, narrow):
    configuration = WORK / f"{tenant.name}.conf"
    configuration.write_text(f"""
        {PAGE["lxc-configuration"]}
        lxc.rootfs.path = dir:{ROOTFS}
        lxc.mount.auto = proc sys cgroup
        lxc.net.0.type = none
        lxc.apparmor.profile = unconfined
        lxc.cgroup2.devices.{"deny" if narrow else "allow"} = a
        lxc.cgroup2.devices.allow = c 1:3 rwm
        """)
    return {"CONFIGURATION": configuration}


def prepare_nspawn(tenant, narrow):
    return {"COMMAND": f"{NSPAWN} --console=pipe {' '.join(tenant.command)}"}


def prepare_nspawn_boot(tenant, narrow):
    """The journal and the probe are systemd's services; pipes in the file system lead to the probe."""
    (ROOTFS / "etc/systemd/system/tenant.service").write_text(
        "[Unit]\nDefaultDependencies=no\nRequires=systemd-journald.service\nAfter=systemd-journald.service\n[Service]\n"
        f"ExecStart={' '.join(tenant.command)}\nStandardInput=file:/srv/in\nStandardOutput=file:/srv/out\n")
    for name in "in", "out":
        os.mkfifo(ROOTFS / "srv" / name)
    return {"COMMAND": f"{NSPAWN} --console=read-only -- --unit=tenant.service"}


def prepare_bubblewrap(tenant, narrow):
    return {"COMMAND": f"--unshare-pid --unshare-ipc --cap-add ALL -- {' '.join(tenant.command)}"}


# Before the shell is in the domain, so that it is alone there.
PIPES = 'exec 3<&0; cat <&3 > "$ROOT/srv/in" & cat "$ROOT/srv/out" & exec 3<&- </dev/null >&2\n'


class Way:
    """The page's examples that start an engine, one after the other; the container's group below the domain, and the
    probe's below that."""

    def __init__(self, prepare, examples, below, *, inside="", before="", uid=0):
        self.prepare, self.examples, self.below, self.inside = prepare, examples, below, inside
        self.before, self.uid = before, uid


WAYS = {
    "crun": Way(prepare_crun, ["attach", "crun-disabled"], ""),
    "crun-outside": Way(prepare_crun, ["crun"], "/container"),
    "crun-inside": Way(prepare_crun, ["attach", "leave", "crun"], "/container"),
    "podman": Way(prepare_podman, ["podman"], "/libpod-[0-9a-f]+"),
    "podman-inside": Way(prepare_podman, ["attach", "podman-split"], "/libpod-payload-[0-9a-f]+"),
    "podman-rootless": Way(prepare_podman, ["podman-rootless"], "/libpod-payload-[0-9a-f]+", uid=ALICE),
    "lxc": Way(prepare_lxc, ["attach", "leave", "hand-on", "lxc"], "/engine/lxc.payload.lxc"),
    "nspawn": Way(prepare_nspawn, ["attach", "nspawn"], "/payload"),
    "nspawn-booted": Way(prepare_nspawn_boot, ["attach", "nspawn-boot"], "/payload",
                         inside="/system.slice/tenant.service", before=PIPES),
    "bubblewrap": Way(prepare_bubblewrap, ["attach", "bubblewrap"], ""),
}


class Tenant(cordon.Probe):
    """A probe in a domain, started by a way; `change` is made to the script."""

    def __init__(self, domain, way, *, narrow=False, change=lambda script: script):
        self.domain, self.name, self.top = domain, domain.name, domain.get("ControlGroup")
        self.command = ["/usr/bin/python3", str(cordon.TOP / "tests/probe.py"), self.name]  # seen from outside, too
        self.errors = tempfile.TemporaryFile("w+")  # pylint: disable=consider-using-with
        variables = {"DOMAIN": domain.path, "GROUP": self.top, "NAME": self.name, "ROOT": ROOTFS,
                     "COMMAND": " ".join(self.command), **way.prepare(self, narrow)}
        if way.uid:
            variables |= {"HOME": WORK / "user", "XDG_RUNTIME_DIR": WORK / "user"}
        script = "read -r go\n" + way.before + "\n".join(as_script(PAGE[name]) for name in way.examples)
        self.process = subprocess.Popen(
            ["sh", "-ec", change(script)], user=way.uid, group=way.uid, extra_groups=[], cwd="/",
            env={**os.environ, **{name: str(value) for name, value in variables.items()}},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.pid = self.process.pid
        domain.driver.processes.append(self)
        if way.uid:  # who is not root is moved by somebody who is
            domain.bus.attach(domain.driver.name, domain.name, self.pid)
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

    def end(self):
        """Its status, when it has ended without having answered."""
        self.process.stdin.close()
        assert self.process.stdout.read() == ""
        return self.process.wait(TIMEOUT)

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        super().close()
        self.errors.close()

    def group(self):
        """Of its probe, below the domain's, as seen from outside."""
        for pid, below in self.domain.call("ListProcesses")[0]:
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1] == self.command:
                    return below.removesuffix("/")
        raise AssertionError("no process in the domain is the tenant's")

    def tries(self, kind, major, minor):
        """What mknod and, on a node made by others, open answer."""
        return self.mknod(kind, major, minor), self.open(f"/srv/{kind}{major}:{minor}", "r")


@pytest.fixture(scope="module", autouse=True)
def rootfs():
    """The machine's root file system, written to a tmpfs, with a node of each device."""
    for name in "upper", "work", "rootfs", "user":
        (WORK / name).mkdir(parents=True)
    os.chown(WORK / "user", ALICE, ALICE)
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
def start(driver):
    """Starts a tenant in a domain of the same name."""
    def start_one(name, way, *, devices=(("@pseudo", "rwm"), ("%s:%d:%d" % PERMITTED, "rwm")), **options):
        delegate = {"DelegateUser": way.uid} if way.uid else {}
        return Tenant(driver.domain(name, DeviceAllow=list(devices), **delegate), way, **options)
    return start_one


def test_the_page_is_run_whole():
    assert {name for way in WAYS.values() for name in way.examples} | {"lxc-configuration"} == set(PAGE)


# The others make groups, and make them where the controllers are: a tenant may make none on cgroup v1 (cordon-hosts(7)).
WITHOUT_GROUPS = "crun", "bubblewrap"


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in WITHOUT_GROUPS else unified) for name in WAYS])
def test_tenant(start, name):
    way = WAYS[name]
    tenant = start(name, way)
    made = "EPERM" if way.uid else 0  # in a user's own namespace nobody makes nodes, whatever is granted

    tenant.each()  # once it has answered it is there
    below = tenant.group()
    assert re.fullmatch(way.below + way.inside, below)
    container = f"{tenant.domain.directory}{below.removesuffix(way.inside)}"
    assert V1 or {"cpu.max", "io.max", "memory.max", "pids.max"} <= set(os.listdir(container))

    assert tenant.tries(*PERMITTED) == (made, 0)
    assert tenant.tries(*FORBIDDEN) == ("EPERM", "EPERM")
    tenant.domain.call("AllowDevices", "([('%s:%d:%d', 'rwm')],)" % FORBIDDEN)
    assert tenant.tries(*FORBIDDEN) == (made, 0)  # so that it was the domain that refused

    tenant.domain.set(TasksMax=tenant.domain.get("TasksCurrent") + 2)
    assert tenant.fork_bomb(TASKS) < TASKS
    tenant.domain.set(TasksMax=cordon.INFINITY)
    assert tenant.fork_bomb(TASKS) == TASKS


def without_rules(script):
    return re.sub(r"--device-cgroup-rule='[^']*'", "", script)


@unified  # it has one there only
@pytest.mark.parametrize("name, options", [("crun-inside", {"narrow": True}), ("podman-inside", {"change": without_rules}),
                                           ("lxc", {"narrow": True})], ids=["crun", "podman", "lxc"])
def test_engine_narrows_its_own_group(start, name, options):
    """By a device program below the domain, which the guard lets an engine in the domain attach there."""
    tenant = start(name + "-narrow", WAYS[name], **options)
    assert tenant.tries(*PERMITTED)[1] == "EPERM"


def privileged(script):
    return without_rules(script).replace("--cap-add=all", "--privileged")


@unified
def test_podman_privileged_does_not_start(start):
    """It fails closed, and says itself which node it could not make."""
    tenant = start("privileged", WAYS["podman"], change=privileged)
    assert tenant.end() != 0
    assert re.search("mknod `?/dev/.*: Operation not permitted", tenant.said())


@unified
def test_podman_privileged_in_a_domain_of_all_devices(start):
    tenant = start("all", WAYS["podman"], change=privileged, devices=[("c:*:*", "rwm"), ("b:*:*", "rwm")])
    assert tenant.tries(*FORBIDDEN) == (0, 0)


@unified
def test_lxc_in_the_domains_own_group(start):
    """It says nothing, and has no group of its own; the domain holds it all the same."""
    tenant = start("lxc-top", Way(prepare_lxc, ["attach", "lxc"], ""))
    assert (tenant.tries(*PERMITTED), tenant.tries(*FORBIDDEN)) == ((0, 0), ("EPERM", "EPERM"))
    assert tenant.group() == ""
