"""Small networks: shapes, seeds, and that no global state is drawn from."""

import pytest
import torch

from infotherm.networks import MLP, Denoiser, JointCritic, SeparableCritic, linear, parameter_count

X, Y = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)), torch.linspace(-1, 1, 10).reshape(5, 2)


def awake(network):
    """The same network with every parameter away from zero."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(parameter.numel()))
    return network


@pytest.mark.parametrize("sort", [JointCritic, SeparableCritic])
def test_all_pairs_are_each_pair(sort):
    critic = awake(sort(3, 2, width=8, generator=0, dtype=torch.float64))
    x, y = X.double(), Y.double()
    pairs = critic(x[:, None].expand(7, 5, 3), y[None].expand(7, 5, 2))
    torch.testing.assert_close(critic.pairwise(x, y), pairs, atol=1e-12, rtol=1e-12)
    assert pairs.std() > 0.01


@pytest.mark.parametrize(
    "make",
    [
        lambda g: MLP(3, 2, generator=g),
        lambda g: JointCritic(3, 2, generator=g),
        lambda g: SeparableCritic(3, 2, generator=g),
        lambda g: Denoiser(3, generator=g),
        lambda g: linear(3, 2, generator=torch.Generator().manual_seed(g)),
    ],
)
def test_a_seed_fixes_the_weights_and_leaves_the_global_state(make):
    state = torch.get_rng_state()
    first, second, other = make(1), make(1), make(2)
    assert torch.equal(torch.get_rng_state(), state)
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_critics_and_denoisers_begin_at_zero():
    assert not JointCritic(3, 2, generator=0).pairwise(X, Y).any()
    assert not SeparableCritic(3, 2, generator=0).pairwise(X, Y).any()
    assert not Denoiser(3, generator=0)(X, torch.zeros(7)).any()


def test_dtype_count_and_residual_form():
    network = MLP(3, 2, width=8, depth=3, residual=True, dtype=torch.float64, generator=0)
    assert network(X.double()).dtype == torch.float64
    assert parameter_count(network) == 4 * 8 + 2 * 9 * 8 + 9 * 2
    plain = MLP(3, 2, width=8, depth=3, dtype=torch.float64, generator=0)
    plain.load_state_dict(network.state_dict())
    assert not torch.allclose(plain(X.double()), network(X.double()))


def test_a_condition_and_the_noise_level_are_seen():
    denoiser = awake(Denoiser(3, condition=2, generator=0))
    condition = torch.ones(7, 2)
    base = denoiser(X, torch.zeros(7), condition)
    assert not torch.allclose(base, denoiser(X, torch.ones(7), condition))
    assert not torch.allclose(base, denoiser(X, torch.zeros(7), 2 * condition))


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="depth must be at least 1; got 0"):
        MLP(3, 2, depth=0)
