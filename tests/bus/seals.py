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


def maps_of(driver):
    """By which a driver's seal decides: {name: id}."""
    ours = bpftool("prog", "show", "id", program(driver))["map_ids"]
    return {each["name"]: each["id"] for each in bpftool("map", "show") if each["id"] in ours and "name" in each}


def domains_in(map_):
    """The domains by which keys of a map begin."""
    return {int.from_bytes(bytes(int(byte, 0) for byte in entry["key"][:8]), sys.byteorder)
            for entry in bpftool("map", "dump", "id", map_)}


def check_seals(service):
    """Each driver's seal knows the domains that exist, and no other."""
    for driver in filter(pathlib.Path.is_dir, service.group.iterdir()):
        maps, domains = maps_of(driver), {domain.stat().st_ino for domain in driver.iterdir() if domain.is_dir()}
        assert domains_in(maps["refusals"]) == domains
        assert domains_in(maps["rules"]) <= domains
