"""Speed limits by transport: of jumps, against another route to every side, and of the probability flow."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import infotherm as it
from infotherm.bounds import check, get
from infotherm.bounds.catalogue.flowed_distance import flowed_distance
from infotherm.bounds.catalogue.landauer import steady_transfer
from infotherm.bounds.catalogue.speed_limits import jump_distances, jump_transport, steady_transport
from infotherm.core.verdict import decide
from infotherm.transport.orders import wasserstein
from tests.bounds.stochastic_cases import BUMPS, UNLIKE, switching

F64 = torch.float64
RELAXING = it.processes.MarkovJump([[0.0, 2.0], [1.0, 0.0]])
NARROW = {"process": RELAXING, "initial": it.Discrete([0.95, 0.05]), "duration": 1.0}
LIMITS = ("speed-limit-w1-mobility", "speed-limit-w1-activity")


def random_jumps(seed, states=5):
    """Rates both ways along some edges of a connected graph."""
    generator = torch.Generator().manual_seed(seed)
    rates = torch.randn(states, states, generator=generator, dtype=F64).exp()
    kept = torch.rand(states, states, generator=generator).triu(1) < 0.3
    row = torch.diag(torch.ones(states - 1, dtype=torch.bool), 1)  # a row of neighbours joins all
    return it.processes.MarkovJump(rates * ((kept | row) | (kept | row).mT))


# -- jumps -----------------------------------------------------------------------------------------------------------


def test_two_states_against_numbers_computed_elsewhere():
    # closed forms and quadrature, checked by a Runge-Kutta solution of the master equation
    mobility, activity = (check(name, **NARROW) for name in LIMITS)
    assert mobility.lhs.value.item() == pytest.approx(0.8633492095746995, rel=1e-12)
    assert mobility.rhs.value.item() == pytest.approx(0.49242006624559453, rel=1e-12)
    assert activity.rhs.value.item() == pytest.approx(0.47339640123692694, rel=1e-12)
    assert mobility.outcome == activity.outcome == "holds"
    assert abs(mobility.rhs.value.item() - 0.49242006624559453) <= mobility.rhs.error.item() < 1e-12


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_random_graph_breaks_a_limit(seed):
    process = random_jumps(seed)
    initial = it.Discrete(
        torch.softmax(2 * torch.randn(5, generator=torch.Generator().manual_seed(seed), dtype=F64), 0)
    )
    case = {"process": process, "initial": initial, "duration": 0.4}
    mobility, activity = (check(name, **case) for name in LIMITS)
    assert mobility.outcome == activity.outcome == "holds", (mobility, activity)
    # from weak to strong: total variation, activity, mobility
    weaker = check("speed-limit-activity-sharp", **case)
    order = (weaker.rhs.value, activity.rhs.value, mobility.rhs.value)
    assert order[0] <= order[1] + 1e-12 and order[1] <= order[2] + 1e-12
    # W1 by the least flow along edges, a linear programme of its own
    jumps = jump_transport(process, initial, 0.4)
    final = process.marginal(initial, 0.4).pmf
    assert jumps.value.item() == pytest.approx(least_flow(process.rates_at(), initial.pmf, final), abs=1e-8)
    assert jumps.value >= it.total_variation(initial, process.marginal(initial, 0.4)).value - 1e-12


def least_flow(rates, p, q):
    """The least total flow along the edges of a graph that turns p into q (Beckmann)."""
    edges = torch.nonzero((rates + rates.mT) > 0).tolist()
    out = np.zeros((len(p), len(edges)))
    for k, (i, j) in enumerate(edges):
        out[i, k], out[j, k] = 1.0, -1.0
    return linprog(np.ones(len(edges)), A_eq=out[:-1], b_eq=(p - q).numpy()[:-1]).fun


def test_distances_count_jumps():
    row = torch.diag(torch.ones(3, dtype=F64), 1)
    process = it.processes.MarkovJump(row + 2 * row.mT)
    assert jump_distances(process, 0.0, 1.0)[0].tolist() == [0.0, 1.0, 2.0, 3.0]
    ring = row + row.mT
    ring[0, 3] = 1.0  # one direction makes neighbours
    assert jump_distances(it.processes.MarkovJump(ring), 0.0, 1.0)[0].tolist() == [0.0, 1.0, 2.0, 1.0]
    apart = torch.zeros(4, 4, dtype=F64)
    apart[0, 1] = apart[1, 0] = apart[2, 3] = apart[3, 2] = 1.0
    assert jump_distances(it.processes.MarkovJump(apart), 0.0, 1.0)[0].tolist() == [0.0, 1.0, 4.0, 4.0]


def test_an_edge_that_opens_later_counts():
    row = torch.diag(torch.ones(2, dtype=F64), 1)
    short = torch.zeros(3, 3, dtype=F64)
    short[0, 2] = short[2, 0] = 1.0

    def rates(t):
        return (row + row.mT) + (t > 0.9).to(F64)[..., None, None] * short

    process = it.processes.MarkovJump(rates, horizon=1.0, breakpoints=[0.9])
    assert jump_distances(process, 0.0, 0.8)[0].tolist() == [0.0, 1.0, 2.0]
    assert jump_distances(process, 0.0, 1.0)[0].tolist() == [0.0, 1.0, 1.0]
    for name in LIMITS:
        assert check(name, process=process, initial=it.Discrete([0.8, 0.1, 0.1]), duration=1.0).outcome == "holds"


@pytest.mark.parametrize("force", [0.1, 1.5, 6.0])
def test_a_steady_transport_saturates_both_limits(force):
    start, end = [0.4, 0.1, 0.3, 0.2], [0.1, 0.2, 0.2, 0.5]
    process = steady_transport(start, end, 2.0, force)
    case = {"process": process, "initial": it.Discrete(start), "duration": 2.0}
    moved = float(np.abs(np.cumsum(np.subtract(start, end))).sum())
    for name in LIMITS:
        v = check(name, **case)
        assert v.outcome == "holds" and v.tightness.item() == pytest.approx(1.0, abs=1e-11)
        assert v.lhs.value.item() == pytest.approx(force * moved, rel=1e-10)
    # and the total variation, which does not see how far mass goes, is loose
    assert check("speed-limit-activity-sharp", **case).tightness.item() < 0.9


def test_two_states_driven_at_constant_force_are_the_steady_transfer():
    process = steady_transport([0.8, 0.2], [0.3, 0.7], 2.0, 1.3)
    same = steady_transfer(0.2, 0.7, 2.0, 0.5 / math.tanh(0.65))
    assert torch.allclose(process.rates_at([0.3, 1.7]), same.rates_at(torch.tensor([0.3, 1.7], dtype=F64)), rtol=1e-12)


def test_a_force_that_is_not_constant_is_loose():
    v = check("speed-limit-w1-mobility", process=switching(0.0, 3.0), initial=it.Discrete([0.5, 0.5]), duration=1.0)
    assert v.outcome == "holds" and v.tightness.item() < 0.999


def test_several_reservoirs_and_batches():
    hot, cold = torch.tensor([[0.0, 2.0], [1.0, 0.0]], dtype=F64), torch.tensor([[0.0, 0.5], [3.0, 0.0]], dtype=F64)
    process = it.processes.MarkovJump(reservoirs=torch.stack([hot, cold]))
    initial = it.Discrete(torch.tensor([[0.9, 0.1], [0.2, 0.8]], dtype=F64))
    for name in LIMITS:
        v = check(name, process=process, initial=initial, duration=0.3)
        assert v.outcome == "holds" and v.shape == (2,)
        one = check(name, process=process, initial=it.Discrete([0.2, 0.8]), duration=0.3)
        assert v.rhs.value[1].item() == pytest.approx(one.rhs.value.item(), rel=1e-12)


def test_what_the_limits_of_jumps_do_not_hold_for():
    chain = it.processes.MarkovChain([[0.5, 0.5], [0.2, 0.8]])
    one_way = it.processes.MarkovJump([[0.0, 1.0], [0.0, 0.0]])
    for name in LIMITS:
        assert "not a jump process" in check(name, process=chain, initial=it.Discrete([0.9, 0.1]), duration=1).reason
        assert "no return" in check(name, process=one_way, initial=it.Discrete([0.9, 0.1]), duration=1.0).reason


def test_the_form_of_shiraishi_funo_and_saito_is_that_of_the_whole_l1_distance():
    # they write L^2 / (2 A) with L = sum |p - q| = 2 TV
    v = check("speed-limit-activity", **NARROW)
    final = RELAXING.marginal(NARROW["initial"], 1.0)
    whole = (NARROW["initial"].pmf - final.pmf).abs().sum()
    jumps = it.thermodynamics.dynamical_activity(RELAXING, NARROW["initial"], 1.0)
    assert v.rhs.value.item() == pytest.approx((whole**2 / (2 * jumps.value)).item(), rel=1e-12)
    # the next larger simple constant, L^2 / A, is wrong: transfers with many jumps refute it
    case = {"process": steady_transfer(0.4, 0.5, 1.0, 5.0), "initial": it.Discrete([0.6, 0.4]), "duration": 1.0}
    right = check("speed-limit-activity", **case)
    assert right.outcome == "holds" and decide(right.lhs, 2 * right.rhs).outcome == "violated"


# -- the printed constant ---------------------------------------------------------------------------------------------


def test_the_printed_constant_is_a_quarter_of_the_right_one_everywhere():
    case = {"process": it.processes.VariancePreserving(), "initial": it.Gaussian(2.0, 0.3), "duration": 0.5}
    right, printed = check("speed-limit-w2", **case), check("speed-limit-w2-printed", **case)
    assert right.outcome == printed.outcome == "holds"
    assert (4 * printed.rhs.value).item() == pytest.approx(right.rhs.value.item(), rel=1e-15)
    assert get("speed-limit-w2-printed").conditions == get("speed-limit-w2").conditions


# -- speed and accuracy ------------------------------------------------------------------------------------------------


def flowed_samples(process, initial, perturbed, duration, steps=400):
    """Quantiles of the perturbed law, carried by the probability flow in small steps (midpoint rule)."""
    levels = (torch.arange(4000, dtype=F64) + 0.5) / 4000
    x, h = perturbed.icdf(levels), duration / steps
    for k in range(steps):
        t = k * h

        def velocity(y, s):
            law = process.marginal(initial, s)
            return process.drift(y, s) - process.diffusion_matrix(s)[0, 0] * law.score(y)

        x = x + h * velocity(x + 0.5 * h * velocity(x, t), t + 0.5 * h)
    return x[:, 0]


def test_gaussians_in_closed_form():
    start, end = it.Gaussian(0.5, 1.0), it.Gaussian(-1.0, 4.0)
    found = flowed_distance(start, end, it.Gaussian(0.9, 1.0))
    assert found.value.item() == pytest.approx(0.8, rel=1e-12) and abs(found.value.item() - 0.8) <= found.error.item()
    wider = flowed_distance(start, start, it.Gaussian(0.5, 1.44))
    assert wider.value.item() == pytest.approx(0.2 * math.sqrt(2 / math.pi), rel=1e-11)
    assert flowed_distance(start, end, start).value.item() == 0.0


@pytest.mark.parametrize("perturbed", [UNLIKE, it.Gaussian(0.4, 1.3)])
def test_the_flow_of_a_mixture_against_particles(perturbed):
    process = it.processes.VariancePreserving()
    final = process.marginal(BUMPS, 0.5)
    found = flowed_distance(BUMPS, final, perturbed)
    levels = (torch.arange(4000, dtype=F64) + 0.5) / 4000
    carried = flowed_samples(process, BUMPS, perturbed, 0.5, steps=60)
    by_particles = (carried - final.icdf(levels)[:, 0]).abs().mean()
    assert found.value.item() == pytest.approx(by_particles.item(), abs=2e-4)
    assert found.error.item() < 1e-10


def test_flowed_distances_are_those_of_scalar_mixtures():
    laplace = torch.distributions.Laplace(*torch.tensor([[0.0], [1.0]], dtype=F64))
    with pytest.raises(TypeError, match="perturbed must be a Gaussian"):
        flowed_distance(BUMPS, BUMPS, laplace)
    with pytest.raises(ValueError, match="initial must be scalar"):
        flowed_distance(it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]]), BUMPS, BUMPS)


def test_distances_of_order_one_by_another_route():
    for p, q in ((BUMPS, UNLIKE), (it.Gaussian(0.0, 1.0), it.Gaussian(0.3, 1.2))):
        found, by_quantiles = flowed_distance(p, p, q), wasserstein(p, q, order=1)
        assert abs(found.value - by_quantiles.value) <= found.error + by_quantiles.error


def test_the_chi_square_divergence_stays_along_the_flow():
    # densities of Gaussians carried by an affine flow
    process = it.processes.VariancePreserving()
    start, other = it.Gaussian(1.0, 0.5), it.Gaussian(1.2, 0.4)
    final = process.marginal(start, 0.6)
    gain = (final.variance / start.variance).sqrt().item()
    image = it.Gaussian(final.mean + gain * (other.mean - start.mean), gain**2 * other.covariance)
    assert it.chi2(image, final).value.item() == pytest.approx(it.chi2(other, start).value.item(), rel=1e-11)
    assert it.wasserstein2(image, final).value.item() == pytest.approx(
        gain * it.wasserstein2(other, start).value.item(), rel=1e-11
    )


def test_the_paid_side_is_diffusion_times_entropy_production():
    process, initial = it.processes.OrnsteinUhlenbeck(1.5, 0.8), it.Gaussian(2.0, 0.3)
    v = check("speed-accuracy", process=process, initial=initial, perturbed=it.Gaussian(2.2, 0.25), duration=0.7)
    produced = it.thermodynamics.entropy_production(process, initial, 0.7)
    chi = it.chi2(it.Gaussian(2.2, 0.25), initial)
    assert v.lhs.value.item() == pytest.approx((chi.value * 0.7 * 0.32 * produced.value).item(), rel=1e-10)


@settings(max_examples=6, deadline=None)
@given(
    shift=st.floats(-0.8, 0.8), variance=st.floats(0.3, 1.6), mean=st.floats(-2.0, 2.0), duration=st.floats(0.1, 0.9)
)
def test_no_perturbation_breaks_the_trade_off(shift, variance, mean, duration):
    initial, perturbed = it.Gaussian(mean, 1.0), it.Gaussian(mean + shift, variance)
    for process in (it.processes.VariancePreserving(), it.processes.StraightLine(0.3)):
        v = check("speed-accuracy", process=process, initial=initial, perturbed=perturbed, duration=duration)
        assert v.outcome == "holds", v


def test_what_the_trade_off_does_not_hold_for():
    case = {"process": it.processes.VariancePreserving(), "initial": BUMPS, "perturbed": UNLIKE, "duration": 0.5}
    wide = {**case, "initial": it.Gaussian(0.0, 1.0), "perturbed": it.Gaussian(0.0, 2.5)}
    assert "infinite" in check("speed-accuracy", **wide).reason
    flat = it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
    assert "D = 2" in check("speed-accuracy", **{**case, "initial": flat, "perturbed": flat}).reason
    assert "no density" in check("speed-accuracy", **{**case, "initial": it.Gaussian(0.0, 0.0)}).reason
    other = torch.distributions.Laplace(*torch.tensor([[0.0], [1.0]], dtype=F64))
    assert "mixture" in check("speed-accuracy", **{**case, "perturbed": other}).reason
    well = it.processes.Langevin(potential=lambda x: (x**4).sum(-1), sigma=1.0)
    assert "affine" in check("speed-accuracy", **{**case, "process": well}).reason
