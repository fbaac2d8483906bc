import pytest

from infotherm import checkup


def test_a_sound_installation_passes():
    checks = checkup.checkup()
    assert len(checks) == 2 + len(checkup.devices())
    assert [check.name for check in checks if not check.passed] == []


@pytest.mark.parametrize(("shift", "failing"), [(0.3, 2), (1e-9, 1)])
def test_a_wrong_number_is_found(monkeypatch, shift, failing):
    """A gross mistake is seen by both routes, a small one by the deterministic one."""
    monkeypatch.setattr(checkup, "_KL", checkup._KL + shift)
    checks = [check for check in checkup.checkup() if "cuda" not in check.name]
    assert sum(not check.passed for check in checks) == failing


def test_whatever_fails_is_an_entry(monkeypatch):
    def broken(*_):
        raise RuntimeError("disk full")

    monkeypatch.setattr(checkup.results, "save", broken)
    failed = [check for check in checkup.checkup() if not check.passed]
    assert [(check.name, check.detail) for check in failed] == [
        ("results: written and reloaded", "RuntimeError: disk full")
    ]


def test_devices_have_names():
    assert checkup.devices()[0] == "cpu"
    assert checkup.device_name("cpu").endswith("threads")
