"""Boltzmann laws: known normalisations, other routes to the same law, and what does not confine."""

import math

import pytest
import torch

from infotherm.core.cubature import integrate_box
from infotherm.processes import (
    AffineDiffusion,
    Langevin,
    OrnsteinUhlenbeck,
    Protocol,
    UnderdampedLangevin,
    steady_state,
)
from infotherm.processes.stationary_density import stationary_density

F64 = torch.float64


def well(x):
    return ((x**2 - 1) ** 2).sum(-1)


# potential, temperature, log Z in closed form
_QUARTIC = math.log(0.5 * math.gamma(0.25))  # the integral of exp(-x^4)
KNOWN = {
    "harmonic": (lambda x: 1.5 * (x**2).sum(-1), 0.5, 0.5 * math.log(math.pi * 0.5 / 1.5)),
    "quartic": (lambda x: 2 * (x**4).sum(-1), 2.0, _QUARTIC),
    "narrow and far": (lambda x: 0.5e8 * ((x - 300.0) ** 2).sum(-1), 1.0, 0.5 * math.log(2 * math.pi * 1e-8)),
    "wide": (lambda x: 0.5e-8 * ((x + 100.0) ** 2).sum(-1), 1.0, 0.5 * math.log(2 * math.pi * 1e8)),
    "shifted": (lambda x: 0.5 * (x**2).sum(-1) - 1e3, 1.0, 0.5 * math.log(2 * math.pi) + 1e3),
    "power law": (lambda x: 2 * torch.log1p(x**2).sum(-1), 1.0, math.log(math.pi / 2)),
    "exponential": (lambda x: 3 * x.abs().sum(-1), 1.0, math.log(2 / 3)),
    "wall": (lambda x: torch.where(x > 0, x, torch.inf).sum(-1), 0.5, math.log(0.5)),
}


@pytest.mark.parametrize(("potential", "temperature", "log_normaliser"), KNOWN.values(), ids=list(KNOWN))
def test_known_normalisations(potential, temperature, log_normaliser):
    law = Langevin(potential=potential, temperature=temperature).quasi_invariant(0.0)
    assert law.log_normaliser.item() == pytest.approx(log_normaliser, rel=1e-11, abs=1e-11)
    x = torch.tensor([[0.3], [1.7], [299.9999]], dtype=F64)
    expected = -potential(x) / temperature - log_normaliser
    assert torch.allclose(law.log_prob(x), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["quartic", "narrow and far", "power law", "exponential", "wall"])
