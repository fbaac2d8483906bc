"""Totals over atoms and densities: values, honest errors, divergent integrals, scales, gradients."""

import math
import warnings

import pytest
import torch
import torch.distributions as td

from infotherm.distributions import (
    Discrete,
    Gaussian,
    GaussianMixture,
    LogDensity,
    SpikeSlab,
    as_distribution,
)
from infotherm.information.integrals import aligned, total
from infotherm.information.lines import line_breakpoints, line_range
from infotherm.information.perspectives import CHI2, KL, TOTAL_VARIATION

float64 = torch.float64


def tensor(x):
    return torch.tensor(x, dtype=float64)


def divergence(f, p, q, **options):
    return total(lambda x, log_p, log_q: f(log_p, log_q), [as_distribution(p), as_distribution(q)], **options)


def mass(p, **options):
    return total(lambda x, log_p: log_p.exp(), [as_distribution(p)], **options)


@pytest.mark.parametrize(
    "law",
    [
        Gaussian(0.0, 1.0),
        Gaussian(1e8, 1e-4),
        td.StudentT(tensor(3.0)),
        td.Cauchy(tensor([0.0, 5.0]), tensor([1.0, 1e-9])),
        td.Uniform(tensor(-1.0), tensor(2.0)),
        td.Beta(tensor(0.5), tensor(0.5)),
        td.Poisson(tensor([0.1, 50.0])),
        Discrete([[0.25, 0.25], [0.5, 0.0]], parts=("x", "y")),
        SpikeSlab([0.0, 0.3, 1.0], 2.0, 0.01),
        GaussianMixture([0.3, 0.7], [-50.0, 50.0], [1e-6, 1.0]),
        GaussianMixture([0.3, 0.7], [[-1.0, 0.0], [2.0, 1.0]], [1.0, 0.2]),
    ],
    ids=lambda law: type(law).__name__,
)
def test_every_law_has_mass_one_within_the_error(law):
    found = mass(law)
    assert found.converged
    assert ((found.value - 1).abs() <= found.error).all()
    assert (found.error < 1e-5).all() and (found.error > 0).all()


def test_heavy_tails_are_integrated_not_cut_off():
    """Of |x| under Student's t with three degrees of freedom, 2e-4 lies beyond forty deviations: mapped, not cut."""
    law = as_distribution(td.StudentT(tensor(3.0)))
    found = total(lambda x, log_p: log_p.exp() * x[..., 0].abs(), [law])
    truth = 2 * math.sqrt(3) / math.pi
    assert abs(found.value.item() - truth) <= found.error.item() < 1e-10
    # the trap: the same rule on a finite range claims an error that is far too small
    from infotherm.core.quadrature import integrate

    cut = integrate(lambda x: law.log_prob(x[:, None]).exp() * x.abs(), -100.0, 100.0, breakpoints=[-8.0, 0.0, 8.0])
    assert abs(cut.value.item() - truth) > 1e6 * cut.error.item()


def test_divergent_integrals_are_infinite_and_not_exact():
    cases = [
        (td.Cauchy(tensor(0.0), tensor(1.0)), Gaussian(0.0, 1.0)),  # grows linearly
        (td.Pareto(tensor(1.0), tensor(1.0)), td.Exponential(tensor(1.0))),  # grows logarithmically
    ]
    for p, q in cases:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            found = divergence(KL, p, q)
        assert found.value == math.inf
        estimate = found.estimate()
        assert estimate.kind == "unknown" and "diverge" in estimate.info["reason"]


def test_a_slowly_convergent_tail_is_not_taken_for_a_divergent_one():
    found = divergence(KL, td.Pareto(tensor(1.0), tensor(1.2)), td.Exponential(tensor(1.0)))
    truth = td.kl_divergence(td.Pareto(tensor(1.0), tensor(1.2)), td.Exponential(tensor(1.0)))
    assert not found.divergent
    assert abs(found.value.item() - truth.item()) <= found.error.item() + 1e-14


def test_integrands_that_overflow_are_infinite():
    assert divergence(CHI2, td.Laplace(tensor(0.0), tensor(1.0)), Gaussian(0.0, 1.0)).value == math.inf
    assert divergence(CHI2, Gaussian(0.0, 2.01), Gaussian(0.0, 1.0)).value == math.inf
    assert torch.isfinite(divergence(CHI2, Gaussian(0.0, 1.99), Gaussian(0.0, 1.0)).value)


def test_mass_outside_the_support_makes_one_element_infinite():
    p = td.Uniform(tensor([0.0, 0.0]), tensor([1.0, 2.0]))
    q = td.Uniform(tensor([[0.0], [-1.0]]), tensor([[2.0], [1.0]]))
    found = divergence(KL, p, q)
    assert found.value.tolist() == [
        [pytest.approx(math.log(2)), pytest.approx(0.0, abs=1e-15)],
        [pytest.approx(math.log(2)), math.inf],
    ]
    assert found.converged


