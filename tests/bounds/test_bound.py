import subprocess
import sys

import pytest
import torch

import infotherm as it
from infotherm.bounds import bound as bound_module
from infotherm.bounds.bound import Bound, UnknownBound, check, check_many, get, groups, names, register
from infotherm.core.estimate import Estimate
from infotherm.core.quantity import NotApplicable


@pytest.fixture
def registry(monkeypatch):
    """A copy of the registry, so that a test may add to it."""
    monkeypatch.setattr(bound_module, "_REGISTRY", dict(bound_module._REGISTRY))


def mine(**changes):
    fields = {
        "sides": lambda p, q, scale=1.0, **options: (it.kl(p, q, **options), scale * 0.0),
        "source": "mine",
        "relation": ">=",
    }
    return Bound("my-bound", **(fields | changes))


P, Q = it.Gaussian(0.0, 1.0), it.Gaussian(1.0, 2.0)


def test_a_bound_of_a_user_takes_five_lines():
    my_bound = Bound(name="my-bound", sides=lambda p, q: (it.kl(p, q), 0), relation=">=", source="mine")
    v = it.bounds.check(my_bound, p=P, q=Q)
    assert v.outcome == "holds"
    assert (v.name, v.source, v.statement) == ("my-bound", "mine", None)


def test_registering(registry):
    before = names()
    added = register(mine())
    assert get("my-bound") is added
    assert names() == (*before, "my-bound")
    assert names("user") == ("my-bound",)
    assert check("my-bound", p=P, q=Q).outcome == "holds"
    with pytest.raises(ValueError, match="registered already"):
        register(mine())


def test_unknown_names_list_the_nearest():
    with pytest.raises(UnknownBound, match="pinsker"):
        get("pinsker-inequality")
    with pytest.raises(KeyError, match="speed-limit-w2"):
        check("speed-limit")
    with pytest.raises(ValueError, match="group must be one of"):
        names("astrology")


def test_names_are_grouped():
    assert [name for members in groups().values() for name in members] == list(names())
    assert list(groups()) == [
        "information",
        "functional",
        "thermodynamics",
        "dissipation",
        "fluctuations",
        "uncertainty",
        "landauer",
        "speed-limits",
        "information-engines",
        "learning",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"p": P}, "missing q"),
        ({"p": P, "q": Q, "r": 1}, "unknown r"),
        ({}, r"takes the arguments p, q, scale \(optional\)"),
        ({"p": P, "q": Q, "tolerence": 1e-3}, "unknown tolerence"),
    ],
)
def test_wrong_arguments_name_those_expected(arguments, message):
    with pytest.raises(TypeError, match=message):
        check(mine(), **arguments)


def test_options_reach_the_quantities():
    direct = check(mine(), p=P, q=Q, method="monte-carlo", n_samples=1000, generator=1)
    bundled = check(mine(), p=P, q=Q, options={"method": "monte-carlo", "n_samples": 1000, "generator": 1})
    assert direct.lhs.method == "monte-carlo"
    assert direct.lhs.info["n"] == 1000
    assert torch.equal(direct.lhs.value, bundled.lhs.value)
    plain = Bound("plain", sides=lambda p, q: (it.kl(p, q), 0.0))
    with pytest.raises(TypeError, match="unknown method"):
        check(plain, p=P, q=Q, method="monte-carlo")
    with pytest.raises(TypeError, match="takes no options"):
        check(plain, p=P, q=Q, options={"method": "monte-carlo"})


def test_failed_conditions_are_reasons():
    def raises(p):
        raise NotApplicable("the moon is full")

    asked = []
    conditions = {
        "p is calm": lambda p: True,
        "q is calm": lambda q: None,
        "the scale is positive": lambda scale: scale > 0,
        "all is well": lambda p, q, scale: None if scale < 10 else f"scale is {scale}",
        "never asked": lambda scale: asked.append(scale),
    }
    my_bound = mine(conditions=conditions)
    assert check(my_bound, p=P, q=Q).outcome == "holds"
    assert asked == [1.0]
    v = check(my_bound, p=P, q=Q, scale=11.0)
    assert (v.outcome, v.reason) == ("not applicable", "all is well: scale is 11.0")
    assert v.lhs is None
    assert v.name == "my-bound"
    assert "not applicable" in repr(v)
    assert check(my_bound, p=P, q=Q, scale=-1.0).reason == "the scale is positive: not so"
    assert asked == [1.0]
    assert "moon" in check(mine(conditions={"calm": raises}), p=P, q=Q).reason


def test_statement_is_built_when_it_is_read():
    built = []
    my_bound = mine(statement=lambda: built.append(1) or it.bounds.get("gibbs").statement)
    v = check(my_bound, p=P, q=Q)
    assert not built
    assert str(v.statement) == "KL(P, Q) >= 0"
    assert str(my_bound.statement) == "KL(P, Q) >= 0"
    assert built == [1]
    assert my_bound.latex == r"\operatorname{KL}{\left(P,Q \right)} \geq 0"
    assert mine().latex == ""


def test_importing_the_catalogue_is_light():
    code = (
        "import sys, infotherm.bounds; "
        "bad = {'sympy', 'matplotlib', 'ot', 'pandas', 'xarray', 'typer'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_many_checks_share_the_level():
    def at(value):
        lhs = Estimate(value, stderr=0.01, kind="estimate", method="monte-carlo")
        return Bound(f"at-{value}", sides=lambda: (lhs, 1.0)), {}

    alone = check(at(0.97)[0], alpha=0.01)
    assert alone.outcome == "violated"
    verdicts = check_many([at(0.97), *[at(1.0)] * 30, ("gibbs", {"p": P, "q": Q})], alpha=0.01)
    assert verdicts[0].outcome == "undecided"
    assert verdicts[-1].outcome == "holds"
    assert verdicts[0].name == "at-0.97"
    assert check_many([at(0.9), *[at(1.0)] * 30], alpha=0.01)[0].outcome == "violated"
    assert check_many([], alpha=0.01) == []


def test_identities_pass_their_tolerance():
    noisy = Estimate(1.001, stderr=1e-4, kind="estimate", method="monte-carlo")
    identity = Bound("identity", relation="==", sides=lambda: (noisy, 1.0))
    assert check(identity, tolerance=0.01).outcome == "holds"
    assert check(identity, tolerance=1e-4).outcome == "violated"
    with pytest.raises(ValueError, match="tolerance is required"):
        check(identity)


def test_missing_cases_are_said():
    with pytest.raises(NotImplementedError, match="saturates 'my-bound'"):
        mine().saturated_by()
    with pytest.raises(NotImplementedError, match="condition of 'my-bound'"):
        mine().not_applicable_case()
    with pytest.raises(ValueError, match="relation must be one of"):
        mine(relation=">")
