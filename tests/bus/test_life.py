# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon comes and goes; what it made stays as it was."""
import contextlib
import os
import select
import signal
import threading

import pytest

from authority import Agent
from conftest import RULES, end_daemon, kill_daemon
from cordon import (DOMAIN, DRIVER, MANAGER, NAME, ROOT, BusError, Client, Probe, Service, Signals, UserClient,
                    domain_path, driver_path)
from seals import bpftool, check_seals, program

LXC, WEB = driver_path("lxc"), domain_path("lxc", "web")
LIMITS = {"cpu": "'CPUWeight': <uint64 50>, 'CPUQuotaPerSecUSec': <uint64 300000>, ", "cpuset": "'AllowedCPUs': <'0'>, ",
          "memory": "'MemoryMax': <uint64 2097152>, ", "pids": "'TasksMax': <uint64 9>, ", "io": "'IOWeight': <uint64 9>, "}


def populate(service, root, caller):
    """One of everything: limits of the controllers that there are, owners, ceilings, devices, nested groups."""
    root.create_driver("empty")
    limits = "".join(LIMITS.get(each, "") for each in (service.group / "cgroup.controllers").read_text().split())
    root.create_driver("lxc", f"{{{limits}'MaxDomains': <uint32 7>, 'DeviceCeiling': <[('c:*:*', 'rwm')]>}}")
    root.create_domain("lxc", "web", f"{{{limits}'DeviceAllow': <[('@pseudo', 'rw'), ('/dev/fuse', 'r'), "
                                     "('char-pts', 'rwm'), ('c:1:*', 'r')]>}")
    root.create_domain("lxc", "bare")
    caller.create_driver("yes")
    caller.create_domain("yes", "a.b@c", "{'DeviceAllow': <[('@tun', 'rw')]>, 'DelegateUser': <uint32 5>, "
                                         "'MaxDescendants': <uint64 3>, 'MaxDepth': <uint64 2>}")
    root.call(WEB, DOMAIN, "AllowDevices", "([('/dev/zero', 'm')],)")
    root.call(WEB, DOMAIN, "RevokeDevices", "([('/dev/fuse', 'w')],)")
    (service.group / "lxc/bare/nested").mkdir()


def everything(client):
    return client.managed(), client.get_all(ROOT, MANAGER), sorted(client.list_domains())


# ---- ends of all kinds ----

@pytest.mark.parametrize("revoked", range(4))
def test_one_device_more_or_less_is_written_down(service, root, revoked):
    """Of a list that is not written anew, every line is still that of its device."""
    grants = [("/dev/null", "r"), ("@fuse", "rw"), ("c:1:5", "m"), ("/dev/full", "rwm")]
    root.create_driver("lxc")
    root.create_domain("lxc", "web", f"{{'DeviceAllow': <{grants[:2]}>}}")
    for grant in grants[2:]:
        root.call(WEB, DOMAIN, "AllowDevices", f"([{grant}],)")
    root.call(WEB, DOMAIN, "RevokeDevices", f"([{grants.pop(revoked)}],)")
    assert root.get(WEB, DOMAIN, "DeviceAllow") == grants
    kill_daemon(root)
    assert root.get(WEB, DOMAIN, "DeviceAllow") == grants
    grants.append(("/dev/urandom", "rw"))
    root.call(WEB, DOMAIN, "AllowDevices", f"([{grants[-1]}],)")
    kill_daemon(root)
    assert root.get(WEB, DOMAIN, "DeviceAllow") == grants
    assert len(root.get(WEB, DOMAIN, "EffectiveDevices")) == 4


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_everything_is_as_before(service, root, user, probe, how):
    caller, confined = user(5), probe(5)
    populate(service, root, caller)
    caller.attach("yes", "a.b@c", confined.pid)
    root.create_domain("lxc", "db", "{'DeviceAllow': <[('/dev/null', 'rw')]>}")
    root.create_domain("lxc", "ice")
    running, frozen = probe(), probe()
    root.attach("lxc", "db", running.pid)
    root.attach("lxc", "ice", frozen.pid)
    root.call(domain_path("lxc", "ice"), DOMAIN, "Freeze")
    assert root.get(domain_path("lxc", "ice"), DOMAIN, "State") == "frozen"
    before, old = everything(root), root.daemon_pid()

    def check_enforced():
        assert (running.open("/dev/null", "rw"), running.open("/dev/zero", "r")) == (0, "EPERM")
    check_enforced()
    end_daemon(root, how)
    check_enforced()  # with nobody there
    assert everything(root) == before and root.daemon_pid() != old
    check_enforced()
    assert root.get(domain_path("lxc", "db"), DOMAIN, "DeniedDevices") == 3  # those that nobody was there to see, too
    check_seals(service)
    # ... and it can go on from there
    root.call(domain_path("lxc", "ice"), DOMAIN, "Thaw")
    assert frozen.group().endswith("/lxc/ice")
    caller.call(domain_path("yes", "a.b@c"), DOMAIN, "Remove", "(true,)")
    root.call(domain_path("lxc", "db"), DOMAIN, "AllowDevices", "([('/dev/zero', 'r')],)")
    assert running.open("/dev/zero", "r") == 0
    with pytest.raises(Exception, match="MaxDomains=7"):
        for i in range(5):
            root.create_domain("lxc", f"more{i}")


