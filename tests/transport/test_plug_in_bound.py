"""Upper bounds and debiased estimates: levels, the bias of the plug-in, blocks, refusals."""

import json
import math
from pathlib import Path

import pytest
import torch

import infotherm as it
from infotherm.transport.dual_bound import empirical_lower
from infotherm.transport.plug_in_bound import empirical_point, empirical_upper

_REFERENCES = {
    c["name"]: c["value"]
    for c in json.loads((Path(__file__).parents[2] / "validation/references/transport_empirical.json").read_text())
}


def normal(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_in_eight_dimensions_the_plug_in_is_no_lower_bound():
    # W2 of N(0, 1) and N(m, 4) in 8 dimensions, exactly known: the plug-in overstates its square by half and more
    x, y = normal(0, 500, 8), 0.5 + 1.3 * normal(1, 500, 8)
    truth = 8 * (0.5**2 + 0.3**2)
    upper = empirical_upper(x, y, squared=True)
    lower = empirical_lower(x, y, squared=True, generator=0)
    assert 1.5 < upper.value.item() / truth < 3.0
    # read as a lower bound it would call a saturating protocol a violation, without any doubt
    assert upper.value.item() - 5 * upper.stderr.item() > truth
    assert lower.lower_limit(0.01).item() < truth < upper.upper_limit(0.01).item()
    point = empirical_point(x, y, squared=True, generator=0)
    assert point.value.item() == pytest.approx(truth, abs=5 * point.stderr.item())
    low, high = point.interval(0.99)
    assert low.item() < truth < high.item()


@pytest.mark.filterwarnings("ignore:W2 from samples")
@pytest.mark.parametrize("sizes", [(200, 200), (200, 500)])
def test_levels_on_a_line(sizes):
    # 300 repetitions: a valid 1 % level gives 9 or more with probability 0.4 %
    x, y = normal(0, 300, sizes[0], 1), 1 + 2 * normal(1, 300, sizes[1], 1)
    upper = empirical_upper(x, y, squared=True)
    assert (upper.upper_limit(0.01) < 2).double().mean().item() <= 0.03
    low, high = empirical_point(x, y, squared=True, generator=0).interval(0.98)
    assert ((low > 2) | (high < 2)).double().mean().item() <= 0.03
    assert upper.value.mean().item() < 2.2


@pytest.mark.filterwarnings("ignore:W2 from samples")
def test_levels_for_a_mixture_where_the_correction_is_too_large():
    x = 2 * normal(0, 200, 200, 1).sign() + 0.5 * normal(1, 200, 200, 1)
    y = normal(2, 200, 200, 1)
    truth = _REFERENCES["line/mixture-normal"]
    assert (empirical_upper(x, y, squared=True).upper_limit(0.01) < truth).double().mean().item() <= 0.035
    point = empirical_point(x, y, squared=True, generator=0)
    low, high = point.interval(0.98)
    assert ((low > truth) | (high < truth)).double().mean().item() <= 0.03
    # without the correction as an error it would miss
    assert (point.value + 2.6 * point.stderr < truth).double().mean().item() > 0.05


def test_the_line_against_the_other_route():
    x, y = normal(0, 80, 1), 2 + normal(1, 50, 1)
    upper = empirical_upper(x, y)
    other = it.wasserstein2(it.Empirical(x), it.Empirical(y))
    assert abs(upper.value.item() - other.value.item()) <= upper.error.item() + other.error.item()


@pytest.mark.filterwarnings("ignore:W2 from samples")
def test_spread_is_that_of_repetitions():
    x, y = normal(0, 100, 100, 2), 1 + 2 * normal(1, 100, 100, 2)
    upper = empirical_upper(x, y, squared=True)
    assert 0.8 < upper.stderr.mean().item() / upper.value.std().item() < 1.6


def test_blocks_of_many_samples():
    x, y = normal(0, 450, 2), 1 + 2 * normal(1, 430, 2)
    whole, blocks = (empirical_upper(x, y, largest=n, squared=True, generator=0) for n in (1000, 100))
    assert (blocks.info["blocks"], blocks.info["n_x"], blocks.info["n_y"]) == (4, 400, 400)
    assert (whole.info["blocks"], whole.info["n_x"]) == (1, 450)
    assert blocks.value > whole.value  # smaller problems are more biased
    assert blocks.stderr.item() == pytest.approx(whole.stderr.item(), rel=0.3)
    few = empirical_upper(x, y[:60], largest=100, squared=True, generator=0)
    assert (few.info["blocks"], few.info["n_x"], few.info["n_y"]) == (1, 100, 60)


@pytest.mark.filterwarnings("ignore:W2 from samples")
def test_what_samples_cannot_bound_is_unknown():
    for estimate in (empirical_upper, empirical_point):
        found = estimate(torch.zeros(100), normal(0, 100), generator=0)
        assert found.kind == "unknown" and "agree" in found.info["warning"]
        assert found.upper_limit(0.01).item() == math.inf
        heavy = normal(1, 300) / normal(2, 300)
        assert estimate(heavy, normal(3, 300), generator=0).kind == "unknown"
        x = normal(4, 50, 2)
        assert estimate(torch.cat([x, x]), normal(5, 100, 2), generator=0).kind == "unknown"


def test_a_negative_estimate_is_kept_in_info():
    x, y = normal(0, 60, 2), normal(3, 60, 2)
    found = [empirical_point(x, y, generator=seed) for seed in range(8)]
    negative = [f for f in found if f.info["square"] < 0]
    assert negative and all(f.value.item() == 0 and f.stderr.item() > 0 for f in negative)
    assert all(f.interval(0.98)[0].item() <= 0 for f in found)


@pytest.mark.parametrize("estimate", [empirical_upper, empirical_point])
def test_refusals(estimate):
    with pytest.raises(ValueError, match="largest"):
        estimate(torch.ones(30), torch.ones(30), largest=2)
    with pytest.raises(ValueError, match="as many coordinates"):
        estimate(torch.ones(30, 2), torch.ones(30))
    with pytest.raises(ValueError, match="must hold at least"):
        estimate(torch.ones(30), torch.ones(9))
