"""Information flow and transfer entropy: balances, finite differences of exact laws, and second laws."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.core.linalg import logdet, van_loan
from infotherm.distributions import Discrete, Gaussian
from infotherm.information import mutual_information
from infotherm.processes import MarkovJump, OrnsteinUhlenbeck, steady_state
from infotherm.thermodynamics import entropy_production_rate
from infotherm.thermodynamics.bipartite import bipartite_rates, transfer_entropy_rate

F64 = torch.float64
quick = settings(max_examples=25)
FOLLOWER = OrnsteinUhlenbeck([[1.0, 0.0], [-2.0, 2.0]], 2**0.5)


def random_diffusion(seed, sizes=(1, 1)):
    """A stable matrix, and noise without correlations between the parts."""
    g = torch.Generator().manual_seed(seed)
    dim = sum(sizes)
    rate = torch.randn(dim, dim, generator=g, dtype=F64)
    rate = rate + (0.3 - torch.linalg.eigvals(rate).real.min()) * torch.eye(dim, dtype=F64)
    blocks = [torch.eye(n, dtype=F64) + 0.4 * torch.randn(n, n, generator=g, dtype=F64) for n in sizes]
    return OrnsteinUhlenbeck(rate, torch.block_diag(*blocks)), g


def random_jumps(seed, sizes=(2, 3)):
    g = torch.Generator().manual_seed(seed)
    kx, ky = sizes
    table = torch.zeros(kx, ky, kx, ky, dtype=F64)
    x, y = torch.exp(torch.randn(kx, kx, ky, generator=g, dtype=F64)), torch.rand(kx, ky, ky, generator=g, dtype=F64)
    for i in range(ky):
        table[:, i, :, i] = x[..., i]
    for i in range(kx):
        table[i, :, i, :] = table[i, :, i, :] + 0.1 + y[i]
    pmf = torch.rand(kx, ky, generator=g, dtype=F64) + 0.05
    return MarkovJump(table.reshape(kx * ky, kx * ky)), Discrete(pmf / pmf.sum(), parts=("x", "y"))


def balanced(part):
    rest = part.entropy_production - (part.entropy_change + part.medium_entropy - part.information_flow)
    return abs(rest.value.item()) <= rest.error.item() <= 1e-8 * (1 + part.medium_entropy.value.abs().item())


@quick
@given(st.integers(0, 10**6), st.sampled_from([(1, 1), (2, 1), (2, 3)]), st.booleans())
def test_diffusions_obey_balances_and_second_laws(seed, sizes, stationary):
    process, g = random_diffusion(seed, sizes)
    dim = sum(sizes)
    root = torch.eye(dim, dtype=F64) + 0.4 * torch.randn(dim, dim, generator=g, dtype=F64)
    law = None if stationary else Gaussian(torch.randn(dim, generator=g, dtype=F64), root @ root.mT)
    rates = bipartite_rates(process, sizes, law)
    assert balanced(rates.x) and balanced(rates.y)
    total = entropy_production_rate(process, law)
    gap = rates.entropy_production - total
    assert abs(gap.value.item()) <= gap.error.item()
    for part in (rates.x, rates.y):
        assert part.entropy_production.value >= -part.entropy_production.error
    if stationary:
        change = rates.information_change
        assert abs(change.value.item()) <= change.error.item()
        for part, way in ((rates.y, "x->y"), (rates.x, "y->x")):
            slack = transfer_entropy_rate(process, sizes, way) - part.information_flow
            assert slack.value.item() >= -slack.error.item()


@quick
@given(st.integers(0, 10**6), st.booleans())
def test_jumps_obey_balances_and_second_laws(seed, stationary):
    process, law = random_jumps(seed)
    law = None if stationary else law
    rates = bipartite_rates(process, (2, 3), law)
    assert balanced(rates.x) and balanced(rates.y)
    flat = None if law is None else Discrete(law.pmf.flatten())
    gap = rates.entropy_production - entropy_production_rate(process, flat)
    assert abs(gap.value.item()) <= gap.error.item()
    if stationary:
        change = rates.information_change
        assert abs(change.value.item()) <= change.error.item()
        for part, way in ((rates.y, "x->y"), (rates.x, "y->x")):
            bound = transfer_entropy_rate(process, (2, 3), way)
            assert bound.kind == "upper"
            assert bound.value + bound.error >= part.information_flow.value - part.information_flow.error


def derivative(f, h=1e-2):
    """One-sided derivative at 0 by Richardson over h, h/2, h/4, h/8, h/16, and how far the last two orders differ."""
    table = [(f(h / 2**k) - f(0.0)) / (h / 2**k) for k in range(6)]
    previous = table
    for order in range(1, 6):
        previous, table = table, [(2**order * b - a) / (2**order - 1) for a, b in zip(table, table[1:], strict=False)]
    return table[0], abs(table[0] - previous[-1]) + 1e-10


def test_flow_of_a_diffusion_is_the_derivative_of_the_information():
    process, g = random_diffusion(5, (2, 1))
    root = torch.eye(3, dtype=F64) + 0.3 * torch.randn(3, 3, generator=g, dtype=F64)
    law = Gaussian([0.3, -1.0, 0.5], root @ root.mT)
    flows = bipartite_rates(process, (2, 1), law)

    def information(moved):
        """I(X_{t+h}; Y_t) or I(X_t; Y_{t+h}) from the exact joint law of two times."""

        def at(h):
            if h == 0:
                return mutual_information(
                    Gaussian(law.mean, law.covariance, parts={"x": 2, "y": 1}), "x", "y"
                ).value.item()
            joint = process.transition(0.0, h).joint(law)
            later, now = [3, 4] if moved == "x" else [5], [2] if moved == "x" else [0, 1]
            kept = later + now
            covariance = joint.covariance[kept][:, kept]
            pair = Gaussian(joint.mean[kept], covariance, parts={"later": len(later), "now": len(now)})
            return mutual_information(pair, "later", "now").value.item()

        return at

    for part, name in ((flows.x, "x"), (flows.y, "y")):
        slope, uncertainty = derivative(information(name))
        assert uncertainty < 1e-5
        assert abs(part.information_flow.value.item() - slope) <= uncertainty


def test_flow_of_jumps_is_the_derivative_of_the_information():
    process, law = random_jumps(3)
    flows = bipartite_rates(process, (2, 3), law)

    def information(moved):
        def at(h):
            table = process.transition(0.0, h).joint(Discrete(law.pmf.flatten())).pmf.reshape(2, 3, 2, 3)
            pair = table.sum((0, 3)).mT if moved == "x" else table.sum((1, 2))
            return mutual_information(Discrete(pair, parts=("x", "y")), "x", "y").value.item()

        return at

    for part, name in ((flows.x, "x"), (flows.y, "y")):
        slope, uncertainty = derivative(information(name))
        assert uncertainty < 1e-5
        assert abs(part.information_flow.value.item() - slope) <= uncertainty


def test_scalar_filter_in_closed_form():
    # (A_xx + sqrt(A_xx^2 + A_yx^2 D_x / D_y)) / 2
    for a, coupling, dx, dy in ((-1.0, 2.0, 1.0, 1.0), (-0.3, -0.7, 2.0, 0.1), (-4.0, 1e-3, 1.0, 1.0)):
        process = OrnsteinUhlenbeck(
            [[-a, 0.0], [-coupling, 2.0]], torch.diag(torch.tensor([2 * dx, 2 * dy], dtype=F64).sqrt())
        )
        found = transfer_entropy_rate(process, (1, 1))
        expected = coupling**2 * dx / dy / (2 * (math.hypot(a, coupling * math.sqrt(dx / dy)) - a))
        assert abs(found.value.item() - expected) <= found.error.item() + 1e-15 * expected
        assert found.kind == "exact" and found.units == "nat/time"
        back = transfer_entropy_rate(process, (1, 1), "y->x")
        assert abs(back.value.item()) <= back.error.item()


def history_rate(process, step, length):
    """I(Y_{k+1}; X_k | Y_1..Y_k) / step of the process sampled exactly, by conditioning one large Gaussian."""
    law = steady_state(process)
    gain, _ = van_loan(process.rate, process.sigma @ process.sigma.mT, step)
    powers = [torch.eye(2, dtype=F64)]
    for _ in range(length):
        powers.append(gain @ powers[-1])
    covariance = torch.zeros(length + 1, 2, length + 1, 2, dtype=F64)
    for i in range(length + 1):
        for j in range(i + 1):
            covariance[i, :, j, :] = powers[i - j] @ law.covariance
            covariance[j, :, i, :] = covariance[i, :, j, :].mT
    flat = covariance.reshape(2 * (length + 1), -1)
    history = [2 * k + 1 for k in range(length)]
    target, hidden = [2 * length + 1], [2 * (length - 1)]
    parts = [[*history, *target], [*history, *hidden], history, [*history, *hidden, *target]]
    logs = [logdet(flat[p][:, p]).item() for p in parts]
    return 0.5 * (logs[0] + logs[1] - logs[2] - logs[3]) / step


def test_sampled_history_converges_to_the_rate():
    process = OrnsteinUhlenbeck([[1.0, -0.5], [-1.5, 2.0]], [[1.0, 0.0], [0.0, 1.4]])
    rate = transfer_entropy_rate(process, (1, 1)).value.item()
    coarse, middle, fine = (history_rate(process, h, round(5 / h)) for h in (0.16, 0.08, 0.04))
    assert abs(coarse - rate) > abs(middle - rate) > abs(fine - rate)
    # Richardson twice: errors go as h and h^2
    once = [2 * middle - coarse, 2 * fine - middle]
    assert abs((4 * once[1] - once[0]) / 3 - rate) < 0.02 * abs(fine - rate) < 1e-3


def test_a_cooled_part_pays_with_information():
    # one potential, two baths: heat leaves the hot one, and what it loses in entropy is less than what flows away
    rates = bipartite_rates(OrnsteinUhlenbeck([[2.0, -1.0], [-1.0, 2.0]], [[1.0, 0.0], [0.0, 2.0]]), (1, 1))
    assert rates.y.medium_entropy.value < -0.1 and rates.y.information_flow.value < -0.1
    for part in (rates.x, rates.y):
        assert part.medium_entropy.value >= part.information_flow.value


def test_detailed_balance_has_no_flow():
    symmetric = OrnsteinUhlenbeck([[2.0, 0.7], [0.7, 1.0]], 1.0)
    rates = bipartite_rates(symmetric, (1, 1))
    for part in (rates.x, rates.y):
        for rate in (part.entropy_production, part.information_flow):
            assert abs(rate.value.item()) <= rate.error.item() < 1e-12


def test_one_way_jumps():
    table = torch.zeros(2, 2, 2, 2, dtype=F64)
    for k in range(2):
        table[0, k, 1, k] = 1.0
        table[k, 0, k, 1] = table[k, 1, k, 0] = 1.0
    rates = bipartite_rates(
        MarkovJump(table.reshape(4, 4)), (2, 2), Discrete([[0.3, 0.2], [0.4, 0.1]], parts=("x", "y"))
    )
    assert rates.x.entropy_production.value.item() == rates.x.medium_entropy.value.item() == math.inf
    assert rates.x.information_flow.value.isfinite() and rates.y.entropy_production.value.isfinite()


def test_driven_rates_and_several_reservoirs():
    first, law = random_jumps(1)
    second, _ = random_jumps(2)
    pair = torch.stack([first.rates, second.rates])

    def driven(t):
        return pair * (1 + t * torch.tensor([0.3, 1.5], dtype=F64))[..., None, None]

    process = MarkovJump(reservoirs=driven, horizon=2.0)
    flat = Discrete(law.pmf.flatten())
    rates = bipartite_rates(process, (2, 3), law, 0.7)
    gap = rates.entropy_production - entropy_production_rate(process, flat, 0.7)
    assert abs(gap.value.item()) <= gap.error.item()
    assert balanced(rates.x) and balanced(rates.y)
    # one bath for all would hide what flows between them; the information flow does not care
    together = bipartite_rates(MarkovJump(driven(torch.tensor(0.7, dtype=F64)).sum(0)), (2, 3), law)
    assert together.x.entropy_production.value < rates.x.entropy_production.value - 0.01
    gap = together.x.information_flow - rates.x.information_flow
    assert abs(gap.value.item()) <= gap.error.item()
    steady = MarkovJump(reservoirs=pair)
    gap = transfer_entropy_rate(steady, (2, 3)) - transfer_entropy_rate(MarkovJump(pair.sum(0)), (2, 3)).value
    assert abs(gap.value.item()) <= 2 * gap.error.item()


def test_batches_and_gradients():
    rate = torch.tensor([[1.0, -0.5], [0.3, 2.0]], dtype=F64)
    batch = torch.stack([rate, rate.mT, 2 * rate])
    found = bipartite_rates(OrnsteinUhlenbeck(batch, 1.0), (1, 1)).y.information_flow
    assert found.shape == (3,)
    alone = bipartite_rates(OrnsteinUhlenbeck(rate, 1.0), (1, 1)).y.information_flow
    assert abs(found.value[0] - alone.value) <= found.error[0] + alone.error
    assert transfer_entropy_rate(OrnsteinUhlenbeck(batch, 1.0), (1, 1)).shape == (3,)

    def slope(f):
        leaf = rate.clone().requires_grad_()
        (g,) = torch.autograd.grad(f(leaf), leaf)
        numeric = torch.zeros_like(rate)
        for i in range(2):
            for j in range(2):
                step = torch.zeros_like(rate)
                step[i, j] = 1e-5
                numeric[i, j] = (f(rate + step) - f(rate - step)).item() / 2e-5
        return (g - numeric).abs().max().item()

    assert slope(lambda m: transfer_entropy_rate(OrnsteinUhlenbeck(m, 1.0), (1, 1)).value) < 1e-8
    assert slope(lambda m: bipartite_rates(OrnsteinUhlenbeck(m, 1.0), (1, 1)).y.information_flow.value) < 1e-8


LADDER = MarkovJump([[0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: bipartite_rates(OrnsteinUhlenbeck(torch.eye(2), [[1.0, 0.2], [0.0, 1.0]]), (1, 1)),
            ValueError,
            r"D\[0, 1\] = 0.1",
        ),
        (
            lambda: bipartite_rates(MarkovJump(torch.ones(4, 4)), (2, 2)),
            ValueError,
            r"\(0, 0\) -> \(1, 1\) with rate 1",
        ),
        (lambda: bipartite_rates(MarkovJump(torch.ones(4, 4)), (2, 3)), ValueError, "multiply to the 4 states"),
        (lambda: bipartite_rates(FOLLOWER, (1, 2)), ValueError, "add up to the 2 coordinates"),
        (lambda: bipartite_rates(FOLLOWER, (2,)), ValueError, "two sizes"),
        (lambda: bipartite_rates(FOLLOWER, (1, 1), Discrete([1.0])), TypeError, "p must be Gaussian"),
        (
            lambda: bipartite_rates(FOLLOWER, (1, 1), Gaussian([0.0, 0.0], [[1.0, 1.0], [1.0, 1.0]])),
            ValueError,
            "density",
        ),
        (
            lambda: bipartite_rates(
                OrnsteinUhlenbeck(torch.eye(2), [[1.0, 0.0], [0.0, 0.0]]), (1, 1), Gaussian([0.0, 0.0], torch.eye(2))
            ),
            ValueError,
            "singular",
        ),
        (lambda: bipartite_rates(LADDER, (2, 2), Discrete([0.5, 0.5, 0.0, 0.0])), ValueError, "some probability"),
        (lambda: transfer_entropy_rate(FOLLOWER, (1, 1), "both"), ValueError, "got 'both'"),
        (lambda: transfer_entropy_rate("x", (1, 1)), TypeError, "must be a process"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
