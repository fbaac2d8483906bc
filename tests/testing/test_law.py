"""Laws are registered once, under names; trials carry their own randomness."""

import pytest
import torch

from infotherm.testing import law as module
from infotherm.testing.law import Law, Trial, law, registered


@pytest.fixture
def registry(monkeypatch):
    """A registry of its own for a test."""
    monkeypatch.setattr(module, "_LAWS", {})
    return module._LAWS


def test_registered_law(registry):
    @law("one", statement="1 = 1", source="Peano", sort="exact", quantities=("entropy",))
    def check(subject, trial):
        return "so it is"

    assert registered() == {"one": Law("one", "1 = 1", "Peano", "exact", ("entropy",), check)}
    with pytest.raises(ValueError, match="'one' already"):
        law("one", statement="", source="", sort="exact", quantities=())
    registered().clear()
    assert "one" in registry


def test_unknown_sort():
    with pytest.raises(ValueError, match="sort must be one of exact, statistical, bound, robustness; got 'vague'"):
        law("two", statement="", source="", sort="vague", quantities=())


def test_randomness_depends_on_seed_law_and_purpose_only():
    def draw(law="shift", budget="fast", seed=0, level=1e-6, purpose=""):
        return torch.rand(3, generator=Trial(law, budget, seed, level).generator(purpose)).tolist()

    assert draw() == draw(budget="full", level=0.5)
    assert len({tuple(draw(**change)) for change in ({}, {"law": "scale"}, {"seed": 1}, {"purpose": "x"})}) == 4
    assert Trial("shift", "full", 0, 1e-6).full and not Trial("shift", "fast", 0, 1e-6).full
