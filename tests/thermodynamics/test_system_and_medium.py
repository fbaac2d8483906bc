"""The two parts of the balance."""

import pytest
import torch

from infotherm.core.quadrature import integrate
from infotherm.distributions import Empirical, Gaussian, GaussianMixture, Rademacher
from infotherm.processes import AffineDiffusion, OrnsteinUhlenbeck, VariancePreserving
from infotherm.thermodynamics import entropy_production
from infotherm.thermodynamics.system_and_medium import has_atoms, medium_entropy

F64 = torch.float64
BEGIN, END = torch.tensor(0.0, dtype=F64), torch.tensor(0.8, dtype=F64)


def test_medium_by_potential_and_by_integral():
    """A static force has a potential; told as a driven process, the same force is integrated."""
    process = VariancePreserving(kappa=0.5)
    told = AffineDiffusion(lambda t: process.drift_matrix(t, 2), process.diffusion, [0.0, 0.0])
    moments = (torch.tensor([1.0, -2.0], dtype=F64), torch.tensor([[1.0, 0.2], [0.2, 0.3]], dtype=F64))
    one, other = medium_entropy(process, moments, BEGIN, END), medium_entropy(told, moments, BEGIN, END)
    assert one.method == "closed-form" and other.method == "quadrature"
    assert abs(one.value - other.value) <= one.error + other.error < 1e-10


def test_medium_is_heat_over_temperature():
    """For a trap of stiffness 3 in a bath of temperature 1/2: minus the change of its energy, over the temperature."""
    process = OrnsteinUhlenbeck(3.0, 1.0, 1.0)
    law = Gaussian(2.0, 0.25)
    found = medium_entropy(process, (law.mean, law.covariance), BEGIN, END)

    def energy(p):
        return 1.5 * ((p.mean[0] - 1) ** 2 + p.covariance[0, 0])

    assert found.value.item() == pytest.approx(2 * (energy(law) - energy(process.marginal(law, 0.8))).item(), rel=1e-13)


def test_parts_of_a_mixture():
    process, law = OrnsteinUhlenbeck(1.0, 2**0.5), GaussianMixture([0.3, 0.7], [-2.0, 1.0], [0.09, 0.36])
    found = entropy_production(process, law, 1.0)
    parts = found.info["system"] + found.info["medium"]
    assert parts.value.item() == pytest.approx(found.value.item(), rel=1e-13)

    def heat(t):
        later = process.marginal(law, t)
        return later.covariance[..., 0, 0] + later.mean[..., 0] ** 2 - 1

    rate = integrate(heat, 0.0, 1.0)
    assert found.info["medium"].value.item() == pytest.approx(rate.value.item(), rel=1e-12)


def test_which_laws_have_atoms():
    assert has_atoms(Empirical([[0.0]])) and has_atoms(Rademacher()) and has_atoms(Gaussian(0.0, 0.0))
    assert has_atoms(GaussianMixture([0.5, 0.5], [0.0, 1.0], [0.0, 1.0]))
    assert not has_atoms(Gaussian(0.0, 1.0)) and not has_atoms(GaussianMixture([1.0], [0.0], [1.0]))
