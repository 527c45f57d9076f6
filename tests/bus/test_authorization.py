# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may do what: the real polkitd with rules, with a person who answers, without either.

The driver's name decides what polkit says (rules/50-cordon.rules): "yes", "no", "half", "picky"; of others it wants an
administrator. Numbers of users: 1 daemon, 5 games.
"""
import os
import re
import signal

import pytest

from authority import POLKIT, Agent, WaitingPolkit
from calls import CHANGES, READS, name_of
from conftest import end_daemon, kill_daemon
from cordon import (ACCESS_DENIED, DOMAIN, DRIVER, ERROR, INTERACTIVE, MANAGER, ROOT, BusError, Service, domain_path,
                    driver_path)

NOBODY_SAID = "polkit says no"
ACTION = MANAGER + "."


def refused(call, name=ACCESS_DENIED, *words):
    with pytest.raises(BusError) as caught:
        call()
    assert caught.value.name == name, caught.value
    for word in words:
        assert word in caught.value.message


@pytest.fixture
def agent(service, root):
    root.ask_bus("StartServiceByName", f"({POLKIT!r}, uint32 0)")
    made = Agent(service.client())
    yield made
    made.close()


def questions(service, already=""):
    """What polkit's rules saw since: [(user, action, details)]."""
    log = (service.directory / "logs/polkitd.log").read_text().removeprefix(already)
    return [(user, action, dict(re.findall(r" (\w+)='(.*?)'", details))) for user, action, details in
            re.findall(r"^asked by (\w+): \[Action id='([^']*)'(.*)\]$", log, re.MULTILINE)]


# ---- the six actions, and the three answers ----

def cases(driver):
    """For each action: a call that needs it and no other, and what is asked of polkit about it."""
    on_driver, on_domain = (driver_path(driver), DRIVER), (domain_path(driver, "web"), DOMAIN)
    create = (f"({driver!r}, 'new', {{'DeviceAllow': <[('@pseudo', 'wr'), ('/dev/fuse', 'r')]>, "
              "'TasksMax': <uint64 5>, 'AllowedCPUs': <'0,1'>})")
    return {
        "manage-drivers": ((*on_driver, "SetProperties", "({'MaxDomains': <uint32 3>, 'CPUWeight': <uint64 1>},)"),
                           {"domain": "", "devices": "", "limits": "CPUWeight=1"}),
        "create-domain": ((ROOT, MANAGER, "CreateDomain", create),
                          {"domain": "new", "devices": "/dev/fuse r, @pseudo rw",
                           "limits": "AllowedCPUs=0,1 TasksMax=5"}),
        "set-limits": ((*on_domain, "SetProperties", "({'MemoryMax': <uint64 18446744073709551615>},)"),
                       {"domain": "web", "devices": "", "limits": "MemoryMax=infinity"}),
        "grant-devices": ((*on_domain, "AllowDevices", "([('/dev/zero', 'r')],)"),
                          {"domain": "web", "devices": "/dev/zero r", "limits": ""}),
        "attach-process": ((*on_domain, "AttachProcesses", "(@au [],)"),
                           {"domain": "web", "devices": "", "limits": ""}),
        "control-domain": ((*on_domain, "Remove", "(true,)"),
                           {"domain": "web", "devices": "", "limits": ""}),
    }


def call_or_lack_controller(client, *call):
    """An authorized call; a host may not have the controllers of the limits in it."""
    try:
        client.call(*call)
        return True
    except BusError as error:
        if error.name != ERROR + "ControllerUnavailable":
            raise
        return False


def state(service, root):
    groups = sorted(path for path in service.group.rglob("*") if path.is_dir())
    return groups, root.managed()


def log_of_polkitd(service):
    log = service.directory / "logs/polkitd.log"
    return log.read_text() if log.exists() else ""


