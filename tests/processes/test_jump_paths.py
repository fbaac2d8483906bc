"""Exact paths against exact transitions. False alarms: below 1e-4 for each test at 4 standard errors."""

import math

import pytest
import torch

from infotherm.distributions import Discrete
from infotherm.processes import MarkovChain, MarkovJump
from infotherm.processes.jump_paths import BLOCK, simulate_jump_paths

F64 = torch.float64
RATES = torch.tensor([[0.0, 3.0, 0.5], [1.0, 0.0, 2.0], [0.7, 0.2, 0.0]], dtype=F64)
MATRIX = torch.tensor([[0.2, 0.7, 0.1], [0.1, 0.3, 0.6], [0.4, 0.1, 0.5]], dtype=F64)
START = Discrete([0.2, 0.5, 0.3])


def driven_rates(t):
    return RATES * (1 + 0.9 * torch.sin(6 * t))[..., None, None]


PROCESSES = [(MarkovJump(RATES), 0.4), (MarkovJump(driven_rates), 0.7), (MarkovChain(MATRIX), 2)]


def within(samples, truth, sigmas=4.0):
    return abs(samples.mean() - truth) <= sigmas * samples.std() / math.sqrt(len(samples))


@pytest.mark.parametrize(("process", "duration"), PROCESSES)
def test_final_states_follow_the_exact_transition(process, duration):
    paths = simulate_jump_paths(process, START, duration, 40_000, generator=1)
    joint = torch.zeros(3, 3, dtype=F64).index_put(
        (paths.initial, paths.final), torch.tensor(1 / 40_000, dtype=F64), accumulate=True
    )
    exact = START.pmf[:, None] * process.transition(0, duration).matrix
    chi2 = (40_000 * (joint - exact).square() / exact).sum()
    assert chi2 < 31.8  # 8 degrees of freedom, probability 1e-4
    wrong = START.pmf[:, None] * process.transition(0, duration).matrix.mT
    assert (40_000 * (joint - wrong / wrong.sum()).square() / wrong).sum() > 100  # transposed rates would be seen


def test_sums_over_jumps_are_integrated_flows():
    process, duration = MarkovJump(RATES), 1.5
    weights = torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    paths = simulate_jump_paths(process, START, duration, 40_000, weights={"w": weights}, generator=2)
    from infotherm.processes.uniformisation import stochastic_exponential

    occupation = START.pmf @ stochastic_exponential(process.rates, torch.tensor(duration, dtype=F64))[1]
    flows = occupation[:, None] * process.rates
    assert within(paths.sums["w"], (flows * weights).sum())
    assert within(paths.jumps.double(), flows.sum())
    ratio = torch.where(process.rates > 0, (process.rates / process.rates.T).nan_to_num(nan=1.0).log(), 0.0)
    assert within(paths.medium_entropy, (flows * ratio).sum())


def test_first_jump_and_first_passage_of_two_states():
    process = MarkovJump([[0.0, 2.0], [1.0, 0.0]])
    paths = simulate_jump_paths(process, Discrete([1.0, 0.0]), 1.0, 40_000, target=1, generator=3, keep_paths=True)
    assert within(paths.first_passage.isfinite().double(), 1 - math.exp(-2))
    assert torch.equal(paths.first_passage.isfinite(), paths.times[:, 0].isfinite())
    inside = simulate_jump_paths(process, Discrete([0.0, 1.0]), 1.0, 10, target=[1], generator=3)
    assert bool((inside.first_passage == 0).all())


def test_a_path_depends_on_the_seed_and_its_number_alone():
    process = MarkovJump(RATES)
    few, many = (simulate_jump_paths(process, START, 1.0, n, generator=7, keep_paths=True) for n in (10, BLOCK + 10))
    assert torch.equal(few.final, many.final[:10]) and torch.equal(few.medium_entropy, many.medium_entropy[:10])
    assert not torch.equal(many.final[BLOCK:], many.final[:10])
    generator = torch.Generator().manual_seed(5)
    first = simulate_jump_paths(process, START, 1.0, 100, generator=generator)
    again = simulate_jump_paths(process, START, 1.0, 100, generator=generator)
    assert not torch.equal(first.medium_entropy, again.medium_entropy)


