import pytest
import scipy.stats
import torch
import torch.distributions as td

from infotherm.distributions import TorchDistribution

from .torch_families import COUNTING, t


@pytest.mark.parametrize("name", COUNTING)
def test_listed_points_carry_all_the_mass(name):
    p = TorchDistribution(COUNTING[name])
    points = p.enumerate_support()
    assert p.measure == "counting" and p.has_enumerate_support
    assert points.shape[1:] == (*p.batch_shape, p.dim)
    assert bool((p.tail_mass <= 1e-25).all())
    # log_prob carries a few units of its largest term, below 200 here
    assert torch.allclose(p.log_prob(points).exp().sum(0), t(1.0), rtol=0, atol=1e-12)
    assert len(torch.unique(p.enumerate_support(expand=False).reshape(len(points), -1), dim=0)) == len(points)


def test_the_tail_bound_holds():
    for law, reference in [
        (td.Poisson(t(30.0)), scipy.stats.poisson(30.0)),
        (td.Geometric(t(0.01)), scipy.stats.geom(0.01, loc=-1)),
        (td.NegativeBinomial(t(0.5), t(0.9)), scipy.stats.nbinom(0.5, 0.1)),
    ]:
        p = TorchDistribution(law)
        last = p.enumerate_support().max().item()
        assert reference.sf(last) <= p.tail_mass.item() * (1 + 1e-9)


def test_integers_only_and_none_below_zero():
    p = TorchDistribution(td.Poisson(t(3.0)))
    assert p.log_prob([[0.5], [-1.0]]).isneginf().all()
    assert p.log_prob([2]).item() == pytest.approx(scipy.stats.poisson(3).logpmf(2))


def test_laws_that_are_too_long_to_list_say_so():
    huge = TorchDistribution(td.Geometric(t(1e-8)))
    assert not huge.has_enumerate_support
    with pytest.raises(NotImplementedError, match="more than 4194304"):
        huge.enumerate_support()
    with pytest.raises(NotImplementedError, match="continuous"):
        TorchDistribution(td.Gumbel(t(0.0), t(1.0))).enumerate_support()
    with pytest.raises(NotImplementedError, match="more than 4194304: use method"):
        TorchDistribution(td.Multinomial(100, torch.ones(10).double())).enumerate_support()


def test_a_poisson_law_of_unknown_density_is_not_listed():
    class Inflated(td.Poisson):
        def log_prob(self, value):
            return torch.where(value == 0, 0.5, 0.5 * super().log_prob(value).exp()).log()

    assert not TorchDistribution(Inflated(t(1.0))).has_enumerate_support