def test_signals_go_on_after_a_restart(root, signals, probe):
    root.create_driver("lxc")
    root.create_domain("lxc", "web")
    process = probe()
    root.attach("lxc", "web", process.pid)
    kill_daemon(root)
    assert root.get(WEB, DOMAIN, "State") == "running"
    process.close()
    signals.wait_property(WEB, "State", "empty")


def test_denials_are_told_after_a_restart(root, signals, probe):
    root.create_driver("lxc")
    process = probe()
    root.create_domain("lxc", "web", f"{{'PIDs': <[uint32 {process.pid}]>}}")
    kill_daemon(root)
    root.get(ROOT, MANAGER, "NDrivers")
    assert process.open("/dev/fuse", "r") == "EPERM"
    signals.wait(lambda path, member, arguments: (path, member) == (WEB, "DeviceDenied") and
                 arguments == ("c", 10, 229, "r", 1))


def test_two_restarts_leave_one_program(service, root):
    root.create_driver("lxc")
    root.create_domain("lxc", "web", "{'DeviceAllow': <[('@pseudo', 'rw')]>}")
    first = program(service.group / "lxc")
    for _ in range(2):
        kill_daemon(root)
        assert root.get(LXC, DRIVER, "Sealed") is True
    assert program(service.group / "lxc") == first


# ---- what the daemon finds when it starts ----

def test_what_was_never_finished_is_removed(service, root):
    """The daemon was killed after it made the group and before it said so. Nobody was told of it."""
    root.create_driver("lxc")
    root.create_driver("half")
    for name in ("web", "half"):
        root.create_domain("lxc", name, "{'DeviceAllow': <[('@pseudo', 'rw')]>}")
    for group in ("lxc/half", "half"):
        os.removexattr(service.group / group, "trusted.cordon.kind")
    os.makedirs(service.group / "lxc/other/nested")
    (service.group / "new").mkdir()
    kill_daemon(root)
    assert set(root.managed()) == {LXC, WEB}
    assert sorted(path.name for path in service.group.iterdir() if path.is_dir()) == ["lxc"]
    assert sorted(path.name for path in (service.group / "lxc").iterdir() if path.is_dir()) == ["web"]
    check_seals(service)
    root.create_driver("half")
    root.create_domain("lxc", "half")


def test_what_was_never_finished_and_holds_a_process_gets_nothing(service, root, probe):
    root.create_driver("lxc")
    process = probe()
    process.enter(str(service.group / "lxc/half"))
    kill_daemon(root)
    assert set(root.managed()) == {LXC}
    assert process.open("/dev/null", "r") == "EPERM" and process.group().endswith("/lxc/half")


def test_what_is_wider_than_its_record_is_narrowed(service, root, probe):
    """The daemon was killed between changing the kernel's list and recording it: nothing was acknowledged."""
    root.create_driver("lxc")
    root.create_domain("lxc", "web", "{'DeviceAllow': <[('/dev/null', 'r'), ('/dev/zero', 'rw')]>}")
    process = probe()
    root.attach("lxc", "web", process.pid)
    old = os.getxattr(service.group / "lxc/web", "trusted.cordon.devices")
    root.call(WEB, DOMAIN, "SetDevices", "([('/dev/null', 'rw'), ('/dev/full', 'r'), ('/dev/zero', 'r')],)")
    os.setxattr(service.group / "lxc/web", "trusted.cordon.devices", old)
    kill_daemon(root)
    assert root.get(WEB, DOMAIN, "DeviceAllow") == [("/dev/null", "r"), ("c:1:5", "r")]
    assert root.get(WEB, DOMAIN, "EffectiveDevices") == [("c", 1, 3, "r"), ("c", 1, 5, "r")]  # and never widened
    opens = [process.open(f"/dev/{name}", mode) for name, mode in [("null", "r"), ("null", "w"), ("full", "r")]]
    assert opens == [0, "EPERM", "EPERM"]