@pytest.mark.parametrize("action", cases(""))
@pytest.mark.parametrize("driver", ["yes", "no", "ask"])
def test_each_action_with_each_answer(service, root, user, driver, action):
    caller = user(5)
    call, details = cases(driver)[action]
    root.create_driver(driver)
    root.create_domain(driver, "web", "{'DeviceAllow': <[('/dev/null', 'r')]>}")
    before, said = state(service, root), log_of_polkitd(service)
    if driver == "yes":
        done = call_or_lack_controller(caller, *call)
        assert (state(service, root) != before) == (done and action not in ("set-limits", "attach-process"))
    else:
        refused(lambda: caller.call(*call), ACCESS_DENIED if driver == "no" else INTERACTIVE, ACTION + action, call[2],
                NOBODY_SAID if driver == "no" else "an administrator has to authenticate")
        assert state(service, root) == before
    owner = "5" if action in ("manage-drivers", "create-domain") else "0"
    assert questions(service, said) == [("games", ACTION + action, {"driver": driver, "operation": call[2],
                                                                    "owner": owner, **details})]


@pytest.mark.parametrize("action", cases(""))
def test_root_is_not_asked_about(service, root, action):
    root.create_driver("no")
    root.create_domain("no", "web", "{'DeviceAllow': <[('/dev/null', 'r')]>}")
    said = log_of_polkitd(service)
    call_or_lack_controller(root, *cases("no")[action][0])
    assert questions(service, said) == []


def test_moving_a_process_of_another_user(root, user, probe):
    caller, process = user(5), probe()
    for driver in ("yes", "no"):
        root.create_driver(driver)
        root.create_domain(driver, "web")
    refused(lambda: caller.attach("no", "web", process.pid), ACCESS_DENIED, ACTION + "attach-process")
    caller.attach("yes", "web", process.pid)
    assert process.group().endswith("/yes/web")


def test_creating_and_removing_drivers(root, user):
    caller = user(5)
    caller.create_driver("yes")
    caller.call(driver_path("yes"), DRIVER, "Remove", "(false,)")
    caller.create_driver("yes")
    caller.remove_driver("yes")
    refused(lambda: caller.create_driver("no"), ACCESS_DENIED, "manage-drivers")
    root.create_driver("no")
    refused(lambda: caller.remove_driver("no"), ACCESS_DENIED, "manage-drivers")
    refused(lambda: caller.call(driver_path("no"), DRIVER, "Remove", "(true,)"), ACCESS_DENIED, "manage-drivers")
    assert root.call(ROOT, MANAGER, "ListDrivers")[0] == [("no", driver_path("no"))]


@pytest.mark.parametrize("who, domain, devices, limits, allowed", [
    (1, "d", "[('@pseudo', 'r'), ('/dev/fuse', 'wr')]", "", True),
    (1, "d", "[('/dev/fuse', 'rw'), ('@pseudo', 'r')]", "'TasksMax': <uint64 18446744073709551615>, "
                                                        "'CPUWeight': <uint64 50>, ", True),
    (5, "d", "[('@pseudo', 'r'), ('/dev/fuse', 'wr')]", "", False),
    (1, "e", "[('@pseudo', 'r'), ('/dev/fuse', 'wr')]", "", False),
    (1, "d", "[('@pseudo', 'r'), ('/dev/fuse', 'rwm')]", "", False),
    (1, "d", "[('@pseudo', 'r'), ('/dev/fuse', 'rw'), ('/dev/null', 'r')]", "", False),
    (1, "d", "[('@pseudo', 'r')]", "", False),
    (1, "d", "[('@pseudo', 'r'), ('/dev/fuse', 'wr')]", "'CPUWeight': <uint64 51>, ", False)])
def test_a_rule_that_reads_the_details(root, user, who, domain, devices, limits, allowed):
    root.create_driver("picky")
    caller = user(who)
    call = (ROOT, MANAGER, "CreateDomain", f"('picky', {domain!r}, {{{limits}'DeviceAllow': <{devices}>}})")
    if allowed:
        done = call_or_lack_controller(caller, *call)
        assert done or limits
        assert [row[3] for row in root.list_domains()] == [who] * done
    else:
        refused(lambda: caller.call(*call), ACCESS_DENIED, "create-domain")
        assert root.list_domains() == []


