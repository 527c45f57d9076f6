# SPDX-License-Identifier: LGPL-2.1-or-later
"""The other side of polkit: an authentication agent for real polkitd, and a polkit that lets callers wait.

The agent's interface is private to polkit; its shape is in polkit's data/org.freedesktop.PolicyKit1.*.xml.
"""
import json
import pathlib
import queue
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from cordon import Client, Gio, GLib, wait_for  # noqa: E402

POLKIT = "org.freedesktop.PolicyKit1"
AUTHORITY_PATH, AUTHORITY = "/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.PolicyKit1.Authority"
AGENT_PATH, AGENT = "/org/cordon/TestAgent", "org.freedesktop.PolicyKit1.AuthenticationAgent"

AGENT_XML = f"""<node><interface name="{AGENT}">
  <method name="BeginAuthentication">
    <arg type="s" direction="in"/><arg type="s" direction="in"/><arg type="s" direction="in"/>
    <arg type="a{{ss}}" direction="in"/><arg type="s" direction="in"/><arg type="a(sa{{sv}})" direction="in"/>
  </method>
  <method name="CancelAuthentication"><arg type="s" direction="in"/></method>
</interface></node>"""

AUTHORITY_XML = f"""<node><interface name="{AUTHORITY}">
  <method name="CheckAuthorization">
    <arg type="(sa{{sv}})" direction="in"/><arg type="s" direction="in"/><arg type="a{{ss}}" direction="in"/>
    <arg type="u" direction="in"/><arg type="s" direction="in"/><arg type="(bba{{ss}})" direction="out"/>
  </method>
  <method name="CancelCheckAuthorization"><arg type="s" direction="in"/></method>
</interface></node>"""


class Prompt:
    """A person is asked to authenticate."""

    def __init__(self, agent, invocation, action, message, details, cookie):
        self.agent, self.invocation, self.action, self.message = agent, invocation, action, message
        self.details, self.cookie = details, cookie

    def authenticate(self):
        """As polkit's own helper, which runs as root, does after the right password."""
        self.agent.client.call(AUTHORITY_PATH, AUTHORITY, "AuthenticationAgentResponse2",
                               f"(uint32 0, {self.cookie!r}, ('unix-user', {{'uid': <uint32 0>}}))", name=POLKIT)
        self.invocation.return_value(None)

    def fail(self):
        """The password was wrong too often."""
        self.invocation.return_value(None)

    def dismiss(self):
        self.invocation.return_dbus_error(POLKIT + ".Error.Cancelled", "dismissed")


class Agent:
    """An authentication agent of processes, run by root for them."""

    def __init__(self, client):
        self.client, self.prompts, self.cancelled = client, [], []
        interface = Gio.DBusNodeInfo.new_for_xml(AGENT_XML).interfaces[0]
        self.registration = client.connection.register_object(AGENT_PATH, interface, self._on_call, None, None)

    def _on_call(self, _connection, _sender, _path, _interface, member, arguments, invocation):
        if member == "CancelAuthentication":
            self.cancelled.append(arguments.unpack()[0])
            invocation.return_value(None)
        else:
            action, message, _icon, details, cookie, _identities = arguments.unpack()
            self.prompts.append(Prompt(self, invocation, action, message, details, cookie))

    def watch(self, client):
        """Becomes the agent of a UserClient's process."""
        fields = pathlib.Path(f"/proc/{client.pid}/stat").read_text().rpartition(")")[2].split()
        uid = pathlib.Path(f"/proc/{client.pid}").stat().st_uid
        subject = (f"('unix-process', {{'pid': <uint32 {client.pid}>, 'start-time': <uint64 {fields[19]}>, "
                   f"'uid': <int32 {uid}>}})")
        self.client.call(AUTHORITY_PATH, AUTHORITY, "RegisterAuthenticationAgent",
                         f"({subject}, 'C', {AGENT_PATH!r})", name=POLKIT)

    def prompt(self):
        """Waits for the next one."""
        return wait_for(lambda: self.prompts and self.prompts.pop(0))

    def wait_cancelled(self, prompt):
        wait_for(lambda: prompt.cookie in self.cancelled)

    def close(self):
        self.client.connection.unregister_object(self.registration)
        self.client.close()


class WaitingPolkit:
    """A polkit in place of the real one: who asks about a domain "wait…" waits; everybody else may."""

    def __init__(self, address):
        self.process = subprocess.Popen(["/usr/bin/python3", __file__, address], user="polkitd", cwd="/",
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.told = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        assert self.next() == ["ready"]

    def _read(self):
        for line in self.process.stdout:
            self.told.put(json.loads(line))

    def next(self):
        """What happened: ["asked", domain] or ["cancelled"]."""
        return self.told.get(timeout=30)

    def release(self):
        """Says yes to all who wait."""
        self.process.stdin.write("release\n")
        self.process.stdin.flush()

    def close(self):
        self.process.kill()
        self.process.wait()


def waiting_polkit_main(address):
    client, held = Client(address), []

    def tell(*what):
        print(json.dumps(what), flush=True)

    def on_call(_connection, _sender, _path, _interface, member, arguments, invocation):
        if member == "CancelCheckAuthorization":
            invocation.return_value(None)
            tell("cancelled")
            return
        domain = arguments.unpack()[2]["domain"]
        if domain.startswith("wait"):
            held.append(invocation)
        else:
            invocation.return_value(GLib.Variant("((bba{ss}))", ((True, False, {}),)))
        tell("asked", domain)

    def on_release(_stdin, _condition):
        sys.stdin.readline()
        while held:
            held.pop(0).return_value(GLib.Variant("((bba{ss}))", ((True, False, {}),)))
        return GLib.SOURCE_CONTINUE

    interface = Gio.DBusNodeInfo.new_for_xml(AUTHORITY_XML).interfaces[0]
    client.connection.register_object(AUTHORITY_PATH, interface, on_call, None, None)
    assert client.ask_bus("RequestName", f"({POLKIT!r}, uint32 0)") == (1,)
    GLib.io_add_watch(sys.stdin, GLib.IO_IN, on_release)
    tell("ready")
    GLib.MainLoop().run()


if __name__ == "__main__":
    waiting_polkit_main(sys.argv[1])
