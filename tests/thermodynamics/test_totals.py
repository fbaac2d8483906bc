"""Entropy production over a time: reference values, two routes, and mistakes that must show."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import infotherm.processes as processes
from infotherm.core.quantity import explain
from infotherm.distributions import Discrete, Empirical, Gaussian, GaussianMixture, LogDensity
from infotherm.processes import (
    AffineDiffusion,
    MarkovJump,
    OrnsteinUhlenbeck,
    StraightLine,
    VarianceExploding,
    VariancePreserving,
)
from infotherm.thermodynamics import entropy_production, entropy_production_rate, excess_housekeeping

F64 = torch.float64
quick = settings(max_examples=20)
FILE = Path(__file__).parents[2] / "validation/references/diffusion_gaussian.json"
CASES = {case["name"].removeprefix("diffusion/"): case for case in json.loads(FILE.read_text())}
STATIC = [name for name in CASES if name[0] == "g" and name[1].isdigit()]
MIXTURES = [name for name in CASES if name[0] == "m" and name[1].isdigit()]
ROTATING = OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], 2**0.5)


def case_of(name):
    """Process, initial law, duration, and the values."""
    spec = CASES[name]["spec"]
    options = {k: v for k, v in spec.items() if k not in ("process", "duration", "initial")}
    initial = spec["initial"]
    law = Gaussian(initial["mean"], initial["covariance"]) if "mean" in initial else GaussianMixture(*initial.values())
    return getattr(processes, spec["process"])(**options), law, spec["duration"], CASES[name]["value"]


def agrees(estimate, expected):
    """Within its own error, which in turn is within 1e-10 of the value."""
    value, error = estimate.value.detach().to(F64), estimate.error
    expected = torch.as_tensor(expected, dtype=F64)
    within = (value - expected).abs() <= error + 4e-16 * expected.abs()
    return bool(within.all()) and bool((error <= 1e-10 * expected.abs().clamp(min=1.0)).all())


@pytest.mark.parametrize("method", ["closed-form", "quadrature"])
@pytest.mark.parametrize("name", STATIC)
def test_gaussian_references_by_two_routes(name, method):
    process, initial, duration, value = case_of(name)
    found = entropy_production(process, initial, duration, method=method)
    assert agrees(found, value["entropy_production"]) and found.kind == "exact" and found.method == method
    if method == "closed-form":
        assert agrees(found.info["system"], value["system"])
        assert agrees(found.info["medium"], value["entropy_production"] - value["system"])


@pytest.mark.parametrize("name", STATIC)
def test_gaussian_rates(name):
    process, initial, _, value = case_of(name)
    times = [float(t) for t in value["rate"]]
    found = entropy_production_rate(process, process.marginal(initial, times), times)
    assert agrees(found, list(value["rate"].values())) and found.units == "nat/time"
    resolved = entropy_production(process, initial, times[-1], times=times).info
    assert agrees(resolved["rate"], list(value["rate"].values())) and resolved["times"].tolist() == times


@pytest.mark.parametrize("route", ["balance", "rate"])
@pytest.mark.parametrize("name", MIXTURES)
def test_mixture_references_by_two_routes(name, route):
    process, initial, duration, value = case_of(name)
    found = entropy_production(process, initial, duration, method="quadrature", route=route)
    assert agrees(found, value["entropy_production"]) and found.method == "quadrature"
    times = [float(t) for t in value["rate"]]
    assert agrees(
        entropy_production_rate(process, process.marginal(initial, times), times), list(value["rate"].values())
    )


@pytest.mark.parametrize("name", MIXTURES[:2])
def test_mixture_references_by_sampling(name):
    process, initial, duration, value = case_of(name)
    found = entropy_production(process, initial, duration, method="monte-carlo", n_samples=40_000, generator=0)
    assert found.kind == "estimate" and found.streams
    assert abs(found.value.item() - value["entropy_production"]) < 4 * found.stderr.item() < 0.1


@pytest.mark.parametrize("name", ["rotational-iso", "rotational-aniso", "rotational-steady"])
def test_currents_without_detailed_balance(name):
    process, initial, duration, value = case_of(name)
    found = entropy_production(process, initial, duration)
    assert found.method == "quadrature" and agrees(found, value["entropy_production"])
    with pytest.raises(NotImplementedError, match="no detailed balance, or driven"):
        entropy_production(process, initial, duration, method="closed-form")
    # the balance of system and medium is a second route, and the split a third
    from infotherm.core.quadrature import integrate
    from infotherm.thermodynamics.system_and_medium import medium_entropy

    begin, end = torch.tensor(0.0, dtype=F64), torch.tensor(duration, dtype=F64)
    medium = medium_entropy(process, (initial.mean, initial.covariance), begin, end)
    system = process.marginal(initial, duration).entropy() - initial.entropy()
    assert (system + medium.value).item() == pytest.approx(value["entropy_production"], rel=1e-13)

    def part(which):
        split = lambda t: getattr(excess_housekeeping(process, process.marginal(initial, t), t), which).value  # noqa: E731
        return integrate(split, 0.0, duration, atol=1e-14).value.item()

    assert part("excess") == pytest.approx(value["excess"], rel=1e-12, abs=1e-14)
    assert part("housekeeping") == pytest.approx(value["housekeeping"], rel=1e-12)


def test_a_moving_trap_dissipates_more_than_it_lags():
    value = CASES["moving-trap"]["value"]
    trap = AffineDiffusion([[-1.0]], 2**0.5, lambda t: 2 * t[..., None])
    found = entropy_production(trap, Gaussian(0.0, 1.0), 1.0)
    assert agrees(found, value["entropy_production"])
    law, quasi = trap.marginal(Gaussian(0.0, 1.0), 1.0), trap.quasi_invariant(1.0)
    lag = (law.mean - quasi.mean).square().item() / 2  # KL of two unit Gaussians
    assert lag == pytest.approx(value["lag"], rel=1e-12)
    assert found.value.item() + lag == pytest.approx(value["dissipated_work"], rel=1e-12)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("geodesic")])
def test_the_geodesic_dissipates_least(name):
    spec, value = CASES[name]["spec"], CASES[name]["value"]
    duration = spec["duration"]
    start, dim = Gaussian(spec["initial"]["mean"], spec["initial"]["covariance"]), len(spec["initial"]["mean"])
    values, vectors = torch.linalg.eigh(start.covariance)
    push = vectors @ torch.diag(values.rsqrt()) @ vectors.T  # the optimal map to N(0, 1)
    one = torch.eye(dim, dtype=F64)
    if "constant" in name:
        variance, clock, speed = (lambda t: 1.69 + 0 * t), (lambda t: t / duration), (lambda t: 1 / duration + 0 * t)
    else:
        total = duration * (0.1 + 7.9 / 2)

        def variance(t):
            return 0.1 + 7.9 * t / duration

        def clock(t):
            return (0.1 * t + 7.9 * t**2 / (2 * duration)) / total

        def speed(t):
            return variance(t) / total

    def law(t):
        stretch = one + clock(t)[..., None, None] * (push - one)
        return (1 - clock(t))[..., None] * start.mean, stretch, stretch @ start.covariance @ stretch.mT

    def matrix(t):
        _, stretch, covariance = law(t)
        flow = (push - one) @ torch.linalg.inv(stretch) * speed(t)[..., None, None]
        return flow - 0.5 * variance(t)[..., None, None] * torch.linalg.inv(covariance)

    def offset(t):
        return -(matrix(t) @ law(t)[0][..., None])[..., 0] - speed(t)[..., None] * start.mean

    drive = AffineDiffusion(matrix, lambda t: variance(t).sqrt(), offset, horizon=duration)
    assert torch.allclose(drive.marginal(start, duration).covariance, one, rtol=1e-12, atol=1e-12)
    found = entropy_production(drive, start, duration)
    assert agrees(found, value["entropy_production"])
    noise = drive.integrated_diffusion(0.0, duration).item()
    assert found.value.item() == pytest.approx(2 * value["wasserstein2"] ** 2 / noise, rel=1e-12)


# -- planted mistakes ----------------------------------------------------------------------------------------


class Misread(VariancePreserving):
    """The force taken for b / sigma^2 instead of 2 b / sigma^2."""

    def force(self, t, dim=None):
        matrix, offset = super().force(t, dim)
        return matrix / 2, offset / 2


class Slow(VariancePreserving):
    """sigma taken for sigma^2 in the diffusion matrix."""

    def diffusion(self, t):
        return super().diffusion(t).sqrt()


@pytest.mark.parametrize("mistaken", [Misread, Slow])
def test_a_planted_mistake_shows(mistaken):
    """The two routes disagree, and at least one misses the reference."""
    process, initial, duration, value = case_of("g1-vp-1d")
    wrong = mistaken()
    routes = [entropy_production(wrong, initial, duration, method=m) for m in ("closed-form", "quadrature")]
    assert not all(agrees(route, value["entropy_production"]) for route in routes)
    assert abs(routes[0].value - routes[1].value) > 1e-3


# -- laws --------------------------------------------------------------------------------------------------------


@st.composite
def equilibrating(draw):
    """A process with detailed balance and a Gaussian, over wide scales."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    dim = draw(st.integers(1, 3))
    root = torch.randn(dim, dim + 1, generator=generator, dtype=F64)
    scale = 10.0 ** draw(st.integers(-4, 4))
    initial = Gaussian(scale**0.5 * torch.randn(dim, generator=generator, dtype=F64), scale * root @ root.mT)
    kind = draw(st.sampled_from(["vp", "ve", "line", "ou", "unstable"]))
    process = {
        "vp": VariancePreserving(kappa=0.5),
        "ve": VarianceExploding(0.7),
        "line": StraightLine(0.2),
        "ou": OrnsteinUhlenbeck(1.3, 0.8, torch.ones(dim, dtype=F64)),
        "unstable": OrnsteinUhlenbeck(-0.4, 1.0),
    }[kind]
    return process, initial, draw(st.floats(0.01, 0.9))