def test_a_rule_that_reads_operation_and_owner(root, user):
    root.create_driver("picky")
    owner, other = user(1), user(5)
    root.create_domain("picky", "web")
    refused(lambda: other.call(domain_path("picky", "web"), DOMAIN, "Kill", "(15,)"))
    root.remove_domain("picky", "web")
    path = owner.create_domain("picky", "d", "{'DeviceAllow': <[('/dev/fuse', 'rw'), ('@pseudo', 'r')]>}")
    other.call(path, DOMAIN, "Kill", "(15,)")
    refused(lambda: other.call(path, DOMAIN, "Remove", "(true,)"), ACCESS_DENIED, "control-domain")


# ---- owners ----

@pytest.fixture
def owned(root, user):
    """Domain `web`, of user 1, in a driver where everything but creating needs an administrator."""
    root.create_driver("half")
    owner = user(1)
    path = owner.create_domain("half", "web", "{'DeviceAllow': <[('/dev/null', 'rw'), ('/dev/zero', 'r')]>}")
    return owner, path


def test_what_an_owner_may_do_unasked(service, root, probe, owned):
    owner, path = owned
    said = log_of_polkitd(service)
    mine, also_mine = probe(1), probe(1)
    owner.attach("half", "web", mine.pid)
    assert mine.group().endswith("/half/web")
    owner.call(path, DOMAIN, "RevokeDevices", "([('/dev/null', 'w')],)")
    owner.call(path, DOMAIN, "SetDevices", "([('/dev/null', 'r')],)")
    assert root.get(path, DOMAIN, "DeviceAllow") == [("/dev/null", "r")]
    for member, then in [("Freeze", "frozen"), ("Thaw", "running")]:
        owner.call(path, DOMAIN, member)
        assert root.get(path, DOMAIN, "State") == then
    owner.call(path, DOMAIN, "Kill", f"({int(signal.SIGTERM)},)")
    assert mine.process.wait() == -signal.SIGTERM
    owner.attach("half", "web", also_mine.pid)
    owner.call(path, DOMAIN, "Remove", "(true,)")
    assert also_mine.process.wait() == -signal.SIGKILL
    owner.create_domain("half", "web", f"{{'PIDs': <[uint32 {probe(1).pid}]>}}")
    owner.remove_domain("half", "web")
    assert {action for _, action, _ in questions(service, said)} == {ACTION + "create-domain"}


@pytest.mark.parametrize("member, arguments, action", [
    ("AllowDevices", "([('/dev/fuse', 'r')],)", "grant-devices"),
    ("SetDevices", "([('/dev/null', 'rw'), ('/dev/fuse', 'r')],)", "grant-devices"),
    ("SetDevices", "([('/dev/null', 'rwm')],)", "grant-devices"),
    ("SetDevices", "([('c:1:*', 'r')],)", "grant-devices"),
    ("SetProperties", "({'TasksMax': <uint64 5>},)", "set-limits"),
    ("SetProperties", "(@a{sv} {},)", "set-limits")])
def test_what_an_owner_may_not(service, root, owned, member, arguments, action):
    owner, path = owned
    before = state(service, root)
    refused(lambda: owner.call(path, DOMAIN, member, arguments), INTERACTIVE, ACTION + action, member)
    assert state(service, root) == before


def test_a_process_of_another_user(root, probe, owned):
    owner, path = owned
    for other, client in [(probe(0), owner), (probe(5), owner)]:
        group = other.group()
        refused(lambda: client.attach("half", "web", other.pid), INTERACTIVE, ACTION + "attach-process")
        refused(lambda: client.create_domain("half", "new", f"{{'PIDs': <[uint32 {other.pid}]>}}"), INTERACTIVE,
                ACTION + "attach-process")
        assert other.group() == group
    assert [row[1] for row in root.list_domains()] == ["web"]


