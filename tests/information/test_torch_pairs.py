"""Closed forms of torch against quadrature: every registered pair of scalar continuous families, and every entropy."""

import itertools
import math
import warnings

import pytest
import torch
import torch.distributions as td

from infotherm.core.quantity import NotApplicable
from infotherm.distributions import as_distribution
from infotherm.information import entropy, kl
from infotherm.information.torch_pairs import running_error, torch_entropy, torch_kl

float64 = torch.float64


def tensor(x):
    return torch.tensor(x, dtype=float64)


# Every scalar continuous family as a function of two parameters; two sets of them as a batch.
FAMILIES = {
    "Beta": lambda a, b: td.Beta(a + 0.5, b + 0.7),
    "Cauchy": td.Cauchy,
    "Chi2": lambda a, b: td.Chi2(a + 2),
    "ContinuousBernoulli": lambda a, b: td.ContinuousBernoulli(a / (a + b + 0.1)),
    "Exponential": lambda a, b: td.Exponential(b),
    "Gamma": lambda a, b: td.Gamma(a + 1, b),
    "Gumbel": td.Gumbel,
    "HalfCauchy": lambda a, b: td.HalfCauchy(b),
    "HalfNormal": lambda a, b: td.HalfNormal(b),
    "InverseGamma": lambda a, b: td.InverseGamma(a + 2, b),
    "Kumaraswamy": lambda a, b: td.Kumaraswamy(a + 1, b + 1),
    "Laplace": td.Laplace,
    "LogNormal": td.LogNormal,
    "Normal": td.Normal,
    "Pareto": lambda a, b: td.Pareto(b, a + 2.6),
    "Uniform": lambda a, b: td.Uniform(a / 4, a / 4 + b / 4),
    "Weibull": lambda a, b: td.Weibull(a + 0.7, b + 1),
}
WITHOUT_KL = {
    "FisherSnedecor": lambda a, b: td.FisherSnedecor(a + 3, b + 5),
    "GeneralizedPareto": lambda a, b: td.GeneralizedPareto(a, b, torch.full_like(a, 0.1)),
    "StudentT": lambda a, b: td.StudentT(a + 3, a, b),
    "VonMises": td.VonMises,
}
FIRST, SECOND = tensor([0.6, 1.1]), tensor([1.3, 0.8])


def registered(p: td.Distribution, q: td.Distribution) -> bool:
    try:
        torch_kl(as_distribution(p), as_distribution(q))
    except NotApplicable:
        return False
    return True


PAIRS = [
    (first, second)
    for first, second in itertools.product(FAMILIES, FAMILIES)
    if registered(FAMILIES[first](FIRST, SECOND), FAMILIES[second](FIRST, SECOND))
]


def agreements(first: str, second: str) -> tuple[int, int]:
    """How many combinations of parameter sets (four, where torch has them) are finite and agree, infinite and agree."""
    finite = infinite = 0
    for flipped in (False, True):
        p = FAMILIES[first](FIRST, SECOND)
        q = FAMILIES[second](*((t.flip(0) for t in (FIRST, SECOND)) if flipped else (FIRST, SECOND)))
        if not registered(p, q):
            continue  # transformed laws have a rule for equal transforms only
        closed = kl(p, q, method="closed-form")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # divergent integrals
            integral = kl(p, q, method="quadrature")
        assert closed.shape == integral.shape == (2,)
        for a, b, error in zip(closed.value, integral.value, closed.error + integral.error, strict=True):
            if torch.isinf(a) or torch.isinf(b):
                assert a == b, (first, second, flipped)
                infinite += 1
            else:
                assert (a - b).abs() <= error, (first, second, flipped)
                assert error < 1e-8
                finite += 1
    return finite, infinite


@pytest.mark.parametrize("pair", PAIRS[::3], ids="-".join)
def test_closed_form_and_quadrature_agree(pair):
    assert sum(agreements(*pair)) >= 2


