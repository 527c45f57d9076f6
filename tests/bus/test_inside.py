# SPDX-License-Identifier: LGPL-2.1-or-later
"""A caller inside the tree reads what everybody may read, and changes nothing, root or not."""
import os

import pytest

from calls import CHANGES, READS, name_of
from cordon import ACCESS_DENIED, DOMAIN, DRIVER, ERROR, MANAGER, ROOT, BusError, UserClient, domain_path, published

WHERE = ["lxc/web", "lxc/web/nested/deep", "lxc", "."]


@pytest.fixture
def inside(service, root):
    """Makes a client of any user whose process is in a group of the tree."""
    made = []
    root.create_driver("lxc")
    root.create_domain("lxc", "web", "{'DeviceAllow': <[('/dev/null', 'rw')]>}")

    def make(where, uid=0):
        made.append(UserClient(service.address, uid))
        (service.group / where).mkdir(parents=True, exist_ok=True)
        (service.group / where / "cgroup.procs").write_text(str(made[-1].pid))
        return made[-1]
    yield make
    for client in made:
        client.close()


def test_every_method_is_a_read_or_a_change():
    methods = [f"{interface.rpartition('.')[2]}.{method.get('name')}" for interface in (MANAGER, DRIVER, DOMAIN)
               for method in published(interface).findall("method")]
    assert sorted(map(name_of, READS + CHANGES)) == sorted(methods)


@pytest.mark.parametrize("where", WHERE)
def test_root_inside_changes_nothing(root, inside, where):
    client, before = inside(where), root.managed()
    group = open(f"/proc/{client.pid}/cgroup").read().rpartition("0::")[2].strip()
    for call in CHANGES:
        for interactive in (False, True):
            with pytest.raises(BusError) as caught:
                client.call(*call, interactive=interactive)
            assert caught.value.name == ACCESS_DENIED, name_of(call)
            assert "inside the tree" in caught.value.message and group in caught.value.message
    assert root.managed() == before


def test_an_owner_inside_changes_nothing(root, user, inside):
    root.create_driver("yes")
    path = user(5).create_domain("yes", "mine")
    client = inside("yes/mine", 5)
    for member, arguments in [("Remove", "(true,)"), ("Kill", "(9,)"), ("SetDevices", "(@a(ss) [],)"),
                              ("Freeze", "()"), ("Thaw", "()")]:
        with pytest.raises(BusError) as caught:
            client.call(path, MANAGER + ".Domain", member, arguments)
        assert caught.value.name == ACCESS_DENIED
    client.process.poll()
    assert client.process.returncode is None and ("yes", "mine", "running", 5, path) in root.list_domains()


def test_whoever_moves_in_is_refused_from_then_on(service, root, inside, user):
    """What the daemon remembers of a caller is who it is, not where."""
    client = UserClient(service.address, 0)
    try:
        client.create_driver("other")
        root.attach("lxc", "web", client.pid)
        with pytest.raises(BusError) as caught:
            client.create_driver("more")
        assert caught.value.name == ACCESS_DENIED
        (service.group.parent / "cgroup.procs").write_text(str(client.pid))
        client.create_driver("more")
    finally:
        client.close()


@pytest.mark.parametrize("where", WHERE)
def test_reading_inside(root, inside, where):
    client = inside(where)
    assert client.managed() == root.managed()
    for path, interface, member, arguments in READS:
        if member == "GetDomainByPIDFD":  # UserClient sends no descriptors; it takes the same road
            continue
        if member == "GetDomainByPID" and "web" not in where:
            with pytest.raises(BusError) as caught:
                client.call(path, interface, member, arguments)
            assert caught.value.name == ERROR + "NoSuchDomain"
        else:
            answer = client.call(path, interface, member, arguments)
            if member == "GetDomainByPID":
                assert answer == (domain_path("lxc", "web"),)


def test_the_caller_is_in_no_domain(root):
    with pytest.raises(BusError) as caught:
        root.call(ROOT, MANAGER, "GetDomainByPID", "(uint32 0,)")
    assert caught.value.name == ERROR + "NoSuchDomain" and f"process {os.getpid()} " in caught.value.message
