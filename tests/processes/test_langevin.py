"""Overdamped Langevin processes: mobility and temperature, noise of every form, the divergence of D, rings."""

import math

import pytest
import torch

from infotherm.processes import AffineDiffusion, Langevin, OrnsteinUhlenbeck, Protocol, steady_state

F64 = torch.float64
BATHS = torch.tensor([0.5, 2.0], dtype=F64)
MATRIX = torch.tensor([[1.0, 0.0], [0.4, 0.5]], dtype=F64)


def states(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def force(x):
    return torch.stack([torch.sin(x[..., 1]), 1.0 - x[..., 0]], -1)


# every way to give sigma, mobility and temperature, with the D and the mu (a matrix) that it must mean
_EYE = torch.eye(2, dtype=F64)
WAYS = {
    "sigma": (dict(sigma=1.2), 0.72 * _EYE, _EYE),
    "sigma (D,)": (dict(sigma=[1.0, 2.0]), torch.diag(torch.tensor([0.5, 2.0], dtype=F64)), _EYE),
    "sigma (D, M)": (dict(sigma=MATRIX), 0.5 * MATRIX @ MATRIX.mT, _EYE),
    "sigma(t)": (dict(sigma=lambda t: 1 + t), 1.125 * _EYE, _EYE),
    "sigma(x, t)": (dict(sigma=lambda x, t: torch.full_like(x, 1.2)), 0.72 * _EYE, _EYE),
    "sigma, mu": (dict(sigma=1.2, mobility=3.0), 0.72 * _EYE, 3 * _EYE),
    "sigma(t), mu": (dict(sigma=lambda t: 1 + t, mobility=3.0), 1.125 * _EYE, 3 * _EYE),
    "sigma(x, t), mu": (dict(sigma=lambda x, t: torch.full_like(x, 1.2), mobility=3.0), 0.72 * _EYE, 3 * _EYE),
    "sigma, T": (dict(sigma=1.2, temperature=0.5), 0.72 * _EYE, 1.44 * _EYE),
    "sigma (D,), T": (
        dict(sigma=[1.0, 2.0], temperature=0.5),
        torch.diag(torch.tensor([0.5, 2.0], dtype=F64)),
        torch.diag(torch.tensor([1.0, 4.0], dtype=F64)),
    ),
    "sigma, T (D,)": (dict(sigma=1.2, temperature=BATHS), 0.72 * _EYE, torch.diag(0.72 / BATHS)),
    "sigma (D, M), T": (dict(sigma=MATRIX, temperature=0.5), 0.5 * MATRIX @ MATRIX.mT, MATRIX @ MATRIX.mT),
    "sigma(x, t), T": (
        dict(sigma=lambda x, t: torch.full_like(x, 1.2), temperature=BATHS),
        0.72 * _EYE,
        torch.diag(0.72 / BATHS),
    ),
    "T": (dict(temperature=0.5), 0.5 * _EYE, _EYE),
    "T (D,)": (dict(temperature=BATHS), torch.diag(BATHS), _EYE),
    "mu, T": (dict(mobility=3.0, temperature=0.5), 1.5 * _EYE, 3 * _EYE),
    "mu, T (D,)": (dict(mobility=3.0, temperature=BATHS), torch.diag(3 * BATHS), 3 * _EYE),
    "sigma, mu, T": (dict(sigma=3**0.5, mobility=3.0, temperature=0.5), 1.5 * _EYE, 3 * _EYE),
}


@pytest.mark.parametrize(("given", "diffusion", "mobility"), WAYS.values(), ids=list(WAYS))
def test_drift_is_mobility_times_force_with_diffusion_mobility_times_temperature(given, diffusion, mobility):
    process, x, t = Langevin(force=force, dim=2, **given), states(4, 2), 0.5
    assert torch.allclose(process.diffusion_matrix_at(x, t), diffusion.expand(4, 2, 2), rtol=1e-14)
    assert torch.allclose(process.drift(x, t), force(x) @ mobility.mT, rtol=1e-14)
    if callable(given.get("sigma")) and "temperature" not in given:
        with pytest.raises(ValueError, match="not constant: sigma is a function"):
            process.temperature  # noqa: B018
    elif given.get("sigma") is MATRIX and "temperature" not in given:
        with pytest.raises(ValueError, match="no temperature for each coordinate"):
            process.temperature  # noqa: B018
    else:
        assert torch.allclose(mobility @ torch.diag(process.temperature.expand(2)), diffusion, rtol=1e-14)
    pushed = (process.diffusion_matrix_at(x, t) @ process.thermodynamic_force(x, t)[..., None])[..., 0]
    assert torch.allclose(pushed, process.drift(x, t), rtol=1e-12)  # noise that is the same in all states


def test_a_linear_force_is_an_ornstein_uhlenbeck_process():
    rate = torch.tensor([[1.0, -2.0], [2.0, 1.0]], dtype=F64)
    linear = OrnsteinUhlenbeck(rate, MATRIX)
    process, x = Langevin(force=lambda x: -x @ rate.mT, sigma=MATRIX), states(5, 2)
    for name in ("drift", "thermodynamic_force", "diffusion_matrix_at", "diffusion_divergence"):
        assert torch.allclose(getattr(process, name)(x, 0.3), getattr(linear, name)(x, 0.3), rtol=1e-12)
    assert torch.allclose(process.integrated_diffusion(0.0, 2.0), linear.integrated_diffusion(0.0, 2.0), rtol=1e-14)
    trap = Langevin(potential=lambda x: (x**2).sum(-1), sigma=2**0.5)
    own = OrnsteinUhlenbeck(2.0, 2**0.5)
    assert torch.allclose(trap.energy(x, 0.0), own.energy(x, 0.0), rtol=1e-14)


@pytest.mark.parametrize(
    "sigma",
    [lambda t: 1 + torch.as_tensor(t) ** 2, lambda t: 1.0 + float(t) ** 2, lambda t: torch.stack([1 + t, 2 + t], -1)],
    ids=["vectorised", "one time", "(D,)"],
)
def test_noise_that_changes_in_time(sigma):
    process, times = Langevin(force=lambda x: -x, sigma=sigma), torch.tensor([[0.1], [0.5], [2.0]], dtype=F64)
    together = process.diffusion(times)
    for k, t in enumerate(times.flatten()):
        assert torch.allclose(together[k, 0], process.diffusion(t), rtol=1e-15)
        assert torch.allclose(
            process.diffusion_matrix(times, process.dim)[k, 0], process.diffusion_matrix(t, process.dim)
        )
    assert not process.is_static and process.additive
    own = [[1.0, 0.0], [0.0, 1.0]] if process.dim else [[1.0]]
    same = AffineDiffusion(-torch.tensor(own, dtype=F64), lambda t: process.diffusion(t))
    for found, known in zip(
        process.integrated_diffusion([0.0, 0.5], [1.0, 2.0]),
        same.integrated_diffusion([0.0, 0.5], [1.0, 2.0]),
        strict=True,
    ):
        assert torch.allclose(found, known, rtol=1e-12, atol=1e-13)


def test_the_divergence_of_multiplicative_noise():
    def sigma(x, t):
        a, b = x.unbind(-1)
        one = torch.ones_like(a)
        return torch.stack([torch.stack([1 + a**2, b, 0 * a], -1), torch.stack([a * b, one, torch.sin(b) * t], -1)], -2)

    process, x, t = Langevin(force=lambda x: -x, sigma=sigma), states(6, 2), 0.7
    a, b = x.unbind(-1)
    # 2 D = [[(1 + a^2)^2 + b^2, a b (1 + a^2) + b], [., a^2 b^2 + 1 + t^2 sin^2 b]]
    first = (4 * a * (1 + a**2) + a * (1 + a**2) + 1) / 2
    second = (b * (1 + 3 * a**2) + 2 * a**2 * b + 2 * t**2 * torch.sin(b) * torch.cos(b)) / 2
    assert torch.allclose(process.diffusion_divergence(x, t), torch.stack([first, second], -1), rtol=1e-13)
    assert process.diffusion_divergence(x[0], t).shape == (2,)
    assert not process.additive and not process.isotropic and not process.is_static
    matrix = process.diffusion_matrix_at(x, t)
    force = process.thermodynamic_force(x, t)
    expected = process.drift(x, t) - process.diffusion_divergence(x, t)
    assert torch.allclose((matrix @ force[..., None])[..., 0], expected, rtol=1e-10)


def test_multiplicative_noise_in_one_coordinate():
    process = Langevin(force=lambda x: -x, sigma=lambda x, t: 1 + x**2)
    x = states(3, 4, 1)
    assert torch.allclose(process.diffusion_divergence(x, 0.0), 2 * x * (1 + x**2), rtol=1e-14)
    assert process.noise_at(x, 0.0).shape == (3, 4, 1, 1) and process.is_static
    assert not Langevin(force=lambda x: -x, sigma=lambda x, t: 1 + t * x**2).is_static
    assert Langevin(force=lambda x: -x, sigma=lambda x, c: 1 + c * x**2, protocol=2.0).is_static
    assert process.diffusion_divergence(x.to(torch.float32), 0.0).dtype == torch.float32
    flat = Langevin(force=lambda x: -x, sigma=lambda x, t: torch.ones_like(x))
    assert flat.diffusion_divergence(x, 0.0).abs().max() == 0.0
    with pytest.raises(ValueError, match="the noise depends on the state: ask noise_at"):
        process.diffusion(0.0)
    with pytest.raises(ValueError, match="it has no integral over time alone"):
        process.integrated_diffusion(0.0, 1.0)
    with pytest.raises(TypeError, match="sigma must be written with torch operations"):
        Langevin(force=lambda x: -x, sigma=lambda x, t: 1 + x.detach() ** 2).diffusion_divergence(x, 0.0)


def test_sizes_are_found():
    assert Langevin(force=1.0, sigma=1.0).dim is None
    assert Langevin(force=1.0, sigma=[1.0, 2.0]).dim == 2
    assert Langevin(force=1.0, sigma=torch.ones(3, 2)).dim == 3
    assert Langevin(force=1.0, temperature=BATHS).dim == 2
    assert Langevin(force=1.0, sigma=1.0, periodic=[1.0, math.inf]).dim == 2
    assert Langevin(force=1.0, sigma=lambda t: [1.0, 2.0, 3.0]).dim == 3
    assert Langevin(force=1.0, sigma=1.0, dim=5).drift(torch.ones(2, 5), 0.0).tolist() == [[1.0] * 5] * 2


def test_what_is_static():
    driven = dict(sigma=1.0, potential=lambda x, c: c * (x**2).sum(-1))
    assert Langevin(force=1.0, sigma=1.0).is_static
    assert not Langevin(**driven).is_static
    assert not Langevin(**driven, protocol=Protocol([0.0, 1.0], [1.0, 2.0])).is_static
    assert Langevin(**driven, protocol=3.0).is_static
    assert not Langevin(force=1.0, sigma=lambda t: 1 + t).is_static
    assert not Langevin(force=1.0, sigma=lambda t: 1 + t, protocol=3.0).is_static


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(), r"sigma must be given, or the temperature"),
        (dict(mobility=1.0), r"sigma must be given, or the temperature"),
        (dict(sigma=0.0), "sigma must be > 0; got 0"),
        (dict(sigma=-1.0), "sigma must be > 0; got -1"),
        (dict(sigma=[1.0, -1.0]), "sigma must be > 0; got -1"),
        (dict(sigma=[[1.0, 0.0], [0.0, 0.0]]), "sigma must move every coordinate; got a row of zeros"),
        (dict(sigma=math.inf), "sigma must be finite"),
        (dict(sigma=[]), r"sigma must be a number, \(D,\) or \(D, M\); got shape \(0,\)"),
        (dict(sigma=torch.ones(1, 1, 1)), r"sigma must be a number, \(D,\) or \(D, M\)"),
        (dict(sigma=lambda t: -1.0), "sigma must be > 0; got -1"),
        (dict(sigma=1.0, mobility=-1.0), "mobility must be > 0; got -1.0"),
        (dict(sigma=1.0, mobility=[1.0, 2.0]), r"mobility must be one number; got shape \(2,\)"),
        (dict(temperature=0.0), "temperature must be > 0; got 0.0"),
        (dict(temperature=[[1.0]]), "temperature must be a number, or one for each coordinate"),
        (dict(sigma=1.0, periodic=-1.0), "periodic must be > 0; got -1.0"),
        (
            dict(sigma=[1.0, 1.0], temperature=[1.0, 1.0, 1.0]),
            "the arguments must agree on D; got temperature: 3, sigma: 2",
        ),
        (dict(sigma=[1.0, 1.0], dim=3), "the arguments must agree on D; got dim: 3, sigma: 2"),
        (dict(sigma=1.0, dim=0), "dim must be a positive integer; got 0"),
        (dict(sigma=1.0, mobility=1.0, temperature=1.0), "sigma, mobility and temperature must agree on D"),
        (dict(sigma=MATRIX, mobility=1.0, temperature=0.5), "sigma, mobility and temperature must agree on D"),
        (dict(sigma=lambda t: 1 + t, temperature=1.0), "a sigma that is a function cannot go with that temperature"),
        (dict(sigma=lambda x, t: x, mobility=1.0, temperature=1.0), "cannot go with that temperature"),
    ],
)
def test_bad_input(given, message):
    with pytest.raises(ValueError, match=message):
        Langevin(force=1.0, **given)