@pytest.mark.parametrize("member, arguments, action", [
    ("Kill", "(9,)", "control-domain"), ("Remove", "(true,)", "control-domain"),
    ("Freeze", "()", "control-domain"), ("Thaw", "()", "control-domain"),
    ("RevokeDevices", "([('/dev/null', 'w')],)", "control-domain"),
    ("SetDevices", "(@a(ss) [],)", "control-domain"), ("AttachProcesses", "(@au [],)", "attach-process")])
def test_a_domain_of_another_user(service, root, user, probe, owned, member, arguments, action):
    owner, path = owned
    owner.attach("half", "web", probe(1).pid)
    before, other = state(service, root), user(5)
    refused(lambda: other.call(path, DOMAIN, member, arguments), INTERACTIVE, ACTION + action, member)
    refused(lambda: other.attach("half", "web", other.pid), INTERACTIVE, ACTION + "attach-process")
    assert state(service, root) == before and root.get(path, DOMAIN, "State") == "running"


@pytest.mark.parametrize("member", ["Freeze", "Thaw"])
def test_freezing_a_domain_of_another_user(service, root, user, probe, member):
    """Who may, and what polkit is asked."""
    caller, then = user(5), {"Freeze": "frozen", "Thaw": "running"}[member]
    for driver in ("yes", "no"):
        root.create_driver(driver)
        root.create_domain(driver, "web", f"{{'PIDs': <[uint32 {probe().pid}]>}}")
        if member == "Thaw":
            root.call(domain_path(driver, "web"), DOMAIN, "Freeze")
    before, said = root.get(domain_path("no", "web"), DOMAIN, "State"), log_of_polkitd(service)
    refused(lambda: caller.call(domain_path("no", "web"), DOMAIN, member), ACCESS_DENIED, ACTION + "control-domain",
            member, NOBODY_SAID)
    assert root.get(domain_path("no", "web"), DOMAIN, "State") == before
    caller.call(domain_path("yes", "web"), DOMAIN, member)
    assert root.get(domain_path("yes", "web"), DOMAIN, "State") == then
    assert questions(service, said) == [
        ("games", ACTION + "control-domain", {"driver": driver, "domain": "web", "operation": member, "owner": "0",
                                              "devices": "", "limits": ""}) for driver in ("no", "yes")]


@pytest.mark.parametrize("to", [0, 1])
def test_delegating_to_somebody_else(service, root, user, to):
    """Nobody is asked: the caller may not, whatever polkit says."""
    caller = user(5)
    root.create_driver("yes")
    before, said = state(service, root), log_of_polkitd(service)
    refused(lambda: caller.create_domain("yes", "web", f"{{'DelegateUser': <uint32 {to}>}}"), ACCESS_DENIED, "user 5",
            f"not to user {to}")
    assert state(service, root) == before and questions(service, said) == []


def test_delegating_to_oneself_needs_the_right_to_create(service, root, user):
    caller, said = user(5), log_of_polkitd(service)
    for driver in ("yes", "no"):
        root.create_driver(driver)
    refused(lambda: caller.create_domain("no", "web", "{'DelegateUser': <uint32 5>}"), ACCESS_DENIED,
            ACTION + "create-domain")
    caller.create_domain("yes", "web", "{'DelegateUser': <uint32 5>}")
    assert (service.group / "yes/web").stat().st_uid == 5 and not (service.group / "no/web").exists()
    assert {action for _, action, _ in questions(service, said)} == {ACTION + "create-domain"}


@pytest.mark.parametrize("users", [(1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 1, 1)])
def test_a_setuid_process_is_not_its_users(probe, owned, users):
    """The real user, the effective and the saved one count."""
    owner, _ = owned
    process = probe()
    process.setresuid(*users)
    refused(lambda: owner.attach("half", "web", process.pid), INTERACTIVE, ACTION + "attach-process")


# ---- a person is asked ----

