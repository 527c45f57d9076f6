# SPDX-License-Identifier: LGPL-2.1-or-later
"""What was refused is told: to clients by a signal, to the administrator by the journal, which names the process."""
import json
import pathlib
import subprocess

from machine import TIMEOUT, until

MESSAGE_ID = "7f6c2f0a5b0e4a0d9a3c1e5d8b7f4c21"


def entries(domain):
    """Of the journal, about a domain."""
    done = subprocess.run(["journalctl", "--output=json", "--no-pager", f"MESSAGE_ID={MESSAGE_ID}",
                           f"CORDON_DOMAIN={domain.name}"], stdout=subprocess.PIPE, check=True, timeout=TIMEOUT)
    return [json.loads(line) for line in done.stdout.splitlines()]


def fields(entry):
    return {name: value for name, value in entry.items() if name.startswith("CORDON_")}


def test_the_journal_names_device_and_process(driver, signals):
    domain = driver.domain(DeviceAllow=[("/dev/null", "r")])
    probe = domain.probe()
    assert probe.open("/dev/fuse", "rw") == probe.open("/dev/null", "rw") == probe.mknod("b", 300, 5) == "EPERM"
    command = pathlib.Path(f"/proc/{probe.pid}/comm").read_text().strip()
    who = {"CORDON_DRIVER": driver.name, "CORDON_DOMAIN": domain.name, "CORDON_COUNT": "1",
           "CORDON_PID": str(probe.pid), "CORDON_COMMAND": command}
    told = until(lambda: len(found := entries(domain)) == 3 and found)
    assert [fields(entry) for entry in told] == [
        {**who, "CORDON_DEVICE": "c:10:229", "CORDON_DEVICE_NAME": "/dev/fuse", "CORDON_ACCESS": "rw"},
        {**who, "CORDON_DEVICE": "c:1:3", "CORDON_DEVICE_NAME": "/dev/null", "CORDON_ACCESS": "w"},
        {**who, "CORDON_DEVICE": "b:300:5", "CORDON_DEVICE_NAME": "b:300:5", "CORDON_ACCESS": "m"}]
    for entry in told:
        assert entry["PRIORITY"] == "5" and entry["_SYSTEMD_UNIT"] == "cordon.service"
        for word in domain.name, driver.name, entry["CORDON_DEVICE_NAME"], str(probe.pid):
            assert word in entry["MESSAGE"]
    # The signal, which every user receives, has no process in it.
    signals.wait(lambda path, member, arguments: (path, member) == (domain.path, "DeviceDenied") and
                 arguments == ("c", 10, 229, "rw", 1))


def test_what_goes_on_is_told_with_its_count_and_logged_once(driver, signals):
    domain = driver.domain()
    probe, asked, counts = domain.probe(), 0, []
    while len(counts) < 4:
        probe.open_often("/dev/fuse", "r", 100)
        asked += 100
        counts += [arguments[4] for path, member, arguments in signals.take()
                   if (path, member) == (domain.path, "DeviceDenied")]
        domain.get("Name")  # so that what the service has sent meanwhile is here
    assert counts[0] == 1 and counts == sorted(set(counts)) and counts[-1] <= asked
    assert domain.get("DeniedDevices") == asked
    assert [entry["CORDON_COUNT"] for entry in entries(domain)] == ["1"]
