"""What every process shares: times, refusals, the steady state of processes that are driven."""

import pytest
import torch

from infotherm.distributions import Gaussian
from infotherm.processes import (
    AffineDiffusion,
    OrnsteinUhlenbeck,
    Process,
    StraightLine,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
    steady_state,
)

F64 = torch.float64


def test_a_marginal_may_start_later():
    process, law = VariancePreserving(), Gaussian(1.0, 0.5)
    at_once = process.marginal(law, 0.9)
    in_turn = process.marginal(process.marginal(law, 0.4), 0.9, 0.4)
    assert torch.allclose(at_once.mean, in_turn.mean, rtol=1e-14)
    assert torch.allclose(at_once.covariance, in_turn.covariance, rtol=1e-14)


def test_a_process_of_ones_own_needs_only_a_transition():
    class Frozen(Process):
        def transition(self, t0, t1):
            return OrnsteinUhlenbeck(0.0, 0.0).transition(t0, t1)

    assert Frozen().marginal(Gaussian(1.0, 2.0), 3.0).mean.item() == 1.0
    with pytest.raises(ValueError, match="Frozen has no quasi-invariant law"):
        steady_state(Frozen())


def test_quasi_invariant_follows_the_drive():
    breathing = AffineDiffusion(lambda t: -(1 + t)[..., None, None], 2**0.5)
    laws = breathing.quasi_invariant([0.0, 1.0, 3.0])
    assert laws.covariance.flatten().tolist() == pytest.approx([1.0, 0.5, 0.25], rel=1e-14)
    with pytest.raises(ValueError, match="driven: it has a quasi-invariant law at each time"):
        steady_state(breathing)
    constant = AffineDiffusion([[-2.0]], 2.0, [1.0])
    assert steady_state(constant).mean.item() == 0.5


def test_force_solves_for_matrix_noise():
    process = OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], [[1.0, 0.0], [0.4, 0.5]], [1.0, 2.0])
    x = torch.tensor([0.3, -0.7], dtype=F64)
    matrix, offset = process.force(0.0)
    assert torch.allclose(process.diffusion_matrix(0.0) @ (matrix @ x + offset), process.drift(x, 0.0), rtol=1e-13)


# -- forces and energies of affine processes ---------------------------------------------------------------------------

_ROTATION = [[1.0, -2.0], [2.0, 1.0]]
_NOISE = [[1.0, 0.0], [0.4, 0.5]]
_MOBILE = torch.tensor(_NOISE, dtype=F64) @ torch.tensor(_NOISE, dtype=F64).mT / 2

# process, dimension, whether D^-1 b is a gradient
AFFINE = {
    "OU": (OrnsteinUhlenbeck(2.0, 1.5, 0.7), 1, True),
    "OU in 3 coordinates": (OrnsteinUhlenbeck(2.0, 1.5, 0.7), 3, True),
    "OU, matrix, D A symmetric": (
        OrnsteinUhlenbeck(_MOBILE @ torch.diag(torch.tensor([2.0, 3.0])).to(F64), _NOISE),
        2,
        True,
    ),
    "OU, rotational": (OrnsteinUhlenbeck(_ROTATION, 2**0.5), 2, False),
    "gyrator, two baths": (OrnsteinUhlenbeck([[2.0, 1.0], [1.0, 2.0]], [[1.0, 0.0], [0.0, 2.0]]), 2, False),
    "gyrator, one bath": (OrnsteinUhlenbeck([[2.0, 1.0], [1.0, 2.0]], 1.0), 2, True),
    "moved trap": (AffineDiffusion([[-1.0]], 2**0.5, lambda t: 2 * t[..., None]), 1, True),
    "breathing trap": (AffineDiffusion(lambda t: -(1 + t)[..., None, None], lambda t: 1 + t), 1, True),
    "turned on late": (
        AffineDiffusion(lambda t: t[..., None, None] * torch.tensor([[-1.0, 0.5], [-0.5, -1.0]], dtype=F64), 1.0),
        2,
        False,
    ),
    "pushed": (AffineDiffusion([[0.0, 0.0], [0.0, -1.0]], 1.0, [3.0, 1.0]), 2, True),
    "batch of rates": (OrnsteinUhlenbeck(torch.tensor([1.0, 2.0, 3.0], dtype=F64)[:, None, None], 1.5, 0.2), 1, True),
    "VP": (VariancePreserving(), 2, True),
    "VE": (VarianceExploding(2.0), 2, True),
    "sub-VP": (SubVariancePreserving(), 2, True),
    "straight line": (StraightLine(0.3), 2, True),
}
every_affine = pytest.mark.parametrize(("process", "dim", "gradient"), AFFINE.values(), ids=list(AFFINE))


