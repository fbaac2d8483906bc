"""Quantile functions: both tails, atoms, and the landmarks of a quadrature over them."""

import pytest
import scipy.stats
import torch
from torch import distributions as td

import infotherm as it
from infotherm.transport.quantiles import odds_landmarks, quantiles_of


def _t(x):
    return torch.tensor(x, dtype=torch.float64)


@pytest.mark.parametrize("level", [1e-300, 1e-30, 0.2, 0.5])
def test_tails_mirror_each_other(level):
    laws = {
        "gaussian": it.Gaussian(1.0, 4.0),
        "mixture": it.GaussianMixture([0.5, 0.5], [[0.0], [2.0]], [[[4.0]], [[4.0]]]),
        "scipy": it.as_distribution(scipy.stats.logistic(1.0)),
    }
    for law in laws.values():
        quantiles = quantiles_of(law)
        small, large = _t([level]), _t([1 - level])
        lower, upper = quantiles(small, large), quantiles(large, small)
        assert torch.isfinite(lower).all()
        assert (lower + upper).item() == pytest.approx(2.0, abs=1e-12 * abs(lower.item()))


def test_torch_laws_with_a_quantile_function():
    law = it.as_distribution(td.Laplace(_t(0.0), _t(2.0)))
    assert quantiles_of(law)(_t([0.25]), _t([0.75])).item() == pytest.approx(-2 * torch.log(_t(2.0)).item())
    assert quantiles_of(it.as_distribution(td.Gamma(_t(2.0), _t(1.0)))) is None
    assert quantiles_of(it.as_distribution(td.Poisson(_t(2.0)))) is None


def test_samples_are_a_staircase_from_both_ends():
    law = it.Empirical([[3.0], [1.0], [2.0]], [0.5, 0.25, 0.25])
    quantiles = quantiles_of(law)
    below = _t([1e-12, 0.2, 0.3, 0.49, 0.51, 0.9, 1.0])
    above = _t([1.0, 0.8, 0.7, 0.51, 0.49, 0.1, 1e-300])
    assert quantiles(below, above).tolist() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 3.0]


def test_atoms_are_flat():
    quantiles = quantiles_of(it.SpikeSlab(0.5, 0.0, 1.0))
    levels = _t([0.1, 0.3, 0.5, 0.7, 0.9])
    found = quantiles(levels, 1 - levels)
    assert found[1:4].abs().max() < 1e-300
    assert found[0].item() == pytest.approx(-found[4].item())


def test_landmarks_find_the_step_between_components():
    law = it.GaussianMixture([0.3, 0.7], [[-50.0], [50.0]], [[[1.0]], [[1.0]]])
    marks = odds_landmarks((law,), torch.Size(), torch.float64)
    step = torch.logit(_t(0.3))
    assert torch.isfinite(marks).all()
    assert (marks - step).abs().sort().values[:20].max() < 1e-6  # a ladder towards the step
    batched = odds_landmarks((law,), torch.Size([2]), torch.float64)
    assert batched.shape == (len(marks), 2)
