# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which opens and mknods of real nodes each form of device permits, and in which groups."""
import os
import shutil
import stat

import pytest

import cordon
from sealed import group_of, move, refused

# Real devices, and numbers that the forms tell apart. A node without a driver opens with ENXIO, or with EPERM when the
# seal refuses it first.
PATHS = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/kmsg", "/dev/fuse", "/dev/tty", "/dev/ptmx",
         "/dev/loop0", "/dev/loop1"]
NUMBERS = [("c", 10, 200), ("c", 10, 232), ("c", 226, 0), ("c", 226, 128), ("c", 13, 63), ("c", 14, 3), ("c", 116, 1),
           ("c", 136, 9999), ("c", 143, 5), ("c", 135, 9), ("c", 144, 9), ("c", 4, 4000), ("c", 240, 3), ("b", 1, 3),
           ("b", 240, 0), ("b", 240, 1)]
PSEUDO = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)}

# Form, and which devices it means.
FORMS = [
    ("/dev/null", lambda t, x, y: (t, x, y) == ("c", 1, 3)),
    ("/dev/fuse", lambda t, x, y: (t, x, y) == ("c", 10, 229)),
    ("/dev/loop0", lambda t, x, y: (t, x, y) == ("b", 7, 0)),
    ("char-mem", lambda t, x, y: (t, x) == ("c", 1)),
    ("char-misc", lambda t, x, y: (t, x) == ("c", 10)),
    ("char-tty", lambda t, x, y: (t, x) == ("c", 4)),
    ("char-/dev/tty", lambda t, x, y: (t, x) == ("c", 5)),
    ("char-pt[ms]", lambda t, x, y: t == "c" and x in (128, 136)),
    ("char-m?m", lambda t, x, y: (t, x) == ("c", 1)),
    ("block-loop", lambda t, x, y: (t, x) == ("b", 7)),
    ("block-l*", lambda t, x, y: (t, x) == ("b", 7)),
    ("c:1:3", lambda t, x, y: (t, x, y) == ("c", 1, 3)),
    ("c:240:3", lambda t, x, y: (t, x, y) == ("c", 240, 3)),
    ("c:1:*", lambda t, x, y: (t, x) == ("c", 1)),
    ("c:*:3", lambda t, x, y: (t, y) == ("c", 3)),
    ("c:*:*", lambda t, x, y: t == "c"),
    ("b:7:1", lambda t, x, y: (t, x, y) == ("b", 7, 1)),
    ("b:7:*", lambda t, x, y: (t, x) == ("b", 7)),
    ("b:*:0", lambda t, x, y: (t, y) == ("b", 0)),
    ("b:*:*", lambda t, x, y: t == "b"),
    ("@pseudo", lambda t, x, y: t == "c" and ((x, y) in PSEUDO or 136 <= x <= 143)),
    ("@kvm", lambda t, x, y: (t, x, y) == ("c", 10, 232)),
    ("@dri", lambda t, x, y: (t, x) == ("c", 226)),
    ("@input", lambda t, x, y: (t, x) == ("c", 13)),
    ("@sound", lambda t, x, y: t == "c" and x in (14, 116)),
    ("@fuse", lambda t, x, y: (t, x, y) == ("c", 10, 229)),
    ("@tun", lambda t, x, y: (t, x, y) == ("c", 10, 200)),
]


class Nodes:
    """All those devices as nodes, and what they answer to a process that nothing confines."""

    def __init__(self, directory):
        self.devices = {}
        for path in PATHS:
            self.devices[path] = numbers_of(path)
        for kind, major, minor in NUMBERS:
            path = f"{directory}/{kind}-{major}-{minor}"
            os.mknod(path, (stat.S_IFCHR if kind == "c" else stat.S_IFBLK) | 0o600, os.makedev(major, minor))
            self.devices[path] = kind, major, minor
        with cordon.Probe() as probe:
            self.free = self.ask(probe)
        assert "EPERM" not in self.free.values()

    def ask(self, probe):
        """What each open and mknod answers."""
        requests = {}
        for path, numbers in self.devices.items():
            requests.update({(path, mode): ("open", path, mode) for mode in ("r", "w", "rw")})
            requests[path, "m"] = ("mknod", *numbers)
        return dict(zip(requests, probe.each(*requests.values())))

    def answers(self, *grants):
        """What they must answer under (predicate, access), …"""
        def permitted(numbers):
            return {letter for predicate, access in grants if predicate(*numbers) for letter in access}
        return {(path, mode): answer if set(mode) <= permitted(self.devices[path]) else "EPERM"
                for (path, mode), answer in self.free.items()}


