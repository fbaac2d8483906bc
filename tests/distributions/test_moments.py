import math

import pytest
import scipy.stats
import torch.distributions as td

from infotherm.distributions import Discrete, LogDensity, TorchDistribution
from infotherm.distributions.moments import scalar_mean, scalar_variance

from .torch_families import t


def test_moments_that_torch_lacks_are_integrated():
    angle = TorchDistribution(td.VonMises(t(0.0), t(2.0)))
    reference = scipy.stats.vonmises_line(2.0)
    assert angle.mean.item() == pytest.approx(0.0, abs=1e-10)
    assert angle.variance.item() == pytest.approx(reference.var(), rel=1e-8)
    squashed = TorchDistribution(td.TransformedDistribution(td.Normal(t(1.0), t(1.0)), [td.ExpTransform()]))
    assert squashed.mean.item() == pytest.approx(math.exp(1.5), rel=1e-10)
    assert squashed.covariance.item() == pytest.approx((math.e - 1) * math.exp(3), rel=1e-9)


@pytest.mark.parametrize(
    ("law", "mean", "variance"),
    [
        (td.Gamma(t(0.5, 3.0), t(1.0, 2.0)), t(0.5, 1.5), t(0.5, 0.75)),
        (td.Laplace(t(100.0), t(0.01)), t(100.0), t(2e-4)),
        (td.StudentT(t(5.0)), t(0.0), t(5 / 3)),
    ],
)
def test_moments_agree_with_closed_forms(law, mean, variance):
    p = TorchDistribution(law)
    got_mean, got_variance = scalar_mean(p), scalar_variance(p)
    scale = variance.sqrt()
    assert bool(((got_mean - mean).abs() <= 1e-10 * (scale + mean.abs())).all())
    assert bool(((got_variance / variance - 1).abs() <= 1e-9).all())


def test_a_moment_that_does_not_exist_is_announced():
    with pytest.raises(ValueError, match="mean of .*Cauchy.* does not exist"):
        scalar_mean(TorchDistribution(td.Cauchy(t(0.0), t(1.0))))
    with pytest.raises(ValueError, match="variance of .*StudentT.* does not exist"):
        scalar_variance(TorchDistribution(td.StudentT(t(1.5))))


def test_moments_are_differentiable():
    scale = t(2.0).requires_grad_()
    law = LogDensity(lambda x: -x[..., 0] / scale - scale.log(), lower=0.0, breakpoints=[2.0])
    law.mean.sum().backward()
    assert scale.grad.item() == pytest.approx(1.0, rel=1e-8)


def test_laws_without_a_density_are_refused():
    with pytest.raises(ValueError, match="scalar law with a density"):
        scalar_mean(Discrete([0.5, 0.5]))
