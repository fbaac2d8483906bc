"""Particles on straight lines: distances along the path, splitting mass, velocities."""

import pytest
import torch

import infotherm as it
from infotherm.transport import geodesic

_G = torch.Generator().manual_seed(0)
_LINE = (
    it.Empirical(
        torch.randn(7, 1, dtype=torch.float64, generator=_G), torch.rand(7, dtype=torch.float64, generator=_G)
    ),
    it.Empirical(torch.randn(5, 1, dtype=torch.float64, generator=_G)),
)
_PLANE = (
    it.Empirical(torch.randn(40, 2, dtype=torch.float64, generator=_G)),
    it.Empirical(
        2 + 0.5 * torch.randn(30, 2, dtype=torch.float64, generator=_G),
        torch.rand(30, dtype=torch.float64, generator=_G),
    ),
)


@pytest.mark.parametrize("laws", [_LINE, _PLANE], ids=["line", "plane"])
def test_distances_along_the_path(laws):
    if laws is _PLANE:
        pytest.importorskip("ot")
    path = geodesic(*laws)
    whole = it.wasserstein2(*laws)
    for s, t in ((0.0, 1.0), (0.0, 0.3), (0.25, 0.9)):
        part = it.wasserstein2(path.at(s), path.at(t))
        assert abs(part.value - (t - s) * whole.value) <= part.error + whole.error + 1e-12
    for end, law in ((0.0, laws[0]), (1.0, laws[1])):
        assert it.wasserstein2(path.at(end), law).value.item() < 1e-7
    cost = (path.weights * (path.targets - path.origins).square().sum(-1)).sum()
    assert abs(cost - whole.value.square()) <= path.gap + 1e-12
    assert path.weights.sum().item() == pytest.approx(1.0, abs=1e-14)


def test_velocities_belong_to_particles():
    path = geodesic(*_LINE)
    for t in (0.0, 0.4, 1.0):
        assert path.velocity(path.positions(t), t).shape == (len(path.weights), 1)
    moving = path.targets - path.origins
    assert torch.allclose(path.velocity(path.positions(0.4), 0.4), moving, atol=1e-13)
    with pytest.raises(ValueError, match="must be at particles: there is none at"):
        path.velocity([[10.0]], 0.4)


def test_mass_that_splits_has_a_mean_velocity():
    path = geodesic(it.Empirical([[0.0]]), it.Empirical([[-1.0], [1.0], [3.0]], weights=[1.0, 1.0, 2.0]))
    assert sorted(path.weights.tolist()) == [0.25, 0.25, 0.5]
    assert path.velocity([0.0], 0.0).item() == pytest.approx(1.5)
    assert path.map([[0.0]]).tolist() == [[1.5]]
    assert path.velocity([1.5], 0.5).item() == 3.0
    assert path.at(0.5).mean.item() == pytest.approx(0.75)


def test_discrete_laws_and_rademacher_are_atoms_too():
    path = geodesic(it.Rademacher(), it.Discrete([0.5, 0.5, 0.0], values=[0.0, 4.0, 9.0]))
    assert path.at(0.5).samples.flatten().tolist() == [-0.5, 2.5]


def test_a_mixture_in_the_plane_by_particles():
    pytest.importorskip("ot")
    p = it.GaussianMixture([0.5, 0.5], [[-2.0, 0.0], [2.0, 0.0]], 0.04 * torch.eye(2).double().expand(2, 2, 2))
    q = it.GaussianMixture([0.5, 0.5], [[0.0, -2.0], [0.0, 2.0]], 0.04 * torch.eye(2).double().expand(2, 2, 2))
    path = geodesic(it.Empirical(p.sample((200,), generator=0)), it.Empirical(q.sample((200,), generator=1)))
    # every mode is split, and each particle goes to a neighbouring mode: about 2 sqrt 2 for all
    lengths = (path.targets - path.origins).norm(dim=-1)
    assert 2.0 < lengths.min() and lengths.max() < 3.8
    assert (path.at(0.5).samples.norm(dim=-1) - 2**0.5).abs().max() < 0.8


def test_what_is_refused():
    path = geodesic(*_LINE)
    for t in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="t must lie in"):
            path.at(t)
    with pytest.raises(ValueError, match="one time"):
        path.at([0.0, 1.0])
    with pytest.raises(ValueError, match=r"shape \(..., 1\)"):
        path.velocity([0.0, 1.0], 0.0)
    with pytest.raises(ValueError, match="same space"):
        geodesic(_LINE[0], _PLANE[0])