@given(equilibrating())
@quick
def test_the_identity_of_balance_and_rate(setting):
    process, initial, duration = setting
    balance = entropy_production(process, initial, duration, method="closed-form")
    rate = entropy_production(process, initial, duration, method="quadrature")
    assert balance.value >= -balance.error  # the second law
    assert abs(balance.value - rate.value) <= balance.error + rate.error


@given(equilibrating(), st.floats(0.1, 0.9))
@quick
def test_entropy_production_adds_up_over_time(setting, fraction):
    process, initial, duration = setting
    first = entropy_production(process, initial, fraction * duration)
    middle = process.marginal(initial, fraction * duration)
    second = entropy_production(process, middle, (1 - fraction) * duration, start=fraction * duration)
    whole = entropy_production(process, initial, duration)
    assert abs(whole.value - first.value - second.value) <= whole.error + first.error + second.error


def test_schedules_do_not_matter_where_the_equilibrium_is_the_same():
    initial = Gaussian(1.5, 0.25)
    line = entropy_production(StraightLine(0.3), initial, 0.6)  # gain 0.4
    # the OU process with the same equilibrium and the same gain
    other = entropy_production(OrnsteinUhlenbeck(1.0, 0.3 * 2**0.5), initial, -math.log(0.4))
    assert abs(line.value - other.value) <= line.error + other.error


