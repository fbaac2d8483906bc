"""The catalogue of laws: complete, each with its source, found by name, glob and quantity."""

import pytest

from infotherm.estimators.tags import QUANTITIES
from infotherm.testing import laws
from infotherm.testing.law import SORTS


def test_every_law_says_what_it_is():
    for name in laws.names():
        law = laws.get(name)
        assert law.name == name == name.lower() and " " not in name
        assert law.sort in SORTS and set(law.quantities) <= set(QUANTITIES) and law.quantities
        assert len(law.statement) > 5 and len(law.source) > 5


def test_names():
    names = laws.names()
    assert len(names) >= 40
    assert [laws.get(name).sort for name in names] == sorted((laws.get(name).sort for name in names), key=SORTS.index)
    assert "symmetry" in laws.names("mutual_information", "exact")
    assert "symmetry" not in laws.names("entropy") + laws.names(sort="statistical")


def test_unknown_names():
    with pytest.raises(KeyError) as caught:
        laws.get("simmetry")
    assert str(caught.value).startswith("no law is called 'simmetry'; the nearest are symmetry")
    with pytest.raises(laws.UnknownLaw, match="'scales-\\*'"):
        laws.select("entropy", "scales-*")
    with pytest.raises(laws.UnknownLaw, match="no law of entropy is among 'symm\\*'; they are"):
        laws.select("entropy", "symm*")


def test_selection():
    def chosen(quantity, patterns):
        return [law.name for law in laws.select(quantity, patterns)]

    assert chosen("entropy", None) == laws.names("entropy")
    assert chosen("entropy", ["shift", "*-scale"]) == [
        name for name in laws.names("entropy") if name == "shift" or name.endswith("-scale")
    ]
    assert chosen("entropy", "symmetry") == ["symmetry"]  # named in full: the result says that it does not apply
