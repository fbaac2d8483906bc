"""Bounds from a matrix of scores: unbiased or biased low, with variances that are not too small."""

import math

import numpy as np
import pytest
import torch

from infotherm.estimators.critic_bounds import (
    contrastive_bound,
    log_mean_exp,
    off_diagonal,
    pooled,
    tangent_bound,
)


def scores(seed, m, rho=0.8, factor=1.0):
    """The log density ratio of a bivariate Gaussian on m fresh pairs."""
    x, e = torch.randn(2, m, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    y = rho * x + math.sqrt(1 - rho**2) * e
    x, rest = x[:, None], 1 - rho**2
    return factor * (-math.log(rest) / 2 - (rho**2 * (x**2 + y**2) - 2 * rho * x * y) / (2 * rest))


TRUTH = -math.log(1 - 0.8**2) / 2


def test_tangent_bound_by_its_definition():
    f = scores(0, 6) + 0.4
    value, moves = tangent_bound(f, torch.tensor(0.4, dtype=torch.float64), 0.5)

    def plain(g):
        return g.diagonal().mean() - off_diagonal(g).exp().mean() + 1

    g = (f - 0.4).clamp(-0.5, 0.5)
    assert value.item() == pytest.approx(plain(g).item(), abs=1e-14)
    keep = [torch.tensor([j for j in range(6) if j != i]) for i in range(6)]
    without = torch.stack([plain(g[k][:, k]) for k in keep])
    torch.testing.assert_close(moves, 5 * (without.mean() - without), atol=1e-13, rtol=0)


def test_contrastive_bound_by_its_definition():
    f = scores(1, 6)

    def plain(g):
        return (g.diagonal() - g.exp().mean(1).log()).mean()

    value, moves = contrastive_bound(f)
    keep = [torch.tensor([j for j in range(6) if j != i]) for i in range(6)]
    without = torch.stack([plain(f[k][:, k]) for k in keep])
    assert value.item() == pytest.approx(plain(f).item(), abs=1e-14)
    torch.testing.assert_close(moves, 5 * (without.mean() - without), atol=1e-13, rtol=0)


def test_contrastive_bound_of_extreme_scores_is_finite():
    random = torch.randn(16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    value, moves = contrastive_bound(1e4 * random)
    assert value.isfinite() and moves.isfinite().all()
    assert contrastive_bound(1e4 * torch.eye(16, dtype=torch.float64))[0].item() == pytest.approx(math.log(16))


@pytest.mark.parametrize("bound", ["tangent", "contrastive"])
def test_means_and_variances_over_replications(bound):
    """600 replications at m = 40 with the true ratio: the tangent form is unbiased, InfoNCE low; the stated error is
    not below the true one (4 standard errors: odds 3e-5)."""
    if bound == "tangent":
        found = [pooled([tangent_bound(scores(s, 40), torch.tensor(0.0), math.log(40))]) for s in range(600)]
    else:
        found = [pooled([contrastive_bound(scores(s, 40))]) for s in range(600)]
    values, errors = np.array([[float(a), float(b)] for a, b in found]).T
    spread = values.std() / math.sqrt(600)
    assert values.mean() < TRUTH + 4 * spread
    if bound == "tangent":
        assert abs(values.mean() - TRUTH) < 4 * spread
    assert (1 - 4 / math.sqrt(600)) * values.std() < errors.mean() < 1.4 * values.std()


def test_the_logarithm_of_a_mean_is_caught():
    """The plain Donsker-Varadhan value at m = 6 exceeds the truth on average, by more than the tangent form may."""
    plain = []
    for seed in range(600):
        f = scores(seed, 6, rho=0.99)
        plain.append(float(f.diagonal().mean() - log_mean_exp(off_diagonal(f))))
    truth = -math.log(1 - 0.99**2) / 2
    assert np.mean(plain) > truth + 4 * np.std(plain) / math.sqrt(600)


def test_blocks_are_pooled_as_independent():
    one, two = (torch.tensor(v, dtype=torch.float64) for v in (1.0, 2.0))
    flat, spread = torch.zeros(10, dtype=torch.float64), torch.tensor([-1.0, 1.0] * 15, dtype=torch.float64)
    value, stderr = pooled([(one, flat), (two, spread)])
    assert value.item() == 1.75
    assert stderr.item() == pytest.approx(0.75 * math.sqrt(1 / 29), rel=1e-12)


def test_a_part_that_chose_and_an_unseen_pair_speak_of_the_spread_only():
    part = torch.tensor(1.0, dtype=torch.float64), torch.tensor([-1.0, 1.0] * 10, dtype=torch.float64)
    value, stderr = pooled([part])
    same = pooled([part], [part])
    assert same[0] == value and same[1].item() == pytest.approx(stderr.item(), rel=1e-12)
    wide = pooled([part], [(torch.tensor(9.0), 3 * part[1])])
    assert wide[0] == value and wide[1].item() == pytest.approx(stderr.item() * math.sqrt(5), rel=1e-12)
    flat = torch.tensor(1.0, dtype=torch.float64), torch.zeros(20, dtype=torch.float64)
    value, stderr = pooled([flat], unseen=torch.tensor(-4.0, dtype=torch.float64))
    # what is met with probability 3 / 20 is missed in 5 % of the cases, and lowers the mean by 0.6
    assert value == 1 and 1.64 * stderr > 0.5
