import copy
import math
import pickle

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infotherm.distributions.gaussian import Gaussian

EPS = torch.finfo(torch.float64).eps
quick = settings(max_examples=15)
sizes = st.tuples(st.integers(1, 5), st.integers(0, 10_000))


def normal(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def covariance(seed, *shape, dtype=torch.float64):
    root = normal(seed, *shape, shape[-1], dtype=dtype)
    return root @ root.mT + 0.1 * torch.eye(shape[-1], dtype=dtype)


def law(seed, dim, **options):
    return Gaussian(normal(seed, dim), covariance(seed + 1, dim), **options)


# -- density, score, draws --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_density_entropy_and_moments_are_those_of_torch(dtype, batch):
    mean, cov = normal(0, *batch, 4, dtype=dtype), covariance(1, *batch, 4, dtype=dtype)
    x = normal(2, 5, *batch, 4, dtype=dtype)
    ours, theirs = Gaussian(mean, cov), torch.distributions.MultivariateNormal(mean.double(), cov.double())
    tolerance = dict(rtol=200 * torch.finfo(dtype).eps, atol=200 * torch.finfo(dtype).eps)
    assert ours.log_prob(x).dtype == dtype and ours.batch_shape == batch and ours.event_shape == (4,)
    assert torch.allclose(ours.log_prob(x).double(), theirs.log_prob(x.double()), **tolerance)
    assert torch.allclose(ours.entropy().double(), theirs.entropy(), **tolerance)
    assert torch.allclose(ours.precision.double(), theirs.precision_matrix, **tolerance)
    assert torch.equal(ours.mean, mean) and torch.equal(ours.mode, mean) and torch.equal(ours.covariance, cov)
    assert torch.equal(ours.variance, cov.diagonal(dim1=-2, dim2=-1))


def test_density_is_that_of_scipy():
    mean, cov, x = normal(0, 3), covariance(1, 3), normal(2, 7, 3)
    expected = scipy.stats.multivariate_normal(mean.numpy(), cov.numpy()).logpdf(x.numpy())
    assert np.allclose(Gaussian(mean.numpy(), cov.numpy()).log_prob(x.numpy()), expected, rtol=1e-12)


@pytest.mark.parametrize("batch", [(), (3,)])
def test_score_is_the_gradient_of_the_density(batch):
    p = Gaussian(normal(0, *batch, 4), covariance(1, *batch, 4))
    x = normal(2, 5, *batch, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(p.log_prob(x).sum(), x)
    assert torch.allclose(p.score(x), gradient, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradgradcheck(lambda x: p.log_prob(x).sum(), x[:2].detach().requires_grad_())


def test_density_far_from_the_origin_keeps_the_accuracy_of_the_point():
    cov = covariance(1, 3)
    x = normal(2, 6, 3)
    here, there = Gaussian(torch.zeros(3).double(), cov), Gaussian(torch.full((3,), 2.0**30).double(), cov)
    shifted = x + 2.0**30
    assert torch.allclose(there.log_prob(shifted), here.log_prob(shifted - 2.0**30), rtol=0, atol=1e-13)


def test_density_is_zero_at_infinity_and_nan_is_refused():
    p = law(0, 3)
    assert p.log_prob([math.inf, 0.0, 0.0]).item() == -math.inf
    with pytest.raises(ValueError, match="value must not be NaN"):
        p.log_prob([math.nan, 0.0, 0.0])


def test_parameters_have_gradients():
    mean, root, x = normal(0, 2, 2), normal(1, 2, 2), normal(2, 3, 1, 2)

    def density(mean, root):
        return Gaussian(mean, root @ root.mT + torch.eye(2).double()).log_prob(x)

    def through_factor(mean, root):
        return Gaussian.from_factor(mean, root).log_prob(x)

    for function in (density, through_factor):
        assert torch.autograd.gradcheck(function, (mean.clone().requires_grad_(), root.clone().requires_grad_()))


def test_a_first_use_without_gradients_does_not_cut_later_ones():
    cov = covariance(0, 3).requires_grad_()
    p = Gaussian(torch.zeros(3).double(), cov)
    with torch.no_grad():
        p.log_prob(torch.ones(3).double())
    (gradient,) = torch.autograd.grad(p.log_prob(torch.ones(3).double()), cov)
    fresh = torch.distributions.MultivariateNormal(torch.zeros(3).double(), cov)
    (expected,) = torch.autograd.grad(fresh.log_prob(torch.ones(3).double()), cov)
    assert torch.allclose(gradient, (expected + expected.mT) / 2, rtol=1e-10)


def test_transforms_of_torch_func():
    means, covs, x = normal(0, 5, 3), covariance(1, 5, 3), normal(2, 5, 3)
    batched = torch.func.vmap(lambda m, c, x: Gaussian(m, c).log_prob(x))(means, covs, x)
    assert torch.allclose(batched, Gaussian(means, covs).log_prob(x), rtol=1e-12)
    p = Gaussian(means[0], covs[0])
    scores = torch.func.vmap(torch.func.grad(p.log_prob))(x)
    assert torch.allclose(scores, p.score(x), rtol=1e-12)
    hessian = torch.func.jacrev(torch.func.grad(p.log_prob))(x[0])
    assert torch.allclose(hessian, -p.precision, rtol=1e-10, atol=1e-12)
    entropies = torch.func.vmap(lambda c: Gaussian(torch.zeros(3).double(), c).entropy())(covs)
    assert torch.allclose(entropies, Gaussian(means, covs).entropy(), rtol=1e-12)
    divergence = torch.func.vmap(lambda m, c: torch.distributions.kl_divergence(Gaussian(m, c), p))(means, covs)
    assert torch.allclose(divergence, torch.distributions.kl_divergence(Gaussian(means, covs), p), rtol=1e-9)


@pytest.mark.parametrize("batch", [(), (2,)])
def test_draws_have_the_moments_and_obey_the_generator(batch):
    p = Gaussian(normal(0, *batch, 3), covariance(1, *batch, 3))
    before = torch.get_rng_state()
    x = p.sample((20_000,), generator=torch.Generator().manual_seed(5))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(x, p.sample((20_000,), generator=5)) and x.shape == (20_000, *batch, 3)
    deviation = p.variance.sqrt()
    assert ((x.mean(0) - p.mean) / deviation * 20_000**0.5).abs().max() < 5
    away = x - x.mean(0)
    sampled = torch.einsum("n...i,n...j->...ij", away, away) / 20_000
    scale = deviation[..., :, None] * deviation[..., None, :]
    assert ((sampled - p.covariance) / scale).abs().max() < 5 * (2 / 20_000) ** 0.5
    assert not x.requires_grad and p.sample().shape == (*batch, 3)


def test_rsample_is_differentiable():
    mean = normal(0, 2).requires_grad_()
    x = Gaussian(mean, covariance(1, 2)).rsample((4,), generator=0)
    (gradient,) = torch.autograd.grad(x.sum(), mean)
    assert torch.equal(gradient, torch.full((2,), 4.0).double())


# -- laws of conditioning, shifting, rotating -------------------------------------------------------------------------


@quick
@given(sizes)
def test_shift_and_rotation_leave_the_density(case):
    dim, seed = case
    p, x, shift = law(seed, dim), normal(seed + 2, 3, dim), normal(seed + 3, dim)
    rotation = torch.linalg.qr(normal(seed + 4, dim, dim)).Q
    moved = p.affine(rotation, shift)
    assert torch.allclose(moved.log_prob(x @ rotation.mT + shift), p.log_prob(x), rtol=1e-9, atol=1e-9)
    assert torch.allclose(moved.entropy(), p.entropy(), rtol=1e-11, atol=1e-11)
    assert torch.allclose(moved.score(x @ rotation.mT + shift), p.score(x) @ rotation.mT, rtol=1e-8, atol=1e-8)


@quick
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(0, 10_000))
def test_chain_rule_of_the_density_for_any_order_of_parts(a, b, c, seed):
    p = law(seed, a + b + c, parts={"a": a, "b": b, "c": c})
    x = normal(seed + 9, a + b + c)
    whole = p.log_prob(x)
    at = dict(zip("abc", x.split([a, b, c]), strict=True))
    for first, second, third in ("abc", "cab"):
        parts = p.marginal(first).log_prob(at[first])
        parts = parts + p.marginal((first, second)).condition(**{first: at[first]}).log_prob(at[second])
        given_both = p.condition(**{first: at[first], second: at[second]})
        assert given_both.parts == {third: dict(a=a, b=b, c=c)[third]}
        assert torch.allclose(whole, parts + given_both.log_prob(at[third]), rtol=1e-8, atol=1e-8)


def test_condition_is_the_formula_and_broadcasts():
    p = Gaussian(normal(0, 2, 5), covariance(1, 2, 5), parts={"x": 3, "y": 2})
    y = normal(2, 4, 2, 2)
    mean, cov = p.mean, p.covariance
    gain = cov[:, :3, 3:] @ torch.linalg.inv(cov[:, 3:, 3:])
    found = p.condition(y=y)
    assert found.batch_shape == (4, 2)
    expected = mean[:, :3] + (gain @ (y - mean[:, 3:])[..., None])[..., 0]
    assert torch.allclose(found.mean, expected, rtol=1e-10)
    expected = cov[:, :3, :3] - gain @ cov[:, 3:, :3]
    assert torch.allclose(found.covariance, expected.expand(4, 2, 3, 3), rtol=1e-10, atol=1e-10)
    assert torch.allclose(p.condition(y=y[0]).mean, found.mean[0], rtol=1e-14)
    assert torch.autograd.gradcheck(lambda y: p.condition(y=y).mean, y.requires_grad_())


def test_marginal_of_condition_is_condition_of_marginal():
    p = law(3, 6, parts={"a": 2, "b": 3, "c": 1})
    b = normal(7, 3)
    one, other = p.condition(b=b).marginal("a"), p.marginal(("a", "b")).condition(b=b)
    assert one.parts == other.parts == {"a": 2}
    assert torch.allclose(one.mean, other.mean, rtol=1e-11)
    assert torch.allclose(one.covariance, other.covariance, rtol=1e-11)


def test_marginals_keep_order_and_names():
    p = law(0, 4, parts={"x": 1, "y": 2, "z": 1})
    found = p.marginal(("z", "x"))
    assert found.parts == {"z": 1, "x": 1}
    assert torch.equal(found.covariance, p.covariance[[3, 0]][:, [3, 0]])
    assert p.marginal(["y"]).parts == {"y": 2} and p.marginal([0, 2]).parts == {}
    assert p.with_parts({"u": 4}).parts == {"u": 4} and p.with_parts(None).parts == {}


def test_affine_with_noise_is_the_sum_of_independent_draws():
    p, noise = law(0, 3), law(5, 2)
    matrix, offset = normal(1, 2, 3), normal(2, 2)
    found = p.affine(matrix, offset, noise=noise, parts={"u": 1, "v": 1})
    assert torch.allclose(found.mean, matrix @ p.mean + offset + noise.mean, rtol=1e-12)
    assert torch.allclose(found.covariance, matrix @ p.covariance @ matrix.mT + noise.covariance, rtol=1e-12)
    assert found.parts == {"u": 1, "v": 1}
    repeated = noise
    for _ in range(6):
        repeated = repeated.affine(0.5, noise=noise)
    assert repeated.factor.shape[-1] <= 4  # columns do not pile up
    expected = noise.covariance * sum(0.25**k for k in range(7))
    assert torch.allclose(repeated.covariance, expected, rtol=1e-12)


# -- singular laws ----------------------------------------------------------------------------------------------------


def singular(**options):
    root = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]], dtype=torch.float64)
    return Gaussian(torch.zeros(3).double(), root @ root.mT, **options), root


