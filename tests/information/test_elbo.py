"""The bound of a diffusion: tight for the true reversal, in closed form and by sampling; a sum of divergences."""

import pytest
import torch

from infotherm.core.verdict import decide
from infotherm.distributions import Empirical, Gaussian, GaussianMixture
from infotherm.information import DenoiserReversal, ExactReversal, elbo_terms, entropy, kl
from infotherm.information.elbo import bridge
from infotherm.processes import OrnsteinUhlenbeck, VarianceExploding, VariancePreserving

DATA = Gaussian([1.0, -1.0], [[0.5, 0.3], [0.3, 0.4]])
TIMES = [0.05, 0.3, 1.0]


@pytest.mark.parametrize(
    "process", [VariancePreserving(0.1, 8.0), VarianceExploding(1.0), OrnsteinUhlenbeck([[1.0, 2.0], [-2.0, 1.0]], 1.0)]
)
def test_the_true_reversal_is_tight(process):
    terms = elbo_terms(process, DATA, ExactReversal(process, DATA, TIMES[-1]), TIMES)
    assert terms.elbo.kind == "exact"
    assert decide(terms.elbo, -entropy(DATA), "==").outcome == "holds"


def test_closed_form_and_sampling_agree_term_by_term():
    process = VariancePreserving(0.1, 8.0)
    model = ExactReversal(
        process, Gaussian([0.5, 0.0], [[1.0, 0.0], [0.0, 1.0]]), TIMES[-1]
    )  # of other data: not tight
    closed = elbo_terms(process, DATA, model, TIMES)
    sampled = elbo_terms(process, DATA, model, TIMES, method="monte-carlo", n_samples=40_000, generator=0)
    for name in ("reconstruction", "prior_matching", "denoising_matching"):
        exact, estimate = getattr(closed, name), getattr(sampled, name)
        assert bool(((exact.value - estimate.value).abs() < 4.5 * estimate.stderr + 1e-12).all()), name
    assert closed.denoising_matching.shape == (2,)
    assert decide(-entropy(DATA), closed.elbo, ">=").outcome == "holds"


def test_the_gap_is_the_divergence_of_the_paths():
    """One step, T = t_1: the gap is KL(q(x_T) || prior) + E KL(q(x_0 | x_T) || p(x_0 | x_T))."""
    process = OrnsteinUhlenbeck(1.0, 2.0**0.5)
    other = Gaussian([0.0, 0.0], [[1.0, 0.2], [0.2, 1.0]])
    model = ExactReversal(process, other, 0.7)
    terms = elbo_terms(process, DATA, model, [0.7])
    pair = process.transition(0.0, 0.7).joint(DATA)
    image = model.reverse(0.0, 0.7).joint(process.marginal(DATA, 0.7))
    order = [2, 3, 0, 1]
    gap = kl(process.marginal(DATA, 0.7), model.prior) + kl(pair.marginal(order), image)
    assert (
        decide(gap - kl(pair.marginal(order).marginal([0, 1]), process.marginal(DATA, 0.7)), gap, "==").outcome
        == "holds"
    )
    assert decide(-entropy(DATA) - terms.elbo, gap, "==", tolerance=1e-10).outcome == "holds"


def test_a_worse_reversal_costs_more():
    process = VariancePreserving(0.1, 8.0)
    good = elbo_terms(process, DATA, ExactReversal(process, DATA, 1.0), TIMES)
    bad = elbo_terms(process, DATA, ExactReversal(process, Gaussian([5.0, 5.0], [[1.0, 0.0], [0.0, 1.0]]), 1.0), TIMES)
    assert decide(good.elbo, bad.elbo + 1.0, ">=").outcome == "holds"


def test_mixtures_and_denoisers_by_sampling():
    process = VariancePreserving(0.1, 8.0)
    data = GaussianMixture([0.5, 0.5], [-1.0, 1.0], [0.04, 0.04])
    tight = elbo_terms(process, data, ExactReversal(process, data, 1.0), [0.05, 0.3, 1.0], generator=0)
    low, high = tight.elbo.interval(0.9999)
    assert low < -entropy(data).value < high
    denoiser = DenoiserReversal(
        process,
        lambda x, t: process.transition(0.0, t).reverse(data).mean(x),
        Gaussian(0.0, 1.0),
        final_variance=0.02,
    )
    guessed = elbo_terms(process, data, denoiser, [0.05, 0.3, 1.0], generator=0)
    assert decide(-entropy(data), guessed.elbo, ">=").outcome == "holds"
    assert guessed.elbo.kind == "estimate"


def test_the_bridge_of_brownian_motion():
    law = bridge(
        VarianceExploding(2.0), torch.zeros(1, dtype=torch.float64), 1.0, 4.0, torch.ones(1, dtype=torch.float64)
    )
    assert law.mean.item() == pytest.approx(0.25) and law.variance.item() == pytest.approx(4 * 1 * 3 / 4)


def test_refusals():
    process = VarianceExploding(1.0)
    model = ExactReversal(process, DATA, 1.0)
    with pytest.raises(ValueError, match="increases from above 0"):
        elbo_terms(process, DATA, model, [0.5, 0.5])
    with pytest.raises(ValueError, match="data must have a density; got Empirical"):
        elbo_terms(process, Empirical([[0.0], [1.0]]), model, [0.5])
    with pytest.raises(ValueError, match="method must be"):
        elbo_terms(process, DATA, model, [0.5], method="quadrature")
    with pytest.raises(ValueError, match="no closed form: the data are not Gaussian"):
        elbo_terms(process, GaussianMixture([1.0], [0.0], [1.0]), model, [0.5], method="closed-form")
    with pytest.raises(ValueError, match="final_variance must be > 0"):
        DenoiserReversal(process, lambda x, t: x, DATA, final_variance=0.0)
