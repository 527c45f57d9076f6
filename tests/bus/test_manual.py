# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual names what there is, its examples work, and README's tour does."""
import os
import pathlib
import re
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree

import pytest

from cordon import DOMAIN, DRIVER, INTERACTIVE, MANAGER, TOP, BusError, Service
from manual import examples, plain

BUILD = pathlib.Path(os.environ.get("CORDON_BUILD", TOP / "build"))
MAN = TOP / "data/man"
LIMITS = BUILD / "data/man/cordon-limits.7"
PAGES = sorted(MAN.glob("*.[1-8]")) + [LIMITS, BUILD / "data/man/cordon-hosts.7"]
INTERFACE_PAGE = MAN / "org.cordon.CgroupManager1.5"


def section(title):
    """The source lines of a section of the page about the interface."""
    page = INTERFACE_PAGE.read_text()
    return re.search(rf"^\.SH {re.escape(title)}\n(.*?)(?=^\.SH |\Z)", page, re.M | re.S).group(1)


def tags(source):
    """What the tagged paragraphs of the top level are about: one string for each line of tags."""
    depth, lines = 0, source.splitlines()
    for macro, line in zip(lines, lines[1:]):
        depth += {".RS": 1, ".RE": -1}.get(macro, 0)
        if macro in (".TP", ".TQ") and depth == 0:
            yield plain(line)


def names(source):
    """Tags that are lists of names."""
    return {name for tag in tags(source) for name in tag.split(", ")}


# ---- the interface ----

def tables():
    """Limits and figures, which have their own page."""
    return set(re.findall(r"^(\w+)\t[a-z(]", LIMITS.read_text(), re.M))


def xml(interface):
    root = ElementTree.parse(TOP / f"dbus/{interface}.xml").getroot()
    return root.find(f"interface[@name='{interface}']")


def arguments(element, direction=None):
    return ", ".join(f"{arg.get('type')} {arg.get('name')}" for arg in element.iter("arg")
                     if direction is None or arg.get("direction") == direction)


def describe_call(element):
    """As the manual writes it: CreateDriver(s name, a{sv} properties) -> o driver."""
    if element.tag == "signal":
        return f"{element.get('name')}({arguments(element)})"
    out = arguments(element, "out")
    return f"{element.get('name')}({arguments(element, 'in')})" + (f" -> {out}" if out else "")


def describe_property(element):
    """As the manual writes it: Version (s, constant)."""
    emits = [note.get("value") for note in element.iter("annotation")]
    mark = {"const": ", constant", "false": ", not announced", "invalidates": ", invalidated"}[emits[0]] if emits else ""
    return f"{element.get('name')} ({element.get('type')}{mark})"


@pytest.mark.parametrize("interface", [MANAGER, DRIVER, DOMAIN])
def test_interface(interface):
    element, source = xml(interface), section(f"INTERFACE {interface}")
    there = {describe_call(call) for call in [*element.iter("method"), *element.iter("signal")]}
    there |= {describe_property(prop) for prop in element.iter("property") if prop.get("name") not in tables()}
    assert set(tags(source)) == there


@pytest.mark.parametrize("interface", [DRIVER, DOMAIN])
def test_limits_and_figures(interface):
    assert tables() <= {prop.get("name") for prop in xml(interface).iter("property")}


@pytest.mark.parametrize("method, table", [("CreateDriver", "driver"), ("CreateDomain", "domain")])
def test_properties_of_creation(method, table):
    code = re.search(rf"Property {table}_properties\[\] = {{(.*?)\n}};", (TOP / "dbus/decode.c").read_text(), re.S)
    there = {f"{name} ({type_})" for name, type_ in re.findall(r'{ "(\w+)", "(.*?)",', code.group(1))}
    nested = re.search(rf"^\.B {method}\(.*?^\.RS\n(.*?)^\.RE", section(f"INTERFACE {MANAGER}"), re.M | re.S).group(1)
    assert set(tags(nested)) == there


def test_errors():
    code = (TOP / "dbus/bus-error.c").read_text()
    there = set(re.findall(r'OWN\("(\w+)"\)', code))
    there |= {"".join(word.capitalize() for word in name.split("_"))
              for name in re.findall(r"SD_BUS_ERROR_([A-Z_]+)", code)}
    assert names(section("ERRORS")) == there


def test_presets():
    code = (TOP / "service/device-resolve.c").read_text()
    nested = re.search(r"^\.RS\n(.*?)^\.RE", section("DEVICES"), re.M | re.S).group(1)
    assert names(nested) == set(re.findall(r'{ "(@\w+)",', code))


def test_actions_and_details():
    policy = ElementTree.parse(TOP / "polkit/org.cordon.CgroupManager1.policy")
    actions = {action.get("id").removeprefix(MANAGER + ".") for action in policy.iter("action")}
    code = re.search(r"details\[\] = {(.*?)};", (TOP / "dbus/request.c").read_text(), re.S).group(1)
    details = set(re.findall(r'^ +"(\w+)", [\w>-]', code, re.M))
    assert names(section("AUTHORIZATION")) == actions | details


