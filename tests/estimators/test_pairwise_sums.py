"""Pairwise kernel sums against their definition, their stated rounding, and the ways in which arithmetic can fail."""

import math

import pytest
import torch

from infotherm.estimators import pairwise_sums as module
from infotherm.estimators.pairwise_sums import GROUPS, log_kernel_means, pairwise_sums


def normal(n, dim, seed=0):
    return torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_definition(x):
    differences = (x[:, None] - x).square().sum(-1)
    differences.fill_diagonal_(math.inf)
    return (-differences / 8).exp().sum(1), (-differences / 2).logsumexp(1)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("n, dim", [(2, 1), (19, 3), (21, 1), (257, 2), (700, 40), (120, 1000)])
def test_sums_are_their_definition_within_the_stated_error(n, dim, single):
    x = 3 + normal(n, dim) * math.sqrt(10 / dim)
    quarter, full = by_definition(x)
    sums = pairwise_sums(x, single=single, tolerance=1.0)
    assert sums.arithmetic == ("float32" if single else "float64")
    slack = sums.quarter_error * quarter + sums.quarter_floor
    assert bool(((sums.quarter.sum(0) - quarter).abs() <= slack).all())
    assert bool(((sums.full.logsumexp(0) - full).abs() <= sums.full_error).all())
    assert sums.full_error < (0.02 if single else 1e-10)


def test_tiles_of_several_blocks_per_group(monkeypatch):
    monkeypatch.setitem(module._WIDEST, "cpu", 8)
    x = normal(400, 3)
    quarter, full = by_definition(x)
    sums = pairwise_sums(x)
    torch.testing.assert_close(sums.quarter.sum(0), quarter, rtol=1e-12, atol=0)
    torch.testing.assert_close(sums.full.logsumexp(0), full, rtol=1e-12, atol=1e-12)


def test_sums_are_kept_apart_by_groups():
    x = normal(150, 2)
    sums = pairwise_sums(x)
    kernel = (-(x[:, None] - x).square().sum(-1) / 8).exp().fill_diagonal_(0)
    assert sums.group.unique(return_counts=True)[1].tolist() == [7, 8] * (GROUPS // 2)
    for g in (0, 7, GROUPS - 1):
        torch.testing.assert_close(sums.quarter[g], kernel[:, sums.group == g].sum(1), rtol=1e-12, atol=1e-14)


def test_the_order_of_the_points_moves_rounding_only():
    x = normal(300, 3)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(1))
    one, other = pairwise_sums(x), pairwise_sums(x[order])
    torch.testing.assert_close(one.quarter[:, order], other.quarter, rtol=1e-11, atol=1e-13)
    assert bool((one.group[order] == other.group).all())


def test_single_precision_gives_way_where_its_bound_is_too_large():
    far = torch.cat([normal(50, 2), torch.tensor([[1e4, 0.0]])])
    assert pairwise_sums(normal(50, 2), single=True).arithmetic == "float32"
    assert pairwise_sums(far, single=True).arithmetic == "float64"


def test_close_points_far_from_the_centre_are_told_apart():
    """At 1e9 noise units the matrix product has no digit left of a distance of 1: differences take its place."""
    x = torch.tensor([[1e9], [1e9 + 1], [-1e9], [-1e9]], dtype=torch.float64)
    sums = pairwise_sums(x)
    assert sums.arithmetic == "differences"
    expected = torch.tensor([-0.5, -0.5, 0.0, 0.0], dtype=torch.float64)
    assert bool(((sums.full.logsumexp(0) - expected).abs() <= sums.full_error).all()) and sums.full_error < 1e-4
    centred = x - x.mean(0)
    squares = centred.square().sum(1)
    gram = squares[:, None] + squares - 2 * centred @ centred.mT  # the planted bug: what the product would have said
    assert float(gram[0, 1]) != 1.0


@pytest.mark.parametrize("single", [False, True])
def test_nothing_underflows(single):
    """Neighbours 10, 100 and 1000 noise units away: kernels down to exp(-5e5), the sums in logarithms stay right."""
    x = torch.tensor([[0.0], [10.0], [110.0], [1110.0]], dtype=torch.float64)
    _, full = by_definition(x)
    sums = pairwise_sums(x, single=single, tolerance=1.0)
    torch.testing.assert_close(sums.full.logsumexp(0), full, rtol=1e-12, atol=max(sums.full_error, 1e-9))


def test_matrix_products_that_round_too_much_are_not_trusted(monkeypatch):
    assert module._keeps_precision(torch.float32, torch.device("cpu"))
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: torch.mm(a.bfloat16(), b.bfloat16()).to(a.dtype))
    assert not module._keeps_precision(torch.float32, torch.device("cpu"))


def test_points_out_of_range_are_refused():
    with pytest.raises(ValueError, match="overflows"):
        pairwise_sums(torch.tensor([[1e308], [-1e308], [1e308]], dtype=torch.float64) * 10)


def test_log_kernel_means_of_others_and_of_queries():
    x, q = normal(60, 2), normal(7, 2, seed=1)
    variances = torch.tensor([0.1, 2.0], dtype=torch.float64)
    for row, v in zip(log_kernel_means(x, q, variances), variances, strict=True):
        expected = (-(q[:, None] - x).square().sum(-1) / (2 * v)).logsumexp(1) - math.log(60)
        torch.testing.assert_close(row, expected)
    for row, v in zip(log_kernel_means(x, x, variances), variances, strict=True):
        squares = (x[:, None] - x).square().sum(-1).fill_diagonal_(math.inf)
        torch.testing.assert_close(row, (-squares / (2 * v)).logsumexp(1) - math.log(59))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
def test_on_an_accelerator():
    x = normal(9000, 30) / 2
    host, device = pairwise_sums(x), pairwise_sums(x.cuda(), single=True, tolerance=1.0)
    difference = (host.full.logsumexp(0) - device.full.logsumexp(0).cpu()).abs().max()
    assert float(difference) <= host.full_error + device.full_error
