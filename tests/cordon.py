# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the suites share: the service on a private bus, clients of any user, and processes to put into domains.

Values cross the bus as GVariant text, so that a test shows what is sent: bus.call(PATH, DOMAIN, "Kill", "(9,)").
"""
import contextlib
import itertools
import json
import os
import pathlib
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree

import gi

gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib  # noqa: E402

TOP = pathlib.Path(__file__).resolve().parent.parent
NAME = MANAGER = "org.cordon.CgroupManager1"
DRIVER, DOMAIN = MANAGER + ".Driver", MANAGER + ".Domain"
PROPERTIES = "org.freedesktop.DBus.Properties"
ROOT = "/org/cordon/CgroupManager1"
ERROR = MANAGER + ".Error."
ACCESS_DENIED = "org.freedesktop.DBus.Error.AccessDenied"
INTERACTIVE = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
HIERARCHY = os.environ.get("CORDON_HIERARCHY")  # what private buses show the daemon: unified, legacy; the host as it is
INFINITY = 18446744073709551615
ANY = 4294967295
TIMEOUT = 120  # of a call; a bound, never a measure


def published(interface):
    """A published interface, as XML."""
    return ElementTree.parse(TOP / f"dbus/{interface}.xml").getroot().find("interface")


def published_properties(interface, emits=None):
    """{name: type}; those only of which changes are told so: "true", "invalidates", "const" or "false"."""
    def told(each):
        annotation = each.find("annotation[@name='org.freedesktop.DBus.Property.EmitsChangedSignal']")
        return "true" if annotation is None else annotation.get("value")
    return {each.get("name"): each.get("type") for each in published(interface).findall("property")
            if emits in (None, told(each))}


# What changes by itself.
FIGURES = {*published_properties(DRIVER, "false"), *published_properties(DOMAIN, "false")} - {"Sealed"}


def steady(values):
    """Properties, without those that change by themselves."""
    return {name: value for name, value in values.items() if name not in FIGURES}


class BusError(Exception):
    """An error reply: `name` without GDBus's decoration, `message` as sent."""

    def __init__(self, name, message):
        super().__init__(f"{name}: {message}")
        self.name, self.message = name, message


def driver_path(driver):
    return f"{ROOT}/driver/{escape(driver)}"


def domain_path(driver, domain):
    return f"{driver_path(driver)}/domain/{escape(domain)}"


def escape(label):
    """sd_bus_path_encode(3)."""
    out = "".join(c if c.isascii() and c.isalpha() or (c.isdigit() and i > 0) else f"_{ord(c):02x}"
                  for i, c in enumerate(label))
    return out or "_"