def test_the_flag_lets_a_person_say_yes(service, root, user, agent):
    caller = user(5)
    agent.watch(caller)
    refused(lambda: caller.create_driver("ask"), INTERACTIVE)
    assert agent.prompts == []
    slot = caller.start(ROOT, MANAGER, "CreateDriver", "('ask', @a{sv} {})", interactive=True)
    prompt = agent.prompt()
    assert prompt.action == ACTION + "manage-drivers"
    assert "“ask”" in prompt.message and "CreateDriver" in prompt.message
    assert root.call(ROOT, MANAGER, "ListDrivers")[0] == []
    prompt.authenticate()
    assert caller.finish(slot) == (driver_path("ask"),)
    assert root.get(driver_path("ask"), DRIVER, "Owner") == 5


@pytest.mark.parametrize("action", list(cases(""))[1:])
def test_what_a_person_reads(root, user, agent, action):
    caller = user(5)
    agent.watch(caller)
    root.create_driver("ask")
    root.create_domain("ask", "web", "{'DeviceAllow': <[('/dev/null', 'r')]>}")
    call, details = cases("ask")[action]
    slot = caller.start(*call, interactive=True)
    prompt = agent.prompt()
    assert prompt.action == ACTION + action
    shown = {"create-domain": ("domain", "devices", "limits"), "set-limits": ("domain", "limits"),
             "grant-devices": ("domain", "devices"), "attach-process": ("domain",),
             "control-domain": ("domain",)}[action]
    for word in ["ask", *(details[key] for key in shown), *([call[2]] if action == "control-domain" else [])]:
        assert word in prompt.message
    prompt.dismiss()
    refused(lambda: caller.finish(slot), ACCESS_DENIED, ACTION + action)


@pytest.mark.parametrize("how", ["dismiss", "fail"])
def test_a_person_says_no(root, user, agent, how):
    caller = user(5)
    agent.watch(caller)
    slot = caller.start(ROOT, MANAGER, "CreateDriver", "('ask', @a{sv} {})", interactive=True)
    getattr(agent.prompt(), how)()
    refused(lambda: caller.finish(slot), ACCESS_DENIED, ACTION + "manage-drivers", NOBODY_SAID)
    assert root.call(ROOT, MANAGER, "ListDrivers")[0] == []


def test_nobody_to_ask(user):
    """The flag, but no agent: the caller is told no, not asked to try again with the flag."""
    caller = user(5)
    refused(lambda: caller.create_driver("ask", interactive=True), ACCESS_DENIED, ACTION + "manage-drivers")


def test_two_actions_are_two_questions(root, user, probe, agent):
    """A yes to the first is not a yes to the second."""
    caller, process = user(5), probe()
    agent.watch(caller)
    root.create_driver("ask")
    start = lambda: caller.start(ROOT, MANAGER, "CreateDomain",
                                 f"('ask', 'web', {{'PIDs': <[uint32 {process.pid}]>}})", interactive=True)
    slot = start()
    prompt = agent.prompt()
    assert prompt.action == ACTION + "create-domain"
    prompt.authenticate()
    prompt = agent.prompt()
    assert prompt.action == ACTION + "attach-process" and root.list_domains() == []
    prompt.dismiss()
    refused(lambda: caller.finish(slot), ACCESS_DENIED, ACTION + "attach-process")
    assert root.list_domains() == []
    slot = start()
    agent.prompt().authenticate()
    agent.prompt().authenticate()
    assert caller.finish(slot) == (domain_path("ask", "web"),)
    assert process.group().endswith("/ask/web")


def test_the_caller_leaves_while_a_person_thinks(root, user, agent):
    caller = user(5)
    agent.watch(caller)
    caller.start(ROOT, MANAGER, "CreateDriver", "('ask', @a{sv} {})", interactive=True)
    prompt = agent.prompt()
    caller.close()
    agent.wait_cancelled(prompt)
    assert root.call(ROOT, MANAGER, "ListDrivers")[0] == []


