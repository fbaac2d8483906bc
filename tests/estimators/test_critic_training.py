"""Training of critics: coordinates that are white, the Gaussian start, losses and their gradients, early stopping."""

import math

import pytest
import torch

from infotherm.estimators.critic_training import (
    CanonicalCoordinates,
    GaussianStart,
    batch_scores,
    clipped_score_blocks,
    contrastive_loss,
    donsker_varadhan_loss,
    moving_average_loss,
    nwj_loss,
    score_blocks,
    train_critic,
)
from infotherm.networks import JointCritic, SeparableCritic


def normal(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def correlated(seed, n, rho):
    x = normal(seed, n, 2)
    return x, rho * x[:, :1] + math.sqrt(1 - rho**2) * normal(seed + 1, n, 1)


def start(rho, sort=SeparableCritic):
    return GaussianStart(sort(1, 1, width=8, generator=0), torch.tensor([rho], dtype=torch.float64))


def test_canonical_coordinates_are_white_and_correlated_in_pairs():
    x, y = correlated(0, 4000, 0.8)
    y = torch.cat([y, normal(9, 4000, 1)], 1)
    matrix = torch.tensor([[3.0, 1.0], [0.0, 1e-3]], dtype=torch.float64)
    coordinates = CanonicalCoordinates.of(x @ matrix + 7, y)
    u, v = coordinates(x @ matrix + 7, y)
    eye = torch.eye(2, dtype=torch.float64)
    for w in (u, v):
        torch.testing.assert_close(w.mT @ w / 4000, eye, atol=1e-5, rtol=0)
    cross = u.mT @ v / 4000
    assert abs(cross[0, 1]) < 1e-5 and abs(cross[1, 0]) < 1e-5
    # five standard errors (1 - rho^2) / sqrt(n); the second correlation is noise and is told as none
    assert abs(float(coordinates.correlations[0]) - 0.8) < 5 * 0.36 / math.sqrt(4000)
    assert coordinates.correlations[1] == 0


def test_noise_has_no_canonical_correlation():
    """20 + 20 independent coordinates of 200 samples: the largest sample correlation is about 0.6, the law's zero."""
    x, y = normal(1, 200, 20), normal(2, 200, 20)
    assert (CanonicalCoordinates.of(x, y).correlations == 0).double().mean() > 0.85
    few = CanonicalCoordinates.of(x[:50], y[:50])  # no covariance can be had
    assert not few.correlations.any() and few(x, y)[0].shape == (200, 20)


def test_a_side_without_spread_is_one_coordinate_that_is_zero():
    x, y = torch.zeros(50, 2, dtype=torch.float64), normal(0, 50, 1)
    u, v = CanonicalCoordinates.of(x, y)(x + 3, y)
    assert u.shape == (50, 1) and not u.any() and v.any()


@pytest.mark.parametrize("sort", [SeparableCritic, JointCritic])
def test_the_start_is_the_log_density_ratio(sort):
    rho = 0.6
    critic = start(rho, sort)
    u, v = normal(0, 5, 1), normal(1, 4, 1)
    joint = torch.distributions.MultivariateNormal(
        torch.zeros(2, dtype=torch.float64), torch.tensor([[1, rho], [rho, 1]], dtype=torch.float64)
    )
    plain = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), 1.0)
    pairs = torch.stack(torch.broadcast_tensors(u, v.mT), -1)
    ratio = joint.log_prob(pairs) - plain.log_prob(u) - plain.log_prob(v.mT)
    torch.testing.assert_close(critic.pairwise(u, v), ratio, atol=1e-12, rtol=0)
    torch.testing.assert_close(critic(u[:4], v), ratio[:4].diagonal(), atol=1e-12, rtol=0)