def test_an_unstable_potential_has_a_balance_too():
    process, initial = OrnsteinUhlenbeck(-0.5, 1.0), Gaussian(1.0, 0.3)
    balance = entropy_production(process, initial, 2.0, method="closed-form")
    rate = entropy_production(process, initial, 2.0, method="quadrature")
    assert abs(balance.value - rate.value) <= balance.error + rate.error < 1e-12


# -- shapes, dtypes, singular laws --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["closed-form", "quadrature"])
def test_a_batch_is_its_members(method):
    laws = Gaussian(
        torch.tensor([[1.5], [0.0], [2.0]], dtype=F64), torch.tensor([0.25, 1.0, 4.0])[:, None, None].double()
    )
    durations = torch.tensor([[0.3], [1.0]], dtype=F64)
    found = entropy_production(VariancePreserving(), laws, durations, method=method)
    assert found.shape == (2, 3) and found.info["rate"].shape == (33, 2, 3)
    for i in range(2):
        for j in range(3):
            alone = entropy_production(
                VariancePreserving(), Gaussian(laws.mean[j], laws.covariance[j]), durations[i, 0], method=method
            )
            assert abs(found.value[i, j] - alone.value) <= found.error[i, j] + alone.error


def test_the_rate_resolves_the_total():
    found = entropy_production(OrnsteinUhlenbeck(1.0, 2**0.5), Gaussian(2.0, 0.25), 1.0)
    area = torch.trapezoid(found.info["rate"].value, found.info["times"])
    assert area.item() == pytest.approx(found.value.item(), rel=2e-3)