@pytest.mark.parametrize("again", [False, True], ids=["removed", "replaced"])
@pytest.mark.parametrize("path, interface, member, arguments, what", [
    (ROOT, MANAGER, "RemoveDomain", "('ask', 'web', true)", "Domain"),
    (domain_path("ask", "web"), DOMAIN, "AllowDevices", "([('/dev/fuse', 'r')],)", "Domain"),
    (ROOT, MANAGER, "RemoveDriver", "('ask', true)", "Driver"),
    (driver_path("ask"), DRIVER, "SetProperties", "({'MaxDomains': <uint32 1>},)", "Driver"),
    (ROOT, MANAGER, "CreateDomain", "('ask', 'new', @a{sv} {})", "Driver")])
def test_the_target_goes_while_a_person_thinks(service, root, user, agent, path, interface, member, arguments, what,
                                               again):
    """What was allowed about one is not done to another of the same name."""
    caller = user(5)
    agent.watch(caller)
    root.create_driver("ask")
    root.create_domain("ask", "web")
    slot = caller.start(path, interface, member, arguments, interactive=True)
    prompt = agent.prompt()
    if what == "Domain":
        root.remove_domain("ask", "web")
    else:
        root.remove_driver("ask")
    if again:
        if what == "Driver":
            root.create_driver("ask")
        root.create_domain("ask", "web")
    before = state(service, root)
    prompt.authenticate()
    refused(lambda: caller.finish(slot), ERROR + "NoSuch" + what, "replaced meanwhile" if again else "no ")
    assert state(service, root) == before


def test_what_was_decoded_is_what_runs(root, user, agent):
    """A device node that is exchanged while a person thinks: what was shown is granted."""
    caller, link = user(5), f"/dev/cordon-test-{os.getpid()}"
    agent.watch(caller)
    root.create_driver("ask")
    os.symlink("zero", link)
    try:
        slot = caller.start(ROOT, MANAGER, "CreateDomain", f"('ask', 'web', {{'DeviceAllow': <[({link!r}, 'r')]>}})",
                            interactive=True)
        prompt = agent.prompt()
        os.unlink(link)
        os.symlink("mem", link)
        prompt.authenticate()
        caller.finish(slot)
    finally:
        os.unlink(link)
    assert "/dev/zero r" in prompt.message
    assert root.get(domain_path("ask", "web"), DOMAIN, "EffectiveDevices") == [("c", 1, 5, "r")]


# ---- polkit comes and goes ----

def test_polkitd_is_restarted_between_calls(root, user):
    caller = user(5)
    for end in (signal.SIGKILL, signal.SIGTERM):
        caller.create_driver("yes")
        end_daemon(root, end, POLKIT)
        caller.remove_driver("yes")
        refused(lambda: caller.create_driver("no"), ACCESS_DENIED)


def test_polkitd_dies_while_a_person_thinks(root, user, agent):
    caller = user(5)
    agent.watch(caller)
    slot = caller.start(ROOT, MANAGER, "CreateDriver", "('ask', @a{sv} {})", interactive=True)
    agent.prompt()
    kill_daemon(root, POLKIT)
    refused(lambda: caller.finish(slot), ACCESS_DENIED, ACTION + "manage-drivers", "polkit did not answer")
    assert root.call(ROOT, MANAGER, "ListDrivers")[0] == []
    caller.create_driver("yes")


def test_polkitd_hangs(root, user):
    """Stopped, not gone: whoever needs no polkit goes on, whoever waits gets its answer in the end."""
    waiting, reading = user(5), user(1)
    waiting.create_driver("yes")
    polkitd = root.owner_pid(POLKIT)
    os.kill(polkitd, signal.SIGSTOP)
    try:
        slot = waiting.start(ROOT, MANAGER, "CreateDomain", "('yes', 'late', @a{sv} {})")
        root.create_domain("yes", "now")
        root.create_driver("no")
        assert [row[1] for row in reading.list_domains()] == ["now"]
        assert reading.get(ROOT, MANAGER, "NDrivers") == 2
        assert not slot["event"].is_set()
    finally:
        os.kill(polkitd, signal.SIGCONT)
    assert waiting.finish(slot) == (domain_path("yes", "late"),)


