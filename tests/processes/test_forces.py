"""Forces, potentials and controls as functions: shapes, times in batches, gradients, and what is refused."""

import math

import numpy as np
import pytest
import torch

from infotherm.processes import Langevin, Protocol, UnderdampedLangevin

F64 = torch.float64


def states(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_force_is_minus_the_gradient_plus_the_rest(dim):
    process = Langevin(force=lambda x: 0.3 * x.roll(1, -1), potential=lambda x: (x**4).sum(-1) / 4, sigma=1.0)
    for shape in ((dim,), (7, dim), (3, 4, dim), (0, dim)):
        x = states(*shape)
        assert torch.allclose(process.total_force(x, 0.0), -(x**3) + 0.3 * x.roll(1, -1), rtol=1e-14)
        assert torch.allclose(process.energy(x, 0.0), (x**4).sum(-1) / 4, rtol=1e-14)
    assert process.has_energy() and process.has_nonconservative_force and process.is_static


def test_the_gradient_agrees_with_differences():
    potential = lambda x: torch.cos(x[..., 0] * x[..., 1]) + x[..., 1] ** 2  # noqa: E731
    process, x, h = Langevin(potential=potential, sigma=1.0), states(6, 2), 1e-5
    for i in range(2):
        away = torch.zeros(2, dtype=F64)
        away[i] = h
        slope = (potential(x + away) - potential(x - away)) / (2 * h)
        assert torch.allclose(process.total_force(x, 0.0)[:, i], -slope, atol=1e-8)


def test_the_control_is_the_protocol_or_the_time():
    pulled = lambda x, c: 0.5 * ((x - c) ** 2).sum(-1)  # noqa: E731
    x = states(4, 1)
    by_time = Langevin(potential=pulled, sigma=1.0)
    assert torch.allclose(by_time.drift(x, 0.7), 0.7 - x) and not by_time.is_static
    moved = Langevin(potential=pulled, sigma=1.0, protocol=Protocol([0.0, 2.0], [0.0, 6.0]))
    assert torch.allclose(moved.drift(x, 0.5), 1.5 - x) and moved.horizon == 2.0 and not moved.is_static
    fixed = Langevin(potential=pulled, sigma=1.0, protocol=2.0)
    assert torch.allclose(fixed.drift(x, 0.5), 2.0 - x) and fixed.is_static
    two = Langevin(potential=lambda x, c: c[1] * ((x - c[0]) ** 2).sum(-1) / 2, sigma=1.0, protocol=[1.0, 3.0])
    assert torch.allclose(two.drift(x, 0.5), 3 * (1 - x))
    unused = Langevin(potential=lambda x: (x**2).sum(-1), sigma=1.0, protocol=Protocol([0.0, 2.0], [0.0, 6.0]))
    assert unused.is_static


def stiff(t):
    return 1.0 if t < 1.0 else 3.0  # knows one time only


@pytest.mark.parametrize("protocol", [None, stiff, lambda t: torch.stack([t, 1 + t], -1), Protocol([0, 3], [1, 2])])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_many_times_are_each_time_by_itself(protocol, dim):
    # a control of the shape of the times would broadcast against coordinates: (2,) times and D = 2 above all
    number = lambda c: c if c.ndim == 0 else c[0] + 2 * c[1]  # noqa: E731
    process = Langevin(
        force=lambda x, c: number(c) * x.roll(1, -1),
        potential=lambda x, c: (number(c) + 1) * (x**2).sum(-1),
        sigma=lambda x, c: 1 + 0.1 * number(c) * x**2,
        protocol=protocol,
    )
    times = torch.tensor([0.3, 1.7], dtype=F64)
    for x in (states(2, dim), states(5, 1, dim), states(dim)):
        for name in ("drift", "total_force", "energy", "noise_at", "diffusion_divergence", "thermodynamic_force"):
            method = getattr(process, name)
            together = method(x, times)
            batch = torch.broadcast_shapes(x.shape[:-1], (2,))
            spread = x.expand(*batch, dim)
            for k, t in enumerate(times.tolist()):
                alone = method(spread[..., k, :], t)
                assert together[(*[slice(None)] * (len(batch) - 1), k)].shape == alone.shape
                assert torch.allclose(together[(*[slice(None)] * (len(batch) - 1), k)], alone, rtol=1e-14)
    constant = Langevin(potential=lambda x: (x**2).sum(-1), sigma=1.0)
    assert constant.drift(states(5, dim), times[:, None]).shape == (2, 5, dim)
    assert process.drift(states(0, dim), torch.zeros(0, dtype=F64)).shape == (0, dim)


def test_gradients_reach_states_and_parameters():
    stiffness = torch.tensor(2.0, dtype=F64, requires_grad=True)
    process = Langevin(potential=lambda x: 0.5 * stiffness * (x**2).sum(-1), sigma=1.0)
    x = torch.tensor([1.5], dtype=F64, requires_grad=True)
    for_state, for_stiffness = torch.autograd.grad(process.drift(x, 0.0).sum(), (x, stiffness))
    assert for_state.item() == -2.0 and for_stiffness.item() == -1.5
    torch.autograd.grad(process.drift(x, 0.0).sum(), stiffness)  # the potential's graph is not used up
    assert not process.drift([1.0], 0.0).requires_grad


def test_the_dtype_of_the_states_is_kept():
    process = Langevin(
        force=[0.5], potential=lambda x, c: c * (x**2).sum(-1), sigma=2.0, protocol=Protocol([0.0, 1.0], [1.0, 2.0])
    )
    x = torch.tensor([[0.5]], dtype=torch.float32)
    for value in (process.drift(x, 0.5), process.energy(x, 0.5), process.noise_at(x, 0.5), process.total_force(x, 0.5)):
        assert value.dtype == torch.float32
    assert process.drift(np.array([[0.5]]), 0.5).dtype == F64
    assert process.drift([[0.5]], 0.5).tolist() == [[0.5 - 1.5]]


def test_a_network_may_be_a_force():
    layer = torch.nn.Linear(2, 2, dtype=F64)
    process, x = Langevin(force=layer, sigma=1.0), states(3, 2)
    assert torch.allclose(process.drift(x, 0.0), layer(x)) and process.is_static


def test_a_constant_potential_has_no_force():
    process = Langevin(potential=lambda x: torch.zeros(x.shape[:-1]), sigma=1.0)
    assert process.drift([1.0, 2.0], 0.0).tolist() == [0.0, 0.0]
    assert Langevin(potential=lambda x: torch.tensor(3.0), sigma=1.0).energy([[1.0], [2.0]], 0.0).tolist() == [3.0, 3.0]


def test_numpy_in_a_force_is_fine_in_a_potential_it_is_refused():
    assert Langevin(force=lambda x: np.sin(x.numpy()), sigma=1.0).drift([1.0], 0.0).item() == math.sin(1.0)
    for potential in (lambda x: np.sum(np.cos(x), -1), lambda x: np.square(x.detach().numpy()).sum(-1)):
        with pytest.raises(TypeError, match="potential must be written with torch operations"):
            Langevin(potential=potential, sigma=1.0).drift([1.0], 0.0)


def test_a_state_where_something_is_not_finite_is_named():
    process = Langevin(potential=lambda x: x[..., 0].log(), sigma=1.0)
    process.check_states([[1.0], [2.0]], 0.0)
    with pytest.raises(ValueError, match=r"potential must be finite; got \[nan\] at the state \[-1.0\] and time 0.5"):
        process.check_states([[1.0], [-1.0]], 0.5)
    kinked = Langevin(potential=lambda x: x.abs().sqrt().sum(-1), sigma=1.0)
    with pytest.raises(ValueError, match=r"force must be finite; .* at the state \[0.0, 1.0\]"):
        kinked.check_states([[1.0, 1.0], [0.0, 1.0]], 0.0)
    with pytest.raises(ValueError, match="the force must be finite"):
        kinked.total_force([0.0], 0.0)
    with pytest.raises(ValueError, match="the energy must be finite"):
        process.energy([-1.0], 0.0)
    particle = UnderdampedLangevin(potential=lambda x: x[..., 0].log())
    with pytest.raises(ValueError, match=r"potential must be finite; got \[nan\] at the state \[-1.0\]"):
        particle.check_states([[-1.0, 5.0]], 0.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Langevin(sigma=1.0), ValueError, "Langevin needs a force, a potential or both; got neither"),
        (lambda: UnderdampedLangevin(), ValueError, "UnderdampedLangevin needs a force, a potential or both"),
        (
            lambda: Langevin(potential=1.0, sigma=1.0),
            TypeError,
            "potential must be a function of the states; got float",
        ),
        (
            lambda: Langevin(potential=lambda x, c, k: x, sigma=1.0),
            TypeError,
            r"potential must be a function of \(x\) or \(x, control\); got one that needs 3",
        ),
        (lambda: Langevin(force=lambda: 1.0, sigma=1.0), TypeError, "got one that needs 0"),
        (lambda: Langevin(force=math.nan, sigma=1.0), ValueError, "force must be finite"),
        (
            lambda: Langevin(potential=lambda x: x**2, sigma=1.0).drift([[1.0], [2.0]], 0.0),
            ValueError,
            r"potential must give one number for each state, shape \(2,\); got \(2, 1\): sum over the last axis",
        ),
        (
            lambda: Langevin(force=lambda x: x.sum(-1), sigma=1.0).drift(torch.ones(3, 2), 0.0),
            ValueError,
            r"force must give shape \(3, 2\) at such positions; got \(3,\)",
        ),
        (
            lambda: Langevin(force=[1.0, 2.0], sigma=1.0).drift([[1.0] * 3], 0.0),
            ValueError,
            r"x must have shape \(..., 2\)",
        ),
        (lambda: Langevin(force=[[1.0]], sigma=1.0), ValueError, "force must be a function, a number or a vector"),
        (lambda: Langevin(force=1.0, sigma=1.0, dim=2).drift([1.0], 0.0), ValueError, r"x must have shape \(..., 2\)"),
        (lambda: Langevin(force=1.0, sigma=1.0).drift(1.0, 0.0), ValueError, r"x must have shape \(..., D\); got \(\)"),
        (
            lambda: Langevin(force=1.0, sigma=1.0, protocol=lambda t: torch.ones(2, 2)),
            ValueError,
            r"protocol must give a number or a vector \(C,\) at one time",
        ),
        (
            lambda: Langevin(force=1.0, sigma=1.0, protocol=[[1.0]]),
            ValueError,
            r"protocol must be a number or a vector",
        ),
        (
            lambda: Langevin(force=1.0, sigma=1.0, protocol=Protocol([0.0, 1.0], [0.0, 1.0]), horizon=2.0),
            ValueError,
            "the protocol is shorter than the duration: it ends at time 1.0",
        ),
        (
            lambda: Langevin(force=1.0, sigma=1.0, protocol=Protocol([0.0, 1.0], [0.0, 1.0])).drift([0.0], 1.5),
            ValueError,
            "t must be <= the horizon 1.0; got 1.5",
        ),
        (lambda: Langevin(force=1.0, sigma=1.0, horizon=-1.0), ValueError, "horizon must be > 0; got -1.0"),
        (
            lambda: Langevin(force=lambda x, c: c * x, sigma=1.0, protocol=torch.log).drift([1.0], 0.0),
            ValueError,
            "protocol must be finite",
        ),
        (lambda: Langevin(force=1.0, sigma=1.0).energy([0.0], 0.0), ValueError, "Langevin has no energy"),
        (
            lambda: Langevin(force=1.0, sigma=1.0).transition(0.0, 1.0),
            NotImplementedError,
            "Langevin has no closed-form transition: simulate paths",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