def test_samples_follow_the_law(name):
    potential, temperature, log_normaliser = KNOWN[name]
    law = Langevin(potential=potential, temperature=temperature).quasi_invariant(0.0)
    n = 4000
    x = law.sample((n,), generator=3)
    assert x.shape == (n, 1) and torch.equal(x, law.sample((n,), generator=3))
    # Kolmogorov's distance to the distribution function, integrated between the samples by themselves in order
    ordered = x[:, 0].sort().values
    from infotherm.core.quadrature import integrate

    at = ordered[:: n // 16]
    lower = torch.full_like(at, -torch.inf if name != "wall" else 0.0)
    below = integrate(lambda y: law.log_prob(y[..., None]).exp(), lower, at, breakpoints=law.breakpoints()).value
    empirical = torch.arange(0, n, n // 16, dtype=F64)[: len(at)] / n
    assert (below - empirical).abs().max() < 2.0 / math.sqrt(n)  # 1 in 1500 by the law of Kolmogorov


def test_the_double_well_by_two_routes():
    process = Langevin(potential=well, temperature=0.4, mobility=2.0)
    law, grid = process.quasi_invariant(0.0), stationary_density(process, 0.0, 1)
    x = torch.linspace(-1.8, 1.8, 41, dtype=F64)[:, None]
    assert torch.allclose(law.log_prob(x), grid.log_prob(x), atol=max(1e-9, 10 * grid.accuracy))
    assert torch.allclose(law.score(x), process.total_force(x, 0.0) / 0.4, rtol=1e-13)
    assert torch.allclose(law.covariance[0, 0], grid.covariance[0, 0], rtol=1e-8)
    assert torch.equal(steady_state(process).log_prob(x), law.log_prob(x))


def test_a_ring_without_a_drive():
    process = Langevin(potential=lambda x: torch.cos(x).sum(-1), temperature=0.5, periodic=2 * math.pi)
    law, grid = process.quasi_invariant(0.0), stationary_density(process, 0.0, 1)
    bessel = torch.special.i0(torch.tensor(2.0, dtype=F64))
    assert law.log_normaliser.exp().item() == pytest.approx(2 * math.pi * bessel.item(), rel=1e-12)
    x = torch.linspace(0.05, 6.2, 17, dtype=F64)[:, None]
    assert torch.allclose(law.log_prob(x), grid.log_prob(x), atol=1e-9)
    draws = law.sample((20_000,), generator=0)
    assert bool(((draws >= 0) & (draws <= 2 * math.pi)).all())
    # E cos x = -I_1(2) / I_0(2); 4 standard errors: once in 16 000
    mean = -(torch.special.i1(torch.tensor(2.0, dtype=F64)) / bessel).item()
    assert abs(torch.cos(draws).mean().item() - mean) < 4 * math.sqrt(0.5 / 20_000)
    with pytest.raises(ValueError, match=r"the potential must have the period 6.28319; got V / T = 0 at x = 0"):
        Langevin(potential=lambda x: (x**2).sum(-1), temperature=1.0, periodic=2 * math.pi).quasi_invariant(0.0)


def test_a_plane():
    def potential(x):
        return (x[..., 0] ** 2 - 1) ** 2 + 2 * (x[..., 1] - 3 + 0.3 * x[..., 0]) ** 2

    process = Langevin(potential=potential, temperature=0.5, dim=2)
    law = process.quasi_invariant(0.0)
    boxed = integrate_box(
        lambda x: torch.exp(-potential(x) / 0.5), [-5.0, -5.0], [5.0, 10.0], breakpoints=[[0.0, 3.0]], rtol=1e-8
    )
    assert law.info["log_normaliser"] == pytest.approx(boxed.value.log().item(), abs=max(1e-7, 10 * law.accuracy))
    assert law.accuracy < 1e-5
    x = torch.tensor([[0.3, 2.9], [-1.1, 3.2], [0.9, 2.5]], dtype=F64)
    known = -potential(x) / 0.5 - law.info["log_normaliser"]
    assert torch.allclose(law.log_prob(x), known, atol=1e-5)
    assert torch.allclose(law.score(x), process.total_force(x, 0.0) / 0.5, atol=1e-3)
    narrow = Langevin(potential=lambda x: 5e5 * ((x - 2.0) ** 2).sum(-1), temperature=1.0, dim=2).quasi_invariant(0.0)
    assert narrow.info["log_normaliser"] == pytest.approx(math.log(2 * math.pi * 1e-6), rel=1e-9)


def test_drives_several_baths_and_multiplicative_noise_go_another_way():
    protocol = Protocol([0.0, 1.0], [1.0, 3.0])
    moved = Langevin(potential=lambda x, k: 0.5 * k * (x**2).sum(-1), temperature=0.5, protocol=protocol)
    for t in (0.0, 0.5, 1.0):
        k = 1 + 2 * t
        law = moved.quasi_invariant(t)
        assert law.covariance.item() == pytest.approx(0.5 / k, rel=1e-11)
        assert law.log_normaliser.item() == pytest.approx(0.5 * math.log(2 * math.pi * 0.5 / k), rel=1e-11)
    with pytest.raises(ValueError, match="Langevin is driven: it has a quasi-invariant law at each time"):
        steady_state(moved)
    cooled = Langevin(potential=lambda x: (x**2).sum(-1), sigma=lambda t: 1 + t, mobility=2.0)  # T = (1 + t)^2 / 4
    assert cooled.quasi_invariant(1.0).covariance.item() == pytest.approx(0.5, rel=1e-11)
    tilted = Langevin(force=-1.0, potential=lambda x: (x**2).sum(-1), temperature=0.5).quasi_invariant(0.0)
    assert tilted.mean.item() == pytest.approx(-0.5, rel=1e-7)
    baths = Langevin(potential=lambda x: (x**2).sum(-1) + x.prod(-1), temperature=[0.5, 2.0])
    rate = torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=F64)
    gyrator = OrnsteinUhlenbeck(rate, torch.diag(torch.tensor([1.0, 2.0], dtype=F64)))
    assert torch.allclose(baths.quasi_invariant(0.0).covariance, gyrator.quasi_invariant(0.0).covariance, atol=1e-4)


def test_multiplicative_noise_keeps_the_law_of_the_ito_reading():
    # dX = -2 X dt + sqrt(2 (1 + X^2 / 4)) dB keeps p ~ D^-1 exp(integral of b / D) = (1 + x^2 / 4)^-5
    process = Langevin(force=lambda x: -2 * x, sigma=lambda x, t: (2 * (1 + x**2 / 4)).sqrt())
    law = process.quasi_invariant(0.0)
    x = torch.linspace(-3.0, 3.0, 25, dtype=F64)[:, None]
    known = -5 * torch.log1p(x[:, 0] ** 2 / 4)
    found = law.log_prob(x)
    assert torch.allclose(found - found[12], known - known[12], atol=1e-7)
    # with D = mu T it is exp(-V / T) / D in the Ito reading, not the Boltzmann law
    thermal = Langevin(
        potential=lambda x: (x**2).sum(-1), sigma=lambda x, t: (2 + torch.cos(x)).sqrt(), temperature=0.5
    )
    found, known = thermal.quasi_invariant(0.0).log_prob(x), -2 * x[:, 0] ** 2 - torch.log(2 + torch.cos(x[:, 0]))
    assert torch.allclose(found - found[12], known - known[12], atol=1e-7)


def test_underdamped_equilibrium():
    process = UnderdampedLangevin(potential=well, mass=2.0, temperature=0.4)
    law, positions = process.quasi_invariant(0.0), Langevin(potential=well, temperature=0.4).quasi_invariant(0.0)
    x = torch.tensor([[0.5, 1.0], [-1.2, 0.3]], dtype=F64)
    known = positions.log_prob(x[:, :1]) - 0.5 * math.log(2 * math.pi * 0.2) - x[:, 1] ** 2 / 0.4
    assert torch.allclose(law.log_prob(x), known, rtol=1e-12)
    log_normaliser = positions.log_normaliser + 0.5 * math.log(2 * math.pi * 0.4 / 2.0)
    assert law.log_normaliser.item() == pytest.approx(log_normaliser.item(), rel=1e-12)
    assert torch.allclose(law.log_prob(x) + law.log_normaliser, -process.energy(x, 0.0) / 0.4, rtol=1e-12)
    draws = steady_state(process).sample((20_000,), generator=2)
    # 4 standard errors of a variance (Gaussian velocities; positions have less kurtosis): once in 16 000 each
    assert draws.var(0)[1].item() == pytest.approx(0.2, rel=4 * math.sqrt(2 / 20_000))
    assert draws.var(0)[0].item() == pytest.approx(positions.covariance.item(), rel=4 * math.sqrt(2 / 20_000))
    harmonic = UnderdampedLangevin(potential=lambda x: 1.5 * (x**2).sum(-1), mass=2.0, friction=0.3, temperature=0.4)
    affine = AffineDiffusion([[0.0, 1.0], [-1.5, -0.15]], [[0.0], [math.sqrt(0.24) / 2]])
    assert torch.allclose(
        harmonic.quasi_invariant(0.0).log_prob(x), affine.quasi_invariant(0.0).log_prob(x), rtol=1e-10
    )


@pytest.mark.parametrize(
    ("process", "message"),
    [
        (Langevin(potential=lambda x: -x.sum(-1), temperature=1.0), r"does not confine: .* towards \+infinity"),
        (
            Langevin(potential=lambda x: torch.exp(-x).sum(-1), temperature=1.0),
            r"does not confine: .* towards \+infinity",
        ),
        (Langevin(potential=lambda x: 0 * x.sum(-1), temperature=1.0), r"falls off as \|x\|\^\(0\) towards -infinity"),
        (Langevin(potential=lambda x: torch.log1p(x**2).sum(-1), temperature=2.5), r"falls off as \|x\|\^\(-0.8\)"),
        (
            Langevin(potential=lambda x: x.sqrt().sum(-1), temperature=1.0),
            r"potential must be a number; got nan at the state",
        ),
        (Langevin(potential=lambda x: x[..., 0] ** 2, temperature=1.0, dim=2), "does not confine"),
        (Langevin(potential=lambda x: (x**2).sum(-1), temperature=1.0, dim=3), "D <= 2; got D = 3"),
        (UnderdampedLangevin(force=1.0, potential=well), "for one position and no force"),
        (UnderdampedLangevin(potential=well, dim=2), "for one position and no force beside the potential; got D = 2"),
    ],
)
def test_laws_that_are_none(process, message):
    with pytest.raises(ValueError, match=message):
        process.quasi_invariant(0.0)


def test_one_time_at_a_time():
    with pytest.raises(ValueError, match=r"t must be one time: the law is found for each by itself; got shape \(2,\)"):
        Langevin(potential=well, temperature=1.0).quasi_invariant([0.0, 1.0])
    with pytest.raises(ValueError, match="t must be >= 0.0"):
        Langevin(potential=well, temperature=1.0).quasi_invariant(-1.0)
