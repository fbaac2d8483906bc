"""Entropy production rates of Langevin processes: closed forms, references, two routes."""

import json
import math
from pathlib import Path

import pytest
import torch
from scipy import stats

from infotherm.distributions import Gaussian, as_distribution
from infotherm.processes import Langevin, OrnsteinUhlenbeck
from infotherm.processes.ring import ring_production_rate
from infotherm.thermodynamics import entropy_production_rate

CASES = json.loads((Path(__file__).parents[2] / "validation/references/langevin_grid.json").read_text(encoding="utf-8"))
RATES = [case for case in CASES if case["name"].startswith("ring/") and case["name"].endswith("rate")]
TRAP = Langevin(potential=lambda x: 0.5 * (x**2).sum(-1), sigma=2**0.5)
OU = OrnsteinUhlenbeck(1.0, 2**0.5)


@pytest.mark.parametrize("case", RATES, ids=lambda case: case["name"])
def test_steady_rings(case):
    f, v = case["spec"]["f"], case["spec"]["V"]
    process = Langevin(force=lambda x: f + v * torch.sin(x), sigma=2**0.5, periodic=2 * math.pi)
    found = entropy_production_rate(process)
    assert abs(found.value.item() - case["value"]) <= found.error.item() + 1e-12 < 1e-9
    other = ring_production_rate(process)
    assert abs((found.value - other.value).item()) <= (found.error + other.error).item()


@pytest.mark.parametrize("law", [Gaussian(2.0, 0.25), as_distribution(stats.logistic(0.3, 0.5))])
def test_a_trap_is_an_affine_process(law):
    found, expected = entropy_production_rate(TRAP, law, 0.0), entropy_production_rate(OU, law, 0.0)
    assert abs((found.value - expected.value).item()) <= (found.error + expected.error).item() + 1e-9


def test_draws_agree_with_quadrature_in_one_and_three_dimensions():
    """Five standard errors: false alarm 6e-7 each."""
    law = Gaussian([0.5, -0.2, 0.1], torch.eye(3) * 0.4)
    many = Langevin(force=lambda x: -x + 0.3 * x.roll(1, -1), sigma=[1.0, 1.5, 2.0], mobility=1.0)
    turn = torch.eye(3, dtype=torch.float64) - 0.3 * torch.eye(3, dtype=torch.float64).roll(1, 0)
    exact = OrnsteinUhlenbeck(turn, torch.diag(torch.tensor([1.0, 1.5, 2.0], dtype=torch.float64)))
    for process, p, other in ((TRAP, Gaussian(2.0, 0.25), OU), (many, law, exact)):
        found = entropy_production_rate(process, p, 0.0, method="monte-carlo", generator=5)
        expected = entropy_production_rate(other, p, 0.0)
        assert abs((found.value - expected.value).item()) <= 5 * found.stderr.item() + found.error.item()


def test_multiplicative_noise_at_equilibrium_and_beside_it():
    """p = exp(integral of b / D) / D has no current; a shift of it by a has the rate E[(F(x) - F(x - a))^2 D]."""
    process = Langevin(
        force=lambda x: -x * (1 + 0.5 * torch.sin(x)), sigma=lambda x, c: torch.sqrt(2 + torch.sin(x)), mobility=1.0
    )  # b = -x D, so that p_eq is exp(-x^2 / 2) / D
    assert entropy_production_rate(process).value.item() <= 1e-9
    from infotherm.processes import steady_state

    x = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    law = steady_state(process)
    shape = -0.5 * x[:, 0] ** 2 - torch.log(1 + 0.5 * torch.sin(x[:, 0]))
    torch.testing.assert_close(law.log_prob(x) - law.log_prob(x)[0], shape - shape[0], rtol=0, atol=1e-9)


def test_laws_without_a_score_produce_without_end():
    assert math.isinf(entropy_production_rate(TRAP, Gaussian(0.0, 0.0), 0.0).value.item())
    assert math.isinf(entropy_production_rate(TRAP, as_distribution(stats.uniform(-1, 2)), 0.0).value.item())
    # the score of sqrt-like ends is square integrable: x^2 (1 - x)^2 has a finite rate
    assert math.isfinite(entropy_production_rate(TRAP, as_distribution(stats.beta(4, 4)), 0.0).value.item())


def test_on_a_torus_all_images_count():
    """Two independent rings: the torus makes twice as much as one of them; five standard errors (false alarm 6e-7)."""
    ring = Langevin(force=lambda x: 1.0 + torch.sin(x), sigma=2**0.5, periodic=2 * torch.pi)
    one = entropy_production_rate(ring, Gaussian(0.0, 4.0))
    two = Gaussian([0.0, 0.0], [[4.0, 0.0], [0.0, 4.0]])
    torus = Langevin(force=lambda x: 1.0 + torch.sin(x), sigma=2**0.5, periodic=2 * torch.pi, dim=2)
    found = entropy_production_rate(torus, two, generator=1)
    assert abs((found.value - 2 * one.value).item()) <= 5 * found.stderr.item() + found.error.item()
