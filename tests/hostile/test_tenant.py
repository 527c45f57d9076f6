# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a tenant needs stays possible under the guard."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess

import pytest

import cordon
import hostile
import truth

ALICE = 1000
PSEUDO = "('@pseudo', 'rwm')"
CONTAINER = pathlib.Path("/run/cordon-container")


@pytest.fixture
def bus():
    with contextlib.closing(hostile.System()) as system:
        system.bus.create_driver("tenants")
        assert system.bus.get(cordon.ROOT, cordon.MANAGER, "SealStrength") == "guarded"
        yield system.bus
        system.bus.remove_driver("tenants")


@pytest.fixture
def tenant(bus):
    """A probe of any user in a domain; it knows the domain's directory."""
    made = []

    def make(uid=0, *, devices=PSEUDO, delegate=""):
        bus.create_domain("tenants", "t", f"{{'TasksMax': <uint64 300>, 'DeviceAllow': <[{devices}]>{delegate}}}")
        probe = cordon.Probe(uid)
        bus.attach("tenants", "t", probe.pid)
        group = bus.get(cordon.domain_path("tenants", "t"), cordon.DOMAIN, "ControlGroup")
        probe.top = f"{cordon.cgroup2_mount()}{group}"
        made.append(probe)
        return probe
    yield make
    for probe in made:
        bus.remove_domain("tenants", "t")
        probe.close()


# Where the controllers are on cgroup v1, a tenant's groups have none: cordon-hosts(7).
ON_V1 = bool(cordon.v1_mounts())
LIMITS = {} if ON_V1 else {"pids.max": "20", "memory.max": "100000000", "cpu.weight": "50"}


def enable(probe, *controllers):
    """For the groups that the tenant makes; none where there is none to enable."""
    for name in controllers:
        assert probe.write(f"{probe.top}/cgroup.subtree_control", f"+{name}") == ("ENOENT" if ON_V1 else 0)


def test_groups_and_limits_of_its_own(tenant):
    probe = tenant()
    assert probe.enter(f"{probe.top}/own") == 0
    enable(probe, "pids", "memory", "cpu")
    for file, value in {**LIMITS, "cgroup.max.depth": "5"}.items():
        assert probe.write(f"{probe.top}/own/{file}", value) == 0, file
    assert probe.fork_bomb(50) == (50 if ON_V1 else 19)
    assert probe.enter(f"{probe.top}/other/deep") == 0
    assert probe.run("rmdir", f"{probe.top}/own") == [0, ""]


def test_freezing_its_own_groups(tenant):
    probe = tenant()
    assert probe.enter(f"{probe.top}/own/sleeper") == 0
    child = probe.fork()
    assert probe.enter(f"{probe.top}/own/shell") == 0
    assert hostile.place(child).endswith("/own/sleeper")
    for value in "1", "0":
        assert probe.write(f"{probe.top}/own/sleeper/cgroup.freeze", value) == 0
        frozen = pathlib.Path(f"{probe.top}/own/sleeper/cgroup.events")
        assert cordon.wait_for(lambda: f"frozen {value}" in frozen.read_text())
    assert probe.write(f"{probe.top}/own/sleeper/cgroup.kill", "1") == 0


def test_a_restart_in_a_pid_namespace_ends_that(tenant):
    """reboot(2) by the first process of a container, as its systemd does it; wait(2) then says SIGHUP."""
    restart = "import ctypes, sys; sys.exit(ctypes.CDLL(None).reboot(0x01234567) and 9)"
    status, output = tenant().run("unshare", "--pid", "--fork", "/usr/bin/python3", "-c", restart)
    assert (status, output) == (-signal.SIGHUP, "")


def test_a_delegated_user_makes_groups(tenant):
    probe = tenant(ALICE, delegate=f", 'DelegateUser': <uint32 {ALICE}>")
    assert probe.enter(f"{probe.top}/own") == 0
    enable(probe, "pids")
    if not ON_V1:
        assert probe.write(f"{probe.top}/own/pids.max", "20") == 0
    assert probe.write(str(truth.where(pathlib.Path(probe.top), "pids.max")), "max") in ("EACCES", "EPERM")


def test_what_is_mounted_is_had_by_binding_it(tenant):
    """Also of a device of its own: a file system that is mounted already is not mounted from there once more."""
    probe = tenant(devices=f"{PSEUDO}, ('/dev/vda', 'rw')")
    assert probe.open("/dev/vda", "rw") == 0
    status, output = probe.run("unshare", "--mount", "mount", "-t", "ext4", "/dev/vda", "/mnt")
    assert status == 32 and "permission denied" in output
    assert probe.run("unshare", "--mount", "sh", "-c", "mount --bind / /mnt && cmp /etc/hosts /mnt/etc/hosts") == [0, ""]


@pytest.fixture
def rootfs():
    """The machine's own, behind an overlay; what is written there is thrown away."""
    for name in "upper", "work", "root", "bundle":
        (CONTAINER / name).mkdir(parents=True)
    subprocess.run(["mount", "-t", "overlay", "-o", f"lowerdir=/,upperdir={CONTAINER}/upper,workdir={CONTAINER}/work",
                    "none", CONTAINER / "root"], check=True)
    yield CONTAINER / "root"
    subprocess.run(["umount", "--recursive", "--lazy", CONTAINER / "root"], check=True)
    subprocess.run(["rm", "-rf", CONTAINER], check=True)


