# SPDX-License-Identifier: LGPL-2.1-or-later
"""A tenant that asks for what it was not granted as fast as it can: each refusal is counted, and the daemon sleeps."""
import time

import cordon
from sealed import Opener

MILLION = 1000000


def processor_time(pid):
    """In seconds, of its only thread; the first of the kernel's figures (Documentation/scheduler/sched-stats.rst)."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0]) / 1e9


def flood(world, domain, capsys, times, *arguments, **options):
    """Returns for how long, and the signals told until the last refusal was counted."""
    pid, signals = world.bus.daemon_pid(), cordon.Signals(world.bus)
    with Opener(*arguments, str(times), **options) as opener:
        domain.attach(opener.pid)
        used, began = processor_time(pid), time.monotonic()
        refused, = opener.expect("!")
        denied = domain.DeniedDevices
        took, used = time.monotonic() - began, processor_time(pid) - used
    with capsys.disabled():
        print(f"\n{refused} refusals, opener {' '.join(arguments)}: in {took:.2f} s the daemon used {used:.3f} s, "
              f"{100 * used / took:.1f} % of a processor", end="")
    assert refused == denied == times
    return took, signals


def test_one_device_a_million_times(world, domain, capsys):
    took, signals = flood(world, domain, capsys, MILLION, "often", "/dev/fuse")
    counts = [0]
    while counts[-1] < MILLION:
        _, _, arguments = signals.wait(lambda path, member, _: (path, member) == (domain.path, "DeviceDenied"))
        assert arguments[:4] == ("c", 10, 229, "rw")
        counts.append(arguments[4])
    assert counts[1] == 1 and counts == sorted(set(counts)) and counts[-1] == MILLION
    assert len(counts) <= took + 4  # one a second
    signals.close()


def test_more_devices_than_are_counted_apart(world, domain, capsys, tmp_path):
    """And than are told: the sum is exact all the same."""
    took, signals = flood(world, domain, capsys, 200000, "numbers", cwd=tmp_path)
    told = [arguments for path, member, arguments in signals.take() if (path, member) == (domain.path, "DeviceDenied")]
    assert 0 < len(told) <= 128 * (took + 2)
    assert {arguments[4] for arguments in told} == {1}
    signals.close()
