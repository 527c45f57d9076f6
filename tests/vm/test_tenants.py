"""A container of Debian's crun beneath a domain. Its own configuration allows every device; it gets the domain's.

From outside, the container's group is put below the domain's: `crun --cgroup-manager=cgroupfs`, and `cgroupsPath` in
config.json. Without that option crun asks systemd for a scope, which is nowhere near the domain.

From inside, a process of the domain uses `crun --cgroup-manager=disabled`: the container then stays in the group of the
process that starts it. With cgroupfs crun loads a device program of its own, and the guard refuses bpf(2) to tenants.
"""
import json
import subprocess

import pytest

# Opens and makes a permitted and a forbidden device; a node that the image already has is no way round, either.
ATTEMPTS = """
import errno, os, stat
def attempt(call, *arguments):
    try:
        call(*arguments)
        return 0
    except OSError as error:
        return errno.errorcode[error.errno]
def make(name, major, minor):
    os.mknod("/tmp/" + name, stat.S_IFCHR | 0o666, os.makedev(major, minor))
def use(path, mode=os.O_RDONLY):
    os.close(os.open(path, mode))
print(open("/proc/self/cgroup").read().strip().rpartition("0::")[2], end=" ")
print(attempt(make, "tun", 10, 200), attempt(use, "/tmp/tun", os.O_RDWR), attempt(make, "null", 1, 3),
      attempt(use, "/tmp/null", os.O_RDWR), attempt(make, "fuse", 10, 229), attempt(make, "vda", 254, 0),
      attempt(use, "/host/fuse"), attempt(use, "/host/vda"))
"""
RIGHT = "0 0 0 0 EPERM EPERM EPERM EPERM"
GRANTED = [("@pseudo", "rwm"), ("@tun", "rwm")]
EVERYTHING = ["CAP_" + name for name in ("SYS_ADMIN", "MKNOD", "DAC_OVERRIDE", "SYS_RAWIO", "BPF", "PERFMON")]


@pytest.fixture
def bundle(tmp_path):
    """A container over the machine's own files; `make(group)` writes its configuration."""
    for name in "rootfs", "rootfs/tmp", "rootfs/proc", "rootfs/dev", "rootfs/host":
        (tmp_path / name).mkdir()
    for name in "usr", "etc":
        (tmp_path / "rootfs" / name).mkdir()
    for name in "bin", "lib", "lib64", "sbin":
        (tmp_path / "rootfs" / name).symlink_to(f"usr/{name}")

    def make(group=None, **resources):
        def bind(source, destination):
            return {"destination": destination, "source": source, "type": "none", "options": ["bind", "rprivate"]}
        capabilities = dict.fromkeys(["bounding", "effective", "permitted"], EVERYTHING)
        config = {
            "ociVersion": "1.0.0",
            "process": {"args": ["/usr/bin/python3", "-IS", "-c", ATTEMPTS], "cwd": "/", "user": {"uid": 0, "gid": 0},
                        "env": ["PATH=/usr/bin"], "capabilities": capabilities},
            "root": {"path": "rootfs", "readonly": False},
            "mounts": [bind("/usr", "/usr"), bind("/etc", "/etc"), bind("/dev", "/host"),
                       {"destination": "/proc", "source": "proc", "type": "proc"},
                       {"destination": "/tmp", "source": "tmpfs", "type": "tmpfs", "options": ["dev"]}],
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")],
                      "resources": {"devices": [{"allow": True, "access": "rwm"}], **resources}},
        }
        if group:
            config["linux"]["cgroupsPath"] = group
        (tmp_path / "config.json").write_text(json.dumps(config))
        return str(tmp_path)
    return make


def below(domain, name):
    return f"/system.slice/cordon-tree.service/{domain.driver.name}/{domain.name}/{name}"


def test_a_container_beneath_a_domain(driver, bundle):
    domain = driver.domain(DeviceAllow=GRANTED, MemoryMax=256 << 20)
    path = bundle(below(domain, "box"), memory={"limit": 512 << 20})
    done = subprocess.run(["crun", "--cgroup-manager=cgroupfs", "run", "--bundle", path, "box"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert (done.returncode, done.stdout) == (0, f"{below(domain, 'box')} {RIGHT}\n")
    assert domain.get("CPUUsageNSec") > 0
    assert domain.get("DeniedDevices") >= 4


def test_a_container_beside_a_domain_is_not_bound(bundle):
    """The same container elsewhere does what its configuration says: it is the domain that refuses."""
    path = bundle("/elsewhere")
    done = subprocess.run(["crun", "--cgroup-manager=cgroupfs", "run", "--bundle", path, "elsewhere"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert (done.returncode, done.stdout) == (0, "/elsewhere 0 0 0 0 0 0 0 0\n")


def test_a_container_that_a_tenant_starts(driver, bundle):
    domain = driver.domain(DeviceAllow=GRANTED)
    assert domain.run("crun", "--cgroup-manager=disabled", "run", "--bundle", bundle(), "inner") == (
        0, f"{below(domain, '')[:-1]} {RIGHT}\n")


def test_a_tenant_cannot_put_its_container_elsewhere(driver, bundle):
    """Root in the domain, with an engine that would manage groups: it gets nowhere, and its container does not run."""
    domain = driver.domain(DeviceAllow=GRANTED)
    status, output = domain.run("crun", "--cgroup-manager=cgroupfs", "run", "--bundle", bundle("/escaped"), "escaped")
    assert status != 0 and "/escaped" not in output.split()
    assert domain.get("State") == "empty"