def run_payload(probe, namespaces, *command):
    """As container managers lay it out: they are in one group, and what they run in another, which is its root."""
    assert probe.enter(f"{probe.top}/supervisor") == 0
    enable(probe, "pids")
    assert probe.run("mkdir", f"{probe.top}/payload") == [0, ""]
    return probe.run("timeout", "120", "unshare", "--fork", *namespaces, "sh", "-c",
                     'echo 0 > "$1/payload/cgroup.procs" && shift && exec unshare --cgroup "$@"', "sh", probe.top,
                     *command)


# As a container manager does it that gives the tenant namespaces but no user namespace.
ENTER = """
set -e
root=$1
mount -t proc proc $root/proc
mount -t sysfs sysfs $root/sys
mount -t cgroup2 cgroup2 $root/sys/fs/cgroup
mount -t tmpfs tmpfs $root/dev
mount -t tmpfs tmpfs $root/run
mkdir $root/dev/pts $root/dev/shm
for node in null zero full random urandom tty; do touch $root/dev/$node; mount --bind /dev/$node $root/dev/$node; done
ln -s null $root/dev/console
exec env -i container=cordon PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    chroot $root /lib/systemd/systemd --unit=cordon-inside.target
"""
INSIDE_TARGET = """
[Unit]
DefaultDependencies=no
Requires=cordon-inside.service
After=cordon-inside.service
"""
INSIDE_SERVICE = """
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'grep ^0:: /proc/self/cgroup; cat /sys/fs/cgroup/system.slice/cordon-inside.service/pids.max; \
(exec 3<>/dev/null) && echo null; (exec 3<>/dev/zero) || echo no zero'
StandardOutput=file:/result
StandardError=file:/errors
TasksMax=7
DeviceAllow=/dev/null rw
DevicePolicy=strict
ExecStopPost=/bin/systemctl exit --force
"""


def test_systemd_as_the_first_process_of_a_container(tenant, rootfs):
    """It mounts cgroup2, makes groups with limits, and narrows a service's devices by programs of its own."""
    units = rootfs / "etc/systemd/system"
    (units / "cordon-inside.target").write_text(INSIDE_TARGET)
    (units / "cordon-inside.service").write_text(INSIDE_SERVICE)
    probe = tenant()
    _, output = run_payload(probe, ["--mount", "--pid", "--uts", "--ipc"], "sh", "-c", ENTER, "sh", str(rootfs))
    result = rootfs / "result"
    assert result.exists(), output
    assert result.read_text().splitlines() == [
        "0::/system.slice/cordon-inside.service", *([] if ON_V1 else ["7"]), "null", "no zero"], output


def crun_configuration(root):
    """/dev/fuse is in the container's list and not in the domain's, /dev/kmsg the other way round."""
    device = {"allow": True, "type": "c", "access": "rwm"}
    bind = {"type": "bind", "options": ["bind"]}
    command = "grep ^0:: /proc/self/cgroup; cat /sys/fs/cgroup/pids.max; (exec 3<>/dev/null) && echo null; " \
        "(exec 3<>/dev/forbidden) 2>/dev/null || echo no fuse; (exec 3>/dev/log-of-kernel) 2>/dev/null || echo no kmsg"
    return {
        "ociVersion": "1.0.2", "root": {"path": str(root), "readonly": False},
        "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["sh", "-c", command],
                    "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                   {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                   {"destination": "/dev/forbidden", "source": hostile.FORBIDDEN, **bind},
                   {"destination": "/dev/log-of-kernel", "source": "/dev/kmsg", **bind},
                   {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}],
        "linux": {"cgroupsPath": "/inner",
                  "namespaces": [{"type": name} for name in ("pid", "mount", "ipc", "uts", "cgroup")],
                  "resources": {**({} if ON_V1 else {"pids": {"limit": 20}}), "devices": [
                      {"allow": False, "access": "rwm"}, {**device, "major": 10, "minor": 229}]}}}


# mount(8) of Debian 12 refuses to mount cgroup2 over cgroup2.
CRUN = """
set -e
umount --lazy /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir /sys/fs/cgroup/engine
echo $$ > /sys/fs/cgroup/engine/cgroup.procs
exec crun --root /run/cordon-container/state --cgroup-manager cgroupfs run --bundle "$1" inner
"""


def test_a_container_engine_beneath_the_domain(tenant, rootfs):
    bundle = CONTAINER / "bundle"
    (bundle / "config.json").write_text(json.dumps(crun_configuration(rootfs)))
    probe = tenant(devices=f"{PSEUDO}, ('/dev/kmsg', 'rw')")
    assert os.path.exists("/dev/kmsg") and probe.open("/dev/kmsg", "r") == 0
    status, output = run_payload(probe, ["--mount"], "sh", "-c", CRUN, "sh", str(bundle))
    held = "cat: /sys/fs/cgroup/pids.max: No such file or directory" if ON_V1 else "20"
    assert output.splitlines() == ["0::/", held, "null", "no fuse", "no kmsg"]
    assert status == 0
