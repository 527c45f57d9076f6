# SPDX-License-Identifier: LGPL-2.1-or-later
"""The seals as bpftool shows them."""
import json
import pathlib
import subprocess
import sys


def bpftool(*arguments):
    done = subprocess.run(["bpftool", "-j", *map(str, arguments)], check=True, stdout=subprocess.PIPE, timeout=30)
    return json.loads(done.stdout or "null")


def program(driver):
    """The id of the only program on a driver's group."""
    found, = bpftool("cgroup", "show", driver)
    return found["id"]


def map_of_domains(driver):
    """By which a driver's seal decides."""
    ours = bpftool("prog", "show", "id", program(driver))["map_ids"]
    return next(each["id"] for each in bpftool("map", "show") if each["id"] in ours and each.get("name") == "domains")


def check_seals(service):
    """Each driver's seal knows the domains that exist, and no other."""
    for driver in filter(pathlib.Path.is_dir, service.group.iterdir()):
        known = bpftool("map", "dump", "id", map_of_domains(driver))
        keys = {int.from_bytes(bytes(int(byte, 0) for byte in entry["key"]), sys.byteorder) for entry in known}
        assert keys == {domain.stat().st_ino for domain in driver.iterdir() if domain.is_dir()}