def test_bad_values_of_noise():
    with pytest.raises(ValueError, match="sigma must be > 0; got -0.5"):
        Langevin(force=1.0, sigma=lambda t: 1 - t).diffusion([0.5, 1.5])
    with pytest.raises(ValueError, match=r"sigma must give shape \(3, 2\), or \(..., 2, M\), at states"):
        Langevin(force=1.0, sigma=lambda x, t: x.sum(-1)).noise_at(torch.ones(3, 2), 0.0)
    with pytest.raises(ValueError, match="sigma must be finite"):
        Langevin(force=1.0, sigma=lambda x, t: x.log()).noise_at([-1.0], 0.0)
    with pytest.raises(ValueError, match="the diffusion matrix is singular"):
        Langevin(force=1.0, sigma=lambda x, t: x).thermodynamic_force([[0.0]], 0.0)


def test_a_time_that_is_not_used_leaves_a_steady_state():
    plain = Langevin(force=lambda x: 1.0 + torch.sin(x), sigma=2**0.5, periodic=2 * math.pi)
    timed = Langevin(force=lambda x, t: 1.0 + torch.sin(x), sigma=2**0.5, periodic=2 * math.pi)
    assert not timed.is_static and timed.looks_static() and plain.looks_static()
    x = torch.linspace(0.0, 6.0, 7, dtype=torch.float64)[:, None]
    assert torch.allclose(steady_state(timed).log_prob(x), steady_state(plain).log_prob(x), rtol=1e-10)
    for force in (lambda x, t: -x * (1 + 0.01 * t), lambda x, t: -x + torch.where(t > 900, 1.0, 0.0)):
        driven = Langevin(force=force, sigma=1.0, dim=1)
        assert not driven.looks_static()
        with pytest.raises(ValueError, match="is driven"):
            steady_state(driven)
    assert not Langevin(force=lambda x: -x, sigma=lambda t: 1 + t, dim=1).looks_static()