def test_a_singular_law_has_draws_but_no_density():
    p, root = singular()
    assert p.rank.item() == 2 and p.degenerate.item() and p.entropy().item() == -math.inf
    for call in (p.log_prob, p.score):
        with pytest.raises(ValueError, match=r"singular \(rank 2 of 3\) has no"):
            call([0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="precision"):
        _ = p.precision
    x = p.sample((50,), generator=0)
    normal_vector = torch.linalg.svd(root).U[:, 2]
    assert (x @ normal_vector).abs().max() < 1e-14
    assert p.in_support(x).all() and not p.in_support(x + 1e-9 * normal_vector).any()
    assert p.marginal([0, 1]).log_prob([0.0, 0.0]).isfinite()


def test_regular_laws_say_so():
    p = law(0, 4)
    assert p.rank.item() == 4 and not p.degenerate.item() and p.in_support(normal(1, 5, 4)).all()


def test_conditioning_on_a_singular_part():
    p, _ = singular(parts={"x": 1, "y": 2})
    flat = p.affine([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 2.0, 0.0]], parts={"x": 1, "y": 2})  # y2 = 2 y1
    found = flat.condition(y=[1.0, 2.0])
    reference = flat.marginal([0, 1]).with_parts({"x": 1, "y": 1}).condition(y=1.0)
    assert torch.allclose(found.mean, reference.mean, rtol=1e-12)
    assert torch.allclose(found.covariance, reference.covariance, rtol=1e-12)
    with pytest.raises(ValueError, match="off the support"):
        flat.condition(y=[1.0, 2.1])
    assert p.condition(y=[1.0, 1.0]).covariance.abs().max() < 1e-14  # y determines x


