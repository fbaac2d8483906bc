"""Landauer's principle: known entropies, the split of a stored bit, and simulated erasures that cost more."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

import infotherm.processes as processes
from infotherm.distributions import Discrete, Empirical, Gaussian, GaussianMixture
from infotherm.information import kl
from infotherm.thermodynamics.landauer import erasure_run, landauer_cost, stored_bit_entropies
from infotherm.thermodynamics.simulation import simulate
from infotherm.thermodynamics.trajectory import Trajectories

F64 = torch.float64
quick = settings(max_examples=25)
FILE = Path(__file__).parents[2] / "validation/references/information_thermodynamics.json"
CASES = {case["name"]: case for case in json.loads(FILE.read_text())}
SPEC = CASES["landauer/two-gaussians"]["spec"]
VARIANCE = SPEC["standard_deviation"] ** 2
BIT = GaussianMixture([0.5, 0.5], [[m] for m in SPEC["means"]], [[[VARIANCE]]] * 2)
SET = Gaussian(SPEC["final_mean"], VARIANCE)


def binary(p):
    return -p * math.log(p) - (1 - p) * math.log1p(-p) if 0 < p < 1 else 0.0


def test_reference_value():
    cost = landauer_cost(BIT, SET)
    expected = -CASES["landauer/two-gaussians"]["value"]["entropy_change"]
    assert abs(cost.value.item() - expected) <= cost.error.item() + 1e-12 and cost.error < 1e-9
    assert cost.kind == "exact" and cost.units == "nat"
    change = stored_bit_entropies(BIT, SET)
    assert abs(change.total.value.item() + expected) <= change.total.error.item() + 1e-12


@quick
@given(st.floats(0.0, 0.5))
def test_a_bit_set_with_errors(error):
    cost = landauer_cost(Discrete([0.5, 0.5]), Discrete([error, 1 - error]))
    assert abs(cost.value.item() - (math.log(2) - binary(error))) <= cost.error.item() + 1e-15
    assert cost.error < 1e-14
    # the same from a divergence: a uniform bit costs KL(p1 || p0)
    divergence = kl(Discrete([error, 1 - error]), Discrete([0.5, 0.5]))
    assert abs(cost.value.item() - divergence.value.item()) <= cost.error.item() + divergence.error.item()


def test_spreading_takes_heat_up_and_batches():
    cost = landauer_cost(Gaussian(0.0, 1.0), Gaussian(0.0, 4.0))
    assert cost.value.item() == pytest.approx(-math.log(2), rel=1e-14)
    laws = Discrete(torch.tensor([[0.0, 1.0], [0.1, 0.9]], dtype=F64))
    assert landauer_cost(Discrete([0.5, 0.5]), laws).shape == (2,)


def test_the_split_by_another_quadrature():
    p1 = GaussianMixture([0.2, 0.8], [[-1.2], [0.9]], [[[0.1]], [[0.3]]])
    change = stored_bit_entropies(BIT, p1, 0.1)
    parts = []
    for law in (BIT, p1):

        def density(x, law=law):
            return math.exp(law.log_prob([x]).item())

        sides = [(-8.0, 0.1), (0.1, 8.0)]
        masses = [quad(density, a, b, points=[-1.1, 1.0][i : i + 1], epsabs=1e-13)[0] for i, (a, b) in enumerate(sides)]
        within = 0.0
        for i, (a, b) in enumerate(sides):

            def term(x, mass=masses[i]):
                p = density(x)
                return -p * math.log(p / mass) if p > 0 else 0.0

            within += quad(term, a, b, points=[-1.1, 1.0][i : i + 1], epsabs=1e-12)[0]
        parts.append((binary(masses[1]), within))
    for found, column in ((change.logical, 0), (change.internal, 1)):
        expected = parts[1][column] - parts[0][column]
        assert abs(found.value.item() - expected) <= found.error.item() + 1e-9
    rest = change.total - change.logical - change.internal
    assert abs(rest.value.item()) <= rest.error.item()


def erasure(duration, n_paths=1500, seed=1, barrier=4.0):
    """A double well whose barrier is lowered, which is tilted, raised again and tilted back, from equilibrium."""
    times = [0.0, 0.3 * duration, 0.6 * duration, 0.8 * duration, duration]
    controls = [[barrier, 0.0], [0.3, 0.0], [0.3, 4.0], [barrier, 4.0], [barrier, 0.0]]
    protocol = processes.Protocol(times, controls)

    def potential(x, c):
        return (c[..., 0:1] * (x**2 - 1) ** 2 - c[..., 1:2] * x).sum(-1)

    process = processes.Langevin(potential=potential, sigma=2**0.5, protocol=protocol)
    g = torch.Generator().manual_seed(seed)
    # equilibrium by inversion on a fine grid
    grid = torch.linspace(-2.5, 2.5, 20_001, dtype=F64)
    cumulated = torch.exp(-barrier * (grid**2 - 1) ** 2).cumsum(0)
    places = torch.searchsorted(cumulated / cumulated[-1], torch.rand(n_paths, generator=g, dtype=F64))
    start = Empirical(grid[places.clamp(max=20_000), None])
    return simulate(process, start, duration, n_paths, round(64 * duration), generator=g, final_law=False)


def test_simulated_erasures_cost_more_than_the_bit():
    costs = []
    for duration in (1.5, 5.0):
        paths = erasure(duration)
        run = erasure_run(paths)
        wrong = run.error_probability.value.item()
        assert wrong < 0.15 and run.logical_change.kind == "estimate"
        assert run.logical_change.value.item() == pytest.approx(binary(wrong) - math.log(2), abs=0.01)
        bound = math.log(2) - binary(wrong + 2 * run.error_probability.stderr.item())
        work = paths.mean("work")
        # 4.5 standard errors, so that a law that holds is refused once in 3e5
        assert work.value - 4.5 * work.stderr > 0 and work.value + 4.5 * work.stderr > bound
        assert run.medium_entropy.value + 4.5 * run.medium_entropy.stderr > bound
        costs.append(run.medium_entropy.value.item())
    assert costs[0] > costs[1] + 0.3  # more time, less heat


def run_of(initial, final):
    return Trajectories(
        initial=torch.as_tensor(initial, dtype=F64)[:, None],
        final=torch.as_tensor(final, dtype=F64)[:, None],
        duration=1.0,
        method="exact",
        ledger={"medium_entropy": torch.ones(len(initial), dtype=F64)},
        streams=("s",),
    )


def test_frequencies_of_bits():
    n = 400
    initial = torch.where(torch.arange(n) % 2 == 0, -1.0, 1.0)
    final = torch.where(torch.arange(n) % 10 == 0, -1.0, 1.0)
    run = erasure_run(run_of(initial, final))
    assert run.error_probability.value.item() == pytest.approx(0.1)
    assert run.logical_change.value.item() == pytest.approx(binary(0.1) - math.log(2))
    other = erasure_run(run_of(initial, final), reset_above=False)
    assert other.error_probability.value.item() == pytest.approx(0.9)
    none = erasure_run(run_of(initial, torch.ones(n)))
    assert none.error_probability.value.item() == 0 and none.error_probability.stderr > 1 / n


def test_intervals_of_bit_entropies_cover():
    # 100 intervals at 95 %: fewer than 85 cover once in 2e4
    g = torch.Generator().manual_seed(3)
    for p in (0.5, 0.02):
        covered = 0
        for _ in range(100):
            final = torch.where(torch.rand(200, generator=g, dtype=F64) < p, -1.0, 1.0)
            low, high = erasure_run(run_of(torch.ones(300), final)).logical_change.interval(0.95)
            covered += int(low <= binary(p) <= high)
        assert covered >= 85, p


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: landauer_cost(Discrete([0.5, 0.5]), Gaussian(0.0, 1.0)), "both be discrete or both have densities"),
        (lambda: landauer_cost(Gaussian([0.0, 0.0], torch.eye(2)), SET), "same coordinates; got 2 and 1"),
        (lambda: stored_bit_entropies(Discrete([0.5, 0.5]), Discrete([0.5, 0.5])), "p0 must be one law on a line"),
        (lambda: stored_bit_entropies(BIT, SET, math.nan), "boundary must be finite"),
        (lambda: erasure_run(Trajectories(torch.zeros(2, 2), torch.zeros(2, 2), 1.0, "exact", {})), "one coordinate"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
