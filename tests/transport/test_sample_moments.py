"""The moment bound from samples: level, bias, and agreement with duality by quadratic potentials."""

import pytest
import torch

import infotherm as it
from infotherm.transport.dual_bound import empirical_lower
from infotherm.transport.sample_moments import empirical_gelbrich


def normal(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def repetitions(dim, n, count):
    scales = torch.linspace(0.5, 2.0, dim, dtype=torch.float64)
    truth = (scales - 1).square().sum().item() + 0.25 * dim
    return normal(0, count, n, dim), 0.5 + scales * normal(1, count, n, dim), truth


@pytest.mark.parametrize(("dim", "n"), [(1, 200), (4, 300)])
def test_level_and_bias(dim, n):
    # 300 repetitions: a valid 1 % level gives 9 or more with probability 0.4 %
    x, y, truth = repetitions(dim, n, 300)
    found = empirical_gelbrich(x, y, squared=True)
    assert (found.lower_limit(0.01) > truth).double().mean().item() <= 0.03
    standard = found.value.std().item() / 300**0.5
    assert found.value.mean().item() == pytest.approx(truth, abs=4 * standard)
    raw = (found.value + found.info["bias"]).mean().item()
    assert raw > truth if dim == 4 else True


def test_raw_value_is_that_of_the_laws():
    x, y, _ = repetitions(3, 200, 1)
    found = empirical_gelbrich(x[0], y[0], squared=True)
    fits = [it.Gaussian(v.mean(0), torch.cov(v.mT)) for v in (x[0], y[0])]
    raw = it.transport.gelbrich(*fits).value.item() ** 2
    assert (found.value + found.info["bias"]).item() == pytest.approx(raw, rel=1e-12)


def test_against_duality():
    x, y, truth = repetitions(2, 2000, 1)
    moments = empirical_gelbrich(x[0], y[0], squared=True)
    dual = empirical_lower(x[0], y[0], families="quadratic", squared=True, generator=0)
    assert abs(moments.value.item() - dual.value.item()) < 0.2 * dual.stderr.item()
    assert moments.stderr.item() == pytest.approx(dual.stderr.item(), rel=0.05)
    assert moments.kind == "lower" and moments.value.item() == pytest.approx(truth, abs=4 * moments.stderr.item())


def test_a_point_and_equal_samples():
    x = torch.ones(300, 2, dtype=torch.float64)
    y = 1 + normal(0, 300, 2)
    found = empirical_gelbrich(x, y, squared=True)
    assert found.error.item() > 0 and found.lower_limit(0.01).item() < 2
    assert empirical_gelbrich(y, y.flip(0)).lower_limit(0.01).item() <= 0
