# SPDX-License-Identifier: LGPL-2.1-or-later
"""Lists that change, daemons that die and domains that come and go while a process opens without pause."""
import os
import signal

from gi.repository import Gio, GLib

import cordon
from sealed import Opener, devices, move, wait_for_end

PERMITTED, FORBIDDEN, CHANGING, OTHER = "/dev/null", "/dev/fuse", "/dev/zero", "/dev/full"
NO_REPLY = "org.freedesktop.DBus.Error.NoReply"
MANY = [(f"c:240:{minor}", "r") for minor in range(400)]

# (method, list) that gives the changing device, and that takes it; the others stay as they are.
CHANGES = [
    # one element of the kernel's list
    ("AllowDevices", [(CHANGING, "rw")], "RevokeDevices", [(CHANGING, "rw")]),
    ("AllowDevices", [(CHANGING, "rw")], "RevokeDevices", [(CHANGING, "w")]),
    ("SetDevices", [(PERMITTED, "rw"), ("c:1:5", "rw")], "SetDevices", [(PERMITTED, "rw")]),
    # the whole list, in which the permitted device has another rule than before
    ("SetDevices", [("c:1:*", "rw")], "SetDevices", [("c:1:3", "r"), (PERMITTED, "w"), (OTHER, "r")]),
    ("SetDevices", [("@pseudo", "rw")], "RevokeDevices", [("c:1:5", "rwm")]),
    ("AllowDevices", [*MANY, (CHANGING, "rw")], "RevokeDevices", [*MANY[:200], (CHANGING, "rw")]),
    ("SetDevices", [*MANY, (PERMITTED, "rw"), (CHANGING, "rw")], "SetDevices", [(PERMITTED, "rw"), ("b:*:*", "rwm")]),
]


def test_changing_lists(domain):
    with Opener("steady", PERMITTED, FORBIDDEN, CHANGING) as opener:
        domain.set((PERMITTED, "rw"))
        domain.attach(opener.pid)
        opener.expect("-")
        for _ in range(16):
            for gives, with_it, takes, without_it in CHANGES:
                opener.expect("?")
                domain.call(gives, devices(*with_it))
                opener.expect("+")
                opener.expect("?")
                domain.call(takes, devices(*without_it))
                opener.expect("-")
        _, _, opened, refused = opener.finish()
        assert opened >= 100 and refused >= 100


class Calls:
    """Calls on the way: sent, not waited for."""

    def __init__(self, domain):
        self.domain, self.pending, self.errors = domain, 0, set()

    def send(self, method, list_):
        self.pending += 1
        self.domain.bus.connection.call(cordon.NAME, self.domain.path, cordon.DOMAIN, method, devices(*list_), None,
                                        Gio.DBusCallFlags.NONE, 30000, None, self.answer, method)

    def answer(self, connection, result, method):
        self.pending -= 1
        try:
            connection.call_finish(result)
        except GLib.Error as error:
            self.errors.add((method, Gio.DBusError.get_remote_error(error)))

    def finish(self):
        """Waits for all answers; (method, error) of those that failed."""
        while self.pending:
            GLib.MainContext.default().iteration(True)
        return self.errors


# What became of a call that the killed daemon had. And what its successor, which the bus starts for calls that came
# later, says to a revocation when the grant before it went with the killed one: c:1:* is still there, which has no
# exceptions.
OF_A_KILLED_DAEMON = {("SetDevices", NO_REPLY), ("AllowDevices", NO_REPLY), ("RevokeDevices", NO_REPLY),
                      ("RevokeDevices", cordon.ERROR + "InvalidDevice")}


def test_killed_daemons(world, domain):
    """Killed while it changes the list: what is in force is what the next one reports, and only what was asked for."""
    with Opener("steady", PERMITTED, FORBIDDEN, CHANGING) as opener:
        domain.set((PERMITTED, "rw"))
        domain.attach(opener.pid)
        for i in range(20):
            gives, with_it, takes, without_it = CHANGES[i % len(CHANGES)]
            calls, pid = Calls(domain), world.bus.daemon_pid()
            pidfd = os.pidfd_open(pid)
            opener.expect("?")
            for _ in range(1 + i % 4):
                calls.send(gives, with_it)
                calls.send(takes, without_it)
            world.bus.connection.flush_sync(None)
            for _ in range(i):  # gives the daemon a little more of its work each time
                opener.expect("?")
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            wait_for_end(pidfd)
            opener.expect("?")
            assert calls.finish() <= OF_A_KILLED_DAEMON

            world.start_daemon()
            assert world.bus.daemon_pid() != pid
            effective = {(kind, major, minor): access for kind, major, minor, access in domain.EffectiveDevices}
            granted = effective.get(("c", 1, 5), "") + effective.get(("c", 1, cordon.ANY), "")
            opener.expect("+" if set(granted) >= set("rw") else "-")
        opener.finish()


def test_created_removed_and_moved(world):
    """A process that comes into a domain has exactly its list from its first open on."""
    lists = {"a": ((PERMITTED, "rw"), (CHANGING, "rw")), "b": ((PERMITTED, "rw"), (OTHER, "rw"))}
    with Opener("moving", PERMITTED, FORBIDDEN, CHANGING, OTHER) as opener:
        for i in range(300):
            letter = "ab"[i // 2 % 2]
            if i % 2:
                domain = world.domain(*lists[letter], name=f"{letter}{i}", PIDs=("au", [opener.pid]))
            else:
                domain = world.domain(*lists[letter], name=f"{letter}{i}")
                domain.attach(opener.pid)
            opener.expect("?")
            move(opener.pid, cordon.cgroup2_mount())
            opener.expect("?")
            domain.remove()
        _, _, inside, outside = opener.finish()
        assert inside >= 300 and outside >= 300
