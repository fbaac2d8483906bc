"""Total variation, Hellinger, chi-square and general f-divergences: inequalities, kinks, routes, bad input."""

import doctest
import math

import pytest
import torch
import torch.distributions as td
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.distributions import Discrete, Empirical, Gaussian, GaussianMixture, SpikeSlab
from infotherm.information import f_divergences
from infotherm.information.divergences import jensen_shannon, kl
from infotherm.information.f_divergences import chi2, crossings, f_divergence, hellinger, total_variation
from infotherm.information.perspectives import NAMED, power

float64 = torch.float64
MIXTURE = GaussianMixture([0.3, 0.7], [-2.0, 1.0], [0.25, 1.0])


def tensor(x):
    return torch.tensor(x, dtype=float64)


@st.composite
def pmf_pairs(draw):
    size = draw(st.integers(2, 8))
    both = []
    for _ in range(2):
        weights = tensor(draw(st.lists(st.sampled_from([0.0, 1e-9, 0.1, 0.5, 2.0]), min_size=size, max_size=size)))
        weights[draw(st.integers(0, size - 1))] += 0.5
        both.append(Discrete(weights / weights.sum()))
    return both


@st.composite
def scalar_gaussians(draw):
    numbers = st.floats(-3, 3)
    return [Gaussian(draw(numbers), math.exp(draw(numbers))) for _ in range(2)]


def inequalities(p, q):
    v, h, c, d = total_variation(p, q), hellinger(p, q), chi2(p, q), kl(p, q)
    room = 1e-12
    assert 0 <= v.value <= 1 + room and 0 <= h.value <= 1 + room
    square = h.value**2
    assert square <= v.value + v.error + 2 * h.error + room  # Le Cam
    assert v.value <= h.value * (2 - square).sqrt() + v.error + 2 * h.error + room
    assert v.value**2 <= d.value / 2 + v.error + d.error + room  # Pinsker
    assert d.value <= torch.log1p(c.value) + d.error + room
    assert 2 * square <= d.value + 4 * h.error + d.error + room
    assert v.value <= (-torch.expm1(-d.value)).sqrt() + v.error + room  # Bretagnolle and Huber


@given(pmf_pairs())
@settings(max_examples=20)
def test_inequalities_for_pmfs(pair):
    inequalities(*pair)


@given(scalar_gaussians())
@settings(max_examples=20)
def test_inequalities_for_gaussians(pair):
    inequalities(*pair)


@given(pmf_pairs())
@settings(max_examples=20)
def test_symmetry_and_zero(pair):
    p, q = pair
    for distance in (total_variation, hellinger):
        assert distance(p, q).value == distance(q, p).value
        assert distance(p, p).value == 0 and distance(p, p).error > 0
    assert chi2(p, p).value == 0


@given(pmf_pairs(), pmf_pairs())
@settings(max_examples=20)
def test_distances_obey_the_triangle_inequality(first, second):
    size = min(len(first[0].pmf), len(second[0].pmf))
    p, q, r = (Discrete((x.pmf[:size] + 1e-9) / (x.pmf[:size] + 1e-9).sum()) for x in (*first, second[0]))
    for distance in (total_variation, hellinger):
        direct, one, two = distance(p, r), distance(p, q), distance(q, r)
        assert direct.value <= one.value + two.value + direct.error + one.error + two.error


# -- routes -----------------------------------------------------------------------------------------------------------

PAIRS = [
    (Gaussian(0.3, 1.0), Gaussian(0.0, 1.5)),
    (MIXTURE, Gaussian(0.0, 3.0)),
    (td.Gamma(tensor([2.0, 3.0]), tensor(1.5)), td.Gamma(tensor(2.0), tensor(1.0))),
    (td.Poisson(tensor(3.0)), td.Poisson(tensor(4.0))),
    (SpikeSlab(0.3, 0.0, 1.0), SpikeSlab(0.6, 0.0, 1.5)),
    (Discrete([0.2, 0.8, 0.0]), Discrete([0.5, 0.25, 0.25])),
]