@pytest.mark.parametrize("method", ["closed-form", "quadrature"])
def test_single_precision(method):
    law = Gaussian(torch.tensor([1.5]), torch.tensor([[0.25]]))
    found = entropy_production(
        VariancePreserving(), law, 1.0, method=method, **({"tolerance": 1e-6} if method == "quadrature" else {})
    )
    assert found.value.dtype == torch.float32 and 0 < found.error.item() < 1e-3
    assert abs(found.value.item() - 1.4235039483779623) <= found.error.item()


@pytest.mark.parametrize("method", ["closed-form", "quadrature"])
def test_a_singular_start_is_infinitely_irreversible_and_its_neighbours_are_not(method):
    laws = Gaussian(torch.zeros(2, 1, dtype=F64), torch.tensor([0.0, 0.5], dtype=F64)[:, None, None])
    found = entropy_production(VariancePreserving(), laws, 1.0, method=method)
    assert found.value[0].item() == math.inf and math.isfinite(found.value[1].item())
    assert found.lower_limit()[0].item() == math.inf
    still = entropy_production(VariancePreserving(), laws, 0.0, method="closed-form")
    assert still.value.tolist() == [0.0, 0.0]


def test_narrow_starts_grow_with_the_logarithm():
    widths = torch.tensor([1e-4, 1e-8, 1e-12], dtype=F64)
    laws = Gaussian(torch.zeros(3, 1, dtype=F64), widths[:, None, None])
    for method in ("closed-form", "quadrature"):
        found = entropy_production(VarianceExploding(), laws, 1.0, method=method)
        assert torch.allclose(found.value, 0.5 * torch.log1p(1 / widths), rtol=1e-11)


def test_laws_without_density():
    samples = Empirical([[0.0], [1.0]])
    assert entropy_production(VariancePreserving(), samples, 1.0).value.item() == math.inf
    # after a moment of noise it is finite, and known
    process = VariancePreserving()
    cut = entropy_production(process, process.marginal(samples, 0.01), 0.99, start=0.01)
    assert cut.method == "quadrature" and 0 < cut.value.item() < 10
    with pytest.raises(ValueError, match="must not mix laws with and without a density"):
        entropy_production_rate(process, process.marginal(samples, [0.0, 0.5]), [0.0, 0.5])


def test_two_dimensions_by_quadrature_and_many_by_sampling():
    process = OrnsteinUhlenbeck(1.0, 2**0.5)
    flat = GaussianMixture([0.4, 0.6], [[-1.0, 0.0], [1.0, 0.5]], [0.3, 0.5])
    found = entropy_production(process, flat, 0.5)
    sampled = entropy_production(process, flat, 0.5, method="monte-carlo", generator=0, times=[0.0, 0.5])
    assert found.method == "quadrature" and abs(found.value - sampled.value) < 4 * sampled.stderr
    deep = GaussianMixture(
        [0.4, 0.6], torch.randn(2, 5, generator=torch.Generator().manual_seed(0)).double(), [0.3, 0.5]
    )
    assert entropy_production(process, deep, 0.5, n_samples=100, generator=0, times=[0.25]).method == "monte-carlo"


