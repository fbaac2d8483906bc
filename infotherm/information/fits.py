"""Gaussian fits of a law: by forward KL, which covers its modes, and by reverse KL, which seeks one of them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.quadrature import gauss_legendre
from infotherm.distributions import Gaussian, GaussianMixture, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.information.divergences import kl

# Panels and nodes of a composite Gauss rule over [-_REACH, _REACH] in each coordinate. Gauss-Hermite rules miss the
# region where one component of a mixture takes over from another.
_PANELS = {1: (60, 16), 2: (12, 8), 3: (6, 6)}
_REACH = 9.0
_FLATTEST = 1e-7  # gradient, in units of the law's own scales, at which a minimum is found
_SAME = 1e-4  # minima closer than this, in the same units, are one


@dataclass(frozen=True)
class GaussianFit:
    """A Gaussian fitted to a law.

    law
        The Gaussian.
    divergence
        KL(p || law) of a forward fit, KL(law || p) of a reverse one, in nats.
    direction
        "forward" or "reverse".
    converged
        Whether the gradient vanished (always, for moment matching).
    minima
        Reverse fits: all local minima found, the best first (itself included); empty in forward ones.
    """

    law: Gaussian
    divergence: Estimate
    direction: str
    converged: bool = True
    minima: tuple[GaussianFit, ...] = ()


def forward_kl_fit(p: Any, **options: Any) -> GaussianFit:
    """The Gaussian q that minimises KL(p || q): the one with the mean and the covariance of p, exactly.

    It puts mass wherever p has some (mode-covering), since log q(x) is punished where p(x) is not small.

    Parameters
    ----------
    p
        A law with finite mean and covariance, without batch.
    **options
        For the divergence, as in `kl` (method, tolerance, n_samples, generator).

    Raises
    ------
    ValueError
        For a batch of laws, or moments that are not finite.

    References
    ----------
    Bishop, Pattern Recognition and Machine Learning (2006), section 10.7; Minka, MSR-TR-2005-173.

    Examples
    --------
    >>> from infotherm.distributions import GaussianMixture
    >>> fit = forward_kl_fit(GaussianMixture([0.5, 0.5], [-2.0, 2.0], 1.0))
    >>> fit.law.mean.item(), fit.law.covariance.item()
    (0.0, 5.0)
    """
    p = _single(p)
    law = _moment_match(p)
    return GaussianFit(law, kl(p, law, **options), "forward")


def reverse_kl_fit(
    p: Any, start: Gaussian | Sequence[Gaussian] | None = None, *, max_iterations: int = 200, **options: Any
) -> GaussianFit:
    """The Gaussian q that minimises KL(q || p) over mean and covariance; there may be several local minima.

    It keeps off regions where p is small (mode-seeking, zero-forcing): of well separated modes it takes one. The
    objective E_z[log q - log p] at x = m + L z is a sum over fixed quadrature nodes z (deterministic, smooth in m
    and L), minimised by L-BFGS from every start; the divergence reported is computed afresh by `kl`.

    Parameters
    ----------
    p
        A law with a density, without batch, D <= 3.
    start
        One Gaussian or several; by default the components of a mixture and the moment-matched Gaussian.
    max_iterations
        Of L-BFGS, from each start.
    **options
        For the divergence, as in `kl`.

    Returns
    -------
    GaussianFit
        The best minimum found; `.minima` holds all of them. The global one is not certified.

    Raises
    ------
    ValueError
        For a batch of laws, D > 3, or a start of another dimension.

    Warns
    -----
    RuntimeWarning
        When no start converged.

    References
    ----------
    Bishop (2006), section 10.1.2.

    Examples
    --------
    >>> from infotherm.distributions import GaussianMixture
    >>> fit = reverse_kl_fit(GaussianMixture([0.5, 0.5], [-4.0, 4.0], 1.0))
    >>> [round(abs(f.law.mean.item()), 3) for f in fit.minima[:2]]
    [4.0, 4.0]
    """
    p = _single(p)
    if p.dim > 3:
        raise ValueError(f"reverse_kl_fit takes laws with D <= 3; got D = {p.dim}")
    if isinstance(start, Gaussian):
        start = [start]
    starts = list(start) if start is not None else _default_starts(p)
    for law in starts:
        if law.dim != p.dim or law.batch_shape:
            raise ValueError(f"start must be Gaussians with D = {p.dim} and no batch; got {law!r}")
    frame = _moment_match(p)
    found = [_descend(p, law, frame, max_iterations) for law in starts]
    distinct: list[tuple[Gaussian, float, bool]] = []
    for law, height, converged in sorted(found, key=lambda f: (not f[2], f[1])):
        if not any(_alike(law, other, frame) for other, _, _ in distinct):
            distinct.append((law, height, converged))
    if not any(converged for _, _, converged in distinct):
        warnings.warn("reverse_kl_fit converged from no start: raise max_iterations", RuntimeWarning, stacklevel=2)
    fits = [GaussianFit(law, kl(law, p, **options), "reverse", converged) for law, _, converged in distinct]
    best = fits[0]
    return GaussianFit(best.law, best.divergence, "reverse", best.converged, tuple(fits))


def _single(p: Any) -> Distribution:
    p = as_distribution(p, "p")
    if p.batch_shape:
        raise ValueError(f"p must be one law; got a batch of shape {tuple(p.batch_shape)}")
    return p


def _moment_match(p: Distribution) -> Gaussian:
    mean, covariance = p.mean, p.covariance
    if not bool(torch.isfinite(mean).all() & torch.isfinite(covariance).all()):
        raise ValueError("p must have a finite mean and covariance")
    return Gaussian(mean, covariance)


def _default_starts(p: Distribution) -> list[Gaussian]:
    starts = [_moment_match(p)]
    if isinstance(p, GaussianMixture):
        parts = p.components
        starts += [Gaussian(parts.mean[k], parts.covariance[k]) for k in range(p.n_components) if p.weights[k] > 0]
    return starts


def _nodes(dim: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes (N, D) and weights (N,) of the mean over a standard normal vector."""
    panels, points = _PANELS[dim]
    edges = torch.linspace(-_REACH, _REACH, panels + 1, dtype=like.dtype, device=like.device)
    x, w = gauss_legendre(points, 0.0, 1.0, like.dtype, like.device)
    z = (edges[:-1, None] + (edges[1:] - edges[:-1])[:, None] * x).flatten()
    w = (w * (edges[1] - edges[0])).repeat(panels) * torch.exp(-z * z / 2)
    grid = torch.cartesian_prod(*[z] * dim).reshape(-1, dim)
    weights = torch.cartesian_prod(*[w / w.sum()] * dim).reshape(-1, dim).prod(-1)
    kept = weights > 1e-18 * weights.max()
    return grid[kept], weights[kept]