def test_point_masses():
    p = Gaussian([1.0, 2.0], torch.zeros(2, 2))
    assert p.rank.item() == 0 and torch.equal(p.sample((3,), generator=0), p.mean.expand(3, 2))
    assert torch.equal(p.bounds()[0], p.mean) and torch.equal(p.bounds()[1], p.mean)
    x = Gaussian(0.5, 0.0)
    assert x.cdf([[0.4], [0.5]]).tolist() == [0.0, 1.0] and x.icdf([0.0, 0.3]).flatten().tolist() == [0.5, 0.5]
    joint = Gaussian([0.0, 3.0], [[2.0, 0.0], [0.0, 0.0]], parts={"x": 1, "y": 1})
    assert joint.condition(y=3.0).covariance.item() == pytest.approx(2.0, rel=4 * EPS)
    with pytest.raises(ValueError, match="off the support"):
        joint.condition(y=3.1)


def test_a_batch_may_mix_regular_and_singular_laws():
    covs = torch.stack([torch.eye(2), torch.ones(2, 2), torch.zeros(2, 2)]).double()
    p = Gaussian(torch.zeros(2).double(), covs)
    assert p.rank.tolist() == [2, 1, 0] and p.degenerate.tolist() == [False, True, True]
    assert p.entropy().tolist() == [pytest.approx(math.log(2 * math.pi * math.e)), -math.inf, -math.inf]