class Client:
    """A connection to the bus from this process, which is root."""

    def __init__(self, address, name=NAME):
        flags = Gio.DBusConnectionFlags
        self.name = name
        self.connection = Gio.DBusConnection.new_for_address_sync(
            address, flags.AUTHENTICATION_CLIENT | flags.MESSAGE_BUS_CONNECTION, None, None)

    def close(self):
        with contextlib.suppress(GLib.Error):
            self.connection.close_sync(None)

    def call(self, *arguments, **options):
        """Returns the reply as a tuple of Python values."""
        return self.ask(*arguments, **options).unpack()

    def ask(self, path, interface, member, arguments="()", *, interactive=False, timeout=TIMEOUT, fds=None, name=None):
        """Returns the reply, a GLib.Variant. `fds` are referred to as `handle 0`, `handle 1`…"""
        flags = Gio.DBusCallFlags.ALLOW_INTERACTIVE_AUTHORIZATION if interactive else Gio.DBusCallFlags.NONE
        value = GLib.Variant.parse(None, arguments, None, None) if isinstance(arguments, str) else arguments
        descriptors = Gio.UnixFDList.new_from_array([os.dup(fd) for fd in fds]) if fds else None
        try:
            reply, _ = self.connection.call_with_unix_fd_list_sync(
                name or self.name, path, interface, member, value, None, flags, timeout * 1000, descriptors, None)
        except GLib.Error as error:
            raise to_bus_error(error) from None
        return reply

    def get(self, path, interface, name):
        return self.call(path, PROPERTIES, "Get", f"({interface!r}, {name!r})")[0]

    def get_all(self, path, interface):
        return self.call(path, PROPERTIES, "GetAll", f"({interface!r},)")[0]

    def managed(self):
        """All objects with their properties, without what changes by itself."""
        objects = self.call(ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")[0]
        return {path: {interface: steady(values) for interface, values in interfaces.items()}
                for path, interfaces in objects.items()}

    # The calls that nearly every test makes.
    def create_driver(self, name, properties="@a{sv} {}", **options):
        return self.call(ROOT, MANAGER, "CreateDriver", f"({name!r}, {properties})", **options)[0]

    def create_domain(self, driver, name, properties="@a{sv} {}", **options):
        return self.call(ROOT, MANAGER, "CreateDomain", f"({driver!r}, {name!r}, {properties})", **options)[0]

    def remove_domain(self, driver, name, kill=True, **options):
        self.call(ROOT, MANAGER, "RemoveDomain", f"({driver!r}, {name!r}, {str(kill).lower()})", **options)

    def remove_driver(self, name, kill=True, **options):
        self.call(ROOT, MANAGER, "RemoveDriver", f"({name!r}, {str(kill).lower()})", **options)

    def attach(self, driver, name, *pids):
        self.call(domain_path(driver, name), DOMAIN, "AttachProcesses", f"(@au [{', '.join(map(str, pids))}],)")

    def list_domains(self, driver=""):
        return self.call(ROOT, MANAGER, "ListDomains", f"({driver!r},)")[0]

    def ask_bus(self, member, arguments="()"):
        """Calls the bus daemon itself, which wakes and disturbs nobody else."""
        return self.call("/org/freedesktop/DBus", "org.freedesktop.DBus", member, arguments,
                         name="org.freedesktop.DBus")

    def owner_pid(self, name=NAME):
        """The process that owns a name."""
        return self.ask_bus("GetConnectionUnixProcessID", f"({name!r},)")[0]

    def daemon_pid(self):
        return self.owner_pid()


def wait_for(condition, timeout=30):
    """Runs what arrives on this process's connections until `condition` returns something true, and returns that."""
    context, expired = GLib.MainContext.default(), []
    timer = GLib.timeout_add(timeout * 1000, lambda: expired.append(True) or GLib.SOURCE_REMOVE)
    try:
        while not (result := condition()):
            if expired:
                raise TimeoutError("it did not happen")
            context.iteration(True)
        return result
    finally:
        if not expired:
            GLib.source_remove(timer)


class Signals:
    """Every signal that the bus carries, from now on: (path, member, arguments), in order."""

    def __init__(self, client):
        self.client, self.seen = client, []
        self.subscription = client.connection.signal_subscribe(
            None, None, None, None, None, Gio.DBusSignalFlags.NONE,
            lambda _connection, _sender, path, _interface, member, value: self.seen.append(
                (path, member, value.unpack())))
        client.ask_bus("GetId")  # the bus listens by now

    def take(self):
        """What came before the last answer that the client had."""
        while GLib.MainContext.default().iteration(False):
            pass
        taken, self.seen = self.seen, []
        return taken

    def take_all(self):
        """Also what the service tells behind the last answer that the client had: NDomains."""
        self.client.get(ROOT, MANAGER, "NDomains")
        return self.take()

    def wait(self, matches):
        """The first signal for which matches(path, member, arguments) holds; it and those before it are gone then."""
        def find():
            for i, signal in enumerate(self.seen):
                if matches(*signal):
                    self.seen = self.seen[i + 1:]
                    return signal
            return None
        return wait_for(find)

    def wait_name(self, name=NAME, *, owned):
        """Waits until a name gets an owner, or loses it."""
        self.wait(lambda _path, member, arguments: member == "NameOwnerChanged" and arguments[0] == name and
                  bool(arguments[2]) == owned)

    def wait_property(self, path, name, value):
        self.wait(lambda at, member, arguments: (at, member) == (path, "PropertiesChanged") and
                  arguments[1].get(name) == value)

    def wait_oom_kills(self, path):
        """For the first. How many the kernel counts for one hog is its own affair: none when the memory was gone already, two
        when it asked again before the memory was."""
        self.wait(lambda at, member, arguments: (at, member) == (path, "PropertiesChanged") and
                  arguments[1].get("OOMKills", 0) >= 1)

    def close(self):
        self.client.connection.signal_unsubscribe(self.subscription)


def to_bus_error(error):
    name = Gio.DBusError.get_remote_error(error) or f"local:{error.domain}:{error.code}"
    return BusError(name, error.message.removeprefix(f"GDBus.Error:{name}: "))


class UserClient:
    """The same calls from a process of another user, over a connection of its own. Many may be open at once."""

    def __init__(self, address, uid, gid=None):
        self.process = subprocess.Popen(
            ["/usr/bin/python3", __file__, "client", address], user=uid, group=uid if gid is None else gid,
            extra_groups=[], cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.numbers, self.waiting, self.lock = itertools.count(), {}, threading.Lock()
        self.unique_name = json.loads(self.process.stdout.readline())["name"]
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    @property
    def pid(self):
        return self.process.pid

    def _read(self):
        for line in self.process.stdout:
            reply = json.loads(line)
            with self.lock:
                slot = self.waiting.pop(reply["number"])
            slot["reply"] = reply
            slot["event"].set()

    def start(self, path, interface, member, arguments="()", *, interactive=False, timeout=TIMEOUT):
        """Sends a call and returns at once; finish() waits for the answer."""
        slot = {"event": threading.Event(), "timeout": timeout}
        with self.lock:
            number = next(self.numbers)
            self.waiting[number] = slot
        self.process.stdin.write(json.dumps({"number": number, "path": path, "interface": interface, "member": member,
                                             "arguments": arguments, "interactive": interactive,
                                             "timeout": timeout}) + "\n")
        self.process.stdin.flush()
        return slot

    def finish(self, slot):
        if not slot["event"].wait(slot["timeout"] + 5):
            raise TimeoutError("no answer")
        reply = slot["reply"]
        if "error" in reply:
            raise BusError(*reply["error"])
        return GLib.Variant.parse(None, reply["value"], None, None).unpack()

    def call(self, *arguments, **options):
        return self.finish(self.start(*arguments, **options))

    create_driver, create_domain = Client.create_driver, Client.create_domain
    remove_domain, remove_driver, attach = Client.remove_domain, Client.remove_driver, Client.attach
    get, get_all, list_domains, managed = Client.get, Client.get_all, Client.list_domains, Client.managed

    def close(self):
        """Leaves the bus, as a client that is killed does."""
        self.process.kill()
        self.process.wait()


def client_main(address):
    client, loop = Client(address), GLib.MainLoop()
    print(json.dumps({"name": client.connection.get_unique_name()}), flush=True)

    def send(request):
        flags = Gio.DBusCallFlags
        client.connection.call(
            NAME, request["path"], request["interface"], request["member"],
            GLib.Variant.parse(None, request["arguments"], None, None), None,
            flags.ALLOW_INTERACTIVE_AUTHORIZATION if request["interactive"] else flags.NONE,
            request["timeout"] * 1000, None, answer, request["number"])

    def answer(connection, result, number):
        try:
            print(json.dumps({"number": number, "value": connection.call_finish(result).print_(True)}), flush=True)
        except GLib.Error as error:
            error = to_bus_error(error)
            print(json.dumps({"number": number, "error": [error.name, error.message]}), flush=True)

    def read():
        for line in sys.stdin:
            GLib.idle_add(send, json.loads(line))
        GLib.idle_add(loop.quit)

    threading.Thread(target=read, daemon=True).start()
    loop.run()


class Service:
    """cordond on a private bus (tools/private-bus), started on the first call as the bus activates it."""

    def __init__(self, *, tree=None, rules=None, daemon_args="--idle 0", wrapper=None, polkit=True, build=None,
                 hierarchy=HIERARCHY):
        tree = tree or f"cordon-test-{os.getpid()}-{next(Service.numbers)}"
        build = build or os.environ.get("CORDON_BUILD", TOP / "build")
        command = [TOP / "tools/private-bus", "--build", build, "--tree", tree, "--daemon-args", daemon_args]
        if hierarchy:
            command += ["--hierarchy", hierarchy]
        if rules:
            command += ["--rules", rules]
        if wrapper:
            command += ["--wrapper", wrapper]
        if not polkit:
            command += ["--no-polkit"]
        command += ["--", "sh", "-c", 'echo "$DBUS_SYSTEM_BUS_ADDRESS"; echo "$CORDON_BUS_DIR"; exec cat > /dev/null']
        self.holder = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = self.holder.stdout.readline().strip()
        self.directory = pathlib.Path(self.holder.stdout.readline().strip())
        assert self.address, "the private bus did not start"
        self.tree_name, self.group = tree, cgroup2_mount() / tree
        # The tree's group in the hierarchy of each controller that the daemon sees on cgroup v1.
        self.v1 = {} if hierarchy == "unified" else {name: mount / tree for name, mount in v1_mounts().items()}
        self.clients = []

    numbers = itertools.count()

    def client(self, uid=0):
        client = Client(self.address) if uid == 0 else UserClient(self.address, uid)
        self.clients.append(client)
        return client

    def log(self):
        """What cordond has said."""
        path = self.directory / "logs/cordond.log"
        return path.read_text() if path.exists() else ""

    def close(self):
        for client in self.clients:
            client.close()
        self.holder.stdin.close()
        status = self.holder.wait(timeout=60)
        assert status == 0, f"the private bus ended with {status}"
        for group in (self.group, *self.v1.values()):
            assert not group.exists(), f"{group} was left behind"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def cgroup2_mount():
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        if fields[fields.index("-") + 1] == "cgroup2":
            return pathlib.Path(fields[4])
    raise RuntimeError("no cgroup2 file system is mounted")


# Those in whose hierarchies Cordon makes groups; in systemd's own, too, which has none.
V1_CONTROLLERS = "blkio", "cpu", "cpuacct", "cpuset", "devices", "hugetlb", "memory", "pids"


def v1_mounts(names=V1_CONTROLLERS):
    """{controller: mount point} of cgroup v1, as private buses show it to the daemon."""
    mounts = {}
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        kind, _, options = fields[fields.index("-") + 1:]
        if kind == "cgroup" and HIERARCHY != "unified":
            mounts.update((name, pathlib.Path(fields[4])) for name in options.split(",") if name in names)
    return mounts


def cgroup_mounts():
    """Of all hierarchies in which Cordon makes groups."""
    return [cgroup2_mount(), *dict.fromkeys(v1_mounts((*V1_CONTROLLERS, "name=systemd")).values())]


def block_device():
    """The path and MAJOR:MINOR of a whole disk, of any kind."""
    for entry in pathlib.Path("/sys/block").iterdir():
        node = pathlib.Path("/dev") / entry.name
        if node.is_block_device():
            return str(node), (entry / "dev").read_text().strip()
    raise RuntimeError("this host has no block device")


class Probe:
    """A process that does what it is told, and says what the kernel answered: 0 or an errno's name.

    probe.open("/dev/fuse", "rw"), probe.mknod("c", 1, 3), probe.enter("nested"), probe.run(ARGV…).
    """

    def __init__(self, uid=0):
        self.process = subprocess.Popen(["/usr/bin/python3", TOP / "tests/probe.py"], user=uid, group=uid,
                                        extra_groups=[], cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.pid = self.process.pid

    def __getattr__(self, operation):
        return lambda *arguments: self.ask(operation, *arguments)

    def ask(self, operation, *arguments):
        self.process.stdin.write(json.dumps([operation, *arguments]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the probe is gone"
        return json.loads(answer)

    def close(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


if __name__ == "__main__" and sys.argv[1:2] == ["client"]:
    client_main(sys.argv[2])
