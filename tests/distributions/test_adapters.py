import math

import numpy as np
import pytest
import torch
import torch.distributions as td
import xarray

from infotherm.distributions import (
    Discrete,
    Distribution,
    Empirical,
    Gaussian,
    GaussianMixture,
    LogDensity,
    TorchDistribution,
    as_distribution,
    as_torch,
)

from .torch_families import CONTINUOUS, COUNTING, OURS, REFUSED, t


def test_every_torch_family_converts_or_is_refused_with_a_reason():
    families = {
        n for n in td.__all__ if isinstance(getattr(td, n), type) and issubclass(getattr(td, n), td.Distribution)
    }
    examples = {name.split(" ")[0] for name in (*CONTINUOUS, *COUNTING, *OURS, *REFUSED)}
    assert families <= examples and len(families) >= 42


@pytest.mark.parametrize("name", OURS)
def test_laws_that_we_have_become_ours(name):
    law, family = OURS[name]
    p = as_distribution(law)
    assert type(p).__name__ == family and p.batch_shape == law.batch_shape
    if family == "Discrete":
        assert torch.allclose(p.pmf, torch.stack([1 - law.probs, law.probs], -1) if name == "Bernoulli" else law.probs)
    else:
        x = law.sample((5,))
        assert torch.allclose(p.log_prob(x if law.event_shape else x.unsqueeze(-1)), law.log_prob(x), rtol=1e-12)


@pytest.mark.parametrize("name", [*CONTINUOUS, *COUNTING])
def test_the_others_keep_their_density(name):
    law = {**CONTINUOUS, **COUNTING}[name]
    p = as_distribution(law)
    assert isinstance(p, TorchDistribution) and p.base is law and p.dtype == torch.float64


@pytest.mark.parametrize("name", REFUSED)
def test_laws_without_a_density_are_refused(name):
    law, reason = REFUSED[name]
    with pytest.raises(TypeError, match=reason):
        as_distribution(law)


def test_our_laws_pass_through():
    p = Gaussian(0.0, 1.0)
    assert as_distribution(p) is p


def test_batches_and_events_are_flattened_to_one_event_dimension():
    assert as_distribution(td.Normal(torch.zeros(4, 3), 1.0)).batch_shape == (4, 3)
    p = as_distribution(td.Independent(td.Normal(torch.zeros(4, 2, 3), 1.0), 2))
    assert p.batch_shape == (4,) and p.event_shape == (6,) and isinstance(p, Gaussian)
    q = as_distribution(td.Independent(td.Normal(torch.zeros(4), 1.0), 0))
    assert q.batch_shape == (4,) and q.event_shape == (1,)


def test_float32_stays_float32():
    assert as_distribution(td.Normal(0.0, 1.0)).dtype == torch.float32
    assert as_distribution(td.Exponential(1.0)).dtype == torch.float32
    assert as_distribution(td.Categorical(torch.ones(3))).dtype == torch.float32
    angle = td.VonMises(torch.tensor(0.0), torch.tensor(1.0))
    angle.sample()  # leaves float64 tensors behind in the object
    assert as_distribution(angle).dtype == torch.float32


def test_a_narrow_normal_keeps_its_standard_deviation():
    p = as_distribution(td.Normal(t(0.0), t(1e-170)))  # its variance underflows
    assert p.log_prob([0.0]).item() == pytest.approx(170 * math.log(10) - 0.5 * math.log(2 * math.pi), rel=1e-14)


def test_gradients_flow_through_the_conversion():
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    for law in (td.Normal(t(0.0), scale), td.Laplace(t(0.0), scale), td.Exponential(scale)):
        (gradient,) = torch.autograd.grad(as_distribution(law).log_prob([1.0]), scale)
        (reference,) = torch.autograd.grad(law.log_prob(t(1.0)), scale)
        assert gradient.item() == pytest.approx(reference.item(), rel=1e-12)


