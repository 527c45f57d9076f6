# SPDX-License-Identifier: LGPL-2.1-or-later
"""No way out: every attempt of attack.c, by every kind of attacker that this machine can have."""
import contextlib

import pytest

import hostile
from hostile import NOBODY, VM

UNPRIVILEGED, SEAL_ALONE = hostile.attempts("user"), set(hostile.attempts("anywhere"))
ATTACKERS = {
    "root": hostile.attempts("vm"),
    # For the controllers that this machine may lack.
    "delegate": [name for name in UNPRIVILEGED if name.startswith(("limit-", "owner-", "v2-"))],
} if VM else {
    "root": [name for name in UNPRIVILEGED if name in SEAL_ALONE],
    "nobody": UNPRIVILEGED,
    "delegate": UNPRIVILEGED,
    # Devices are not withheld from it.
    "outsider": [name for name in UNPRIVILEGED if name not in SEAL_ALONE],
}
NAMESPACES = "unshare", "--user", "--map-root-user", "--cgroup", "--mount", "--"


@contextlib.contextmanager
def attack(where, attacker):
    with hostile.Field(where, delegate=NOBODY if attacker == "delegate" else None) as field:
        made = hostile.Attacker(field, uid=0 if attacker == "root" else NOBODY, inside=attacker != "outsider",
                                wrapper=NAMESPACES if attacker == "delegate" else ())
        made.before, properties = field.state(), field.properties()
        yield made
        assert field.properties() == properties
        made.close()


@pytest.fixture(scope="module")
def where():
    with contextlib.closing(hostile.service()) as running:
        yield running


@pytest.fixture(scope="module")
def attacker(request, where):
    with attack(where, request.param) as made:
        made.name = request.param
        yield made


def pytest_generate_tests(metafunc):
    if "attempt" in metafunc.fixturenames:
        metafunc.parametrize("attacker, attempt", [(name, attempt) for name, list_ in ATTACKERS.items()
                                                   for attempt in list_], indirect=["attacker"], scope="module")


def test_attempt(attacker, attempt, capsys):
    field = attacker.field
    stage, answer, device, pid = attacker.attempt(attempt)
    with capsys.disabled():
        print(f"\n{attacker.name}: {attempt}: {stage}: {answer}", end="")
    hostile.answers[attacker.name][answer] += 1
    try:
        assert not attacker.inside or attacker.is_inside(pid)
        assert field.state() == attacker.before
    finally:
        attacker.end_attempt()
    assert answer != "0", stage
    assert device in ("EPERM", "EACCES") or not attacker.inside
