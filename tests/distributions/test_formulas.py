import mpmath
import pytest
import torch
import torch.distributions as td
from hypothesis import given
from hypothesis import strategies as st

from infotherm.distributions.formulas import deviance, log_density, stirling_remainder

from .torch_families import t

EPS = torch.finfo(torch.float64).eps
M = mpmath.mpf


def poisson(k, rate):
    return k * mpmath.log(rate) - rate - mpmath.loggamma(k + 1)


def binomial(k, n, p):
    return mpmath.log(mpmath.binomial(n, k)) + k * mpmath.log(p) + (n - k) * mpmath.log(1 - p)


def negative_binomial(k, r, p):
    count = mpmath.loggamma(r + k) - mpmath.loggamma(k + 1) - mpmath.loggamma(r)
    return count + r * mpmath.log(1 - p) + k * mpmath.log(p)


def gamma(x, a, b):
    return a * mpmath.log(b) - mpmath.loggamma(a) + (a - 1) * mpmath.log(x) - b * x


def inverse_gamma(x, a, b):
    return a * mpmath.log(b) - mpmath.loggamma(a) - (a + 1) * mpmath.log(x) - b / x


def beta(x, a, b):
    norm = mpmath.loggamma(a + b) - mpmath.loggamma(a) - mpmath.loggamma(b)
    return norm + (a - 1) * mpmath.log(x) + (b - 1) * mpmath.log(1 - x)


def student(x, df):
    norm = mpmath.loggamma((df + 1) / 2) - mpmath.loggamma(df / 2) - mpmath.log(df * mpmath.pi) / 2
    return norm - (df + 1) / 2 * mpmath.log(1 + x * x / df)


CASES = [
    *[
        (lambda a: td.Poisson(t(a)), poisson, c)
        for c in [(3, 0.5), (17, 16.0), (1000300, 1e6), (990000, 1e6), (2, 1e3)]
    ],
    *[
        (lambda n, p: td.Binomial(torch.tensor(n), t(p)), binomial, c)
        for c in [(3, 7, 0.2), (300100, 1000000, 0.3), (3, 1000000, 3e-6), (0, 10, 0.1), (999999, 1000000, 0.999999)]
    ],
    *[
        (lambda r, p: td.NegativeBinomial(t(r), t(p)), negative_binomial, c)
        for c in [(3, 0.5, 0.2), (0, 0.5, 0.2), (2000000, 1e6, 0.6666), (5, 1e-3, 0.9), (100000, 2.5, 0.9999)]
    ],
    *[
        (lambda a, b: td.Gamma(t(a), t(b)), gamma, c)
        for c in [(2.0, 3.0, 1.0), (1.001e6, 1e6, 1.0), (1e-3, 20.0, 1.0), (15.0, 16.0, 1.0)]
    ],
    *[(lambda a, b: td.InverseGamma(t(a), t(b)), inverse_gamma, c) for c in [(2.0, 3.0, 1.0), (1e-6, 1e6, 1.0)]],
    *[
        (lambda a, b: td.Beta(t(a), t(b)), beta, c)
        for c in [(0.3, 2.0, 3.0), (0.5001, 1e6, 1e6), (0.1, 0.5, 3.0), (1e-6, 2.0, 1e6), (0.75, 16.0, 17.0)]
    ],
    *[
        (lambda df: td.StudentT(t(df)), student, c)
        for c in [(1.0, 0.5), (1.0, 33.0), (1.0, 35.0), (2.0, 1e8), (1.0, 1e12)]
    ],
]


@pytest.mark.parametrize(("family", "exact", "case"), CASES, ids=lambda c: str(c) if isinstance(c, tuple) else "")
def test_large_parameters_cost_no_digits(family, exact, case):
    x, *parameters = case
    with mpmath.workdps(50):
        arguments = [M(v) for v in case]
        reference = float(exact(*arguments))
        # what one unit in the last place of the point does to it (integers are exact)
        slope = 0.0 if isinstance(x, int) else float(x * mpmath.diff(lambda v: exact(v, *arguments[1:]), arguments[0]))
    got = log_density(family(*parameters), t(float(x))).item()
    assert abs(got - reference) <= 8 * EPS * (4 + abs(reference) + abs(slope))


def test_the_check_above_can_fail():
    # torch's own formula at a large rate: this is what the saddle point cures
    k, rate = 1000300, 1e6
    with mpmath.workdps(50):
        reference = float(poisson(M(k), M(rate)))
    assert abs(td.Poisson(t(rate)).log_prob(t(float(k))).item() - reference) > 1e-11


@given(st.floats(1e-3, 1e8))
def test_stirling_s_remainder(n):
    with mpmath.workdps(40):
        exact = mpmath.loggamma(M(n) + 1) - (M(n) + 0.5) * mpmath.log(n) + M(n) - mpmath.log(2 * mpmath.pi) / 2
    assert abs(stirling_remainder(t(n)).item() - float(exact)) < 200 * EPS


@given(st.floats(1e-6, 1e6), st.floats(-0.9, 3))
def test_deviance(mean, excess):
    x = mean * (1 + excess)
    with mpmath.workdps(40):
        exact = float(M(x) * mpmath.log(M(x) / M(mean)) + M(mean) - M(x))
    assert abs(deviance(t(x), t(mean)).item() - exact) <= 32 * EPS * abs(exact) + 1e-320


@pytest.mark.parametrize(
    ("make", "parameters", "x"),
    [
        (td.Poisson, (20.0,), 25.0),
        (td.Gamma, (20.0, 2.0), 9.0),
        (td.Gamma, (0.5, 2.0), 0.3),
        (td.Beta, (3.0, 20.0), 0.2),
        (td.StudentT, (50.0,), 1.3),
        (lambda p: td.Binomial(40, p), (0.3,), 10.0),
        (td.NegativeBinomial, (20.0, 0.3), 10.0),
        (td.VonMises, (0.3, 4.0), 1.0),
        (td.Kumaraswamy, (2.0, 3.0), 0.4),
        (td.InverseGamma, (20.0, 3.0), 0.4),
    ],
)
def test_gradients_agree_with_torch_s_formula(make, parameters, x):
    inputs = [t(p).requires_grad_() for p in parameters]
    law, point = make(*inputs), t(x)
    continuous = not law.support.is_discrete
    point = point.requires_grad_() if continuous else point
    wanted = [*inputs, point] if continuous else inputs
    ours = torch.autograd.grad(log_density(law, point), wanted)
    torchs = torch.autograd.grad(make(*inputs).log_prob(point), wanted)
    tolerance = 1e-5 if make is td.VonMises else 1e-11
    for a, b in zip(ours, torchs, strict=True):
        assert a.item() == pytest.approx(b.item(), rel=tolerance, abs=tolerance)


def test_families_of_others_keep_their_own_formula():
    class Mine(td.Poisson):
        def log_prob(self, value):
            return torch.full_like(value, 7.0)

    assert log_density(Mine(t(1.0)), t(2.0)).item() == 7.0