def test_no_global_random_numbers_are_drawn():
    before = torch.get_rng_state()
    process, law = OrnsteinUhlenbeck(1.0, 1.0), GaussianMixture([0.4, 0.6], torch.eye(2, 3).double(), [0.3, 0.5])
    one = entropy_production(process, law, 0.5, n_samples=50, generator=7, times=[0.25])
    two = entropy_production(process, law, 0.5, n_samples=50, generator=7, times=[0.25])
    assert torch.equal(one.value, two.value) and torch.equal(one.info["rate"].value, two.info["rate"].value)
    flat = GaussianMixture([0.4, 0.6], torch.eye(2).double(), [0.3, 0.5])
    entropy_production(process, flat, 0.5, times=[0.25])
    assert torch.equal(before, torch.get_rng_state())


def test_gradients():
    def total(mean, root, rate):
        law = Gaussian(mean, root @ root.mT + 0.1 * torch.eye(2, dtype=F64))
        return entropy_production(OrnsteinUhlenbeck(rate, 0.9), law, 0.7).value

    leaves = (
        torch.tensor([1.0, -0.5], dtype=F64, requires_grad=True),
        torch.tensor([[0.5, 0.1], [0.0, 0.8]], dtype=F64, requires_grad=True),
        torch.tensor(1.2, dtype=F64, requires_grad=True),
    )
    assert torch.autograd.gradcheck(total, leaves)
    rotation = torch.tensor([[1.0, -2.0], [2.0, 1.0]], dtype=F64, requires_grad=True)
    entropy_production(
        OrnsteinUhlenbeck(rotation, 2**0.5), Gaussian([1.0, 0.0], torch.eye(2).double()), 0.5
    ).value.backward()
    assert torch.isfinite(rotation.grad).all() and rotation.grad.abs().max() > 0