def test_nearly_equal_densities_keep_their_relative_accuracy():
    """The error is that of the parameters: without it the integrand would be refined down to its own rounding noise."""
    for shift in (1e-3, 1e-5, 1e-7):
        found = divergence(KL, Gaussian(0.0, 1.0), Gaussian(shift, 1.0))
        assert found.converged and found.evaluations < 2000
        assert abs(found.value.item() - shift**2 / 2) <= found.error.item()
        assert found.error.item() < 1e-13 * shift


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6, 1e12])
def test_the_scale_does_not_matter(scale):
    p, q = Gaussian(0.0, scale**2), Gaussian(scale, 2 * scale**2)
    found = divergence(KL, p, q)
    assert abs(found.value.item() - (0.5 * math.log(2) + 0.5 - 0.5)) <= found.error.item() < 1e-12


def test_laws_of_very_different_scales():
    found = divergence(KL, Gaussian(0.0, 1e-24), Gaussian(0.0, 1.0))
    truth = -math.log(1e-12) + (1e-24 - 1) / 2
    assert abs(found.value.item() - truth) <= found.error.item() < 1e-10


def test_atoms_of_both_laws_count_once():
    p, q = Discrete([0.5, 0.5, 0.0]), Discrete([0.25, 0.25, 0.5])
    assert divergence(TOTAL_VARIATION, p, q).value.item() == pytest.approx(0.5)
    assert divergence(TOTAL_VARIATION, SpikeSlab(0.5, 0.0, 1.0), Gaussian(0.0, 1.0)).value.item() == pytest.approx(0.5)


@pytest.mark.parametrize("dim", [2, 3])
def test_two_and_three_dimensions(dim):
    g = torch.Generator().manual_seed(dim)
    root = torch.randn(dim, dim, generator=g, dtype=float64)
    cov = root @ root.mT + 0.05 * torch.eye(dim, dtype=float64)
    p, q = (
        Gaussian(torch.zeros(dim, dtype=float64), cov),
        Gaussian(torch.ones(dim, dtype=float64), cov + torch.eye(dim, dtype=float64)),
    )
    truth = td.kl_divergence(
        td.MultivariateNormal(p.mean, p.covariance), td.MultivariateNormal(q.mean, q.covariance)
    ).item()
    found = divergence(KL, p, q, tolerance=1e-3 if dim == 3 else None)
    assert found.converged
    assert abs(found.value.item() - truth) <= found.error.item() < 2e-3 * truth


def test_a_bounded_box_in_two_dimensions():
    square = LogDensity(lambda x: (4 * x[..., 0] * x[..., 1]).log(), dim=2, lower=0.0, upper=1.0)
    found = total(lambda x, log_p: -log_p.exp() * log_p.clamp_min(-700), [square])
    assert abs(found.value.item() - (1 - 2 * math.log(2))) <= found.error.item() < 1e-6


def test_gradients_flow_through_the_integral():
    mean, variance = tensor(0.3).requires_grad_(), tensor(1.5).requires_grad_()
    found = divergence(KL, Gaussian(mean, variance), Gaussian(0.0, 1.0))
    slopes = torch.autograd.grad(found.value, (mean, variance))
    assert [s.item() for s in slopes] == pytest.approx([0.3, 0.5 * (1 - 1 / 1.5)], rel=1e-10)


def test_float32_stays_float32_and_says_its_error():
    p = Gaussian(torch.zeros(1), torch.ones(1, 1))
    found = divergence(KL, p, Gaussian(torch.ones(1), torch.ones(1, 1)))
    assert found.value.dtype == torch.float32
    assert abs(found.value.item() - 0.5) <= found.error.item() < 1e-4


def test_a_missed_tolerance_warns_unless_told_not_to():
    wave = 2 * math.pi * 1e6
    rough = LogDensity(lambda x: torch.log1p(0.9 * torch.sin(wave * x[..., 0])), lower=0.0, upper=1.0, check=False)
    with pytest.warns(RuntimeWarning, match="tolerance"):
        found = mass(rough)
    assert not found.converged and found.estimate().kind == "unknown"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mass(rough, quiet=True)


def test_helpers():
    assert aligned(torch.zeros(5, 3, 1), 1, 3).shape == (5, 1, 1, 3, 1)
    batch = torch.Size((2,))
    laws = [Gaussian(0.0, 1.0), as_distribution(td.Uniform(tensor([0.0, -3.0]), tensor(1.0)))]
    lower, upper = line_range(laws[1:], batch, float64)
    assert (lower.tolist(), upper.tolist()) == ([0.0, -3.0], [1.0, 1.0])
    assert line_breakpoints(laws, batch, float64).shape[1:] == batch


def test_a_density_narrower_than_the_rounding_of_its_place_is_not_integrated():
    """A deviation of 1e-12 at 1e8, where doubles are 1.5e-8 apart: no node lies where the mass is."""
    from infotherm.information.f_divergences import total_variation
    from infotherm.information.fisher import fisher_information

    p = GaussianMixture([0.3, 0.7], [[1e8], [1e8 + 1e-8]], [[[1e-24]], [[4e-24]]])
    q = GaussianMixture([0.5, 0.5], [[1e8], [1e8 + 1e-8]], [[[1e-24]], [[4e-24]]])
    with pytest.warns(RuntimeWarning):
        for found in (fisher_information(p), total_variation(p, q)):
            assert found.kind == "unknown" and bool(torch.isinf(found.error).all())