def test_a_lost_seal_is_put_back(service, root, probe):
    root.create_driver("lxc")
    devices = [("/dev/null", "rw"), ("/dev/zero", "r")]
    root.create_domain("lxc", "web", f"{{'DeviceAllow': <{devices}>}}")
    process = probe()
    root.attach("lxc", "web", process.pid)
    bpftool("cgroup", "detach", service.group / "lxc", "device", "id", program(service.group / "lxc"))
    assert root.get(LXC, DRIVER, "Sealed") is False
    assert process.open("/dev/full", "r") == ("EPERM" if "devices" in service.v1 else 0)  # whose lists stand behind
    kill_daemon(root)
    assert root.get(LXC, DRIVER, "Sealed") is True
    assert root.get(WEB, DOMAIN, "EffectiveDevices") == []  # what a record says is not taken for a grant
    assert (process.open("/dev/full", "r"), process.open("/dev/zero", "r")) == ("EPERM", "EPERM")
    root.call(WEB, DOMAIN, "SetDevices", f"({devices},)")  # by one who may
    assert root.get(WEB, DOMAIN, "EffectiveDevices") == [("c", 1, 3, "rw"), ("c", 1, 5, "r")]
    assert (process.open("/dev/full", "r"), process.open("/dev/zero", "r")) == ("EPERM", 0)


def test_one_device_after_a_lost_seal(service, root):
    root.create_driver("lxc")
    root.create_domain("lxc", "web", "{'DeviceAllow': <[('/dev/null', 'rw')]>}")
    bpftool("cgroup", "detach", service.group / "lxc", "device", "id", program(service.group / "lxc"))
    kill_daemon(root)
    root.call(WEB, DOMAIN, "AllowDevices", "([('/dev/zero', 'r')],)")
    assert root.get(WEB, DOMAIN, "EffectiveDevices") == [("c", 1, 5, "r")]


@pytest.mark.parametrize("attribute, value", [("owner", b""), ("owner", b"-1"), ("devices", b"x"),
                                              ("devices", b"@pseudo\trw\tc:1")])
def test_a_domain_with_damaged_attributes_is_left_alone(service, root, probe, attribute, value):
    root.create_driver("lxc")
    for name in ("web", "good"):
        root.create_domain("lxc", name, "{'DeviceAllow': <[('/dev/null', 'r')]>}")
    os.setxattr(service.group / "lxc/web", f"trusted.cordon.{attribute}", value)
    kill_daemon(root)
    assert set(root.managed()) == {LXC, domain_path("lxc", "good")}
    assert "its attributes are damaged" in service.log() and (service.group / "lxc/web").exists()


# ---- behind its back ----

def test_a_domain_that_somebody_else_removes(service, root, signals):
    root.create_driver("lxc")
    root.create_domain("lxc", "web")
    root.create_domain("lxc", "db")
    signals.take()
    (service.group / "lxc/web").rmdir()
    signals.wait(lambda path, member, arguments: member == "InterfacesRemoved" and arguments[0] == WEB)
    assert [row[1] for row in root.list_domains()] == ["db"] and root.get(LXC, DRIVER, "NDomains") == 1
    check_seals(service)
    root.create_domain("lxc", "web")


def test_a_domain_that_somebody_removes_while_nobody_looks(service, root):
    root.create_driver("lxc")
    root.create_domain("lxc", "web", "{'DeviceAllow': <[('@pseudo', 'rw')]>}")
    os.kill(root.daemon_pid(), signal.SIGSTOP)
    (service.group / "lxc/web").rmdir()
    kill_daemon(root)
    assert set(root.managed()) == {LXC}
    check_seals(service)


@pytest.mark.parametrize("domains", [[], ["web", "db"]], ids=["empty", "with domains"])
def test_a_driver_that_somebody_else_removes(service, root, signals, domains):
    root.create_driver("lxc")
    root.create_driver("other")
    for name in domains:
        root.create_domain("lxc", name)
    signals.take()
    for name in domains:
        (service.group / "lxc" / name).rmdir()
    (service.group / "lxc").rmdir()
    signals.wait(lambda path, member, arguments: member == "InterfacesRemoved" and arguments[0] == LXC)
    assert root.call(ROOT, MANAGER, "ListDrivers")[0] == [("other", driver_path("other"))]
    assert (root.get(ROOT, MANAGER, "NDrivers"), root.get(ROOT, MANAGER, "NDomains")) == (1, 0)
    root.create_driver("lxc")  # the name is free again
    assert root.get(LXC, DRIVER, "Sealed") is True
    root.create_domain("lxc", "web")
    check_seals(service)


# ---- idle ----

@pytest.fixture
def brief():
    """Makes services that end after a second without a call."""
    made = []

    def make(**options):
        made.append(Service(daemon_args="--idle 1", rules=RULES, **options))
        return made[-1]
    yield make
    for service in made:
        service.close()


def test_idle_exit_and_return(brief):
    service = brief()
    root, caller = service.client(), service.client(5)
    signals = Signals(root)
    populate(service, root, caller)
    for _ in range(2):
        before, old = everything(root), root.daemon_pid()
        signals.take()
        signals.wait_name(owned=False)
        assert everything(root) == before and root.daemon_pid() != old


