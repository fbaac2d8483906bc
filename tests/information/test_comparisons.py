"""How two laws are compared: the better of two integrands, sums over unequal alphabets, draws from both laws."""

import math

import pytest
import torch
import torch.distributions as td

from infotherm.core.quantity import NotApplicable
from infotherm.distributions import Discrete, Empirical, Gaussian, LogDensity, as_distribution
from infotherm.information import comparisons
from infotherm.information.comparisons import by_perspective, mean_over_both, sum_by_perspective
from infotherm.information.cross_entropies import cross_entropy
from infotherm.information.divergences import jensen_shannon, kl
from infotherm.information.f_divergences import chi2, hellinger, total_variation
from infotherm.information.perspectives import CHI2, HELLINGER, KL, TOTAL_VARIATION
from infotherm.information.renyi_divergences import renyi

float64 = torch.float64


def tensor(x):
    return torch.tensor(x, dtype=float64)


def test_singular_ends_of_q_are_met_by_the_plain_form():
    """q ~ u^-0.7 near one: a double cannot say 1 - x below 1e-16, where q still has 2e-5 of its mass; p has not."""
    p, q = as_distribution(td.Uniform(tensor(0.0), tensor(1.0))), as_distribution(td.Beta(tensor(0.5), tensor(0.3)))
    found = by_perspective(KL, p, q)
    truth = td.kl_divergence(td.Uniform(tensor(0.0), tensor(1.0)), td.Beta(tensor(0.5), tensor(0.3))).item()
    assert abs(found.value.item() - truth) <= found.error.item() < 1e-9


def test_the_better_integrand_is_chosen_for_every_element():
    p = as_distribution(td.Uniform(tensor(0.0), tensor(1.0)))
    q = as_distribution(td.Beta(tensor([0.5, 1.0 + 1e-7]), tensor([0.3, 1.0])))
    found = by_perspective(KL, p, q)
    truth = td.kl_divergence(
        td.Uniform(tensor(0.0), tensor(1.0)), td.Beta(tensor([0.5, 1.0 + 1e-7]), tensor([0.3, 1.0]))
    )
    assert found.error[0] < 1e-9
    assert found.value[1].item() == pytest.approx(0.5e-14, rel=1e-6)  # torch's closed form cancels to nothing here
    assert abs(found.value[0] - truth[0]) < 1e-9


def test_atoms_of_unequal_sets():
    p, q = Empirical([[0.0], [1.0]]), Empirical([[1.0], [2.0], [2.0]])
    assert sum_by_perspective(TOTAL_VARIATION, p, q, units="1").value.item() == pytest.approx(2 / 3)
    assert sum_by_perspective(CHI2, p, q, units="1").value == math.inf
    square = sum_by_perspective(HELLINGER, p, q, units="1").value.item()
    assert square == pytest.approx(1 - math.sqrt(0.5 / 3))


def test_the_sum_over_an_alphabet_is_the_sum_over_atoms():
    p, q = Discrete([[0.1, 0.2], [0.3, 0.4]], parts=("x", "y")), Discrete([[0.25, 0.25], [0.5, 0.0]], parts=("x", "y"))
    points = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=float64)
    samples = [Empirical(points, law.pmf.flatten()) for law in (p, q)]
    for f in (TOTAL_VARIATION, HELLINGER, KL):
        table, atoms = sum_by_perspective(f, p, q, units="1"), sum_by_perspective(f, *samples, units="1")
        if torch.isfinite(table.value):
            assert abs(table.value - atoms.value) <= table.error + atoms.error
        else:
            assert torch.isinf(atoms.value)


def test_the_mean_over_both_laws_has_bounded_terms():
    """Far apart, draws of one law alone never see the other; half the draws from each do."""
    p, q = Gaussian(0.0, 1.0), Gaussian(30.0, 1.0)
    found = mean_over_both(TOTAL_VARIATION, p, q, 1000, 0, units="1")
    assert found.kind == "estimate" and found.value.item() == pytest.approx(1.0) and found.info["n"] == 1000
    assert len(found.streams) == 2
    same = mean_over_both(TOTAL_VARIATION, p, p, 1000, 0, units="1")
    # draws that all agree say no more than the rule of three
    assert same.value == 0 and same.interval(0.95)[1].item() == pytest.approx(3 / (500 * 2**0.5), rel=0.01)


def test_predicates_take_further_arguments():
    p = Gaussian(0.0, 1.0)
    comparisons.can_integrate(p, p, 2.0)
    with pytest.raises(NotApplicable, match="sampler"):
        comparisons.can_sample_both(p, LogDensity(lambda x: td.Normal(0.0, 1.0).log_prob(x[..., 0])), "f")


def _single(x):
    return torch.tensor(x, dtype=torch.float32)


@pytest.mark.parametrize("quantity", [kl, total_variation, hellinger, chi2, jensen_shannon, cross_entropy])
@pytest.mark.parametrize("method", ["auto", "quadrature"])
@pytest.mark.parametrize(
    ("single", "double", "other"),
    [
        (Gaussian(_single(0.0), _single(2.0)), Gaussian(0.0, 2.0), Gaussian(1.0, 4.5)),
        (Discrete(_single([0.5, 0.5])), Discrete([0.5, 0.5]), Discrete([0.3, 0.7])),
        (
            as_distribution(torch.distributions.Laplace(_single(0.0), _single(1.0))),
            as_distribution(torch.distributions.Laplace(torch.zeros((), dtype=torch.float64), 1.0)),
            Gaussian(1.0, 4.5),
        ),
    ],
)
def test_laws_in_single_precision_meet_others_in_double(quantity, method, single, double, other):
    """The law in single precision brings its own rounding, and the result says so."""
    if quantity is chi2 and other.measure == "lebesgue" and not isinstance(single, Gaussian):
        return  # infinite
    first, second = quantity(single, other, method=method), quantity(double, other, method=method)
    assert first.value.dtype == torch.float64
    assert (first.value - second.value).abs() <= first.error + second.error
    assert first.error < 1e-4


@pytest.mark.parametrize("order", [0.5, 2.0, math.inf])
def test_renyi_divergences_promote_precision(order):
    single, other = (
        Gaussian(_single([0.0, 1.0]), _single([[2.0, 0.1], [0.1, 1.0]])),
        Gaussian([0.0, 0.0], [[3.0, 0.0], [0.0, 3.0]]),
    )
    double = Gaussian(single.mean.double(), single.covariance.double())
    first, second = renyi(single, other, order), renyi(double, other, order)
    assert (first.value - second.value).abs() <= first.error + second.error


def test_overflow_is_no_proof_of_divergence():
    """exp(10^4) is not infinite, and an integrand that overflows may have a finite integral."""
    p, q = Gaussian(100.0, 1.0), Gaussian(0.0, 1.0)
    assert chi2(p, q).error == math.inf
    assert chi2(p, q, method="quadrature").kind == "unknown"
    laplace = torch.distributions.Laplace(torch.zeros((), dtype=torch.float64), 1.0)
    for found in (chi2(laplace, q), renyi(laplace, q, 2.0)):
        assert found.value == math.inf and found.kind == "unknown" and "overflows" in found.info["reason"]