@pytest.mark.slow
def test_at_least_137_finite_closed_forms_agree_with_quadrature():
    counts = [agreements(*pair) for pair in PAIRS]
    assert sum(finite for finite, _ in counts) >= 137
    assert sum(infinite for _, infinite in counts) >= 100


def test_two_rules_of_torch_are_wrong_and_therefore_not_used():
    """KL between the uniform law on [0, 1] and a continuous Bernoulli law is finite; torch returns inf."""
    uniform, tilted = td.Uniform(tensor(0.0), tensor(1.0)), td.ContinuousBernoulli(tensor(0.3))
    for p, q in ((uniform, tilted), (tilted, uniform)):
        assert td.kl_divergence(p, q) == math.inf
        estimate = kl(p, q)
        assert estimate.method == "quadrature" and 0 < estimate.value < 1
        assert "wrong" in str(kl.explain(p, q))
    # E[log p] of the continuous Bernoulli law in closed form
    entropy_of_tilted = -kl(tilted, uniform).value
    assert entropy_of_tilted.item() == pytest.approx(tilted.entropy().item(), rel=1e-11)


class Halved(td.ExponentialFamily):
    """An exponential law that leaves KL and entropy to the generic rules of exponential families."""

    arg_constraints = {"rate": td.constraints.positive}
    support = td.constraints.nonnegative
    _mean_carrier_measure = 0

    def __init__(self, rate):
        self.rate = rate
        super().__init__(rate.shape, validate_args=False)

    def expand(self, batch_shape, _instance=None):
        return Halved(self.rate.expand(batch_shape))

    @property
    def _natural_params(self):
        return (-self.rate,)

    def _log_normalizer(self, x):
        return -torch.log(-x)

    def log_prob(self, value):
        return self.rate.log() - self.rate * value

    def sample(self, sample_shape=()):
        return torch.empty((*sample_shape, *self.rate.shape), dtype=self.rate.dtype).exponential_() / self.rate

    @property
    def mean(self):
        return 1 / self.rate

    @property
    def variance(self):
        return 1 / self.rate**2


def test_generic_rules_of_exponential_families_lose_the_gradient_and_are_not_used():
    rate = tensor(2.0).requires_grad_()
    p, q = Halved(rate), Halved(tensor(3.0))
    # the trap: the number is right, the gradient with respect to p is not there
    lost = td.kl_divergence(p, q)
    assert not lost.requires_grad or torch.autograd.grad(lost, rate, allow_unused=True)[0] is None
    for quantity, arguments in ((kl, (p, q)), (entropy, (p,))):
        assert "drops the gradient" in str(quantity.explain(*arguments))
    estimate = kl(p, q)
    assert estimate.method == "quadrature"
    (slope,) = torch.autograd.grad(estimate.value, rate)
    assert slope.item() == pytest.approx(1 / 2 - 3 / 4, rel=1e-9)  # KL = log(r/s) - 1 + s/r


class Foreign(td.Distribution):
    arg_constraints = {}
    support = td.constraints.real

    def __init__(self, level):
        self.level = level
        super().__init__(level.shape, validate_args=False)

    def log_prob(self, value):
        return td.Normal(self.level, 1.0).log_prob(value)

    def sample(self, sample_shape=()):
        return td.Normal(self.level, 1.0).sample(sample_shape)


@td.register_kl(Foreign, Foreign)
def _kl_foreign_foreign(p, q):
    return (p.level - q.level).square() / 2


def test_pairs_that_users_register_are_closed_forms():
    estimate = kl(Foreign(tensor(0.0)), Foreign(tensor(3.0)))
    assert (estimate.value.item(), estimate.kind, estimate.method) == (4.5, "exact", "closed-form")
    assert estimate.info["rule"] == "torch.distributions"
    assert 0 < estimate.error < 1e-13


