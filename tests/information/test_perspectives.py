"""The pointwise functions of f-divergences: accuracy against 60 digits, limits, gradients, and custom functions."""

import math

import pytest
import torch

from infotherm.information import perspectives as fs

float64 = torch.float64


def reference(f: fs.Perspective, log_p: float, log_q: float, order: float | None) -> float:
    from mpmath import mp, mpf

    with mp.workdps(60):
        p, q = mp.exp(mpf(log_p)), mp.exp(mpf(log_q))
        t, m = p / q, (p + q) / 2
        if order is not None:
            a = mpf(order)
            return (p**a * q ** (1 - a) - a * p - (1 - a) * q) / (a * (a - 1))
        return {
            "kl": lambda: p * mp.log(t) - p + q,
            "reverse-kl": lambda: -q * mp.log(t) - q + p,
            "chi2": lambda: (p - q) ** 2 / q,
            "squared-hellinger": lambda: (mp.sqrt(p) - mp.sqrt(q)) ** 2 / 2,
            "total-variation": lambda: abs(p - q) / 2,
            "jensen-shannon": lambda: (p * mp.log(p / m) + q * mp.log(q / m)) / 2,
        }[f.name]()


CASES = [(f, None) for f in fs.NAMED.values()] + [(fs.power(a), a) for a in (0.1, 0.5, 0.99, 1.01, 2.0, 7.0)]


@pytest.mark.parametrize(("f", "order"), CASES, ids=lambda x: getattr(x, "name", None))
def test_relative_accuracy_is_kept_for_close_and_for_far_densities(f, order):
    for log_p in (-3.0, 0.75, 5.0):
        for r in (1e-12, 1e-7, 1e-3, 0.05, 0.19, 0.21, 0.45, 0.9, 1.1, 3.0, 20.0):
            for sign in (1, -1):
                base = 0.0 if r < 1e-3 else log_p
                log_q = base + sign * r
                value = f(torch.tensor(base, dtype=float64), torch.tensor(log_q, dtype=float64)).item()
                truth = reference(f, base, log_q, order)
                assert abs(value - truth) <= 1e-13 * truth, (base, log_q)


@pytest.mark.parametrize("f", list(fs.NAMED.values()) + [fs.power(0.3), fs.power(2.5)], ids=lambda f: f.name)
def test_where_one_density_vanishes_the_limits_count(f):
    inf = torch.tensor(-math.inf, dtype=float64)
    half = torch.tensor(math.log(0.5), dtype=float64)
    assert f(half, inf).item() == pytest.approx(0.5 * f.only_p)
    assert f(inf, half).item() == pytest.approx(0.5 * f.only_q)
    assert f(inf, inf).item() == 0


@pytest.mark.parametrize("f", list(fs.NAMED.values()) + [fs.power(0.3), fs.power(2.5)], ids=lambda f: f.name)
def test_gradients_are_finite_wherever_the_value_is(f):
    log_p = torch.tensor([0.0, -1.0, 1e-3, -5.0, -math.inf], dtype=float64, requires_grad=True)
    log_q = torch.tensor([0.0, 1.0, 0.0, -1.0, 0.0], dtype=float64, requires_grad=True)
    value = f(log_p, log_q)
    finite = torch.isfinite(value)
    torch.where(finite, value, 0.0).sum().backward()
    assert torch.isfinite(log_p.grad).all() and torch.isfinite(log_q.grad).all()


def test_plain_and_centred_forms_agree_on_a_normalised_pair():
    p, q = torch.tensor([0.2, 0.3, 0.5], dtype=float64), torch.tensor([0.3, 0.3, 0.4], dtype=float64)
    for f in (fs.KL, fs.CHI2, fs.power(0.3), fs.power(3.0)):
        plain = (f.along_p(p.log(), q.log()).sum() - f.offset) * f.scale
        assert plain.item() == pytest.approx(f(p.log(), q.log()).sum().item(), rel=1e-12)


def test_custom_functions_find_their_limits():
    assert fs.custom(lambda t: t * t.log()).only_p == math.inf
    assert fs.custom(lambda t: t * t.log()).only_q == pytest.approx(1.0)
    hellinger = fs.custom(lambda t: 0.5 * (t.sqrt() - 1) ** 2)
    assert (hellinger.only_p, hellinger.only_q) == pytest.approx((0.5, 0.5))
    assert fs.custom(lambda t: 0.5 * (t - 1).abs()).only_p == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda t: t, ValueError, "vanish at t = 1"),
        (lambda t: -((t - 1) ** 2), ValueError, "convex"),
        (lambda t: torch.full_like(t, math.nan) * (t != 1) if t.numel() > 1 else t - 1, ValueError, "finite"),
        (3.0, TypeError, "function"),
        (lambda t: 0.0, TypeError, "tensor"),
    ],
)
def test_custom_functions_that_make_no_divergence_are_refused(f, error, message):
    with pytest.raises(error, match=message):
        fs.custom(f)


@pytest.mark.parametrize("order", [0.0, 1.0, -1.0, math.inf])
def test_orders_without_a_power_divergence_are_refused(order):
    with pytest.raises(ValueError, match="order"):
        fs.power(order)
