import math

import mpmath
import pytest
import torch

from infotherm.distributions.gaussian import Gaussian
from infotherm.distributions.gaussian_forms import (
    gaussian_cross_entropy,
    gaussian_entropy,
    gaussian_kl,
    gaussian_mutual_information,
)
from infotherm.distributions.gaussian_known import excess

HALF_UNIT = 2.0**-53


def normal(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def ill_conditioned(generator, dim, condition):
    rotation = torch.linalg.qr(normal(generator, dim, dim)).Q
    values = torch.logspace(0, -math.log10(condition), dim, dtype=torch.float64)
    cov = (rotation * values) @ rotation.mT
    return (cov + cov.mT) / 2


# -- the same numbers in 60 digits, by other formulas -----------------------------------------------------------------


@pytest.fixture(autouse=True)
def _sixty_digits():
    with mpmath.workdps(60):
        yield


def exact(tensor):
    return mpmath.matrix(tensor.tolist())


def rounded_once(generator, cov):
    """A covariance within half a unit of the last place of every entry: as good a truth as the one given."""
    dim = len(cov)
    moves = 2 * torch.rand(cov.shape, generator=generator, dtype=torch.float64) - 1
    moves = moves.triu() + moves.triu(1).mT
    entries = [
        [mpmath.mpf(cov[i, j].item()) * (1 + HALF_UNIT * moves[i, j].item()) for j in range(dim)] for i in range(dim)
    ]
    return mpmath.matrix(entries)


def log_det(cov):
    lower = mpmath.cholesky(cov)
    return 2 * sum(mpmath.log(lower[i, i]) for i in range(cov.rows))


def true_entropy(cov):
    return cov.rows * mpmath.log(2 * mpmath.pi * mpmath.e) / 2 + log_det(cov) / 2


def true_kl(mean0, cov0, mean1, cov1):
    inverse = cov1**-1
    ratio, away = inverse * cov0, mean0 - mean1
    trace = sum(ratio[i, i] for i in range(cov0.rows))
    return (trace - cov0.rows - log_det(cov0) + log_det(cov1) + (away.T * inverse * away)[0]) / 2


def true_information(cov, count):
    return (log_det(cov[:count, :count]) + log_det(cov[count:, count:]) - log_det(cov)) / 2


def within(number, truth):
    value, error = (float(t) for t in number)
    assert abs(mpmath.mpf(value) - truth) <= error, (value, float(truth), error)
    return error


@pytest.mark.parametrize("condition", [1.0, 1e3, 1e8, 1e12])
@pytest.mark.parametrize("near", [1.0, 1e-6, 1e-10])
def test_errors_cover_arithmetic_and_rounded_inputs(condition, near):
    generator = torch.Generator().manual_seed(7)
    for dim in (1, 2, 4):
        cov1 = ill_conditioned(generator, dim, condition)
        lower, root = torch.linalg.cholesky(cov1), normal(generator, dim, dim)
        cov0 = lower @ (torch.eye(dim) + near * root @ root.mT) @ lower.mT
        cov0 = (cov0 + cov0.mT) / 2
        mean0 = normal(generator, dim)
        mean1 = mean0 + near * (lower @ normal(generator, dim))
        p, q, m0, m1 = Gaussian(mean0, cov0), Gaussian(mean1, cov1), exact(mean0), exact(mean1)
        for c0, c1 in ((exact(cov0), exact(cov1)), (rounded_once(generator, cov0), rounded_once(generator, cov1))):
            within(gaussian_entropy(p), true_entropy(c0))
            within(gaussian_kl(p, q), true_kl(m0, c0, m1, c1))
            within(gaussian_cross_entropy(p, q), true_kl(m0, c0, m1, c1) + true_entropy(c0))
            if dim > 1:
                information = gaussian_mutual_information(p, range(dim // 2), range(dim // 2, dim))
                within(information, true_information(c0, dim // 2))


@pytest.mark.parametrize("condition", [1.0, 1e3, 1e8, 1e12])
def test_errors_cover_laws_given_by_factors(condition):
    generator = torch.Generator().manual_seed(8)
    for dim in (2, 4):
        scale = torch.logspace(0, -math.log10(condition), dim, dtype=torch.float64)
        factor1 = torch.linalg.qr(normal(generator, dim, dim)).Q @ (normal(generator, dim, dim) * scale[:, None])
        factor0 = factor1 + 1e-3 * factor1 @ normal(generator, dim, dim)
        zero = torch.zeros(dim).double()
        p, q, m = Gaussian.from_factor(zero, factor0), Gaussian.from_factor(zero, factor1), exact(zero)
        c0, c1 = exact(factor0) * exact(factor0).T, exact(factor1) * exact(factor1).T
        within(gaussian_entropy(p), true_entropy(c0))
        within(gaussian_kl(p, q), true_kl(m, c0, m, c1))
        within(gaussian_cross_entropy(p, q), true_kl(m, c0, m, c1) + true_entropy(c0))
        within(gaussian_mutual_information(p, [0], range(1, dim)), true_information(c0, 1))
        if condition == 1e3:  # a factor says more than the covariance made of it
            assert gaussian_entropy(p)[1] < gaussian_entropy(Gaussian(zero, p.covariance))[1] / 100


def test_errors_are_not_idle():
    """A bound that were a thousand times smaller would be broken: the test above can fail."""
    generator = torch.Generator().manual_seed(9)
    broken = 0
    for _ in range(10):
        cov = ill_conditioned(generator, 3, 1e8)
        value, error = gaussian_entropy(Gaussian(torch.zeros(3).double(), cov))
        broken += abs(mpmath.mpf(value.item()) - true_entropy(rounded_once(generator, cov))) > error.item() / 1000
    assert broken >= 5


def test_errors_follow_a_law_through_maps():
    """Divergence before and after an ill-conditioned invertible map agree within the two errors (data processing)."""
    generator = torch.Generator().manual_seed(10)
    maps = torch.stack([ill_conditioned(generator, 3, 1e5) for _ in range(60)])
    covs = torch.stack([ill_conditioned(generator, 3, 1e2) for _ in range(120)]).reshape(2, 60, 3, 3)
    p, q = (Gaussian(1e3 + normal(generator, 60, 3), cov) for cov in covs)
    before, after = gaussian_kl(p, q), gaussian_kl(p.affine(maps, torch.ones(3)), q.affine(maps, torch.ones(3)))
    assert ((before[0] - after[0]).abs() <= before[1] + after[1]).all()
    assert (after[1] < 1e-3 * after[0]).all()
    # forgetting where the covariance came from is the error that this guards against
    forgetful = gaussian_kl(*(Gaussian(law.mean, maps @ law.covariance @ maps.mT) for law in (p, q)))
    assert not ((before[0] - forgetful[0]).abs() <= before[1] + 4 * torch.finfo(torch.float64).eps * before[0]).all()


def test_errors_follow_a_law_through_conditioning():
    generator = torch.Generator().manual_seed(11)
    for condition in (1e2, 1e6, 1e10):
        cov = ill_conditioned(generator, 4, condition)
        p = Gaussian(normal(generator, 4), cov, parts={"x": 2, "y": 2})
        found = p.condition(y=[0.3, -0.2])
        c = exact(cov)
        schur = c[:2, :2] - c[:2, 2:] * c[2:, 2:] ** -1 * c[2:, :2]
        within(gaussian_entropy(found), true_entropy(schur))


def test_errors_follow_laws_given_by_factors_too():
    generator = torch.Generator().manual_seed(12)
    for dim in (2, 4):
        factor = torch.linalg.cholesky(ill_conditioned(generator, dim, 1e6))  # triangular, and after a map not so
        p = Gaussian.from_factor(normal(generator, dim), factor, parts={"x": dim // 2, "y": dim // 2})
        matrix = ill_conditioned(generator, dim, 1e3)
        image = exact(matrix) * exact(factor)
        within(gaussian_entropy(p.affine(matrix)), true_entropy(image * image.T))
        c, k = exact(factor) * exact(factor).T, dim // 2
        given_x = c[k:, k:] - c[k:, :k] * c[:k, :k] ** -1 * c[:k, k:]
        given_y = c[:k, :k] - c[:k, k:] * c[k:, k:] ** -1 * c[k:, :k]
        within(gaussian_entropy(p.condition(x=[0.1] * k)), true_entropy(given_x))
        within(gaussian_entropy(p.condition(y=[0.1] * k)), true_entropy(given_y))
        within(gaussian_mutual_information(p, "y", "x"), true_information(c, k))


# -- small and large numbers ------------------------------------------------------------------------------------------


def test_excess_everywhere():
    points = [-0.999, -0.3, -0.2499, -1e-3, -1e-12, 1e-300, 1e-9, 0.1, 0.2501, 3.0, 1e12]
    x = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    value = excess(x)
    for got, at in zip(value.tolist(), points, strict=True):
        truth = mpmath.mpf(at) - mpmath.log1p(at)
        assert abs(got - truth) <= 1e-14 * truth + 1e-310
    (slope,) = torch.autograd.grad(value.sum(), x)
    assert torch.allclose(slope, x.detach() / (1 + x.detach()), rtol=1e-12)


@pytest.mark.parametrize("step", [1e-3, 1e-6, 1e-9, 1e-12])
def test_nearly_equal_laws_keep_relative_accuracy_and_the_plain_formula_does_not(step):
    generator = torch.Generator().manual_seed(1)
    cov1 = ill_conditioned(generator, 4, 10.0)
    cov0 = cov1 + step * torch.diag(torch.tensor([1.0, -0.5, 0.3, 0.1]).double()) * cov1
    zero = torch.zeros(4).double()
    truth = true_kl(exact(zero), exact(cov0), exact(zero), exact(cov1))
    value = gaussian_kl(Gaussian(zero, cov0), Gaussian(zero, cov1))[0]
    assert abs(value.item() - truth) <= 1e-12 * truth
    ratio = torch.linalg.solve(cov1, cov0)
    plain = 0.5 * (ratio.trace() - 4 - torch.linalg.slogdet(ratio)[1])
    if step <= 1e-6:
        assert abs(plain.item() - truth) > 1e-6 * truth


def test_equal_laws_have_divergence_zero_and_no_gradient():
    cov = ill_conditioned(torch.Generator().manual_seed(2), 3, 1e4)
    mean = torch.zeros(3).double().requires_grad_()
    matrix = cov.clone().requires_grad_()
    value = gaussian_kl(Gaussian(mean, matrix), Gaussian(mean.detach(), cov))[0]
    assert value.item() == 0.0
    for gradient in torch.autograd.grad(value, (mean, matrix)):
        assert gradient.abs().max() < 1e-9


def test_far_laws_do_not_lose_the_small_eigenvalue():
    p, q = Gaussian(0.0, 1e-24), Gaussian(0.0, 1.0)
    truth = (mpmath.mpf(1e-24) - 1 - mpmath.log(mpmath.mpf(1e-24))) / 2
    within(gaussian_kl(p, q), truth)
    assert gaussian_kl(p, q)[0].item() == pytest.approx(float(truth), rel=1e-15)


@pytest.mark.parametrize("nats", [0.0, 1e-12, 1e-3, 0.34, 0.36, 1.0, 30.0, 300.0])
@pytest.mark.parametrize(("dx", "dy"), [(1, 1), (3, 2), (2, 3)])
def test_constructed_information_comes_back(nats, dx, dy):
    joint = Gaussian.with_mutual_information(nats, dx, dy)
    forward = gaussian_mutual_information(joint, range(dx), range(dx, dx + dy))
    assert forward[0].item() == pytest.approx(nats, rel=1e-15, abs=1e-300)
    assert abs(forward[0].item() - nats) <= forward[1].item() and forward[1].item() < 1e-14 * nats + 1e-27
    backward = gaussian_mutual_information(joint, range(dx, dx + dy), range(dx))
    assert torch.equal(backward[0], forward[0]) and torch.equal(backward[1], forward[1])


def test_information_does_not_depend_on_units():
    generator = torch.Generator().manual_seed(3)
    cov = ill_conditioned(generator, 4, 30.0)
    scale = torch.tensor([1e-8, 1e5, 1.0, 1e12]).double()
    plain = gaussian_mutual_information(cov, [0, 1], [2, 3])
    scaled = gaussian_mutual_information(cov * scale[:, None] * scale, [0, 1], [2, 3])
    assert abs(plain[0] - scaled[0]) <= plain[1] + scaled[1] and plain[1] < 1e-12
    mixed = gaussian_mutual_information(cov, [3, 1], [0])
    assert mixed[0].item() == pytest.approx(float(true_information(exact(cov[[3, 1, 0]][:, [3, 1, 0]]), 2)), rel=1e-12)


def test_bad_blocks_are_named():
    p = Gaussian.with_mutual_information(1.0, 1, 2)
    for x, y, message in (("x", "z", "no part 'z'"), ([0], [0, 1], "repeat or overlap"), ([], [1], "at least one")):
        with pytest.raises(ValueError, match=message):
            gaussian_mutual_information(p, x, y)


# -- batches and gradients --------------------------------------------------------------------------------------------


def test_batches_broadcast_and_equal_their_members():
    generator = torch.Generator().manual_seed(4)
    covs = torch.stack([ill_conditioned(generator, 3, c) for c in (1.0, 10.0, 1e5)])
    means = normal(generator, 3, 3)
    p, q = Gaussian(means[:, None], covs[:, None]), Gaussian(means, covs)
    for function in (gaussian_kl, gaussian_cross_entropy):
        value, error = function(p, q)
        assert value.shape == error.shape == (3, 3) and (error > 0).all()
        for i in range(3):
            for j in range(3):
                one, bound = function(Gaussian(means[i], covs[i]), Gaussian(means[j], covs[j]))
                assert abs(one - value[i, j]) <= bound + error[i, j]
    assert torch.distributions.kl_divergence(p, q).shape == (3, 3)
    assert gaussian_mutual_information(covs, [0], [1, 2])[0].shape == (3,)


@pytest.mark.parametrize("near", [1e-3, 1.0])
def test_gradients(near):
    generator = torch.Generator().manual_seed(5)
    root, shift = normal(generator, 2, 2), normal(generator, 2)
    cov = ill_conditioned(generator, 2, 10.0)

    def divergence(root, shift):
        p = Gaussian(near * shift, cov + near * root @ root.mT)
        return gaussian_kl(p, Gaussian(torch.zeros(2).double(), cov))[0]

    def information(root):
        return gaussian_mutual_information(cov + near * root @ root.mT, [0], [1])[0]

    def entropy(root):
        return gaussian_entropy(Gaussian.from_factor(torch.zeros(2).double(), root))[0]

    root.requires_grad_(), shift.requires_grad_()
    assert torch.autograd.gradcheck(divergence, (root, shift), atol=1e-7)
    if near == 1e-3:
        assert torch.autograd.gradgradcheck(divergence, (root, shift), atol=1e-6)
    assert torch.autograd.gradcheck(information, (root,), atol=1e-7)
    assert torch.autograd.gradcheck(entropy, (root,), atol=1e-7)


# -- singular laws ----------------------------------------------------------------------------------------------------


def on_plane(scale=1.0, shift=0.0, tilt=0.0):
    root = torch.tensor([[1.0, 0.0], [1.0, 1.0], [tilt, 2.0]], dtype=torch.float64)
    mean = shift * torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64)  # in the plane
    return Gaussian(mean, scale * root @ root.mT), root


def test_divergence_on_a_common_support_is_that_in_its_coordinates():
    (p, _), (q, root) = on_plane(2.0, 0.5), on_plane()
    inverse = torch.linalg.pinv(root)
    flat = [Gaussian(inverse @ law.mean, inverse @ law.covariance @ inverse.mT) for law in (p, q)]
    value, error = gaussian_kl(p, q)
    truth, bound = gaussian_kl(*flat)
    assert abs(value - truth) <= error + bound and error < 1e-10 and truth > 0.1
    assert gaussian_cross_entropy(p, q)[0].item() == -math.inf
    assert gaussian_kl(q, q)[0].item() == pytest.approx(0.0, abs=1e-25)


def test_divergence_is_infinite_off_the_support_and_open_at_its_edge():
    plane, _ = on_plane()
    tilted, _ = on_plane(tilt=1e-3)
    regular = Gaussian(torch.zeros(3).double(), torch.eye(3).double())
    line = Gaussian.from_factor(torch.zeros(3), [[1.0], [1.0], [0.0]])
    beside = Gaussian(torch.tensor([1.0, 0.0, 0.0]).double(), plane.covariance)
    for p, q in ((plane, tilted), (plane, regular), (regular, plane), (line, plane), (plane, line), (beside, plane)):
        value, error = gaussian_kl(p, q)
        assert value.item() == math.inf and error.isfinite()
    assert gaussian_cross_entropy(regular, plane)[0].item() == math.inf
    assert gaussian_cross_entropy(plane, regular)[0].isfinite()
    unsure, _ = on_plane(tilt=1e-12)
    value, error = gaussian_kl(unsure, plane)
    assert value.isfinite() and error.item() == math.inf


def test_point_masses():
    here, there = Gaussian([1.0, 2.0], torch.zeros(2, 2)), Gaussian([1.0, 2.5], torch.zeros(2, 2))
    assert gaussian_kl(here, here)[0].item() == 0.0 and gaussian_kl(here, there)[0].item() == math.inf
    assert gaussian_entropy(here)[0].item() == -math.inf


def test_a_covariance_in_the_doubtful_band_has_an_infinite_error():
    cov = torch.tensor([[1.0, 1.0], [1.0, 1.0 + 6e-15]], dtype=torch.float64)
    p, q = Gaussian(torch.zeros(2).double(), cov), Gaussian(torch.zeros(2).double(), torch.eye(2).double())
    for value, error in (gaussian_entropy(p), gaussian_kl(p, q), gaussian_mutual_information(p, [0], [1])):
        assert value.isfinite() and error.item() == math.inf


def test_information_of_singular_laws():
    copy_of_x = Gaussian.from_factor([0.0, 0.0], [[1.0], [2.0]])
    assert gaussian_mutual_information(copy_of_x, [0], [1])[0].item() == math.inf
    # y = (y1, 2 y1) is singular, yet says of x only what y1 says
    pair = torch.tensor([[1.0, 0.6], [0.6, 1.0]], dtype=torch.float64)
    spread = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]], dtype=torch.float64)
    flat = Gaussian(torch.zeros(3).double(), spread @ pair @ spread.mT)
    value, error = gaussian_mutual_information(flat, [0], [1, 2])
    assert abs(value.item() + 0.5 * math.log(1 - 0.36)) <= error.item() < 1e-13
    fixed = Gaussian(torch.zeros(2).double(), torch.diag(torch.tensor([1.0, 0.0]).double()))
    assert gaussian_mutual_information(fixed, [0], [1])[0].item() == 0.0


def test_a_batch_of_singular_and_regular_laws():
    covs = torch.stack([torch.eye(2), torch.ones(2, 2), torch.zeros(2, 2)]).double()
    p = Gaussian(torch.zeros(2).double(), covs)
    assert gaussian_kl(p, p)[0].tolist() == [0.0, pytest.approx(0.0, abs=1e-25), 0.0]
    table = gaussian_kl(p.expand((3,)), Gaussian(torch.zeros(3, 1, 2).double(), covs[:, None]))[0]
    assert [[math.isinf(v) for v in row] for row in table.tolist()] == [[i != j for j in range(3)] for i in range(3)]
    assert gaussian_mutual_information(p, [0], [1])[0].tolist() == [0.0, math.inf, 0.0]