def test_mixtures_of_finite_laws_are_finite_laws():
    law = td.MixtureSameFamily(td.Categorical(t(0.25, 0.75)), td.Categorical(t([[1.0, 0.0], [0.5, 0.5]])))
    assert as_distribution(law).pmf.tolist() == [0.625, 0.375]


def test_mixtures_of_multivariate_normals_keep_their_density():
    law = td.MixtureSameFamily(
        td.Categorical(torch.ones(4, 3).double()),
        td.MultivariateNormal(torch.randn(4, 3, 2).double(), torch.eye(2).double()),
    )
    p, x = as_distribution(law), torch.randn(7, 4, 2).double()
    assert isinstance(p, GaussianMixture) and p.batch_shape == (4,)
    assert torch.allclose(p.log_prob(x), law.log_prob(x), rtol=1e-12)


def test_bernoulli_by_logits_keeps_the_rare_outcome():
    pmf = as_distribution(td.Bernoulli(logits=t(50.0))).pmf
    assert pmf[0].item() == pytest.approx(math.exp(-50), rel=1e-12)


def test_a_subclass_with_its_own_density_is_not_taken_for_its_parent():
    class Folded(td.Normal):
        def log_prob(self, value):
            return torch.logaddexp(super().log_prob(value), super().log_prob(-value))

    class Renamed(td.Normal):
        pass

    assert isinstance(as_distribution(Folded(t(0.0), t(1.0))), TorchDistribution)
    assert isinstance(as_distribution(Renamed(t(0.0), t(1.0))), Gaussian)


def test_strangers_register_their_types():
    class Thermometer:
        temperature = 2.0

    @as_distribution.register
    def _thermometer(x: Thermometer, name: str = "p") -> Distribution:
        return Gaussian(0.0, x.temperature)

    assert as_distribution(Thermometer()).variance.item() == 2.0


def test_objects_made_after_the_pattern_of_torch_are_taken():
    class Stranger:
        batch_shape, event_shape = torch.Size(), torch.Size()

        def sample(self, shape=()):
            return torch.rand(shape, dtype=torch.float64)

        def log_prob(self, x):
            return torch.zeros_like(x)

    p = as_distribution(Stranger())
    assert p.dim == 1 and p.dtype == torch.float64 and p.log_prob([[0.5]]).tolist() == [0.0]


@pytest.mark.parametrize(
    "array",
    [torch.ones(2), np.ones(2), [0.5, 0.5], (0.5, 0.5), 1.0, 3, np.float64(1.0), xarray.DataArray([0.5, 0.5])],
    ids=lambda x: type(x).__name__,
)
def test_bare_arrays_are_refused(array):
    with pytest.raises(TypeError, match=r"initial is a bare \w+, .* give Discrete\(pmf\) or Empirical\(samples\)"):
        as_distribution(array, "initial")


def test_other_things_are_refused():
    with pytest.raises(TypeError, match="q is a function: give LogDensity"):
        as_distribution(lambda x: x, "q")
    with pytest.raises(TypeError, match="q must be a distribution .*; got str"):
        as_distribution("normal", "q")
    with pytest.raises(TypeError, match="q must be a distribution .*; got type"):
        as_distribution(td.Normal, "q")


@pytest.mark.parametrize(
    "law",
    [
        td.Normal(t(0.0, 1.0), t(2.0)),
        OURS["MultivariateNormal"][0],
        td.Categorical(t(0.2, 0.8)),
        td.Gumbel(t(0.0), t(1.0)),
    ],
)
def test_the_way_back_to_torch(law):
    back = as_torch(as_distribution(law))
    x = law.sample((4,))
    assert torch.allclose(back.log_prob(x), law.log_prob(x), rtol=1e-12)


def test_laws_that_torch_lacks_have_no_way_back():
    assert as_torch(Empirical([[0.0]])) is None
    assert as_torch(Gaussian([0.0, 0.0], [[1.0, 1.0], [1.0, 1.0]])) is None
    assert as_torch(Discrete([[0.5, 0.5]], ("x", "y"))) is None
    assert as_torch(LogDensity(lambda x: -x[..., 0], lower=0.0)) is None
