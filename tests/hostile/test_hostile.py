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


class Front:
    """A field, and an attacker of one kind in it. What an attempt has broken is not used for the next."""

    def __init__(self, where, name):
        self.where, self.name, self.stack = where, name, None

    def prepare(self):
        if self.stack:
            return
        with contextlib.ExitStack() as stack:
            self.field = stack.enter_context(
                hostile.Field(self.where, delegate=NOBODY if self.name == "delegate" else None))
            self.attacker = stack.enter_context(contextlib.closing(hostile.Attacker(
                self.field, uid=0 if self.name == "root" else NOBODY, inside=self.name != "outsider",
                wrapper=NAMESPACES if self.name == "delegate" else ())))
            self.before, self.properties = self.field.state(), self.field.properties()
            self.stack = stack.pop_all()

    def close(self):
        stack, self.stack = self.stack, None
        if stack:
            stack.close()


@pytest.fixture(scope="module")
def where():
    with contextlib.closing(hostile.service()) as running:
        yield running


@pytest.fixture(scope="module")
def front(request, where):
    made = Front(where, request.param)
    with contextlib.closing(made):
        yield made
        if made.stack:
            assert made.field.properties() == made.properties


def pytest_generate_tests(metafunc):
    if "attempt" in metafunc.fixturenames:
        metafunc.parametrize("front, attempt", [(name, attempt) for name, list_ in ATTACKERS.items()
                                                for attempt in list_], indirect=["front"], scope="module")


def test_attempt(front, attempt, capsys):
    front.prepare()
    try:
        judge(front, attempt, capsys)
    except BaseException:
        with contextlib.suppress(Exception):  # what it is that failed has been raised
            front.close()
        raise


def judge(front, attempt, capsys):
    attacker, field = front.attacker, front.field
    stage, answer, device, pid = attacker.attempt(attempt)
    with capsys.disabled():
        print(f"\n{front.name}: {attempt}: {stage}: {answer}", end="")
    hostile.answers[front.name][answer] += 1
    try:
        assert not attacker.inside or attacker.is_inside(pid)
        assert field.state() == front.before
    finally:
        attacker.end_attempt()
    assert answer not in ("0", "ENDED"), stage
    assert device in ("EPERM", "EACCES") or not attacker.inside