@pytest.mark.parametrize("why", ["process", "nested process", "frozen process", "question"])
def test_no_exit_with_something_to_do(brief, why):
    """Another daemon that was left alone later has ended: this one would have before."""
    service, other = brief(), brief()
    root, caller = service.client(), service.client(5)
    root.create_driver("lxc")
    root.create_domain("lxc", "web")
    with Probe() as process:
        if why == "question":
            caller.call(ROOT, MANAGER, "ListDrivers")
            with pytest.raises(Exception, match="Interactive"):
                caller.create_driver("ask")  # polkitd is there by now
            agent = Agent(service.client())
            agent.watch(caller)
            slot = caller.start(ROOT, MANAGER, "CreateDriver", "('ask', @a{sv} {})", interactive=True)
            prompt = agent.prompt()
        else:
            root.attach("lxc", "web", process.pid)
            if why == "nested process":
                process.enter(str(service.group / "lxc/web/nested"))
            if why == "frozen process":
                root.call(WEB, DOMAIN, "Freeze")
        pid, signals = root.daemon_pid(), Signals(root)
        witness = other.client()
        ended = Signals(witness)
        witness.get(ROOT, MANAGER, "NDrivers")
        ended.wait_name(owned=False)
        assert root.daemon_pid() == pid
        assert not [signal for signal in signals.take() if signal[1] == "NameOwnerChanged" and signal[2][0] == NAME]
        if why == "question":
            prompt.authenticate()
            caller.finish(slot)
    assert root.get(ROOT, MANAGER, "NDrivers") == (2 if why == "question" else 1)


def test_exit_after_the_caller_has_left(brief):
    """Whoever leaves while polkit thinks keeps nothing open."""
    service = brief()
    root, caller = service.client(), service.client(5)
    with pytest.raises(Exception, match="Interactive"):
        caller.create_driver("ask")
    agent, signals = Agent(service.client()), Signals(root)
    agent.watch(caller)
    caller.start(ROOT, MANAGER, "CreateDriver", "('ask', @a{sv} {})", interactive=True)
    prompt = agent.prompt()
    caller.close()
    agent.wait_cancelled(prompt)
    signals.wait_name(owned=False)
    assert root.managed() == {}


def running_daemon(client):
    """A pidfd of one that was called just now; on a loaded machine it may be gone before it is looked at."""
    for _ in range(30):
        client.get(ROOT, MANAGER, "NDrivers")
        with contextlib.suppress(BusError, ProcessLookupError):
            return os.pidfd_open(client.daemon_pid())
    raise TimeoutError("no daemon stays")


def test_no_call_is_lost_around_the_idle_moment(brief):
    """Calls that meet the daemon as it goes, from a little before to a little after."""
    services, lost = [brief(polkit=False) for _ in range(6)], []

    def call_again_and_again(service, first):
        client = Client(service.address)
        try:
            client.create_driver("lxc")
            for i in range(5):
                going, daemon = select.poll(), running_daemon(client)
                going.register(daemon, select.POLLIN)
                client.create_domain("lxc", f"d{i}")
                going.poll(994 + 2 * (first + i))  # its end, or this moment
                os.close(daemon)
                assert len(client.list_domains()) == i + 1
        except Exception as error:  # told in the main thread
            lost.append(error)
        client.close()
    threads = [threading.Thread(target=call_again_and_again, args=(service, i)) for i, service in enumerate(services)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []
    for service in services:
        client = service.client()
        assert sorted(row[1] for row in client.list_domains("lxc")) == [f"d{i}" for i in range(5)]


def test_a_call_that_arrives_before_the_name_is_given_back(brief):
    """The bus is held, so that the call is already in its hands when the daemon asks to let the name go."""
    service = brief(polkit=False)
    root, newcomer = service.client(), UserClient(service.address, 0)  # who it is must be asked, which takes a turn
    root.create_driver("lxc")
    bus, daemon = root.owner_pid("org.freedesktop.DBus"), os.pidfd_open(root.daemon_pid())
    ending = select.poll()
    ending.register(daemon, select.POLLIN)
    root.get(ROOT, MANAGER, "NDrivers")
    os.kill(bus, signal.SIGSTOP)
    try:
        slot = newcomer.start(ROOT, MANAGER, "CreateDriver", "('new', @a{sv} {})")
        assert ending.poll(1500) == []  # the idle moment passes; the daemon cannot end before the bus has answered
    finally:
        os.kill(bus, signal.SIGCONT)
    assert newcomer.finish(slot) == (driver_path("new"),)
    assert root.get(ROOT, MANAGER, "NDrivers") == 2
    newcomer.close()
    os.close(daemon)
