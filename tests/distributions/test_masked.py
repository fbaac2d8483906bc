import math

import pytest
import scipy.stats
import torch
import torch.distributions as td

from infotherm.distributions import TorchDistribution
from infotherm.distributions.masked import without_validation

from .torch_families import CONTINUOUS, t

EPS = torch.finfo(torch.float64).eps
GRID = torch.tensor([-1e4, -3.0, -1.0, -0.25, 0.0, 0.3, 0.9, 1.0, 1.5, 4.0, 700.0], dtype=torch.float64)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_log_prob_is_finite_exactly_in_the_support_whether_torch_validates_or_not(name):
    p = TorchDistribution(CONTINUOUS[name])
    lower, upper = p.bounds()
    x = GRID.reshape(-1, *[1] * (len(p.batch_shape) + 1)).expand(-1, *p.batch_shape, 1)
    inside, outside = ((x > lower) & (x < upper))[..., 0], ((x < lower) | (x > upper))[..., 0]
    values = p.log_prob(x)
    assert bool(values[outside].isneginf().all())
    assert bool((~values.isnan()).all()) and not bool(values.isposinf().any())
    # far tails may underflow to -inf, the bulk may not
    assert bool(torch.isfinite(values[inside & (x[..., 0].abs() < 3)]).all())


@pytest.mark.parametrize("name", [n for n in CONTINUOUS if " " not in n])
def test_log_prob_agrees_with_torch_inside_the_support(name):
    law = CONTINUOUS[name]
    p = TorchDistribution(law)
    x = p.sample((50,), generator=0)
    if name == "GeneralizedPareto":  # torch raises in float64
        reference = td.GeneralizedPareto(*(v.float() for v in (law.loc, law.scale, law.concentration)))
        values, tolerance = reference.log_prob(x[..., 0].float()).double(), 1e-5
    else:
        interior = x if name not in ("Beta", "RelaxedBernoulli", "Kumaraswamy") else x.clamp(1e-9, 1 - 1e-9)
        x, values = interior, law.log_prob(p.to_event(interior))
        tolerance = 1e-6 if name == "VonMises" else 1e-9  # torch's Bessel function is good to 1e-7
    assert torch.allclose(p.log_prob(x), values, rtol=tolerance, atol=tolerance)


def test_formulas_of_our_own_agree_with_scipy():
    pairs = [
        (CONTINUOUS["VonMises"], scipy.stats.vonmises([1.0, 50.0], loc=[0.0, 3.0]), t([[-3.0], [0.1], [3.1]])),
        (td.InverseGamma(t(3.0), t(2.0)), scipy.stats.invgamma(3.0, scale=2.0), t([1e-3, 1.0, 1e3])),
    ]
    if hasattr(td, "GeneralizedPareto"):
        for shape in (1e-9, 0.0, -0.5, 2.0):
            law = td.GeneralizedPareto(t(0.0), t(2.0), t(shape))
            pairs.append((law, scipy.stats.genpareto(shape, scale=2.0), t([0.1, 3.0])))
    for law, reference, x in pairs:
        expected = torch.as_tensor(reference.logpdf(x.numpy()))
        assert torch.allclose(TorchDistribution(law).log_prob(x.unsqueeze(-1)), expected, rtol=1e-11, atol=1e-11)


def test_a_density_that_diverges_at_an_end_is_finite_there():
    beta = TorchDistribution(td.Beta(t(0.5), t(0.5)))
    ends = beta.log_prob([[0.0], [1.0]])
    assert bool(torch.isfinite(ends).all())
    assert ends[1].item() == pytest.approx(beta.log_prob([1 - EPS / 2]).item(), abs=1e-12)
    assert math.isfinite(TorchDistribution(td.Dirichlet(t(0.5, 0.5))).log_prob([1.0]).item())
    assert TorchDistribution(td.Gamma(t(2.0), t(1.0))).log_prob([0.0]).item() == -math.inf  # its density is zero there


def test_a_mixture_is_positive_where_one_component_is():
    p = TorchDistribution(CONTINUOUS["MixtureSameFamily of Uniform"])
    assert p.log_prob([[0.5], [1.5], [2.5], [3.5]]).exp().tolist() == pytest.approx([0.15, 0.5, 0.35, 0.0])
    with pytest.raises(ValueError, match="support"):
        p.base.log_prob(t(0.5))  # what torch does


def test_a_transformed_law_remembers_the_support_of_its_base():
    p = TorchDistribution(CONTINUOUS["TransformedDistribution of Exponential"])  # 3 - 2 x
    assert p.bounds()[1].item() == 3.0 and p.bounds()[0].item() == -math.inf
    assert p.log_prob([[4.0], [3.0]]).tolist() == pytest.approx([-math.inf, math.log(0.5)])


def test_gradients_are_finite_outside_the_support():
    x = torch.tensor([[-1.0], [0.5], [2.0]], dtype=torch.float64, requires_grad=True)
    for name in ("Beta", "Gamma", "LogNormal", "Uniform", "MixtureSameFamily of Uniform", "Pareto"):
        law = CONTINUOUS[name]
        p = TorchDistribution(law)
        points = x if not p.batch_shape else x.unsqueeze(1).expand(-1, *p.batch_shape, 1)
        values = p.log_prob(points)
        (gradient,) = torch.autograd.grad(values[torch.isfinite(values)].sum() + 0 * x.sum(), x)
        assert bool(torch.isfinite(gradient).all()), name


def test_the_stranger_s_object_is_left_as_it_was():
    law = td.Independent(td.Gamma(t(1.0, 2.0), t(1.0, 1.0), validate_args=True), 1, validate_args=True)
    quiet = without_validation(law)
    assert not quiet._validate_args and not quiet.base_dist._validate_args
    assert law._validate_args and law.base_dist._validate_args


def test_chains_of_transforms_of_vectors_agree_with_torch():
    base = td.Independent(td.Gamma(t(1.0, 2.0, 3.0), t(1.0, 1.0, 1.0)), 1)
    law = td.TransformedDistribution(
        base, [td.AffineTransform(t(0.0, 1.0, 2.0), t(1.0, -1.0, 2.0)), td.TanhTransform()]
    )
    p = TorchDistribution(law)
    x = p.sample((6,), generator=0)
    x = x[((x > -0.999) & (x < 0.999)).all(-1)]
    assert p.dim == 3 and torch.allclose(p.log_prob(x), law.log_prob(x), rtol=1e-10)
    # tanh(1 - y) with y > 0 stays below tanh(1); the second coordinate beyond it is impossible
    assert p.log_prob([0.5, 0.9, 0.99]).item() == -math.inf
    simplex = td.TransformedDistribution(
        td.Independent(td.Normal(t(0.0, 0.0), t(1.0, 1.0)), 1), [td.StickBreakingTransform()]
    )
    q = TorchDistribution(simplex)
    y = q.sample((5,), generator=1)
    assert q.dim == 2 and torch.allclose(q.log_prob(y), simplex.log_prob(q.to_event(y)), rtol=1e-10)


def test_gradients_are_finite_at_the_ends():
    for law in (td.Beta(t(0.5), t(0.5)), td.RelaxedBernoulli(t(0.5), t(0.3)), td.Kumaraswamy(t(0.5), t(0.5))):
        x = torch.tensor([[0.0], [1.0]], dtype=torch.float64, requires_grad=True)
        value = TorchDistribution(law).log_prob(x)
        (gradient,) = torch.autograd.grad(value.sum(), x)
        assert bool(torch.isfinite(value).all()) and not bool(torch.isnan(gradient).any())
