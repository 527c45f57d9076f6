# SPDX-License-Identifier: LGPL-2.1-or-later
"""A newer daemon over an older one's tree: no wrong answer at any moment, and one program in the end."""
import os
import shutil
import signal
import subprocess

import pytest

import bpf
import cordon
import hostile
from sealed import Opener

ROUNDS = 10 if hostile.VM else 100
# Other instructions for the same source are what a newer version has.
OTHER = "-Dbpf_args=-mcpu=v3"


@pytest.fixture
def daemons(tmp_path):
    """The service, and a function that puts the other version in the place of the running one."""
    with (installed() if hostile.VM else built(tmp_path)) as (where, exchange):
        yield where, exchange


class installed:
    """In a virtual machine: the other version was brought along."""

    daemon, other = "/usr/libexec/cordond", cordon.TOP / "cordond"

    def __enter__(self):
        shutil.copy2(self.daemon, "/run/cordond-first")
        self.system, self.versions = hostile.System(), [self.other, "/run/cordond-first"]
        return self.system, self.exchange

    def exchange(self):
        shutil.copy2(self.versions[0], self.daemon + ".new")
        os.replace(self.daemon + ".new", self.daemon)
        self.versions.reverse()
        subprocess.run(["systemctl", "stop", "cordon.service"], check=True)

    def __exit__(self, *_):
        shutil.copy2("/run/cordond-first", self.daemon + ".new")
        os.replace(self.daemon + ".new", self.daemon)
        subprocess.run(["systemctl", "stop", "cordon.service"], check=True)
        self.system.close()


class built:
    """On a private bus, by a wrapper that chooses."""

    def __init__(self, directory):
        self.choice, self.wrapper = directory / "choice", directory / "wrapper"
        self.versions = [directory / "other", hostile.BUILD]
        subprocess.run([cordon.TOP / "tools/build", self.versions[0], "-Dtests=false", OTHER], check=True)
        self.wrapper.write_text(f'#!/bin/sh\nshift\nexec "$(cat {self.choice})/daemon/cordond" "$@"\n')
        self.wrapper.chmod(0o755)
        self.choice.write_text(str(self.versions[1]))

    def __enter__(self):
        self.service = cordon.Service(wrapper=self.wrapper)
        self.bus = self.service.client()
        return self.service, self.exchange

    def exchange(self):
        self.choice.write_text(str(self.versions[0]))
        self.versions.reverse()
        signals = cordon.Signals(self.bus)
        os.kill(self.bus.daemon_pid(), signal.SIGTERM)
        signals.wait_name(owned=False)
        signals.close()

    def __exit__(self, *_):
        self.service.close()


@pytest.mark.unified  # programs are exchanged on cgroup2, wherever the controllers are
def test_upgrades_under_a_tenant(daemons):
    where, exchange = daemons
    bus, group = where.client(), where.group / "upgrade"
    bus.create_driver("upgrade")
    bus.create_domain("upgrade", "tenant", '{"DeviceAllow": <[("/dev/null", "rw"), ("/dev/zero", "rw")]>}')
    seen = set()
    with Opener("steady", "/dev/null", hostile.FORBIDDEN, "/dev/zero") as opener:
        bus.attach("upgrade", "tenant", opener.pid)
        opener.expect("+")
        for _ in range(ROUNDS):
            before = programs(group)
            exchange()
            assert bus.get(cordon.driver_path("upgrade"), cordon.DRIVER, "Sealed")
            after = programs(group)
            assert len(after["seal"]) == 1 and len(after["guard"]) == len(before["guard"])
            assert not set(after["seal"]) & set(before["seal"]), "the other version has the same program"
            assert not hostile.VM or set(after["guard"]) != set(before["guard"])
            seen.update(after["seal"])
        rounds, wrong, opened, refused = opener.finish()
    assert (wrong, refused) == (0, 0) and rounds > ROUNDS
    assert len(seen) == ROUNDS
    bus.remove_driver("upgrade")


def programs(group):
    return {"seal": bpf.query(group, bpf.CGROUP_DEVICE),
            "guard": bpf.query(group, bpf.LSM_CGROUP) if hostile.VM else []}
