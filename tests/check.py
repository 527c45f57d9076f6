# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the tests of the kinds named (default: all but bench), and counts. Called by ./check, which installs what
they need."""
import argparse
import os
import pathlib
import queue
import stat
import subprocess
import sys
import tempfile
import threading
import xml.etree.ElementTree

TOP = pathlib.Path(__file__).resolve().parent.parent
EXPECTED_SKIPS = TOP / "tests/expected-skips"
# A machine with its controllers on cgroup v1 runs all but what v1 does not have.
V1 = "-m 'not unified'"
# What shows the same on each release, and takes minutes.
ONCE = "--deselect tests/hostile/test_without_guard.py --deselect tests/vm/test_bench.py"
VM, HOSTILE = "tests/vm", "tests/hostile"
MACHINES = {  # name: release, kernel arguments, arguments of pytest. The longest first.
    "bookworm": ("bookworm", "", f"{VM} {HOSTILE}"),
    "hybrid": ("bookworm", "systemd.unified_cgroup_hierarchy=0", f"{V1} {VM} {HOSTILE}"),
    "trixie": ("trixie", "", f"{ONCE} {VM} {HOSTILE}"),
    "legacy": ("bookworm", "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1", f"{V1} {VM}"),
}
# What the tests in a virtual machine need beside themselves: helpers, and a daemon of another version.
VM_FILES = ("README.md", "dbus", "tools", "build/tests/hostile/attack", "build/tests/kernel/opener",
            "build/tests/bench/bench", "build-upgrade/daemon/cordond")


# Without the end that Python makes of itself, in which PyGObject was seen to crash: the report is written by then.
PYTEST = "import os, pytest, sys; status = pytest.main(sys.argv[1:]); sys.stdout.flush(); os._exit(status)"


class Tally:
    """Passed, failed and skipped tests, by name."""

    def __init__(self):
        self.passed, self.failed, self.skipped = 0, [], []

    def add(self, name, outcome):
        if outcome == "passed":
            self.passed += 1
        else:
            getattr(self, outcome).append(name)

    def unexpected_skips(self):
        expected = {line.split("#")[0].strip() for line in EXPECTED_SKIPS.read_text().splitlines()} - {""}
        return [name for name in self.skipped if name not in expected]


def say(text):
    print(f"== {text}", flush=True)


def build(directory, *options):
    subprocess.run([TOP / "tools/build", TOP / directory, "-Dwerror=true", *options], check=True)


def read_junit(tally, path, prefix):
    """Counts the cases of a JUnit report; False when there is none to read."""
    try:
        root = xml.etree.ElementTree.parse(path).getroot()
    except (OSError, xml.etree.ElementTree.ParseError):
        return False
    for case in root.iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        tally.add(f"{prefix}/{case.get('classname')}::{case.get('name')}", outcome)
    return True


def run_meson(tally, directory, prefix):
    status = subprocess.run(["meson", "test", "-C", TOP / directory, "--suite", "unit", "--print-errorlogs"]).returncode
    if not read_junit(tally, TOP / directory / "meson-logs/testlog.junit.xml", prefix) or (status and not tally.failed):
        tally.add(f"{prefix}: meson test", "failed")


def run_pytest(tally, suite, directory, prefix, hierarchy=""):
    """Natively, on the build in `directory`; what private buses show the daemon is `hierarchy`."""
    with tempfile.TemporaryDirectory() as temporary:
        report = temporary + "/report.xml"
        status = subprocess.run(
            ["/usr/bin/python3", "-c", PYTEST, "-q", "-p", "no:cacheprovider", "--junitxml", report,
             TOP / "tests" / suite],
            env={**os.environ, "CORDON_BUILD": str(TOP / directory), "CORDON_HIERARCHY": hierarchy}).returncode
        before = len(tally.failed)
        if not read_junit(tally, report, prefix) or (status != 0 and len(tally.failed) == before):
            tally.add(f"{prefix}: pytest ended with {status}", "failed")


def run_vm(machine):
    """The same runner, inside a virtual machine. Returns its status, output, errors and report, which comes behind a mark."""
    release, kernel, arguments = machine
    command = (f"CORDON_VM=1 /usr/bin/python3 -c '{PYTEST}' -v -p no:cacheprovider --basetemp /var/tmp/pytest "
               f"--junitxml report.xml {arguments}; "
               "status=$?; echo; echo ==REPORT==; cat report.xml; exit $status")
    copies = TOP / "tests", *(TOP / file for file in VM_FILES)
    done = subprocess.run([TOP / "tests/vm/boot", "--release", release, "--timeout", "1700",
                           *(["--append", kernel] if kernel else []),
                           *(argument for file in copies for argument in ("--copy", file)),
                           "--", "sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output, _, report = done.stdout.partition("==REPORT==\n")
    return done.returncode, output, done.stderr, report


def count_vm(tally, name, status, output, errors, report):
    say(f"vm: {name}")
    print(output + errors, flush=True)
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
        file.write(report)
        file.flush()
        before = len(tally.failed)
        if not read_junit(tally, file.name, f"vm-{name}") or (status and len(tally.failed) == before):
            last = [text.strip().rpartition("\n")[2] for text in (output, errors)]
            tally.add(f"vm-{name}: ended with {status}: " + ": ".join(last), "failed")


def has_v1():
    """Whether this host has controllers on cgroup v1, which the suites can be shown without."""
    return any(line.split()[0] != "#subsys_name" and line.split()[1] != "0"
               for line in pathlib.Path("/proc/cgroups").read_text().splitlines())


def kind_unit(tally):
    say("unit: gcc")
    build("build")
    run_meson(tally, "build", "unit")
    say("unit: clang")
    os.environ["CC"] = "clang"
    build("build-clang")
    del os.environ["CC"]
    run_meson(tally, "build-clang", "unit-clang")


# On a host with controllers on cgroup v1 every suite runs on what the host is and on what a unified one would be, once
# plain and once under the sanitizers: half of the time for the same tests. The seal's own suite is plain without v1, whose
# lists would stand behind it.

def kind_bus(tally):
    say("bus")
    build("build")
    run_pytest(tally, "bus", "build", "bus")
    if has_v1():
        say("bus: legacy")
        run_pytest(tally, "bus/test_interface.py", "build", "bus-legacy", "legacy")


def kind_kernel(tally):
    build("build")
    if has_v1():
        for hierarchy in "", "legacy":
            say(f"kernel: v1 {hierarchy}")
            run_pytest(tally, "kernel/test_v1.py", "build", f"kernel-v1{hierarchy}", hierarchy)
    say("kernel")
    run_pytest(tally, "kernel", "build", "kernel", "unified" if has_v1() else "")


def kind_sanitizers(tally):
    say("unit, bus, kernel: ASan and UBSan")
    build("build-asan", "-Db_sanitize=address,undefined", "-Db_lundef=false")
    run_meson(tally, "build-asan", "unit-asan")
    run_pytest(tally, "bus", "build-asan", "bus-asan", "unified" if has_v1() else "")
    run_pytest(tally, "kernel", "build-asan", "kernel-asan")


def kind_hostile(tally):
    say("hostile")
    build("build")
    run_pytest(tally, "hostile", "build", "hostile")


# A machine takes one processor. One runs at a time beside the native suites, which leave one idle, then two: with two from the
# start all slow one another down, and the whole takes longer.
waiting, finished = queue.SimpleQueue(), {}


def run_machines():
    """One after the other, until none waits."""
    while True:
        try:
            name = waiting.get_nowait()
        except queue.Empty:
            return
        finished[name] = run_vm(MACHINES[name])


beside = threading.Thread(target=run_machines)


def start_machines(_tally):
    build("build")
    build("build-upgrade", "-Dbpf_args=-mcpu=v3", "-Dtests=false")
    for name in MACHINES:
        waiting.put(name)
    beside.start()


def kind_vm(tally):
    say("vm: " + ", ".join(MACHINES))
    run_machines()
    if beside.ident:
        beside.join()
    for name in MACHINES:
        if name in finished:
            count_vm(tally, name, *finished[name])
        else:
            tally.add(f"vm-{name}: did not run", "failed")


def kind_smoke(tally):
    say("benchmarks, small")
    build("build")
    run_pytest(tally, "bench", "build", "bench")


def kind_bench(tally):
    """Takes minutes and wants the machine for itself, so it is run only when it is asked for."""
    build("build")
    machine = [TOP / "tests/vm/boot", "--count-instructions", "--timeout", "1500", "--copy", TOP / "tests",
               "--copy", TOP / "dbus", "--copy", TOP / "build/tests/bench/bench", "--"]
    for where, command in (("native", [TOP / "tests/bench/bench.py"]),
                           ("vm", [*machine, "tests/bench/bench.py", "--installed"])):
        say(f"benchmarks: {where}")
        tally.add(f"bench: {where}", "failed" if subprocess.run(command).returncode else "passed")


KINDS = {"unit": kind_unit, "bus": kind_bus, "kernel": kind_kernel, "hostile": kind_hostile,
         "smoke": kind_smoke, "sanitizers": kind_sanitizers, "vm": kind_vm, "bench": kind_bench}
DEFAULT = [kind for kind in KINDS if kind != "bench"]


def main():
    parser = argparse.ArgumentParser(
        prog="check", description="Runs the tests. The last line counts them; the status is not 0 when one failed, or "
        "was skipped without being listed in tests/expected-skips.")
    parser.add_argument("kind", nargs="*", choices=[[], *KINDS],
                        help="one of: " + ", ".join(KINDS) + " (default: all but bench)")
    kinds = parser.parse_args().kind or DEFAULT
    for directory in TOP, *TOP.parents:
        if not directory.stat().st_mode & stat.S_IXOTH:
            parser.error(f"{directory} is closed to other users, as whom tests run programs of this tree: move it elsewhere")

    tally = Tally()
    for run in ([start_machines] if "vm" in kinds else []) + [KINDS[kind] for kind in kinds]:
        try:
            run(tally)
        except subprocess.CalledProcessError as error:
            tally.add(f"{run.__name__}: {error}", "failed")
    unexpected = tally.unexpected_skips()
    for name in tally.failed:
        print("failed:", name)
    for name in tally.skipped:
        print("skipped, unexpectedly:" if name in unexpected else "skipped:", name)
    print(f"{tally.passed} passed, {len(tally.failed)} failed, {len(tally.skipped)} skipped")
    sys.exit(1 if tally.failed or unexpected or not tally.passed else 0)


main()