def some_states(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5), dtype=F64)


@every_affine
def test_the_thermodynamic_force_solves_for_the_drift(process, dim, gradient):
    x = some_states(4, *[1] * len(process.batch_shape), dim)
    pushed = process.diffusion_matrix_at(x, 0.3) @ process.thermodynamic_force(x, 0.3)[..., None]
    assert torch.allclose(pushed[..., 0], process.drift(x, 0.3), rtol=1e-12)
    assert process.diffusion_divergence(x, 0.3).abs().max() == 0.0 and process.additive
    single = process.thermodynamic_force(x.to(torch.float32), 0.3)
    assert single.dtype == torch.float32
    assert torch.allclose(single.to(F64), process.thermodynamic_force(x, 0.3), rtol=1e-5, atol=1e-5)


@every_affine
def test_the_force_is_minus_the_gradient_of_the_energy_where_there_is_one(process, dim, gradient):
    assert process.has_energy(dim) == gradient
    x = some_states(4, *[1] * len(process.batch_shape), dim).requires_grad_()
    if not gradient:
        with pytest.raises(ValueError, match="has no energy here: its force is not a gradient"):
            process.energy(x, 0.3)
        return
    energy = process.energy(x, 0.3)
    (slope,) = torch.autograd.grad(energy.sum(), x)
    force = process.thermodynamic_force(x, 0.3)
    if process.batch_shape:
        force = force.sum(1, keepdim=True)  # one state for all members of the batch
    assert torch.allclose(-slope, force.detach(), rtol=1e-12, atol=1e-12)
    assert process.temperature.item() == 1.0


def test_energies_at_many_times():
    process, x = AFFINE["moved trap"][0], some_states(5, 1)
    times = torch.tensor([[0.0], [0.5], [1.5]], dtype=F64)
    together = process.energy(x, times)
    assert together.shape == (3, 5)
    for k, t in enumerate((0.0, 0.5, 1.5)):
        assert torch.allclose(together[k], process.energy(x, t))
        # T = 1 (in units of the temperature): a trap at 2 t, zero at its bottom
        assert torch.allclose(together[k], 0.5 * (x[:, 0] - 2 * t) ** 2, rtol=1e-12, atol=1e-14)


def test_energies_by_hand():
    x = torch.tensor([[0.5, 2.0]], dtype=F64)
    assert OrnsteinUhlenbeck(2.0, 1.0, [0.0, 1.0]).energy(x, 0.0).item() == pytest.approx(2 * (0.25 + 1.0), rel=1e-14)
    pushed = AFFINE["pushed"][0]  # D = 1/2: a constant force along the first coordinate, a trap at 1 along the second
    assert pushed.energy(x, 0.0).item() == pytest.approx(-6 * 0.5 + (2.0 - 1.0) ** 2, rel=1e-14)
    assert VarianceExploding(2.0).energy(x, 0.5).item() == 0.0
    assert VariancePreserving(kappa=2.0).energy(x, 0.5).item() == pytest.approx(x.square().sum().item() / 8, rel=1e-14)
    batch = AFFINE["batch of rates"][0]
    found = batch.energy(torch.tensor([1.2], dtype=F64), 0.0)
    assert torch.allclose(found, torch.tensor([1.0, 2.0, 3.0], dtype=F64) / 1.125 * 0.5, rtol=1e-13)


def test_a_force_that_circulates_only_at_some_times_is_no_gradient():
    late = AFFINE["turned on late"][0]
    assert not late.has_energy() and late.energy([1.0, 2.0], 0.0).item() == 0.0  # at time 0 there is no force at all


def test_without_noise_there_is_no_thermodynamic_force():
    still = AffineDiffusion([[0.0, 1.0], [-1.0, -0.5]], [[0.0], [1.0]])
    with pytest.raises(ValueError, match="the diffusion matrix is singular: no force moves a coordinate without noise"):
        still.thermodynamic_force([1.0, 0.0], 0.0)
