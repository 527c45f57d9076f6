# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guard=auto|require|off, where the guard loads (virtual machines) and where this kernel does not permit it."""
import contextlib

import pytest

import cordon
import hostile


@pytest.fixture
def configured(tmp_path):
    """Makes a service with this line of configuration."""
    with contextlib.ExitStack() as stack:
        def make(guard):
            if hostile.VM:
                system = stack.enter_context(contextlib.closing(hostile.System()))
                stack.callback(system.configure, "auto")
                system.configure(guard)
                return system
            file = tmp_path / "cordon.conf"
            file.write_text(f"[Cordon]\nGuard={guard}\n")
            return stack.enter_context(cordon.Service(daemon_args=f"--idle 0 --config {file}"))
        yield make


def seal(bus):
    return bus.get(cordon.ROOT, cordon.MANAGER, "SealStrength"), bus.get(cordon.ROOT, cordon.MANAGER, "SealNotes")


def test_auto(configured):
    bus = configured("auto").client()
    bus.create_driver("policy")
    strength, notes = seal(bus)
    if hostile.VM:
        assert (strength, notes) == ("guarded", [])
    else:
        assert strength == "devices"
        assert any("guard does not load: " in note for note in notes)
    bus.remove_driver("policy")


def test_require(configured):
    bus = configured("require").client()
    if hostile.VM:
        bus.create_driver("policy")
        assert seal(bus) == ("guarded", [])
        bus.remove_driver("policy")
        return
    with pytest.raises(cordon.BusError) as caught:
        bus.create_driver("policy")
    assert caught.value.name == cordon.ERROR + "SealFailed"
    assert "Guard=require" in caught.value.message and "guard does not load" in caught.value.message
    assert bus.call(cordon.ROOT, cordon.MANAGER, "ListDrivers")[0] == []


def test_off(configured):
    bus = configured("off").client()
    bus.create_driver("policy")
    strength, notes = seal(bus)
    assert strength == "devices"
    assert any("Guard=off" in note for note in notes)
    bus.remove_driver("policy")