def numbers_of(path):
    status = os.stat(path)
    return "c" if stat.S_ISCHR(status.st_mode) else "b", os.major(status.st_rdev), os.minor(status.st_rdev)


def is_device(*devices):
    return lambda *numbers: numbers in devices


NULL, ZERO, MEM = is_device(("c", 1, 3)), is_device(("c", 1, 5)), lambda t, x, y: (t, x) == ("c", 1)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    return Nodes(tmp_path_factory.mktemp("nodes"))


@pytest.fixture
def dev_directory():
    """A directory below /dev."""
    path = f"/dev/shm/cordon-test-{os.getpid()}"
    os.mkdir(path)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("what, predicate", FORMS, ids=[form for form, _ in FORMS])
def test_form(domain, nodes, what, predicate):
    assert any(predicate(*numbers) for numbers in nodes.devices.values()), "no node to tell by"
    for access in ("r", "w", "m", "rw", "rm", "wm", "rwm"):
        domain.set((what, access))
        assert nodes.ask(domain.probe) == nodes.answers((predicate, access)), access


@pytest.mark.parametrize("name, predicate", [("char-*", "c"), ("block-*", "b")])
def test_glob_of_all_names(domain, nodes, name, predicate):
    """Means what /proc/devices names now."""
    domain.set((name, "rwm"))
    majors = set()
    section = {"c": "Character", "b": "Block"}[predicate]
    with open("/proc/devices") as file:
        for line in file.read().split(f"{section} devices:\n")[1].split("\n\n")[0].splitlines():
            majors.add(int(line.split()[0]))
    assert nodes.ask(domain.probe) == nodes.answers((lambda t, x, y: t == predicate and x in majors, "rwm"))


@pytest.mark.parametrize("list_, grants", [
    ([("/dev/null", "r"), ("c:1:3", "w")], [(NULL, "rw")]),
    ([("/dev/null", "r"), ("/dev/null", "w")], [(NULL, "rw")]),
    ([("c:1:*", "r"), ("c:1:3", "w")], [(MEM, "r"), (NULL, "w")]),
    ([("c:*:*", "m"), ("char-mem", "r"), ("c:*:3", "w")],
     [(lambda t, x, y: t == "c", "m"), (MEM, "r"), (lambda t, x, y: (t, y) == ("c", 3), "w")]),
    ([("b:*:*", "r"), ("b:*:0", "m"), ("b:7:*", "w")],
     [(lambda t, x, y: t == "b", "r"), (lambda t, x, y: (t, y) == ("b", 0), "m"),
      (lambda t, x, y: (t, x) == ("b", 7), "w")]),
    ([("@pseudo", "r"), ("/dev/zero", "w"), ("b:1:3", "w")],
     [(FORMS[20][1], "r"), (ZERO, "w"), (is_device(("b", 1, 3)), "w")]),
], ids=lambda value: None if callable(value[0][0]) else "+".join(f"{what},{access}" for what, access in value))
def test_rules_add_up(domain, nodes, list_, grants):
    """Two that each give a part give the whole: O_RDWR asks for both at once."""
    domain.set(*list_)
    assert nodes.ask(domain.probe) == nodes.answers(*grants)
    domain.set()
    for pair in list_:
        domain.allow(pair)
    assert nodes.ask(domain.probe) == nodes.answers(*grants)