def test_units_do_not_make_a_law_singular():
    p = Gaussian(torch.zeros(2).double(), torch.diag(torch.tensor([1e-30, 1e30]).double()))
    assert p.rank.item() == 2 and p.log_prob([0.0, 0.0]).item() == pytest.approx(-math.log(2 * math.pi))


# -- scalar laws ------------------------------------------------------------------------------------------------------


def test_scalar_laws():
    p = Gaussian(1.0, 4.0)
    assert p.dim == 1 and p.batch_shape == () and p.mean.dtype == torch.float64
    x = np.linspace(-20, 9, 7)
    assert np.allclose(p.cdf(x[:, None]), scipy.stats.norm(1, 2).cdf(x), rtol=1e-12)
    u = torch.tensor([1e-300, 1e-3, 0.5, 0.9]).double()
    assert np.allclose(p.icdf(u)[:, 0], scipy.stats.norm(1, 2).ppf(u.numpy()), rtol=1e-12)
    batch = Gaussian([[0.0], [1.0]], [[[1.0]], [[4.0]]])
    assert batch.batch_shape == (2,) and batch.breakpoints().shape == (7, 2)
    assert Gaussian([[0.0], [1.0]], 2.0).variance.tolist() == [[2.0], [2.0]]
    assert batch.breakpoints()[:, 1].tolist() == [1 + 2 * k for k in (-20, -8, -3, 0, 3, 8, 20)]
    with pytest.raises(ValueError, match="scalar law"):
        law(0, 2).cdf([0.0, 0.0])
    with pytest.raises(ValueError, match="probabilities"):
        p.icdf(1.5)


