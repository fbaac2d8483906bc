"""Statistics of paths that are not kept, against those of paths that are."""

import pytest
import torch

import infotherm as it
from infotherm.processes import AffineDiffusion, Langevin, MarkovJump
from infotherm.thermodynamics import path_statistics, simulate

NORMAL = it.Gaussian(0.0, 1.0)
TRAP = AffineDiffusion([[-1.0]], 2**0.5, lambda t: t[..., None])


def test_moments_merged_by_block_are_those_of_all_paths():
    settings = {"generator": 3, "currents": {"way": torch.ones_like}, "target": lambda x: x[..., 0] > 1.0}
    kept = simulate(TRAP, NORMAL, 1.0, 40_000, 5, **settings)
    counted = path_statistics(TRAP, NORMAL, 1.0, 40_000, 5, **settings)
    for name in ("work", "heat", "entropy_production", "log_path_ratio", "way"):
        values = kept.entry(name)
        assert float(counted.means[name]) == pytest.approx(values.mean().item(), rel=1e-12)
        assert float(counted.means[name].stderr) == pytest.approx(values.std().item() / 200, rel=1e-10)
        assert float(counted.variances[name]) == pytest.approx(values.var().item(), rel=1e-10)
        centred = values - values.mean()
        fourth = centred.pow(4).mean().item() - (1 - 2 / 40_000) * values.var().item() ** 2
        assert float(counted.variances[name].stderr) == pytest.approx((fourth / 40_000) ** 0.5, rel=1e-4)
        edges, counts = counted.histograms[name]
        assert counts.sum() == 40_000 and len(edges) == len(counts) + 1
        inside = ((values >= edges[90]) & (values < edges[110])).sum()
        assert abs(int(counts[90:110].sum()) - int(inside)) <= 2
    passage = kept.first_passage.clamp(max=1.0)
    assert float(counted.means["first_passage"]) == pytest.approx(passage.mean().item(), rel=1e-12)
    assert float(counted.exponential) == pytest.approx(torch.exp(-kept.entropy_production).mean().item(), rel=1e-12)


def test_to_dataset_and_what_is_missing():
    free = Langevin(potential=lambda x: (x**2).sum(-1), sigma=1.0)
    counted = path_statistics(free, NORMAL, 0.2, 100, 4, generator=0, final_law=False)
    assert counted.exponential is None and "final_law=False" in counted.missing["entropy_production"]
    dataset = counted.to_dataset()
    assert dataset["mean"].sel(entry="heat").item() == float(counted.means["heat"])
    assert dataset["count"].sum("bin").values.tolist() == [100] * dataset.sizes["entry"]
    with pytest.raises(TypeError, match="process must be a diffusion"):
        path_statistics(MarkovJump([[0.0, 1.0], [1.0, 0.0]]), [0.5, 0.5], 1.0, 100, 4)