def test_without_polkit():
    with Service(polkit=False) as service:
        root, caller = service.client(), service.client(5)
        root.create_driver("lxc")
        root.create_domain("lxc", "web", "{'DeviceAllow': <[('/dev/null', 'r')]>}")
        before = state(service, root)
        for path, interface, member, arguments in CHANGES:
            for interactive in (False, True):
                refused(lambda: caller.call(path, interface, member, arguments, interactive=interactive), ACCESS_DENIED,
                        member, "polkit is not there to be asked")
        assert state(service, root) == before
        for path, interface, member, arguments in READS:
            if member not in ("GetDomainByPID", "GetDomainByPIDFD"):
                caller.call(path, interface, member, arguments)
        for path, interface, member, arguments in CHANGES:
            if name_of((path, interface, member)) not in ("Domain.Remove", "Driver.Remove"):
                root.call(path, interface, member, arguments)


# ---- many at once ----

@pytest.fixture
def patient():
    """A service with a polkit that lets whoever asks about a domain "wait…" wait."""
    with Service(polkit=False) as service:
        polkit = WaitingPolkit(service.address)
        yield service, service.client(), polkit
        polkit.close()


def wait_in_line(service, polkit, clients, calls):
    """Each client makes as many calls that wait; returns when polkit has all the questions."""
    slots = [(client, client.start(ROOT, MANAGER, "CreateDomain", f"('lxc', 'wait{client.pid}-{j}', @a{{sv}} {{}})",
                                   interactive=True))
             for client in clients for j in range(calls)]
    for _ in slots:
        assert polkit.next()[0] == "asked"
    return slots


def test_two_hundred_at_the_prompt_delay_nobody(patient):
    service, root, polkit = patient
    root.create_driver("lxc")
    slots = wait_in_line(service, polkit, [service.client(5) for _ in range(10)], 20)
    caller = service.client(1)
    root.create_domain("lxc", "by-root")
    assert len(caller.list_domains("lxc")) == 1
    assert caller.get(driver_path("lxc"), DRIVER, "NDomains") == 1
    caller.create_domain("lxc", "by-rule")
    assert polkit.next() == ["asked", "by-rule"]
    assert not any(slot["event"].is_set() for _, slot in slots)
    assert sorted(row[1] for row in root.list_domains()) == ["by-root", "by-rule"]
    polkit.release()
    assert len({client.finish(slot) for client, slot in slots}) == 200
    assert root.get(ROOT, MANAGER, "NDomains") == 202


def test_callers_that_leave_make_room(patient):
    """Their questions are withdrawn, on whichever connection they were put."""
    service, root, polkit = patient
    root.create_driver("lxc")
    leaving, staying = [service.client(5) for _ in range(6)], service.client(5)
    wait_in_line(service, polkit, leaving, 20)
    slots = wait_in_line(service, polkit, [staying], 20)
    for client in leaving:
        client.close()
    assert [polkit.next() for _ in range(120)] == [["cancelled"]] * 120
    polkit.release()
    for client, slot in slots:
        client.finish(slot)
    assert root.get(ROOT, MANAGER, "NDomains") == 20


def test_one_user_cannot_fill_the_service(patient):
    service, root, polkit = patient
    root.create_driver("lxc")
    greedy = [service.client(5) for _ in range(6)]
    slots = wait_in_line(service, polkit, greedy[:5], 100) + wait_in_line(service, polkit, greedy[5:], 12)
    refused(lambda: greedy[5].create_domain("lxc", "more"), "org.freedesktop.DBus.Error.LimitsExceeded", "user 5",
            "512")
    service.client(1).create_domain("lxc", "other")
    assert polkit.next() == ["asked", "other"]
    root.create_domain("lxc", "root")
    assert not any(slot["event"].is_set() for _, slot in slots)
    polkit.release()
    for client, slot in slots:
        client.finish(slot)
    greedy[5].create_domain("lxc", "more")