# -- mutual information by construction -------------------------------------------------------------------------------


@pytest.mark.parametrize(("dx", "dy"), [(1, 1), (3, 3), (4, 2), (1, 3)])
def test_with_mutual_information_has_standard_coordinates_and_the_information(dx, dy):
    p = Gaussian.with_mutual_information(1.5, dx=dx, dy=dy)
    assert p.parts == {"x": dx, "y": dy}
    assert torch.allclose(p.variance, torch.ones(dx + dy).double(), rtol=1e-15)
    entropies = p.marginal("x").entropy() + p.marginal("y").entropy() - p.entropy()
    assert entropies.item() == pytest.approx(1.5, abs=1e-13)


def test_with_mutual_information_batches_and_refuses():
    p = Gaussian.with_mutual_information(torch.tensor([0.0, 1e-12, 30.0]), 2, 2)
    assert p.batch_shape == (3,) and p.dtype == torch.float32
    for wrong in (-1.0, math.nan, math.inf, 1e6):
        with pytest.raises(ValueError, match="mi must lie in"):
            Gaussian.with_mutual_information(wrong, 1, 1)
    with pytest.raises(ValueError, match="dx must be a positive integer"):
        Gaussian.with_mutual_information(1.0, 0, 1)


def test_factors_keep_what_a_covariance_cannot_say():
    p = Gaussian.with_mutual_information(30.0, 1, 1)
    assert p.condition(x=0.0).factor.item() == pytest.approx(math.exp(-30), rel=1e-15)
    rounded = Gaussian(p.mean, p.covariance, parts=p.parts)  # the same law to every digit of its covariance
    assert rounded.degenerate.item()


# -- objects ----------------------------------------------------------------------------------------------------------


def test_copies_pickles_and_moves():
    p = law(0, 3, parts={"x": 1, "y": 2})
    p.log_prob(p.mean)
    for other in (copy.deepcopy(p), pickle.loads(pickle.dumps(p)), p.to("cpu", torch.float64)):
        assert other.parts == p.parts and torch.equal(other.log_prob(p.mean), p.log_prob(p.mean))
    assert p.to(dtype=torch.float32).log_prob(p.mean.float()).dtype == torch.float32
    assert p.to("meta").device.type == "meta"


def test_expand_and_repr():
    p = law(0, 3)
    wide = p.expand((4, 2))
    assert wide.batch_shape == (4, 2) and torch.equal(wide.covariance[1, 1], p.covariance)
    assert torch.allclose(wide.log_prob(p.mean), p.log_prob(p.mean).expand(4, 2))
    assert repr(Gaussian(0.0, 2.0)) == "Gaussian(mean=0, cov=2)"
    assert repr(wide) == "Gaussian(D=3, batch=(4, 2), dtype=float64)"
    assert repr(Gaussian([0.0, 1.0], [[1.0, 0.0], [0.0, 1.0]], parts={"x": 1, "y": 1})) == (
        "Gaussian(mean=[0, 1], cov=[[1, 0], [0, 1]], parts={'x': 1, 'y': 1})"
    )


def test_dtypes_and_containers():
    assert Gaussian([0, 1], [[2, 0], [0, 1]]).dtype == torch.float64
    assert Gaussian(np.zeros(2, np.float32), np.eye(2, dtype=np.float32)).dtype == torch.float32
    assert Gaussian(torch.zeros(3, 1, 2), torch.eye(2).expand(4, 2, 2)).batch_shape == (3, 4)