@pytest.mark.parametrize(("p", "q"), PAIRS, ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("quantity", [total_variation, hellinger, chi2], ids=lambda q: q.name)
def test_routes_agree(quantity, p, q):
    exact = quantity(p, q)
    integral = quantity(p, q, method="quadrature")
    sampled = quantity(p, q, method="monte-carlo", n_samples=20_000, generator=3)
    assert exact.kind == integral.kind == "exact" and exact.units == "1"
    assert ((exact.value - integral.value).abs() <= exact.error + integral.error).all()
    assert (integral.error < 1e-10).all()
    assert sampled.kind == "estimate"
    assert ((exact.value - sampled.value).abs() <= 4 * sampled.stderr + exact.error).all()


@pytest.mark.parametrize(("p", "q"), PAIRS, ids=lambda x: type(x).__name__)
def test_named_f_divergences_are_the_quantities(p, q):
    for name, quantity in (
        ("kl", kl),
        ("chi2", chi2),
        ("total-variation", total_variation),
        ("jensen-shannon", jensen_shannon),
    ):
        general, special = f_divergence(p, q, name), quantity(p, q)
        assert ((general.value - special.value).abs() <= general.error + special.error).all()
    square, distance = f_divergence(p, q, "squared-hellinger"), hellinger(p, q)
    assert torch.allclose(square.value, distance.value**2, atol=1e-13)
    reverse, backward = f_divergence(p, q, "reverse-kl"), kl(q, p)
    finite = torch.isfinite(backward.value)
    assert torch.equal(torch.isfinite(reverse.value), finite)
    assert ((reverse.value - backward.value).abs() <= reverse.error + backward.error)[finite].all()


def test_functions_of_the_user():
    p, q = Gaussian(0.3, 1.0), Gaussian(0.0, 1.5)
    for f, truth in (
        (lambda t: t * t.log(), kl(p, q)),
        (lambda t: (t - 1) ** 2, chi2(p, q)),
        (lambda t: 0.5 * (t - 1).abs(), total_variation(p, q)),
    ):
        found = f_divergence(p, q, f)
        assert abs(found.value - truth.value) <= found.error + truth.error
        sampled = f_divergence(p, q, f, method="monte-carlo", n_samples=20_000, generator=0)
        assert abs(sampled.value - truth.value) <= 4 * sampled.stderr
    triangular = f_divergence(Discrete([1.0, 0.0]), Discrete([0.0, 1.0]), lambda t: (t - 1) ** 2 / (t + 1))
    assert triangular.value.item() == pytest.approx(2.0)
    assert f_divergence(p, q, power(2.0)).value.item() == pytest.approx(chi2(p, q).value.item() / 2, rel=1e-12)


@pytest.mark.parametrize("dim", [2, 3])
def test_total_variation_in_two_and_three_dimensions(dim):
    """A kink on a surface: the error of the cubature is honest, if not small."""
    cov = torch.eye(dim, dtype=float64)
    p, q = Gaussian(torch.zeros(dim, dtype=float64), cov), Gaussian(torch.ones(dim, dtype=float64) / 2, cov)
    closed = total_variation(p, q)
    integral = total_variation(p, q, method="quadrature", tolerance=1e-2 if dim == 2 else 0.05)
    assert closed.method == "closed-form"
    assert abs(closed.value - integral.value) <= closed.error + integral.error
    assert integral.error < 0.05


# -- kinks ------------------------------------------------------------------------------------------------------------


def test_crossings_are_found_and_break_the_integral():
    p, q = Gaussian(0.0, 1.0), Gaussian(1.0, 2.0)
    at = crossings(p, q)
    finite = at[torch.isfinite(at)]
    difference = p.log_prob(finite[:, None]) - q.log_prob(finite[:, None])
    assert len(finite) == 2 and difference.abs().max() < 1e-13
    broken = total_variation(p, q, method="quadrature")
    assert broken.info["evaluations"] < 2000 and broken.error < 1e-12
    # the trap: without the crossings the same tolerance costs many more evaluations
    from infotherm.information.comparisons import by_perspective

    unbroken = by_perspective(NAMED["total-variation"], p, q)
    assert unbroken.evaluations > 1.5 * broken.info["evaluations"]
    assert abs(unbroken.value - broken.value) <= unbroken.error + broken.error


def test_crossings_of_a_batch_may_differ_in_number():
    p = GaussianMixture(tensor([[0.5, 0.5], [0.5, 0.5]]), tensor([[[-3.0], [3.0]], [[0.0], [0.0]]]), 1.0)
    at = crossings(p, Gaussian(0.0, 4.0))
    assert torch.isfinite(at).sum(0).tolist() == [4, 2]
    assert crossings(Discrete([0.5, 0.5]), Discrete([0.2, 0.8])) is None
    assert crossings(p, p) is None


def test_laws_that_touch_without_crossing():
    p, q = td.Uniform(tensor(0.0), tensor(1.0)), td.Uniform(tensor(0.5), tensor(2.0))
    found = total_variation(p, q)
    assert abs(found.value - 2 / 3) <= found.error < 1e-12


# -- disjoint laws, gradients, bad input ------------------------------------------------------------------------------


def test_atoms_against_a_density():
    p, q = Empirical([[0.0], [1.0]]), Gaussian(0.0, 1.0)
    assert total_variation(p, q).value == 1 and hellinger(p, q).value == 1
    assert chi2(p, q).value == math.inf and chi2(p, q).info["reason"]
    assert f_divergence(p, q, "squared-hellinger").value == 1
    assert f_divergence(p, q, "kl").value == math.inf


def test_chi_square_exists_only_for_light_tails():
    for method in ("closed-form", "quadrature"):
        assert chi2(Gaussian(0.0, 2.5), Gaussian(0.0, 1.0), method=method).value == math.inf
    edge = chi2(Gaussian(0.0, 2.0), Gaussian(0.0, 1.0))
    assert torch.isinf(edge.value) or torch.isinf(edge.error)
    heavy = chi2(Gaussian(0.0, 1.95), Gaussian(0.0, 1.0), method="monte-carlo", generator=0)
    assert heavy.kind == "unknown"


def test_the_gradient_of_a_distance_at_zero_is_zero():
    mean = tensor(0.0).requires_grad_()
    for method in ("closed-form", "quadrature"):
        found = hellinger(Gaussian(mean, tensor(1.0)), Gaussian(0.0, 1.0), method=method)
        assert torch.autograd.grad(found.value, mean)[0] == 0


@pytest.mark.parametrize("quantity", [total_variation, hellinger, chi2], ids=lambda q: q.name)
def test_gradients_of_the_routes_agree(quantity):
    mean = tensor(0.5).requires_grad_()
    p, q = Gaussian(mean, tensor(1.0)), Gaussian(0.0, 1.5)
    slopes = [
        torch.autograd.grad(quantity(p, q, method=m).value, mean)[0].item() for m in ("closed-form", "quadrature")
    ]
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-8)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_extreme_scales(scale):
    p, q = Gaussian(0.0, scale**2), Gaussian(scale, 2 * scale**2)
    unit = Gaussian(0.0, 1.0), Gaussian(1.0, 2.0)
    for quantity in (total_variation, hellinger, chi2):
        for method in ("closed-form", "quadrature"):
            found, truth = quantity(p, q, method=method), quantity(*unit)
            assert abs(found.value - truth.value) <= found.error + truth.error < 1e-11


