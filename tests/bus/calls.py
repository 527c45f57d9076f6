# SPDX-License-Identifier: LGPL-2.1-or-later
"""One proper call of every method: on driver "lxc" and its domain "web". What is in no list fails a test."""
from cordon import DOMAIN, DRIVER, MANAGER, ROOT, domain_path, driver_path

DRIVER_OBJECT, DOMAIN_OBJECT = driver_path("lxc"), domain_path("lxc", "web")

READS = [
    (ROOT, MANAGER, "GetDriver", "('lxc',)"),
    (ROOT, MANAGER, "GetDomain", "('lxc', 'web')"),
    (ROOT, MANAGER, "GetDomainByPID", "(uint32 0,)"),
    (ROOT, MANAGER, "GetDomainByPIDFD", "(handle 0,)"),
    (ROOT, MANAGER, "ListDrivers", "()"),
    (ROOT, MANAGER, "ListDomains", "('',)"),
    (DOMAIN_OBJECT, DOMAIN, "ListProcesses", "()"),
]

CHANGES = [
    (ROOT, MANAGER, "CreateDriver", "('new', @a{sv} {})"),
    (ROOT, MANAGER, "CreateDomain", "('lxc', 'new', @a{sv} {})"),
    (DRIVER_OBJECT, DRIVER, "SetProperties", "({'MaxDomains': <uint32 5>},)"),
    (DOMAIN_OBJECT, DOMAIN, "SetProperties", "(@a{sv} {},)"),
    (DOMAIN_OBJECT, DOMAIN, "SetDevices", "([('/dev/null', 'r')],)"),
    (DOMAIN_OBJECT, DOMAIN, "AllowDevices", "([('/dev/null', 'r')],)"),
    (DOMAIN_OBJECT, DOMAIN, "RevokeDevices", "([('/dev/null', 'r')],)"),
    (DOMAIN_OBJECT, DOMAIN, "AttachProcesses", "(@au [],)"),
    (DOMAIN_OBJECT, DOMAIN, "AttachPIDFDs", "(@ah [],)"),
    (DOMAIN_OBJECT, DOMAIN, "Freeze", "()"),
    (DOMAIN_OBJECT, DOMAIN, "Thaw", "()"),
    (DOMAIN_OBJECT, DOMAIN, "Kill", "(18,)"),
    (DOMAIN_OBJECT, DOMAIN, "Remove", "(true,)"),
    (ROOT, MANAGER, "RemoveDomain", "('lxc', 'web', true)"),
    (DRIVER_OBJECT, DRIVER, "Remove", "(true,)"),
    (ROOT, MANAGER, "RemoveDriver", "('lxc', true)"),
]


def name_of(call):
    return f"{call[1].rpartition('.')[2]}.{call[2]}"
