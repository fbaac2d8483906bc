"""The state evolution of linear networks: its equations, its derivatives, its error bar against many digits."""

import mpmath as mp
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import infotherm as it
from infotherm.replica import GaussianWeights, Layer, Linear, Network
from infotherm.replica.linear import parameters_of, solve_linear
from infotherm.replica.linear_state import linear_state


def network(prior_variance, layers):
    return Network(
        it.Gaussian(0.0, prior_variance), [Layer(GaussianWeights(a, v), Linear(), noise=d) for a, v, d in layers]
    )


def _log_uniform(low, high):
    return st.floats(low, high).map(lambda e: 10.0**e)


_layer = st.tuples(_log_uniform(-1, 1) | st.just(1.0), _log_uniform(-3, 3), _log_uniform(-8, 1) | st.just(0.0))
_nets = st.tuples(_log_uniform(-2, 2), st.lists(_layer, min_size=1, max_size=4), _log_uniform(-12, 1))


def _network_of(drawn):
    prior, layers, last = drawn
    return prior, [*layers[:-1], (*layers[-1][:2], last)]


@settings(max_examples=30)
@given(_nets)
def test_the_equations_hold(drawn):
    prior, layers = _network_of(drawn)
    state = linear_state(parameters_of(network(prior, layers)))
    z = [x.item() for x in state.effective_noises] + [0.0]
    share = prior / (z[0] + prior)
    for layer, (alpha, variance, noise) in enumerate(layers, 1):
        tau = variance * z[layer - 1] * share
        assert tau == pytest.approx(state.hidden_errors[layer - 1].item(), rel=1e-9)
        total = z[layer] + noise + tau
        assert total == pytest.approx(alpha * variance * z[layer - 1], rel=1e-10)
        share = (noise + tau) / total
    assert 0 < state.posterior_variances[0].item() <= prior


def _reference(prior, layers, digits=40):
    """log det per input unit and the input's mean square error, with many digits: bisection and the potential."""
    with mp.workdps(digits):
        prior, layers = mp.mpf(prior), [tuple(map(mp.mpf, layer)) for layer in layers]

        def climb(t):
            z = mp.e**t
            u = z / (z + prior)
            states = [(z, u)]
            for k, (alpha, variance, noise) in enumerate(layers):
                u = (alpha - 1 + u) / alpha - noise / (alpha * variance * z)
                if u <= 0:
                    return False, states
                if k + 1 < len(layers):
                    z = alpha * variance * z * u
                    states.append((z, u))
            return True, states

        low, high = mp.mpf(-90), mp.mpf(90)
        for _ in range(int(digits * 3.5) + 8):
            middle = (low + high) / 2
            low, high = (low, middle) if climb(middle)[0] else (middle, high)
        states = climb(high)[1]
        total, width = mp.log(states[0][0] + prior), mp.mpf(1)
        for k, (alpha, variance, noise) in enumerate(layers):
            z, u = states[k]
            tau = variance * z * (1 - u)
            following = states[k + 1][0] if k + 1 < len(states) else 0
            total += alpha * width * mp.log(following + noise + tau) - width * mp.log(z) - width * tau / (variance * z)
            width *= alpha
        z = states[0][0]
        return total, z * prior / (z + prior)


_HARD = [
    (1.0, [(1.0, 1.0, 1e-12)]),
    (1e-2, [(1.0 + 1e-9, 1e3, 1e-10)]),
    (1.0, [(0.3, 100.0, 1e-7), (3.2, 3.0, 1e-6), (1.0, 5.0, 1e-9)]),
    (10.0, [(10.0, 1e-3, 0.0), (0.1, 1e3, 0.0), (1.0, 1.0, 1e-5)]),
    (0.5, [(1.0, 1.0, 0.0)] * 4 + [(1.0, 1.0, 1e-8)]),
    (2.0, [(0.5, 1.0, 3.0), (0.5, 1.0, 50.0)]),
]


@pytest.mark.parametrize("prior, layers", _HARD)
def test_errors_cover_the_truth(prior, layers):
    solution = solve_linear(parameters_of(network(prior, layers)))
    truth, mmse = _reference(prior, layers)
    assert abs(mp.mpf(solution.log_determinant.item()) - truth) <= solution.log_determinant_error.item()
    state = solution.state
    found = state.posterior_variances[0].item()
    assert abs(mp.mpf(found) - mmse) <= found * (state.input_log_error.item() + 1e-15)
    assert solution.log_determinant_error.item() < 1e-10


def test_gradients_are_those_of_differences():
    values = torch.tensor([1.3, 0.7, 2.0, 0.05, 1.5, 0.4, 0.01], dtype=torch.float64, requires_grad=True)

    def numbers(v):
        prior = it.Gaussian(torch.zeros(1, dtype=torch.float64), v[0].reshape(1, 1))
        layers = [Layer(GaussianWeights(v[i], v[i + 1]), Linear(), noise=v[i + 2]) for i in (1, 4)]
        solution = solve_linear(parameters_of(Network(prior, layers)))
        return torch.stack([solution.log_determinant, solution.state.posterior_variances[0]])

    for which in range(2):
        (gradient,) = torch.autograd.grad(numbers(values)[which], values)
        for k in range(len(values)):
            step = torch.zeros_like(values).detach()
            step[k] = 1e-6 * values[k].item()
            with torch.no_grad():
                slope = (numbers(values + step)[which] - numbers(values - step)[which]) / (2 * step[k])
            assert gradient[k].item() == pytest.approx(slope.item(), rel=1e-7, abs=1e-9)


def test_a_prior_without_variance():
    solution = solve_linear(parameters_of(network(0.0, [(2.0, 1.0, 0.0), (1.0, 1.0, 0.5)])))
    assert solution.log_determinant.item() == pytest.approx(2.0 * torch.tensor(0.5, dtype=torch.float64).log().item())
    assert solution.state.posterior_variances[0].item() == 0.0


def test_numbers_beyond_the_range_are_refused():
    with pytest.raises(ValueError, match="range of float64"):
        solve_linear(parameters_of(network(1.0, [(1.0, 1e-200, 1e200)])))