# -- bad input --------------------------------------------------------------------------------------------------------

ZERO = torch.zeros(2).double()


@pytest.mark.parametrize(
    ("mean", "cov", "message"),
    [
        (ZERO, [[1.0, 2.0], [2.0, 1.0]], "cov must be positive semi-definite; its smallest eigenvalue is -1"),
        (ZERO, [[1.0, 0.5], [0.0, 1.0]], "cov must be symmetric"),
        (ZERO, [[math.nan, 0.0], [0.0, 1.0]], "cov must be finite; got nan"),
        (ZERO, [[math.inf, 0.0], [0.0, 1.0]], "cov must be finite; got inf"),
        ([0.0, math.inf], torch.eye(2), "mean must be finite; got inf at index"),
        (ZERO, torch.eye(3), r"cov must have shape \(\.\.\., 2, 2\); got \(3, 3\)"),
        (ZERO, [1.0, 1.0], "cov must have shape"),
        (ZERO, 1.0, "which is the variance of a scalar law"),
        (0.0, -1.0, "cov must have a non-negative diagonal"),
        (torch.zeros(3, 2), torch.eye(2).expand(4, 2, 2), r"batch shape of cov must broadcast with \(3,\)"),
        (ZERO, torch.eye(2, device="meta"), "mean and cov must be on one device; got cpu and meta"),
        (torch.zeros(0), torch.zeros(0, 0), "at least one coordinate"),
    ],
)
def test_bad_parameters_are_named(mean, cov, message):
    with pytest.raises(ValueError, match=message):
        Gaussian(mean, cov)


def test_other_bad_input_is_named():
    p = Gaussian(ZERO, torch.eye(2), parts={"x": 1, "y": 1})
    cases = [
        (lambda: Gaussian(ZERO, torch.eye(2), parts={"x": 1}), "parts must add up to D = 2"),
        (lambda: p.log_prob([0.0, 0.0, 0.0]), r"value must have shape \(\.\.\., 2\); got \(3,\)"),
        (lambda: p.score(torch.zeros(3)), r"x must have shape \(\.\.\., 2\)"),
        (lambda: p.log_prob(torch.zeros(2, device="meta")), "value must be on cpu"),
        (lambda: p.marginal("z"), "no part 'z'; its parts are x, y"),
        (lambda: p.condition(z=0.0), "no part 'z'"),
        (lambda: p.condition(x=[0.0, 1.0]), r"x must have shape \(\.\.\., 1\)"),
        (lambda: p.condition(x=math.nan), "x must be finite"),
        (lambda: p.condition(x=0.0, y=0.0), "must leave a part free"),
        (lambda: p.condition(), "needs the value of at least one part"),
        (lambda: p.condition(x=torch.zeros(1, device="meta")), "x must be on cpu"),
        (lambda: p.expand((3,)).condition(x=torch.zeros(4, 1)), "must broadcast"),
        (lambda: p.affine(torch.eye(3)), r"matrix must have shape \(\.\.\., E, 2\)"),
        (lambda: p.affine(torch.eye(2), noise=Gaussian(0.0, 1.0)), r"noise must be a law on R\^2"),
        (lambda: Gaussian.from_factor(ZERO, torch.eye(3)), "factor must have shape"),
        (lambda: Gaussian.from_factor(ZERO, torch.full((2, 2), math.nan)), "factor must be finite"),
        (lambda: p.sample((2,), generator="seed"), "generator must be"),
        (lambda: torch.distributions.kl_divergence(p, Gaussian(0.0, 1.0)), "one space; got D = 2 and D = 1"),
    ]
    for call, message in cases:
        with pytest.raises((ValueError, TypeError), match=message):
            call()
    with pytest.raises(TypeError, match="cov must hold real numbers"):
        Gaussian(ZERO, [["a", "b"], ["c", "d"]])
