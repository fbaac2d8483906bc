"""Kullback-Leibler, Renyi and Jensen-Shannon divergences of two laws, in nats."""

from __future__ import annotations

import math

import torch

from infotherm.core.estimate import Estimate
from infotherm.core.quantity import Quantity
from infotherm.core.tensors import Generator
from infotherm.distributions import Gaussian, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.distributions.gaussian_forms import gaussian_kl
from infotherm.information.comparisons import (
    by_perspective,
    can_integrate,
    can_sample_both,
    can_sample_first,
    mean_over_both,
    mutually_singular,
    same_atoms,
    sum_by_perspective,
    with_reason,
)
from infotherm.information.expectations import DEFAULT_SAMPLES, draw, log_noise, sample_mean, with_score_gradient
from infotherm.information.gaussian_pairs import in_one_precision
from infotherm.information.perspectives import JENSEN_SHANNON, KL
from infotherm.information.supports import check_pair
from infotherm.information.torch_pairs import running_error, torch_kl

kl = Quantity(
    "kl",
    accepts=(as_distribution, as_distribution),
    doc="""Kullback-Leibler divergence KL(p || q) = E_p[log p(X)/q(X)] in nats, +inf where p has mass that q has not.

    Parameters
    ----------
    p, q
        Laws on one space, whose batch shapes broadcast.
    method
        "closed-form": Gaussians (singular ones by their supports), sums over atoms, atoms against a density (+inf), and
        the pairs registered in torch (`torch.distributions.register_kl`, also those that users register) but for the
        rules that lose gradients. "quadrature" (`tolerance`, relative) for D <= 3. "monte-carlo" (`n_samples`,
        `generator`): the mean of log p/q over draws of p, whose gradient is unbiased also for laws without
        reparametrised draws.

    Returns
    -------
    Estimate
        Shape of the common batch. Kind "exact" by closed form (to rounding, relative accuracy kept for nearly equal
        Gaussians, pmfs and densities) and by quadrature ("unknown" when it did not converge or seems to diverge);
        "estimate" by Monte Carlo, "unknown" when few draws dominate, all agree, or prove by a negative mean that they
        missed a part of the mass. `info["reason"]` says why it is infinite.

    Raises
    ------
    ValueError
        When dimensions, alphabets, devices or batch shapes do not fit.

    References
    ----------
    Kullback and Leibler, Ann. Math. Stat. 22 (1951) 79, equation 2.4.

    Examples
    --------
    >>> from infotherm.distributions import Gaussian
    >>> kl(Gaussian(1.0, 1.0), Gaussian(0.0, 1.0)).value.item()
    0.5
    >>> estimate = kl(Gaussian(1.0, 1.0), Gaussian(0.0, 1.0), method="monte-carlo", n_samples=1000, generator=0)
    >>> estimate.kind, bool((estimate.value - 0.5).abs() < 4 * estimate.stderr)
    ('estimate', True)
    """,
)

jensen_shannon = Quantity(
    "jensen_shannon",
    accepts=(as_distribution, as_distribution),
    doc="""Jensen-Shannon divergence (KL(p || m) + KL(q || m)) / 2 with m = (p + q)/2, in nats, between 0 and log 2.

    Symmetric; its square root is a metric; the mutual information of a fair coin with a draw of the law it picks.

    Parameters
    ----------
    p, q
        Laws on one space, whose batch shapes broadcast.
    method
        "closed-form" (sums over atoms; atoms against a density: log 2), "quadrature" (`tolerance`; D <= 3),
        "monte-carlo" (`n_samples`, `generator`; the integrand is bounded).

    Returns
    -------
    Estimate
        Shape of the common batch, kinds as `kl`.

    Raises
    ------
    ValueError
        When dimensions, alphabets, devices or batch shapes do not fit.

    References
    ----------
    Lin, IEEE Trans. Inf. Theory 37 (1991) 145; Endres and Schindelin, ibid. 49 (2003) 1858.

    Examples
    --------
    >>> from infotherm.distributions import Discrete
    >>> jensen_shannon(Discrete([1.0, 0.0]), Discrete([0.0, 1.0])).to("bit").value.item()
    1.0
    """,
)


@kl.rule(Distribution, Distribution, method="closed-form", when=mutually_singular)
def infinite(p: Distribution, q: Distribution) -> Estimate:
    """The divergence +inf of mutually singular laws."""
    return disjoint(p, q, math.inf)


