"""Atoms and densities of laws, and the predicates that say why laws cannot be compared."""

import math

import pytest
import torch
import torch.distributions as td

from infotherm.core.quantity import NotApplicable
from infotherm.distributions import (
    Discrete,
    Empirical,
    Gaussian,
    GaussianMixture,
    LogDensity,
    Rademacher,
    SpikeSlab,
    as_distribution,
)
from infotherm.information import supports
from infotherm.information.supports import carrier, check_pair

float64 = torch.float64


def test_a_density_has_no_atoms():
    found = carrier(Gaussian(0.0, 1.0))
    assert found.points is None and found.log_density is not None
    assert found.log_mass(torch.zeros(3, 1, dtype=float64)).tolist() == [-math.inf] * 3


@pytest.mark.parametrize(
    "law",
    [
        Discrete([0.25, 0.75]),
        Discrete([[0.25, 0.25], [0.5, 0.0]], parts=("x", "y")),
        Rademacher(torch.tensor([0.3, 0.5])),
        Empirical([[0.0], [1.0], [1.0]]),
        as_distribution(td.Binomial(3, torch.tensor([0.3, 0.6], dtype=float64))),
        as_distribution(td.Poisson(torch.tensor([3.0, 30.0], dtype=float64))),
        SpikeSlab(0.0, 0.0, 1.0),
    ],
    ids=lambda law: type(law).__name__,
)
def test_atoms_carry_all_the_mass(law):
    found = carrier(law)
    mass = found.log_mass(found.points).exp().sum(0)
    assert found.points.shape[1:] == (*law.batch_shape, law.dim)
    assert (mass - 1).abs().max() < 1e-6  # float32 of the Rademacher law
    assert (found.tail <= 1e-25).all()


def test_a_spike_and_its_slab_are_told_apart():
    law = SpikeSlab(0.25, 1.0, 4.0)
    found = carrier(law)
    assert found.log_mass(found.points).exp().item() == 0.75
    assert found.log_mass(torch.ones(1, 1, dtype=float64)).item() == -math.inf
    # the density at zero is that of the slab, although log_prob there is the mass of the spike
    expected = 0.25 * td.Normal(1.0, 2.0).log_prob(torch.tensor(0.0, dtype=float64)).exp()
    assert found.log_density(torch.zeros(1, 1, dtype=float64)).exp().item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_mixture_with_atoms_is_the_same_law():
    spike = SpikeSlab(0.25, 1.0, 4.0)
    mixture = carrier(spike.as_gaussian_mixture())
    at = torch.tensor([[0.5], [3.0]], dtype=float64)
    assert torch.allclose(mixture.log_density(at), carrier(spike).log_density(at))
    assert mixture.log_mass(mixture.points).exp().item() == pytest.approx(0.75)
    coins = carrier(Rademacher(0.3).as_gaussian_mixture())
    assert coins.log_density is None and coins.points.shape == (2, 1)


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (Gaussian([0.0, 0.0], [[1.0, 1.0], [1.0, 1.0]]), "singular"),
        (GaussianMixture([0.5, 0.5], [[0.0, 0.0], [1.0, 1.0]], [[[1.0, 1.0], [1.0, 1.0]]] * 2), "line or plane"),
    ],
)
def test_laws_on_lines_have_no_carrier(law, message):
    with pytest.raises(NotImplementedError, match=message):
        carrier(law)


@pytest.mark.parametrize(
    ("p", "q", "message"),
    [
        (Gaussian(0.0, 1.0), Gaussian([0.0, 0.0], torch.eye(2, dtype=float64)), "D = 1 and D = 2"),
        (Discrete([0.5, 0.5]), Discrete([0.2, 0.3, 0.5]), "one alphabet"),
        (
            Gaussian(torch.zeros(2, 1, dtype=float64), torch.ones(1, 1, dtype=float64)),
            Gaussian(torch.zeros(3, 1, dtype=float64), torch.ones(1, 1, dtype=float64)),
            "broadcast",
        ),
    ],
)
def test_pairs_that_do_not_fit_are_refused(p, q, message):
    with pytest.raises(ValueError, match=message):
        check_pair(p, q)


def test_predicates_say_why():
    wide = Gaussian(torch.zeros(4, dtype=float64), torch.eye(4, dtype=float64))
    with pytest.raises(NotApplicable, match="D = 4"):
        supports.require_carriers(wide)
    with pytest.raises(NotApplicable, match="has a density"):
        supports.require_atoms(wide)
    with pytest.raises(NotApplicable, match="infinitely many"):
        supports.require_atoms(as_distribution(td.Poisson(torch.tensor(3.0))))
    with pytest.raises(NotApplicable, match="different measures"):
        supports.require_comparable(Empirical([[0.0], [1.0]]), Gaussian(0.0, 1.0))
    with pytest.raises(NotApplicable, match="sampler"):
        supports.require_sampler(LogDensity(lambda x: -x[..., 0], lower=0.0))
    with pytest.raises(NotApplicable):
        supports.require_singular(Gaussian(0.0, 1.0), Gaussian(0.0, 1.0))
    supports.require_singular(Empirical([[0.0]]), Gaussian(0.0, 1.0))