# -- bad input ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: entropy_production(3.0, Gaussian(0.0, 1.0), 1.0), TypeError, "process must be a process"),
        (lambda: entropy_production(VarianceExploding(), [0.0], 1.0), TypeError, "p0"),
        (
            lambda: entropy_production(VarianceExploding(), Gaussian(0.0, 1.0), -1.0),
            ValueError,
            "duration must be >= 0",
        ),
        (
            lambda: entropy_production(VarianceExploding(), Gaussian(0.0, 1.0), math.nan),
            ValueError,
            "duration must be fin",
        ),
        (
            lambda: entropy_production(VariancePreserving(), Gaussian(0.0, 1.0), 2.0),
            ValueError,
            "t1 must be <= the horizon",
        ),
        (lambda: entropy_production(StraightLine(), Gaussian(0.0, 1.0), 1.0), ValueError, "singular at t = 1"),
        (lambda: entropy_production(ROTATING, Gaussian(0.0, 1.0), 1.0), ValueError, "D = 2"),
        (
            lambda: entropy_production(VarianceExploding(), Gaussian(0.0, 1.0), 1.0, times=[0.5, 2.0]),
            ValueError,
            "times must lie between",
        ),
        (
            lambda: entropy_production(
                OrnsteinUhlenbeck(torch.eye(2), [[1.0], [0.0]]), Gaussian([0.0, 0.0], torch.eye(2)), 1.0
            ),
            ValueError,
            "the diffusion matrix is singular",
        ),
        (
            lambda: entropy_production(VarianceExploding(), LogDensity(lambda x: -x[..., 0].square() * math.pi), 1.0),
            NotImplementedError,
            "wrap samples in Empirical",
        ),
        (
            lambda: entropy_production(VarianceExploding(), GaussianMixture([1.0], [0.0], [1.0]), 1.0, route="other"),
            ValueError,
            "route must be 'balance' or 'rate'",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_choice_of_rule_is_explained():
    text = str(explain("entropy_production", ROTATING, Gaussian([0.0, 0.0], torch.eye(2).double()), 0.0, 1.0))
    assert "does not apply" in text and "no detailed balance" in text and "taken           quadrature" in text


@pytest.mark.parametrize("start", [0.1, 1e9])
def test_nothing_depends_on_the_start_of_a_process_that_does_not_change(start):
    """start + 1e-3 keeps four digits of the duration at 1e9."""
    law, rotating = Gaussian([1.0, 0.0], [[1.0, 0.2], [0.2, 2.0]]), [[1.0, 0.5], [-0.5, 1.0]]
    for process, p in (
        (OrnsteinUhlenbeck(1.0, 1.0), Gaussian(1.0, 0.5)),
        (OrnsteinUhlenbeck(rotating, 1.0), law),
        (MarkovJump([[0.0, 1.0], [2.0, 0.0]]), Discrete([0.9, 0.1])),
    ):
        late, early = entropy_production(process, p, 1e-3, start=start), entropy_production(process, p, 1e-3)
        assert late.value == early.value and bool((late.info["rate"].value == early.info["rate"].value).all())
        assert late.info["times"][0] == start
        chosen = entropy_production(process, p, 1e-3, start=start, times=[start, start + 1e-3])
        assert bool((chosen.info["times"] == torch.tensor([start, start + 1e-3], dtype=F64)).all())


def test_a_late_start_pays_for_the_rounding_of_its_end():
    """Pure noise of constant strength adds log(1 + t) / 2 whenever it begins, but its clock rounds start + t."""
    for start in (0.1, 1e3, 1e9):
        late = entropy_production(VarianceExploding(1.0), Gaussian(0.0, 1.0), 1e-3, start=start)
        assert abs(late.value.item() - 0.5 * math.log1p(1e-3)) <= late.error.item()
        assert late.error.item() <= 1e-15 * (10 + start)


def test_batches_of_processes_are_their_members():
    rates = torch.tensor([[[1.0, 0.0], [0.0, 2.0]], [[1.0, 0.5], [0.5, 1.0]], [[1.0, 0.5], [-0.5, 1.0]]], dtype=F64)
    law = Gaussian([1.0, 0.0], [[1.0, 0.2], [0.2, 2.0]])
    for chosen in ([0, 1], [0, 1, 2]):  # with detailed balance, and not all with it
        found = entropy_production(OrnsteinUhlenbeck(rates[chosen], 1.0), law, 1.0)
        assert found.shape == (len(chosen),) and found.info["rate"].shape == (33, len(chosen))
        for i in chosen:
            alone = entropy_production(OrnsteinUhlenbeck(rates[i], 1.0), law, 1.0)
            assert abs(found.value[i] - alone.value) <= found.error[i] + alone.error


def test_shapes_that_do_not_fit_are_named():
    laws = Gaussian(torch.zeros(3, 1), torch.ones(3, 1, 1))
    process = OrnsteinUhlenbeck(1.0, 1.0)
    with pytest.raises(ValueError, match=r"must broadcast; got the batch of p0 \(3,\), duration \(2,\)"):
        entropy_production(process, laws, [0.1, 0.2])
    with pytest.raises(ValueError, match=r"duration must not be empty; got shape \(0,\)"):
        entropy_production(process, laws, torch.empty(0))
    with pytest.raises(ValueError, match=r"every member of the batch, 0.0 and 1.0; got times from 0.0 to 5"):
        entropy_production(process, laws, 1.0, times=[0.0, 5.0])
    with pytest.raises(ValueError, match=r"every member of the batch, 0.0 and 0.5; got times from 2.0 to 2.0"):
        entropy_production(process, Gaussian(0.0, 1.0), [0.5, 2.0], times=[2.0])


@pytest.mark.parametrize("n_samples", [1, -3, 100.0, True])
def test_numbers_of_samples_are_checked(n_samples):
    mixture = GaussianMixture([0.5, 0.5], [[0.0], [2.0]], [[[1.0]], [[0.5]]])
    with pytest.raises(ValueError, match="n_samples must be an integer of at least 2"):
        entropy_production(OrnsteinUhlenbeck(1.0, 1.0), mixture, 1.0, method="monte-carlo", n_samples=n_samples)