def test_created_with_its_list(world, nodes):
    domain = world.domain(("/dev/null", "rw"), ("b:7:0", "r"))
    assert nodes.ask(domain.process()) == nodes.answers((NULL, "rw"), (is_device(("b", 7, 0)), "r"))
    domain.remove()


def test_nothing_without_a_list(domain, nodes):
    assert nodes.ask(domain.probe) == nodes.answers()


def test_symbolic_links(domain, nodes, dev_directory):
    os.symlink("../../null", f"{dev_directory}/null")
    os.symlink("null", f"{dev_directory}/link-to-link")
    os.symlink("../..", f"{dev_directory}/top")
    for link in ("null", "link-to-link", "top/null"):
        domain.set((f"{dev_directory}/{link}", "rw"))
        assert domain.DeviceAllow == [("/dev/null", "rw")]
        assert nodes.ask(domain.probe) == nodes.answers((NULL, "rw"))
    os.unlink(f"{dev_directory}/null")
    os.symlink("../../zero", f"{dev_directory}/null")
    assert nodes.ask(domain.probe) == nodes.answers((NULL, "rw")), "a link counts when it is granted, not later"


def test_links_that_lead_nowhere_good(domain, nodes, dev_directory, tmp_path):
    os.mknod(tmp_path / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    for name, target in (("relative", "../../.." + str(tmp_path / "null")), ("absolute", str(tmp_path / "null")),
                         ("loop", "loop"), ("nothing", "missing"), ("directory", "../../shm"), ("up", "../../..")):
        os.symlink(target, f"{dev_directory}/{name}")
        with refused("InvalidDevice", f"{dev_directory}/{name}"):
            domain.allow(("/dev/null", "r"), (f"{dev_directory}/{name}", "r"))
    for path in ("/dev/fd/0", f"/dev/../{tmp_path}/null", "/dev/shm/../../etc/passwd"):
        with refused("InvalidDevice", path):
            domain.allow((path, "r"))
    assert domain.DeviceAllow == []
    assert nodes.ask(domain.probe) == nodes.answers()


def test_node_made_below_dev(domain, nodes, dev_directory):
    os.mknod(f"{dev_directory}/node", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    domain.set((f"{dev_directory}/node", "r"))
    os.unlink(f"{dev_directory}/node")
    os.mknod(f"{dev_directory}/node", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    assert nodes.ask(domain.probe) == nodes.answers((ZERO, "r")), "numbers are granted, not the name"


def test_access(domain):
    """access(2) asks the seal, too; F_OK asks for nothing, which any domain has, but v1's list must have the device."""
    domain.set(("/dev/null", "r"))
    assert domain.probe.access("/dev/null", os.F_OK) == 0
    assert domain.probe.access("/dev/fuse", os.F_OK) == ("EPERM" if "devices" in domain.world.service.v1 else 0)
    assert domain.probe.access("/dev/null", os.R_OK) == 0
    assert domain.probe.access("/dev/null", os.W_OK) == "EPERM"
    assert domain.probe.access("/dev/null", os.R_OK | os.W_OK) == "EPERM"
    assert domain.probe.access("/dev/fuse", os.R_OK) == "EPERM"


def test_whiteout_is_no_device(domain):
    """The kernel lets anybody make what overlayfs hides files by: no driver answers c 0:0."""
    assert domain.probe.mknod("c", 0, 0) == 0


@pytest.mark.parametrize("depth", [1, 20])
def test_groups_of_a_tenant(domain, nodes, depth):
    domain.set(("/dev/null", "rw"))
    assert domain.probe.enter(str(domain.group.joinpath(*["n"] * depth))) == 0
    assert group_of(domain.probe.pid).endswith("/n" * depth)
    assert nodes.ask(domain.probe) == nodes.answers((NULL, "rw"))
    domain.allow(("/dev/zero", "r"))
    assert nodes.ask(domain.probe) == nodes.answers((NULL, "rw"), (ZERO, "r"))
    domain.revoke(("/dev/null", "w"))
    assert nodes.ask(domain.probe) == nodes.answers((NULL, "r"), (ZERO, "r"))


def test_siblings(world, domain, nodes):
    domain.set(("/dev/null", "rw"))
    sibling = world.domain(("/dev/zero", "rw"))
    inside = sibling.process()
    assert nodes.ask(domain.probe) == nodes.answers((NULL, "rw"))
    assert nodes.ask(inside) == nodes.answers((ZERO, "rw"))
    domain.set()
    assert nodes.ask(inside) == nodes.answers((ZERO, "rw"))

    # From one's nested group to the other's, by a root that Cordon does not know of.
    for mount in cordon.cgroup_mounts():
        for each in (domain, sibling):
            (mount / each.group.relative_to(cordon.cgroup2_mount()) / "n").mkdir()
    domain.probe.enter(str(domain.group / "n"))
    inside.enter(str(sibling.group / "n"))
    move(domain.probe.pid, sibling.group / "n")
    assert nodes.ask(domain.probe) == nodes.answers((ZERO, "rw"))
    move(inside.pid, domain.group / "n")
    assert nodes.ask(inside) == nodes.answers()
    sibling.remove()


def test_one_list_for_each_driver(world, domain, nodes):
    """A domain of the same name in another driver is another domain."""
    domain.set(("/dev/null", "rw"))
    with world.driver("other"):
        twin = world.domain(("/dev/zero", "r"), driver="other", name=domain.name)
        assert nodes.ask(twin.process()) == nodes.answers((ZERO, "r"))
        assert nodes.ask(domain.probe) == nodes.answers((NULL, "rw"))
        twin.remove()


def test_groups_that_are_no_domain(world, nodes):
    """The driver group itself, and one that somebody made beside the domains, have nothing, not even F_OK."""
    with world.driver("bare") as group, cordon.Probe() as probe:
        controllers = (group / "cgroup.subtree_control").read_text().split()
        (group / "cgroup.subtree_control").write_text(" ".join("-" + name for name in controllers))
        (group / "stray").mkdir()
        for place in (group, group / "stray"):
            move(probe.pid, place)
            assert nodes.ask(probe) == nodes.answers()
            assert probe.access("/dev/null", os.F_OK) == "EPERM"
        move(probe.pid, cordon.cgroup2_mount())
        assert nodes.ask(probe) == nodes.free
        (group / "stray").rmdir()


def test_children(world, nodes):
    """One forked before stays outside, one forked after is in."""
    domain = world.domain(("/dev/null", "rw"))
    with cordon.Probe() as probe:
        before, outside = probe.fork(), group_of(os.getpid())
        command = ["sh", "-c", "cat /proc/self/cgroup; : < /dev/null && : < /dev/zero"]
        assert probe.run(*command)[0] == 0
        domain.attach(probe.pid)
        after = probe.fork()
        assert group_of(before) == outside
        assert group_of(after) == domain.ControlGroup
        status, text = probe.run(*command)
        assert status != 0 and f"0::{domain.ControlGroup}\n" in text
        assert "/dev/zero" in text and "/dev/null" not in text, "only zero is complained about"
        domain.attach(before)
        assert group_of(before) == domain.ControlGroup
        domain.remove()


def test_descriptor_opened_before(domain):
    """The seal checks open and mknod: a descriptor goes on, opening it again through /proc does not."""
    domain.set(("/dev/zero", "r"))
    fd = domain.probe.hold("/dev/zero", "r")
    domain.set()
    assert domain.probe.open("/dev/zero", "r") == "EPERM"
    assert domain.probe.read(fd) == 1
    assert domain.probe.open(f"/proc/self/fd/{fd}", "r") == "EPERM"


def test_descriptor_from_outside(domain):
    """What a process opened before it was attached it keeps, too."""
    with cordon.Probe() as probe:
        fd = probe.hold("/dev/zero", "r")
        domain.attach(probe.pid)
        assert probe.open("/dev/zero", "r") == "EPERM"
        assert probe.read(fd) == 1
