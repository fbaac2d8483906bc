"""Steady states of one coordinate: quadrature on a line, spectral equations on a ring, laws that are none."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from infotherm.processes import Langevin
from infotherm.processes.stationary_density import stationary_density

F64 = torch.float64


def test_a_line_with_noise_that_depends_on_the_state():
    """b = 2 - x^3, D = 1 + x^2 / 2: b / D = -2 x + (2 + 2 x) / (1 + x^2 / 2), whose integral is elementary."""
    process = Langevin(force=lambda x: 2 - x**3, sigma=lambda x, t: (2 + x**2).sqrt())

    def unnormalised(x):
        root = math.sqrt(2)
        return np.exp(-(x**2) + 2 * root * np.arctan(x / root) + 2 * np.log1p(x**2 / 2)) / (1 + x**2 / 2)

    total, _ = quad(unnormalised, -12, 12, epsabs=0, epsrel=1e-12, limit=200)
    law = stationary_density(process, 0.0, 1)
    x = np.linspace(-2.0, 3.5, 23)
    found = law.log_prob(torch.from_numpy(x)[:, None]).exp().numpy()
    # the accuracy is that where most of the mass is
    np.testing.assert_allclose(found, unnormalised(x) / total, rtol=1e-7, atol=law.accuracy)
    assert law.accuracy < 1e-9 and law.info["current"] == 0.0


@pytest.mark.parametrize(("centre", "stiffness"), [(300.0, 1e4), (-100.0, 1e-8)])
def test_any_place_and_scale_is_found(centre, stiffness):
    law = stationary_density(Langevin(force=lambda x: -stiffness * (x - centre), sigma=2**0.5), 0.0, 1)
    z = np.array([-3.0, 0.0, 0.5])
    found = law.log_prob(torch.from_numpy(centre + z / math.sqrt(stiffness))[:, None]).numpy()
    np.testing.assert_allclose(found, 0.5 * np.log(stiffness / math.tau) - z**2 / 2, atol=1e-8)


def test_a_driven_ring_solves_its_equation():
    """d/dx (b p - d(D p)/dx) = 0 by Fourier derivatives, and its constant current."""
    process = Langevin(
        force=lambda x: 0.7 + torch.sin(x), sigma=lambda x, t: (2 * (1 + 0.4 * torch.cos(x))).sqrt(), periodic=math.tau
    )
    law = stationary_density(process, 0.0, 1)
    count = 64
    x = math.tau * np.arange(count) / count
    waves = np.fft.fftfreq(count, 1 / count)
    waves[count // 2] = 0
    derivative = np.fft.ifft(1j * waves[:, None] * np.fft.fft(np.eye(count), axis=0), axis=0).real
    flux = np.diag(0.7 + np.sin(x)) - derivative @ np.diag(1 + 0.4 * np.cos(x))
    # the unknowns are p and J: flux p = J, and the total is one
    system = np.block([[flux, -np.ones((count, 1))], [np.full((1, count), math.tau / count), np.zeros((1, 1))]])
    solved = np.linalg.solve(system, np.append(np.zeros(count), 1.0))
    found = law.log_prob(torch.from_numpy(x)[:, None]).exp().numpy()
    np.testing.assert_allclose(found, solved[:-1], rtol=1e-9)
    assert law.info["current"] == pytest.approx(solved[-1], rel=1e-11)
    assert law.info["affinity"] == pytest.approx(
        quad(lambda y: (0.7 + np.sin(y)) / (1 + 0.4 * np.cos(y)), 0, math.tau)[0]
    )


@pytest.mark.parametrize(
    ("force", "dim", "message"),
    [
        (lambda x: 1 + 0 * x, 1, "Langevin has no steady state on the line"),
        (lambda x: x, 1, "Langevin has no steady state on the line"),
        (lambda x: -x, 3, "needs D <= 2; got D = 3"),
    ],
)
def test_laws_that_are_none(force, dim, message):
    with pytest.raises(ValueError, match=message):
        stationary_density(Langevin(force=force, sigma=1.0), 0.0, dim)


@pytest.mark.parametrize("shift", [0.0, 0.137])
def test_the_weights_of_wells_far_apart_are_right_or_said_to_be_wrong(shift):
    """Between stiff wells, where there is no mass, the force turns round within a thousandth."""

    def two_wells(x):
        lower, upper = x - shift + 5, x - shift - 5
        heavier = torch.sigmoid(1 - 500 * upper**2 + 500 * lower**2)
        return -1000 * torch.lerp(lower, upper, heavier)

    law = stationary_density(Langevin(force=two_wells, sigma=2**0.5), 0.0, 1)
    left, right = law.log_prob(torch.tensor([[-5.0 + shift], [5.0 + shift]], dtype=F64)).tolist()
    assert abs(right - left - 1) < 1e-9 + 10 * law.accuracy and law.accuracy < 1e-9


def test_a_kink_that_decides_the_weights_of_wells_is_told():
    def kinked(x):
        return torch.where(50 * (x + 5) ** 2 < 50 * (x - 5) ** 2 - 1, -100 * (x + 5), -100 * (x - 5))

    with pytest.warns(RuntimeWarning, match="is known to 0.0024 only"):
        law = stationary_density(Langevin(force=kinked, sigma=2**0.5), 0.0, 1)
    left, right = law.log_prob(torch.tensor([[-5.0], [5.0]], dtype=F64)).tolist()
    assert abs(right - left - 1) < 2 * law.accuracy