def _descend(p: Distribution, start: Gaussian, frame: Gaussian, max_iterations: int) -> tuple[Gaussian, float, bool]:
    """A local minimum of KL(q || p) from `start`, in the coordinates u with x = frame.mean + frame.scale_tril u."""
    centre, scale = frame.mean.detach(), frame.scale_tril.detach()
    z, w = _nodes(p.dim, centre)
    inverse = torch.linalg.solve_triangular(
        scale, torch.eye(p.dim, dtype=scale.dtype, device=scale.device), upper=False
    )
    mean = (inverse @ (start.mean.detach() - centre)).clone().requires_grad_()
    lower = (inverse @ start.scale_tril.detach()).clone()
    diagonal = lower.diagonal().clamp_min(1e-12).log().requires_grad_()
    below = lower.tril(-1).clone().requires_grad_()
    free = [mean, diagonal, below] if p.dim > 1 else [mean, diagonal]

    def objective() -> Tensor:
        factor = below.tril(-1) + torch.diag(diagonal.exp())
        x = centre + (mean + z @ factor.mT) @ scale.mT
        # log q - log p up to a constant: the entropy of q is the sum of the logarithms of its factor's diagonal
        return -diagonal.sum() - (w * p.log_prob(x)).sum()

    optimiser = torch.optim.LBFGS(
        free,
        max_iter=max_iterations,
        tolerance_grad=_FLATTEST / 10,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = objective()
        value.backward()
        return value

    with torch.enable_grad():
        optimiser.step(closure)
        value = closure()
    gradient = torch.stack([t.grad.norm() for t in free if t.grad is not None]).norm()
    with torch.no_grad():
        factor = scale @ (below.tril(-1) + torch.diag(diagonal.exp()))
        law = Gaussian.from_factor(centre + scale @ mean, factor)
    height = value.item()
    return law, height if math.isfinite(height) else math.inf, bool(gradient < _FLATTEST)


def _alike(first: Gaussian, second: Gaussian, frame: Gaussian) -> bool:
    """Whether two fits are one minimum, seen in the units of the law itself."""
    scale = frame.scale_tril.detach()
    differences = torch.cat([(first.mean - second.mean)[:, None], first.scale_tril - second.scale_tril], -1)
    return bool(torch.linalg.solve_triangular(scale, differences, upper=False).norm() < _SAME)