@jensen_shannon.rule(Distribution, Distribution, method="closed-form", when=mutually_singular)
def of_disjoint_supports(p: Distribution, q: Distribution) -> Estimate:
    """log 2 of mutually singular laws."""
    return disjoint(p, q, math.log(2))


def disjoint(p: Distribution, q: Distribution, value: float) -> Estimate:
    """The value that a divergence takes for laws on disjoint supports."""
    full = torch.full(check_pair(p, q), value, dtype=torch.promote_types(p.dtype, q.dtype), device=p.device)
    info = {"reason": "one law is a sum of atoms, the other has a density"}
    return Estimate(
        full, error=torch.finfo(full.dtype).eps if math.isfinite(value) else torch.finfo(full.dtype).tiny, info=info
    )


# -- KL ---------------------------------------------------------------------------------------------------------------


def _registered_in_torch(p: Distribution, q: Distribution) -> None:
    check_pair(p, q)
    torch_kl(p, q)


@kl.rule(Distribution, Distribution, method="closed-form", when=_registered_in_torch)
def torch_closed_form(p: Distribution, q: Distribution) -> Estimate:
    """The rule registered in torch for this pair."""
    batch = check_pair(p, q)
    compute = torch_kl(p, q)
    value = compute().expand(batch)
    return with_reason(
        Estimate(value, error=running_error(compute).expand(batch), info={"rule": "torch.distributions"})
    )


@kl.rule(Distribution, Distribution, method="closed-form", when=same_atoms)
def over_atoms(p: Distribution, q: Distribution) -> Estimate:
    """sum p log(p/q)."""
    return sum_by_perspective(KL, p, q, units="nat")


@kl.rule(Gaussian, Gaussian, method="closed-form")
def gaussian_pair(p: Gaussian, q: Gaussian) -> Estimate:
    """From the triangular factors of the covariances; singular laws by their supports."""
    check_pair(p, q)
    value, error = in_one_precision(gaussian_kl)(p, q)
    return with_reason(Estimate(value, error=error))


@kl.rule(Distribution, Distribution, method="quadrature", when=can_integrate)
def by_quadrature(p: Distribution, q: Distribution, *, tolerance: float | None = None) -> Estimate:
    """The integral of p log(p/q) - p + q, or of p log(p/q)."""
    return with_reason(by_perspective(KL, p, q, tolerance=tolerance).estimate())


@kl.rule(Distribution, Distribution, method="monte-carlo", when=can_sample_first)
def by_sampling(
    p: Distribution, q: Distribution, *, n_samples: int = DEFAULT_SAMPLES, generator: Generator = None
) -> Estimate:
    """The mean of log p/q over draws of p."""
    batch = check_pair(p, q)
    x, stream = draw(p, n_samples, generator, len(batch))
    log_p, log_q = p.log_prob(x), q.log_prob(x)
    values = (log_p - log_q).expand(n_samples, *batch)
    noise = log_noise(p, log_p) + log_noise(q, log_q)
    return sample_mean(with_score_gradient(values, log_p), [stream], noise=noise, nonnegative=True)


# -- Jensen-Shannon ---------------------------------------------------------------------------------------------------


@jensen_shannon.rule(Distribution, Distribution, method="closed-form", when=same_atoms)
def shannon_over_atoms(p: Distribution, q: Distribution) -> Estimate:
    """(sum p log(p/m) + sum q log(q/m)) / 2."""
    return sum_by_perspective(JENSEN_SHANNON, p, q, units="nat")


@jensen_shannon.rule(Distribution, Distribution, method="quadrature", when=can_integrate)
def shannon_by_quadrature(p: Distribution, q: Distribution, *, tolerance: float | None = None) -> Estimate:
    """The integral of (p log(p/m) + q log(q/m)) / 2."""
    return by_perspective(JENSEN_SHANNON, p, q, tolerance=tolerance).estimate()


@jensen_shannon.rule(Distribution, Distribution, method="monte-carlo", when=can_sample_both)
def shannon_by_sampling(
    p: Distribution, q: Distribution, *, n_samples: int = DEFAULT_SAMPLES, generator: Generator = None
) -> Estimate:
    """The mean of the pointwise divergence over draws of both laws."""
    return mean_over_both(JENSEN_SHANNON, p, q, n_samples, generator, units="nat")