def test_losses_by_their_definitions():
    together, apart = normal(0, 6), normal(1, 6, 5)
    mean = apart.exp().mean()
    assert donsker_varadhan_loss(together, apart).item() == pytest.approx((mean.log() - together.mean()).item())
    assert nwj_loss(together, apart).item() == pytest.approx((mean - 1 - together.mean()).item())
    shares = together.exp() / (together.exp() + apart.exp().sum(1))
    assert contrastive_loss(together, apart).item() == pytest.approx(-(6 * shares).log().mean().item())


def test_the_moving_average_is_in_the_denominator():
    loss, decay = moving_average_loss(0.9), 0.9
    first, second = normal(0, 6, 5), (normal(1, 6, 5) + 1).requires_grad_()
    loss(normal(2, 6), first)
    loss(normal(2, 6), second).backward()
    with torch.no_grad():
        average = decay * first.exp().mean() + (1 - decay) * second.exp().mean()
        expected = second.exp() / 30 / average
    assert second.grad is not None
    torch.testing.assert_close(second.grad, expected, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("sort", [SeparableCritic, JointCritic])
def test_batches_hold_pairs_and_pairs_drawn_apart(sort):
    u, v = normal(0, 12, 1), normal(1, 12, 1)
    critic = start(0.5, sort)
    together, apart = batch_scores(critic, u, v)
    table = critic.pairwise(u, v)
    torch.testing.assert_close(together, table.diagonal(), atol=1e-12, rtol=0)
    for i in range(12):
        others = torch.cat([table[i, :i], table[i, i + 1 :]])
        assert all(bool(((others - score).abs() < 1e-12).any()) for score in apart[i])


def test_the_best_rated_critic_is_kept():
    x, y = correlated(3, 200, 0.5)
    ratings = iter([0.3, 0.1, 0.5, 0.4] + [0.2] * 30)
    seen, told = [], []
    critic = start(0.5)

    def judge():
        seen.append(critic.factor.item())
        return next(ratings)

    best, step = train_critic(
        critic,
        (x[:, :1], y),
        donsker_varadhan_loss,
        judge,
        steps=50,
        batch_size=32,
        learning_rate=1e-2,
        generator=torch.Generator().manual_seed(0),
        progress=lambda *a: told.append(a),
    )
    assert (best, step) == (0.5, 4) and critic.factor.item() == seen[2]
    assert len(seen) == 9 and told[-1] == (16, 50, "validation 0.2 nat")  # six checks without improvement


def test_a_critic_never_rated_above_zero_is_constant():
    x, y = correlated(3, 100, 0.5)
    critic = start(0.5)
    settings = {"steps": 20, "batch_size": 32, "learning_rate": 1e-2, "generator": torch.Generator().manual_seed(0)}
    assert train_critic(critic, (x[:, :1], y), nwj_loss, lambda: -0.1, **settings) == (0.0, -1)
    scores = critic.pairwise(x[:5, :1], y[:5])
    assert scores.max() == scores.min()


def test_blocks_of_scores_are_parts_of_the_table():
    u, v = normal(0, 10, 1), normal(1, 10, 1)
    critic = start(0.9)
    first, second = score_blocks(critic, (u, v), 6)
    table = critic.pairwise(u, v)
    torch.testing.assert_close(first, table[:5, :5], atol=1e-12, rtol=0)
    torch.testing.assert_close(second, table[5:, 5:], atol=1e-12, rtol=0)


def test_clipped_scores_are_relative_to_their_row_and_bounded():
    u, v, others = normal(0, 8, 1), normal(1, 8, 1), normal(2, 20, 1)
    critic = start(0.9)
    means = critic.pairwise(u, others[:8]).exp().mean(1).log()
    plain = critic.pairwise(u, v) - means[:, None]
    (found,) = clipped_score_blocks(critic, (u, v), 8, others)
    torch.testing.assert_close(found, plain.clamp(-math.log(8), 2 * math.log(8)), atol=1e-12, rtol=0)
    assert plain.min() < found.min() == -math.log(8)