@pytest.mark.parametrize(("process", "duration"), PROCESSES)
def test_kept_paths_agree_with_the_sums(process, duration):
    paths = simulate_jump_paths(process, START, duration, 300, generator=4, keep_paths=True)
    assert torch.equal(paths.states_at([0.0])[0], paths.initial)
    assert torch.equal(paths.states_at([duration])[0], paths.final)
    assert torch.equal(paths.times.isfinite().sum(1), paths.jumps)
    assert bool((paths.times[:, 1:] >= paths.times[:, :-1]).all())
    moves = paths.visited[:, 1:] != paths.visited[:, :-1]
    assert torch.equal(moves, paths.times.isfinite())


def test_reservoirs_count_apart():
    reservoirs = torch.stack([RATES, RATES.T.contiguous()])
    process = MarkovJump(reservoirs=reservoirs, temperature=[1.0, 2.0])
    only_second = torch.zeros(2, 3, 3)
    only_second[1] = 1.0
    paths = simulate_jump_paths(
        process, START, 2.0, 20_000, weights={"second": only_second, "all": torch.ones(3, 3)}, generator=5
    )
    assert torch.equal(paths.sums["all"], paths.jumps.double())
    from infotherm.processes.uniformisation import stochastic_exponential

    occupation = START.pmf @ stochastic_exponential(process.rates, torch.tensor(2.0, dtype=F64))[1]
    ratio = (RATES / RATES.T).nan_to_num(nan=1.0).log()
    heat = (occupation[:, None] * (RATES * ratio - 2 * RATES.T * ratio)).sum()
    assert within(paths.sums["second"], (occupation[:, None] * RATES.T).sum()) and within(paths.heat, heat)


def test_thinning_verifies_its_bound():
    def burst(t):  # between the times at which rates are looked at
        return RATES * (1 + 400 * torch.exp(-(((t - 0.50003) / 2e-5) ** 2)))[..., None, None]

    process = MarkovJump(burst)
    with pytest.raises(ValueError, match="rate_bound must not be below an exit rate; got 2.0"):
        simulate_jump_paths(process, START, 1.0, 1000, generator=0, rate_bound=2.0)
    slow = simulate_jump_paths(MarkovJump(driven_rates), START, 0.7, 20_000, generator=6, rate_bound=50.0)
    exact = MarkovJump(driven_rates).marginal(START, 0.7).pmf
    assert all(within((slow.final == i).double(), exact[i]) for i in range(3))


def test_doubled_bounds_leave_the_law_unchanged(monkeypatch):
    from infotherm.processes import jump_paths

    initial = jump_paths.Thinned.__init__
    tried = []

    def too_low(self, process, start, duration, given, factor=0.2):
        tried.append(factor)
        initial(self, process, start, duration, given, factor)

    monkeypatch.setattr(jump_paths.Thinned, "__init__", too_low)
    process = MarkovJump(driven_rates)
    paths = simulate_jump_paths(process, START, 0.7, 20_000, generator=6)
    exact = process.marginal(START, 0.7).pmf
    assert len(tried) > 2 and all(within((paths.final == i).double(), exact[i]) for i in range(3))


def test_absorbing_states_keep_their_paths():
    process = MarkovJump([[0.0, 1.0], [0.0, 0.0]])
    paths = simulate_jump_paths(process, Discrete([1.0, 0.0]), 50.0, 1000, generator=0)
    assert bool((paths.final == 1).all()) and bool((paths.jumps == 1).all())
    assert bool(paths.medium_entropy.isinf().all())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_paths": 0}, "n_paths must be a whole number of at least 1"),
        ({"duration": -1.0}, "duration must be >= 0"),
        ({"target": 3}, r"target must hold states from 0 to 2; got \[3"),
        ({"p0": Discrete([0.5, 0.5])}, "one law of one part with 3 outcomes"),
        ({"weights": {"w": torch.ones(2, 2)}}, r"weights\['w'\] must have shape \(..., 3, 3\)"),
        ({"process": MarkovChain(MATRIX), "duration": 1.5}, "whole number of steps"),
    ],
)
def test_bad_input(change, message):
    arguments = {"process": MarkovJump(RATES), "p0": START, "duration": 1.0, "n_paths": 10} | change
    with pytest.raises(ValueError, match=message):
        simulate_jump_paths(**arguments)


@pytest.mark.slow
def test_intervals_cover_over_two_hundred_seeds():
    process = MarkovJump(RATES)
    truth = process.marginal(START, 1.0).pmf[2]
    hits = 0
    for seed in range(200):
        at = (simulate_jump_paths(process, START, 1.0, 1000, generator=seed).final == 2).double()
        hits += bool((at.mean() - truth).abs() <= 1.96 * at.std() / math.sqrt(1000))
    assert 178 <= hits <= 199  # 95 % of 200, four standard deviations
