"""Entropy production of mixtures in two and three dimensions against reference values; one dimension: test_totals."""

import json
from pathlib import Path

import pytest

import infotherm.processes as processes
from infotherm.distributions import GaussianMixture
from infotherm.thermodynamics import entropy_production, entropy_production_rate

FILE = Path(__file__).parents[2] / "validation/references/diffusion_mixtures.json"
CASES = {case["name"].removeprefix("diffusion/"): case for case in json.loads(FILE.read_text())}
PLANE = [name for name in CASES if "3d" not in name]


def case_of(name):
    spec = dict(CASES[name]["spec"])
    process, duration, initial = spec.pop("process"), spec.pop("duration"), spec.pop("initial")
    return getattr(processes, process)(**spec), GaussianMixture(*initial.values()), duration, CASES[name]["value"]


@pytest.mark.parametrize("name", PLANE)
def test_quadrature_in_the_plane(name):
    process, initial, duration, value = case_of(name)
    found = entropy_production(process, initial, duration, method="quadrature", times=[0.0, duration])
    wanted = value["entropy_production"]
    assert found.kind == "exact" and found.error.item() < 1e-8 * wanted
    assert abs(found.value.item() - wanted) < found.error.item() + CASES[name]["tolerance"]
    assert abs(found.info["system"].value.item() - value["system"]) < found.info["system"].error.item() + 1e-10


@pytest.mark.parametrize("name", CASES)
def test_sampling(name):
    # five standard errors and 4 cases: a false alarm in 4e5 seeds
    process, initial, duration, value = case_of(name)
    options = {"n_samples": 40_000, "generator": 1, "times": [duration]}
    found = entropy_production(process, initial, duration, method="monte-carlo", **options)
    spread = (found.stderr.item() ** 2 + value.get("stderr", 0.0) ** 2) ** 0.5
    assert abs(found.value.item() - value["entropy_production"]) < 5 * spread < 0.06


@pytest.mark.parametrize("name", PLANE)
def test_sampled_rates(name):
    process, initial, _, value = case_of(name)
    for t in (0.1, 0.5):
        law = process.marginal(initial, t)
        found = entropy_production_rate(process, law, t, method="monte-carlo", n_samples=40_000, generator=2)
        wanted = value["rate"][str(t)]
        assert abs(found.value.item() - wanted) < 5 * found.stderr.item() < 0.2 * wanted