def test_products_and_invertible_transforms_follow_their_bases():
    product = td.Independent(td.Gamma(FIRST, SECOND), 1), td.Independent(td.Gamma(SECOND, FIRST), 1)
    single = kl(td.Gamma(FIRST, SECOND), td.Gamma(SECOND, FIRST))
    assert kl(*product).value.item() == pytest.approx(single.value.sum().item(), rel=1e-13)
    folded = td.TransformedDistribution(td.Laplace(tensor(1.0), 1.0), [td.AbsTransform()])
    other = td.TransformedDistribution(td.Laplace(tensor(0.0), 1.0), [td.AbsTransform()])
    assert "not invertible" in str(kl.explain(folded, other))


def test_batches_broadcast_where_torch_itself_fails():
    p, q = td.Pareto(tensor([[1.0], [2.0]]), tensor([[3.0], [0.5]])), td.Exponential(tensor([1.0, 2.0, 3.0]))
    with pytest.raises(IndexError):
        td.kl_divergence(p, q)
    assert kl(p, q).shape == (2, 3)
    assert torch.isinf(kl(p, q).value[1]).all()


ENTROPIES = [name for name in FAMILIES | WITHOUT_KL]


@pytest.mark.parametrize("name", ENTROPIES)
def test_entropies_of_torch_agree_with_quadrature(name):
    law = (FAMILIES | WITHOUT_KL)[name](FIRST, SECOND)
    integral = entropy(law, method="quadrature")
    assert integral.kind == "exact" and (integral.error < 1e-9).all()
    try:
        torch_entropy(as_distribution(law))
    except NotApplicable:
        return
    closed = entropy(law, method="closed-form")
    assert ((closed.value - integral.value).abs() <= closed.error + integral.error).all()


def test_most_families_define_an_entropy():
    defined = 0
    for name in ENTROPIES:
        try:
            torch_entropy(as_distribution((FAMILIES | WITHOUT_KL)[name](FIRST, SECOND)))
            defined += 1
        except NotApplicable:
            pass
    assert defined >= 16


def test_running_error_sees_a_cancellation_inside_a_formula():
    """log-gamma functions of 1e6 cancel to 5e-7: the size of the result says nothing about its accuracy."""
    from mpmath import mp, mpf

    estimate = kl(td.Gamma(tensor(1e6), tensor(1.0)), td.Gamma(tensor(1e6 + 1), tensor(1.0)))
    with mp.workdps(50):
        a, b = mpf(1e6), mpf(1e6 + 1)
        truth = (a - b) * mp.psi(0, a) - mp.loggamma(a) + mp.loggamma(b)
        miss = abs(float(mpf(estimate.value.item()) - truth))
    assert miss <= estimate.error.item()
    assert miss > 4 * torch.finfo(float64).eps * estimate.value.item()  # without the cure
    assert running_error(lambda: tensor(1.0) * 3).item() > 0


def test_running_error_leaves_the_parameters_alone():
    rate = tensor(2.0).requires_grad_()
    law = td.Exponential(rate)
    running_error(lambda: td.kl_divergence(law, td.Exponential(tensor(1.0))))
    assert rate.grad is None and law.rate is rate
    (slope,) = torch.autograd.grad(kl(law, td.Exponential(tensor(1.0))).value, rate)
    assert slope.item() == pytest.approx(1 / 2 - 1 / 4)


def test_discrete_closed_forms_agree_with_sums():
    pairs = [
        (td.Poisson(tensor([3.0, 1.0])), td.Poisson(tensor([4.0, 0.5]))),
        (td.Geometric(tensor([0.3, 0.6])), td.Geometric(tensor([0.5, 0.2]))),
        (td.Binomial(5, tensor([0.3, 0.6])), td.Binomial(5, tensor([0.5, 0.2]))),
    ]
    for p, q in pairs:
        closed, summed = td.kl_divergence(p, q), kl(p, q, method="quadrature")
        assert (closed - summed.value).abs().max() < 1e-12