def test_float32_and_batches():
    p = Gaussian(torch.zeros(3, 1, 1), torch.ones(1, 1))
    q = Gaussian(torch.ones(4, 1), torch.ones(1, 1))
    for quantity in (total_variation, hellinger, chi2):
        for method in ("closed-form", "quadrature", "monte-carlo"):
            options = {"generator": 0, "n_samples": 400} if method == "monte-carlo" else {}
            found = quantity(p, q, method=method, **options)
            assert found.shape == (3, 4) and found.value.dtype == torch.float32


def test_bad_input():
    p = Gaussian(0.0, 1.0)
    with pytest.raises(ValueError, match="squared-hellinger"):
        f_divergence(p, p, "helinger")
    with pytest.raises(ValueError, match="D = 1 and D = 2"):
        chi2(p, Gaussian([0.0, 0.0], torch.eye(2, dtype=float64)))
    with pytest.raises(TypeError, match="f must be"):
        f_divergence(p, p, 3)
    with pytest.raises(ValueError, match="broadcast"):
        hellinger(Gaussian(torch.zeros(2, 1), torch.ones(1, 1)), Gaussian(torch.zeros(3, 1), torch.ones(1, 1)))


@pytest.mark.parametrize("quantity", [total_variation, hellinger, chi2, f_divergence], ids=lambda q: q.name)
def test_examples(quantity):
    test = doctest.DocTestParser().get_doctest(quantity.__doc__, vars(f_divergences).copy(), "doc", None, 0)
    assert test.examples and doctest.DocTestRunner().run(test).failed == 0