@pytest.mark.parametrize("file, macro", [
    ("service/device.h", "DEVICE_GRANTS_MAX"), ("service/device.h", "DEVICE_RULES_MAX"),
    ("service/device.h", "DEVICE_NAME_MAX"), ("service/name.h", "NAME_LENGTH_MAX"),
    ("service/bpf/seal.h", "SEAL_DOMAINS_MAX"), ("service/bpf/seal.h", "SEAL_RULES_MAX"),
    ("service/bpf/seal.h", "SEAL_EVENTS_PER_INTERVAL"),
    ("dbus/decode.c", "PROCESSES_MAX"), ("dbus/request.c", "REQUESTS_PER_USER_MAX")])
def test_bounds(file, macro):
    number = re.search(rf"^#define {macro} (\d+)\b", (TOP / file).read_text(), re.M).group(1)
    assert re.search(rf"\b{number}\b", INTERFACE_PAGE.read_text())


def test_journal():
    code = (TOP / "dbus/journal.c").read_text()
    page = plain((MAN / "cordond.8").read_text())
    there = set(re.findall(r'"(CORDON_\w+)=', code))
    assert set(re.findall(r"CORDON_\w+", page)) == there
    assert re.search(r'JOURNAL_DENIAL_ID "(\w+)"', (TOP / "dbus/journal.h").read_text()).group(1) in page


def test_options():
    usage = subprocess.run([BUILD / "daemon/cordond", "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    page = plain((MAN / "cordond.8").read_text())
    options = re.search(r"^\.SH OPTIONS\n(.*?)^\.SH ", page, re.M | re.S).group(1)
    assert set(re.findall(r"--\w+", options)) == set(re.findall(r"--\w+", usage))


# ---- the pages ----

@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_renders(page):
    done = subprocess.run(["man", "--warnings", "-l", page], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True, env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"})
    assert (done.returncode, done.stderr) == (0, "")


def test_references():
    """Pages of ours that are referred to are there."""
    ours = {page.name for page in PAGES}
    for page in PAGES:
        for name, number in re.findall(r"^\.BR ((?:org\.)?cordon\S*) \((\d)\)", page.read_text(), re.M):
            assert f"{plain(name)}.{number}" in ours, page


# ---- examples ----

def page_examples(page):
    text = re.search(r"^\.SH EXAMPLES\n(.*?)^\.SH ", page.read_text(), re.M | re.S).group(1)
    return examples(plain("".join(re.findall(r"^\.EX\n(.*?)^\.EE", text, re.M | re.S))))


def readme_examples():
    text = re.search(r"test_manual.py runs these.*?```\n(.*?)```", (TOP / "README.md").read_text(), re.S).group(1)
    return examples(text)


@pytest.fixture
def private():
    with Service() as running:
        yield running


@pytest.mark.parametrize("source", [INTERFACE_PAGE, LIMITS, TOP / "README.md"], ids=lambda source: source.name)
def test_examples(private, source):
    """They do what is shown. A limit whose controller this host does not have may be refused."""
    steps = readme_examples() if source.name == "README.md" else page_examples(source)
    if source == LIMITS:
        private.client().create_driver("lxc")
    for command, shown in steps:
        with tempfile.TemporaryFile("w+") as errors:  # a pipe would wait for what runs on
            done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, stderr=errors, text=True,
                                  env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": private.address})
            errors.seek(0)
            said = errors.read()
        if "SetProperties" in command and "is not handed over" in said:
            continue
        assert done.returncode == 0, (command, said)
        assert not shown or done.stdout == shown, command


def test_rule():
    """The rule for polkit lets through what it says, and no more."""
    rule = re.search(r"^polkit\.addRule.*?^}\);", plain(section("AUTHORIZATION")), re.M | re.S).group(0)
    with tempfile.TemporaryDirectory() as rules:
        os.chmod(rules, 0o755)  # polkitd is a user of its own
        pathlib.Path(rules, "50-cordon.rules").write_text(rule.replace("vmusers", "nogroup"))
        check_rule(rules)


def check_rule(rules):
    with Service(rules=rules) as running:
        root, nobody = running.client(), running.client(65534)
        for driver in ("lxc", "other"):
            root.create_driver(driver)
        nobody.create_domain("lxc", "none")
        nobody.create_domain("lxc", "pseudo", "{'DeviceAllow': <[('@pseudo', 'rw')]>, 'MaxDepth': <uint64 3>}")
        for driver, devices in (("other", "@a(ss) []"),
                                ("lxc", "[('/dev/null', 'r')]"),
                                ("lxc", "[('@pseudo', 'rwm')]"),
                                ("lxc", "[('@pseudo', 'rw'), ('@fuse', 'rw')]")):
            with pytest.raises(BusError) as caught:
                nobody.create_domain(driver, "more", f"{{'DeviceAllow': <{devices}>}}")
            assert caught.value.name == INTERACTIVE
