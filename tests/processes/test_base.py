"""What every process shares: times, refusals, the steady state of processes that are driven."""

import pytest
import torch

from infotherm.distributions import Gaussian
from infotherm.processes import AffineDiffusion, OrnsteinUhlenbeck, Process, VariancePreserving, steady_state

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
