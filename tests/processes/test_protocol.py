"""Protocols: straight lines and jumps, functions with declared jumps, and jumps that nobody declared."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infotherm.processes.protocol import Protocol, discontinuity

F64 = torch.float64


def test_lines_and_jumps():
    protocol = Protocol([0.0, 0.0, 1.0, 1.0, 3.0, 3.0], [5.0, 1.0, 2.0, -2.0, 0.0, 7.0])
    assert protocol.horizon == 3.0 and protocol.jumps.tolist() == [0.0, 1.0, 3.0]
    times = [0.0, 0.5, 1.0, 2.0, 3.0]
    assert protocol.before(times).tolist() == [5.0, 1.5, 2.0, -1.0, 0.0]
    assert protocol.after(times).tolist() == [1.0, 1.5, -2.0, -1.0, 7.0]
    assert protocol(times).tolist() == protocol.after(times).tolist()
    assert protocol.derivative(times).tolist() == [1.0, 1.0, 1.0, 1.0, 1.0]
    assert protocol(1.0).shape == () and protocol([[0.5], [1.5]]).shape == (2, 1)


def test_several_controls_and_corners():
    protocol = Protocol([0.0, 1.0, 2.0], [[0.0, 1.0], [2.0, 1.0], [2.0, 4.0]])
    assert protocol([0.5, 1.5]).tolist() == [[1.0, 1.0], [2.0, 2.5]]
    assert protocol.derivative([0.5, 1.0, 2.0]).tolist() == [[2.0, 0.0], [0.0, 3.0], [0.0, 3.0]]
    assert protocol.jumps.tolist() == []
    assert Protocol([0.0, 1.0, 1.0, 2.0], [0.0, 1.0, 1.0, 0.0]).jumps.tolist() == []  # the same on both sides


@given(
    st.lists(st.tuples(st.floats(0.01, 1.0), st.floats(-5.0, 5.0)), min_size=2, max_size=6),
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8),
)
def test_without_jumps_it_is_linear_interpolation(knots, fractions):
    times = np.cumsum([gap for gap, _ in knots])
    values = np.array([value for _, value in knots])
    protocol = Protocol(times, values)
    asked = np.clip(times[0] + np.array(fractions) * (times[-1] - times[0]), times[0], times[-1])
    expected = np.interp(asked, times, values)
    for found in (protocol.before(asked), protocol.after(asked)):
        assert np.allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)
    assert discontinuity(protocol, times[0], times[-1]) is None


def test_the_derivative_and_the_jumps_add_up_to_the_change():
    protocol = Protocol([0.0, 0.0, 0.4, 1.0, 1.0, 2.0, 2.0], [1.0, 3.0, 2.0, 0.5, 4.0, 1.0, -1.0])
    ends = protocol.times.unique()
    middles, widths = (ends[1:] + ends[:-1]) / 2, ends.diff()
    smooth = (protocol.derivative(middles) * widths).sum()
    jumped = (protocol.after(protocol.jumps) - protocol.before(protocol.jumps)).sum()
    assert (smooth + jumped).item() == pytest.approx(-2.0, abs=1e-14)


def test_values_carry_gradients():
    values = torch.tensor([0.0, 1.0, 3.0], dtype=F64, requires_grad=True)
    Protocol([0.0, 1.0, 2.0], values)(1.25).backward()
    assert values.grad is not None and values.grad.tolist() == [0.0, 0.75, 0.25]


def step(t):
    return torch.where(torch.as_tensor(t) < 0.3, torch.sin(torch.as_tensor(t)), 2.0)


def test_a_function_with_declared_jumps():
    protocol = Protocol.from_function(step, 1.0, jumps=[0.3])
    assert protocol.before(0.3).item() == pytest.approx(math.sin(0.3), rel=1e-15)
    assert protocol(0.3).item() == 2.0 and protocol.horizon == 1.0 and protocol.jumps.tolist() == [0.3]
    assert protocol.derivative([0.1, 0.3, 0.9]).tolist() == pytest.approx([math.cos(0.1), 0.0, 0.0], rel=1e-14)
    assert discontinuity(protocol, 0.0, 1.0) is None
    other = Protocol.from_function(lambda t: torch.where(t <= 0.3, 1.0, 2.0), 1.0, jumps=[0.3])
    assert other.before(0.3).item() == 1.0 and other(0.3).item() == 2.0  # whichever value it takes at the jump itself
    ends = Protocol.from_function(lambda t: torch.where((t > 0) & (t < 1), t, -1.0), 1.0, jumps=[0.0, 1.0])
    assert ends.before(0.0).item() == -1.0 and ends(0.0).item() == pytest.approx(0.0, abs=1e-300)
    assert ends.before(1.0).item() == pytest.approx(1.0) and ends(1.0).item() == -1.0


def test_a_function_with_several_controls():
    protocol = Protocol.from_function(lambda t: torch.stack([t**2, torch.ones_like(t)], -1), 2.0)
    assert protocol([[0.5], [1.0]]).tolist() == [[[0.25, 1.0]], [[1.0, 1.0]]]
    assert protocol.derivative([0.5, 1.0]).tolist() == [[1.0, 0.0], [2.0, 0.0]]
    assert Protocol.from_function(lambda t: 2.0, 1.0)([0.1, 0.2]).tolist() == [2.0, 2.0]


@given(st.floats(0.001, 0.999), st.floats(0.01, 5.0), st.sampled_from([-1.0, 1.0]), st.sampled_from([64, 200]))
def test_jumps_are_found(where, size, sign, n):
    def drive(t):
        return math.sin(3 * float(t)) + (sign * size if float(t) >= where else 0.0)

    found = discontinuity(drive, 0.0, 1.0, n=n)
    assert found is not None and found == pytest.approx(where, abs=1e-12)


@pytest.mark.parametrize(
    "drive",
    [
        torch.sin,
        lambda t: torch.tanh(1e4 * (t - 0.41)),
        lambda t: (t - 0.37).abs(),
        lambda t: (t - 0.37).abs().sqrt(),
        lambda t: 1e9 + t,
        lambda t: torch.sin(200 * t),
        lambda t: torch.stack([t, t**2]),
        lambda t: 3.0,
        lambda t: torch.exp(-1e4 * t),
    ],
)
def test_no_jump_where_there_is_none(drive):
    assert discontinuity(drive, 0.0, 1.0) is None


def test_jumps_beside_declared_ones_and_in_one_of_several_controls():
    protocol = Protocol.from_function(lambda t: (t > 0.3).to(F64) + (t > 0.7).to(F64), 1.0, jumps=[0.3])
    assert discontinuity(protocol, 0.0, 1.0) == pytest.approx(0.7, abs=1e-12)
    assert discontinuity(protocol, 0.0, 0.6) is None
    drive = lambda t: torch.stack([torch.sin(t), (t > 0.6).to(F64)])  # noqa: E731
    assert discontinuity(drive, 0.0, 1.0) == pytest.approx(0.6, abs=1e-12)


def test_a_protocol_shorter_than_the_duration_is_refused():
    protocol = Protocol([0.0, 2.0], [0.0, 1.0])
    protocol.require_duration(2.0)
    with pytest.raises(ValueError, match=r"shorter than the duration: it ends at time 2.0, and a duration of 3.0"):
        protocol.require_duration(3.0)
    with pytest.raises(ValueError, match=r"begins at time 0.0, after the start -1.0"):
        protocol.require_duration(1.0, start=-1.0)
    with pytest.raises(ValueError, match=r"t must be in \[0.0, 2.0\], the protocol's times; got 2.5"):
        protocol(2.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Protocol([0.0, 2.0, 1.0], [0.0, 1.0, 2.0]), "times must be sorted; got 2.0 before 1.0 at index 2"),
        (lambda: Protocol([0.0], [1.0]), r"times must have shape \(n,\) with n >= 2; got \(1,\)"),
        (lambda: Protocol([], []), r"times must have shape \(n,\) with n >= 2; got \(0,\)"),
        (lambda: Protocol([0.0, 1.0], [1.0]), r"values must have shape \(2,\) or \(2, C\); got \(1,\)"),
        (lambda: Protocol([0.0, 1.0, 1.0, 1.0], [1.0] * 4), "not more often; got 1.0 three times"),
        (lambda: Protocol([1.0, 1.0], [0.0, 1.0]), "times must not all be the same"),
        (lambda: Protocol([0.0, math.nan], [0.0, 1.0]), "times must be finite"),
        (lambda: Protocol([0.0, 1.0], [0.0, math.inf]), "values must be finite"),
        (lambda: Protocol.from_function(torch.sin, -1.0), "duration must be a finite number > 0; got -1.0"),
        (lambda: Protocol.from_function(torch.sin, 1.0, [1.5]), r"jumps must be in \[0, 1.0\]; got 1.5"),
        (lambda: Protocol.from_function(torch.log, 1.0)(0.0), "protocol must be finite"),
        (
            lambda: Protocol.from_function(lambda t: torch.ones(3, 2), 1.0)([0.1, 0.2]),
            r"must give shape \(2,\) or \(2, 'C'\)",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_bad_functions():
    with pytest.raises(TypeError, match="function must be callable; got float"):
        Protocol.from_function(1.0, 1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must give a tensor, by torch operations"):
        Protocol.from_function(lambda t: np.sin(np.asarray(t)), 1.0).derivative(0.5)
