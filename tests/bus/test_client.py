# SPDX-License-Identifier: LGPL-2.1-or-later
"""A plain client with a cache sees the kernel's truth after each step. tests/vm/test_client.py has every limit."""
import os

import pytest

from conftest import kill_daemon
from cordon import DOMAIN, DRIVER, FIGURES, MANAGER, ROOT, domain_path, driver_path, published_properties
from truth import OF_DOMAIN, OF_DRIVER, Cache

LXC, WEB = driver_path("lxc"), domain_path("lxc", "web")


@pytest.fixture
def cache(service, root):
    root.get(ROOT, MANAGER, "NDrivers")  # the tree is there
    return Cache(root, service.group)


def test_all_that_is_announced_is_compared():
    """But for the rules in force, of which only a change is told, and for what the host decides once."""
    assert set(published_properties(MANAGER, "true")) == {"NDrivers", "NDomains", "SealStrength", "SealNotes"}
    assert set(OF_DRIVER) == set(published_properties(DRIVER)) - FIGURES - {"Sealed"}
    assert set(OF_DOMAIN) == set(published_properties(DOMAIN)) - FIGURES - {"EffectiveDevices"}


def test_a_cache_sees_truth(service, root, user, cache, probe):
    caller, process = user(5), probe()
    for call in [
            lambda: root.create_driver("lxc", "{'MaxDomains': <uint32 7>, 'DeviceCeiling': <[('c:*:*', 'rwm')]>}"),
            lambda: root.create_domain("lxc", "web", "{'DeviceAllow': <[('@pseudo', 'rw')]>, 'MaxDepth': <uint64 4>}"),
            lambda: root.create_domain("lxc", "db", "{'DelegateUser': <uint32 5>}"),
            lambda: caller.create_driver("yes"),
            lambda: caller.create_domain("yes", "a.b@c", "{'MaxDescendants': <uint64 3>}"),
            lambda: root.call(WEB, DOMAIN, "SetProperties", "({'MaxDepth': <uint64 2>, 'MaxDescendants': <uint64 9>},)"),
            lambda: root.call(LXC, DRIVER, "SetProperties", "({'MaxDepth': <uint64 9>, 'MaxDomains': <uint32 6>},)"),
            lambda: root.call(WEB, DOMAIN, "AllowDevices", "([('/dev/fuse', 'r')],)"),
            lambda: root.attach("lxc", "web", process.pid),
            lambda: root.call(WEB, DOMAIN, "Freeze"),
            lambda: root.call(WEB, DOMAIN, "Thaw"),
            lambda: process.enter(str(service.group / "lxc/web/nested")),
            lambda: kill_daemon(root) or root.get(ROOT, MANAGER, "NDrivers"),
            lambda: root.call(WEB, DOMAIN, "Kill", "(9,)") or process.process.wait(),
            lambda: root.call(WEB, DOMAIN, "Remove", "(false,)"),
            lambda: (service.group / "lxc/db").rmdir(),
            lambda: root.remove_driver("yes"),
            lambda: root.remove_driver("lxc")]:
        call()
        cache.check()
    assert cache.paths() == set() and os.listdir(service.group).count("lxc") == 0
