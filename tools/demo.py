# SPDX-License-Identifier: LGPL-2.1-or-later
"""What ./run shows: a sealed driver with two domains, and what a process in each can do. Talks to the system bus."""
import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from cordon import DOMAIN, DRIVER, MANAGER, ROOT, BusError, Client, Probe, domain_path, driver_path  # noqa: E402

ADDRESS = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/run/dbus/system_bus_socket")
LIMITS = {"MemoryMax": "uint64 67108864", "MemorySwapMax": "uint64 0", "TasksMax": "uint64 20",
          "CPUQuotaPerSecUSec": "uint64 500000"}
FORKS = 100
MEMORY = 128  # MiB
TIME = 0.5  # of a processor, in seconds


def create(client, name, devices):
    """Makes a domain with the limits that this host can set, and says which it cannot."""
    wanted, left_out = dict(LIMITS), []
    while True:
        limits = "".join(f'"{limit}": <{value}>, ' for limit, value in wanted.items())
        try:
            client.create_domain("lxc", name, f'{{{limits}"DeviceAllow": <{devices}>}}')
            return wanted, left_out
        except BusError as error:
            if not error.name.endswith(".ControllerUnavailable"):
                raise
            limit = error.message.split(":")[0]
            left_out.append(error.message)
            del wanted[limit]


def verdict(answer):
    return "allowed" if answer == 0 else f"refused ({answer})"


def throttled(client, name):
    return "throttled" if client.get(domain_path("lxc", name), DOMAIN, "CPUThrottledUSec") > 0 else "not throttled"


def row(what, *cells):
    print(f"  {what:<34}" + "".join(f"{cell:<22}" for cell in cells).rstrip())


def main():
    client = Client(ADDRESS)
    print(f"Cordon {client.get(ROOT, MANAGER, 'Version')}, {client.get(ROOT, MANAGER, 'Hierarchy')} hierarchy, "
          f"seal: {client.get(ROOT, MANAGER, 'SealStrength')}\n")

    client.create_driver("lxc")
    devices = {"web1": '[("@pseudo", "rw"), ("/dev/fuse", "rw")]', "db1": '[("@pseudo", "r")]'}
    for name, list_ in devices.items():
        limits, left_out = create(client, name, list_)
    print("Driver lxc, sealed:", "yes" if client.get(driver_path("lxc"), DRIVER, "Sealed") else "NO")
    for name, list_ in devices.items():
        print(f"Domain {name}: devices {list_}, limits {', '.join(limits) or 'none'}")
    for message in left_out:
        print("  left out:", message)
    print()

    with Probe() as outside, Probe() as web, Probe() as database:
        client.attach("lxc", "web1", web.pid)
        client.attach("lxc", "db1", database.pid)
        probes = web, database, outside
        row("as root, in", "lxc/web1", "lxc/db1", "no domain")
        for path, mode in (("/dev/null", "r"), ("/dev/null", "w"), ("/dev/fuse", "rw"), ("/dev/kmsg", "r")):
            row(f"open {path} ({mode})", *(verdict(probe.open(path, mode)) for probe in probes))
        row("mknod c 1 3", *(verdict(probe.mknod("c", 1, 3)) for probe in probes))
        if "TasksMax" in limits:
            row(f"{FORKS} forks", *(f"{probe.fork_bomb(FORKS)} succeeded" for probe in probes))
        if "MemoryMax" in limits:
            row(f"{MEMORY} MiB of memory",
                *("killed" if probe.fill(MEMORY) == signal.SIGKILL else "allowed" for probe in probes))
        if "CPUQuotaPerSecUSec" in limits:
            for probe in probes:
                probe.spin(TIME)
            row("a busy loop", *(throttled(client, name) for name in devices), "not throttled")

    client.remove_driver("lxc", kill=True)
    print("\nDriver lxc and its domains are removed.")


try:
    main()
except BusError as error:
    sys.exit(f"demo: {error}")
