"""What a run refuses, and what it leaves out and why."""

import pytest
import torch
from scipy import stats

import infotherm as it
from infotherm.processes import (
    AffineDiffusion,
    Langevin,
    OrnsteinUhlenbeck,
    Protocol,
    VariancePreserving,
)
from infotherm.thermodynamics import simulate

F64 = torch.float64
NORMAL = it.Gaussian(0.0, 1.0)
SQUARE = it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
TRAP = AffineDiffusion([[-1.0]], 2**0.5, lambda t: t[..., None])
MOVED = {"potential": lambda x, c: 0.5 * ((x - c) ** 2).sum(-1), "protocol": lambda t: t}
ROTATING = OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], 2**0.5)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="duration must be > 0"):
        simulate(TRAP, NORMAL, 0.0, 100, 4)
    with pytest.raises(ValueError, match="n_steps must be an integer of at least 1"):
        simulate(TRAP, NORMAL, 1.0, 100)
    with pytest.raises(ValueError, match="n_paths must be an integer of at least 2"):
        simulate(TRAP, NORMAL, 1.0, 1, 4)
    with pytest.raises(ValueError, match="ends after the horizon 1"):
        simulate(VariancePreserving(), NORMAL, 2.0, 100, 4)
    short = Langevin(**(MOVED | {"protocol": Protocol([0.0, 1.0], [0.0, 1.0])}), sigma=1.0)
    with pytest.raises(ValueError, match="shorter than the duration"):
        simulate(short, NORMAL, 2.0, 100, 4)
    sudden = Langevin(**(MOVED | {"protocol": lambda t: torch.where(t < 0.4, 0.0, 1.0)}), sigma=1.0)
    with pytest.raises(ValueError, match="jumps at time 0.4"):
        simulate(sudden, NORMAL, 1.0, 100, 10)
    broken = Langevin(potential=lambda x: x.log().sum(-1), sigma=1.0)
    with pytest.raises(ValueError, match="potential must be finite; got .* at the state"):
        simulate(broken, NORMAL, 1.0, 100, 10)
    with pytest.raises(TypeError, match="process must be a process"):
        simulate(NORMAL, NORMAL, 1.0, 100, 10)
    with pytest.raises(TypeError, match=r"no options \['keep_paths'\]"):
        simulate(TRAP, NORMAL, 1.0, 100, 10, keep_paths=True)
    with pytest.raises(ValueError, match="p0 must be one law"):
        simulate(TRAP, it.Gaussian([[0.0], [1.0]], [[1.0]]), 1.0, 100, 10)
    with pytest.raises(ValueError, match="save must be times between"):
        simulate(TRAP, NORMAL, 1.0, 100, 10, save=[2.0])


def test_a_start_from_atoms_is_absolutely_irreversible():
    for p0 in (it.Empirical([[0.0], [1.0]]), it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 0.0]])):
        paths = simulate(OrnsteinUhlenbeck(1.0, 1.0), p0, 1.0, 100, 4, generator=0)
        assert paths.medium_entropy.shape == (100,)
        with pytest.raises(ValueError, match="no entropy_production: p0 has atoms"):
            paths.entropy_production  # noqa: B018


def test_the_end_law_can_be_left_out_or_given():
    quick = simulate(TRAP, NORMAL, 1.0, 100, 4, generator=0, final_law=False)
    with pytest.raises(ValueError, match="not asked for"):
        quick.log_path_ratio  # noqa: B018
    given = simulate(TRAP, NORMAL, 1.0, 100, 4, generator=0, final_law=NORMAL)
    assert torch.allclose(given.system_entropy, NORMAL.log_prob(given.initial) - NORMAL.log_prob(given.final))
    with pytest.raises(ValueError, match="final_law must have D = 1"):
        simulate(TRAP, NORMAL, 1.0, 100, 4, final_law=SQUARE)


@pytest.mark.slow
def test_a_compiled_drift_gives_the_same_paths():
    well = Langevin(potential=lambda x: ((x**2 - 1) ** 2).sum(-1), sigma=2**0.5)
    plain, fast = (
        simulate(well, NORMAL, 0.5, 1000, 20, generator=0, compile=c, final_law=False) for c in (False, True)
    )
    assert torch.allclose(plain.final, fast.final, rtol=1e-10)


def test_a_law_on_a_ring_counts_all_its_images():
    """A law broader than the ring has the surprisal of where its states are, whatever their turns; 5 errors, 6e-7."""
    ring = Langevin(force=lambda x: 1.0 + torch.sin(x), sigma=2**0.5, periodic=2 * torch.pi)
    broad = it.Gaussian(0.0, 4.0)
    paths = simulate(ring, broad, 1.0, 2000, 40, generator=1)
    solved = it.thermodynamics.entropy_production(ring, broad, 1.0, tolerance=1e-5)
    for name, expected in (("entropy_production", solved), ("system_entropy", solved.info["system"])):
        found = paths.mean(name)
        assert abs(found.value - expected.value).item() <= found.error.item() + 5 * found.stderr.item() + 1e-4
    # a law that is given for the end is one of the states modulo the period too
    given = simulate(ring, broad, 1.0, 2000, 40, generator=1, final_law=ring.marginal(broad, 1.0))
    assert torch.allclose(given.system_entropy, paths.system_entropy, atol=1e-3)
    # a start with gaps that lies across the seam has no spline: the entry is left out, and the reason is told
    assert "on the ring" in simulate(ring, stats.uniform(-1, 2), 1.0, 100, 40, generator=1).missing["system_entropy"]
