"""Schroedinger bridges: the noisy motion from one law to another that is closest to free Brownian motion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.distributions import Gaussian, as_distribution
from infotherm.information import entropy
from infotherm.processes import AffineDiffusion
from infotherm.transport.bridge_samples import AtomicBridge, atomic_bridge
from infotherm.transport.gaussian import _square
from infotherm.transport.gaussian_entropic import correlations
from infotherm.transport.noise import Noise, Sigma
from infotherm.transport.orders import require_same_dim
from infotherm.transport.regularised import entropic, is_atomic


@dataclass(frozen=True, eq=False)
class GaussianBridge:
    """The Schroedinger bridge between two Gaussians: an affine diffusion whose marginals are Gaussian.

    With tau the integral of sigma^2 over the duration, the ends are coupled as entropic transport with epsilon = 2 tau
    couples them, and pinned Brownian motion leads from one to the other. Singular laws are legal at both ends; laws
    and drifts carry no gradient (`kl` does).

    Attributes
    ----------
    start, end
        The laws at times 0 and T.
    duration
        T.
    kl
        KL of the path measure relative to Brownian motion started in `start`, in nats; infinite for a singular `end`.
    coupling
        The joint law of the two ends, a Gaussian with parts "x" and "y".
    """

    start: Gaussian
    end: Gaussian
    duration: Tensor
    kl: Estimate
    coupling: Gaussian
    _noise: Noise
    _sigma: Sigma
    _first: Tensor  # factors in the coordinates of the noise: x = m_0 + X z_1, y = m_1 + Y z_1 + Z z_2
    _second: Tensor
    _free: Tensor
    _means: tuple[Tensor, Tensor]

    def marginal(self, t: Any) -> Gaussian:
        """The law at time t in [0, T], through its factor; t broadcasts against the batch.

        Raises
        ------
        ValueError
            For times outside [0, T].
        """
        mean, factor = self._law(self._noise.clock(t))
        if self._noise.root is not None:
            mean, factor = (self._noise.root @ mean[..., None])[..., 0], self._noise.root @ factor
        return Gaussian.from_factor(mean, factor)

    def affine(self, t: Any) -> tuple[Tensor, Tensor]:
        """K(t) (..., D, D) and c(t) (..., D) of the drift b(x, t) = K x + c.

        Raises
        ------
        ValueError
            For times outside [0, T]; at T when the end is singular: the drift that presses a law onto it diverges.
        """
        return self._affine(t, backward=False)

    def drift(self, x: Any, t: Any) -> Tensor:
        """b(x, t) = sigma^2 grad_x log E[h(X_T) | X_t = x] of dX = b dt + sigma dB, shape (..., D)."""
        return self._applied(self.affine(t), x)

    def backward_drift(self, x: Any, t: Any) -> Tensor:
        """The drift sigma^2 grad log p_t(x) - b(x, t) of the time-reversed bridge, from end to start, at time t.

        Raises
        ------
        ValueError
            As `affine`, with the roles of the ends exchanged.
        """
        return self._applied(self._affine(t, backward=True), x)

    def process(self) -> AffineDiffusion:
        """The bridge as a diffusion process dX = b(X, t) dt + sigma dB on [0, T], started in `start`.

        Raises
        ------
        ValueError
            For batches of bridges, or an end that is singular.
        """
        if self.coupling.batch_shape:
            raise ValueError(f"a process is one bridge; this is a batch of shape {tuple(self.coupling.batch_shape)}")
        horizon = float(self.duration)
        self.affine(horizon)

        def sigma(t: Tensor) -> Any:
            return self._sigma(t) if callable(self._sigma) else self._sigma

        return AffineDiffusion(
            lambda t: self.affine(t)[0],
            sigma if callable(self._sigma) else self._sigma,
            lambda t: self.affine(t)[1],
            horizon=horizon,
        )

    def _law(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and factor at a place of the clock, in the coordinates of the noise."""
        s = place[..., None, None]
        mean = self._means[0] + place[..., None] * (self._means[1] - self._means[0])
        spread = (self._noise.exposure * place * (1 - place)).sqrt()[..., None, None]
        identity = torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)
        parts = [(1 - s) * self._first + s * self._second, s * self._free, spread * identity]
        batch = torch.broadcast_shapes(*(part.shape[:-2] for part in parts))
        return mean, torch.cat([part.expand(*batch, *part.shape[-2:]) for part in parts], -1)

    def _affine(self, t: Any, backward: bool) -> tuple[Tensor, Tensor]:
        place, rate = self._noise.clock(t), self._noise.rate(t)
        mean, factor = self._law(place)
        slope = self._slope(place, factor, backward)
        shift = self._means[1] - self._means[0]
        rate = rate[..., None]
        matrix = rate[..., None] * slope
        offset = rate * (-shift if backward else shift) - (matrix @ mean[..., None])[..., 0]
        root = self._noise.root
        if root is None:
            return matrix, offset
        back = torch.linalg.solve_triangular(root, root @ matrix, upper=False, left=False)
        return back, (root @ offset[..., None])[..., 0]

    def _slope(self, place: Tensor, factor: Tensor, backward: bool) -> Tensor:
        """Cov(y - x, x_s) C_s^-1 - tau s C_s^-1, the gradient of E[y - x_s | x_s] / (1 - s); mirrored when backward."""
        if backward:
            place = 1 - place
        s, tau = place[..., None, None], self._noise.exposure[..., None, None]
        identity = torch.eye(self.start.dim, dtype=factor.dtype, device=factor.device)
        outset = [self._first, torch.zeros_like(self._free)]
        target = [self._second, self._free]
        if backward:
            outset, target = target, outset
        outset, target = (torch.cat(pair, -1) for pair in (outset, target))
        here = (1 - s) * outset + s * target
        covariance = factor @ factor.mT
        across = (target - outset) @ here.mT - tau * s * identity
        at_outset = place == 0
        if bool(at_outset.any()) and _singular(outset):
            if not bool(at_outset.all()):
                raise ValueError("t must be all 0 or all > 0 where the law at 0 is singular")
            return _limit(outset, target, tau, identity)
        if bool((place == 1).any()) and _singular(target):
            raise ValueError("the drift diverges at the end, where the law is singular; ask for an earlier time")
        return torch.linalg.solve(covariance, across, left=False)

    def _applied(self, affine: tuple[Tensor, Tensor], x: Any) -> Tensor:
        matrix, offset = affine
        x = self.start._points(x)
        return (matrix @ x[..., None])[..., 0] + offset


def _singular(factor: Tensor) -> bool:
    return bool((Gaussian.from_factor(factor[..., 0] * 0, factor).rank < factor.shape[-2]).any())


def _limit(outset: Tensor, target: Tensor, tau: Tensor, identity: Tensor) -> Tensor:
    """The slope as s goes to 0 from a singular law: along its support by its pseudo-inverse; across it by pure noise.

    There x_s = s y + noise of variance tau s, of which y - x_s given x_s is (Cov(y | x) - tau) / tau times the former.
    """
    left, values, _ = torch.linalg.svd(outset, full_matrices=False)
    kept = values > outset.shape[-1] * torch.finfo(outset.dtype).eps * values[..., :1].clamp(min=0.0)
    inverse = torch.where(kept, 1 / torch.where(kept, values, 1.0).square(), 0.0)
    pseudo = left * inverse[..., None, :] @ left.mT
    across = identity - left * kept[..., None, :].to(left.dtype) @ left.mT
    regression = target @ outset.mT @ pseudo
    rest = target @ target.mT - regression @ outset @ target.mT
    return regression - (identity - across) + (rest / tau - identity) @ across


def schroedinger_bridge(p: Any, q: Any, sigma: Sigma, duration: Any, **options: Any) -> GaussianBridge | AtomicBridge:
    """The Schroedinger bridge from p to q: the process with these ends that is closest to dX = sigma dB, in KL.

    Its drift b minimises E integral of |b|^2 / (2 sigma^2) dt; `.kl` is this minimum. With tau the integral of sigma^2
    over the duration, the ends are coupled as `entropic` with epsilon = 2 tau couples them, and for Gaussians

        KL = OT_epsilon(p, q) / epsilon + (D / 2) log(2 pi tau) - h(q).

    As sigma goes to 0 the marginals become those of the Wasserstein-2 geodesic.

    Parameters
    ----------
    p, q
        Two Gaussians, singular ones included (batches broadcast), or two laws of atoms (`Empirical`, `Discrete`).
    sigma
        The noise amplitude: a number or batch of numbers > 0, an invertible matrix (D, D), or a function of times
        (M, ...) with values of their shape, or (M, ..., D, D): one matrix times a function of time.
    duration
        T > 0.
    **options
        For atoms: `tolerance`, `max_iterations`, `progress` as in `sinkhorn`.

    Returns
    -------
    GaussianBridge
        With `.marginal(t)`, `.drift(x, t)`, `.affine(t)`, `.backward_drift(x, t)`, `.process()`, `.kl`, `.coupling`.
    AtomicBridge
        For atoms: `.marginal(t)` (a mixture over pairs of atoms), `.drift(x, t)`, `.sample_paths(...)`, `.plan`,
        `.transport_cost`, `.end_error`.

    Raises
    ------
    TypeError
        When the laws are neither both Gaussian nor both of atoms.
    ValueError
        When dimensions differ, sigma is not positive (or singular), or the duration is not.

    Source: Bunne, Hsieh, Cuturi and Krause, AISTATS (2023), Theorem 3; Mallasto, Gerolin and Minh, Inf. Geom. 5, 289
    (2022); Leonard, Discrete Contin. Dyn. Syst. 34, 1533 (2014).

    Examples
    --------
    >>> import infotherm as it
    >>> bridge = schroedinger_bridge(it.Gaussian(0.0, 1.0), it.Gaussian(1.5, 0.36), sigma=1.0, duration=1.0)
    >>> round(bridge.kl.value.item(), 9), round(bridge.marginal(0.5).variance.item(), 9)
    (1.658630913, 0.730512484)
    """
    p, q = as_distribution(p, "p"), as_distribution(q, "q")
    require_same_dim(p, q)
    if is_atomic(p) and is_atomic(q):
        return atomic_bridge(p, q, sigma, duration, **options)
    for name, law in (("p", p), ("q", q)):
        if not isinstance(law, Gaussian):
            raise TypeError(f"p and q must be two Gaussians or two laws of atoms; {name} is a {type(law).__name__}")
    assert isinstance(p, Gaussian) and isinstance(q, Gaussian)
    if options:
        raise TypeError(f"a bridge of Gaussians takes no options; got {sorted(options)}")
    noise = Noise(sigma, duration, p)
    first, second = noise.whitened(p, "p"), noise.whitened(q, "q")
    assert isinstance(first, Gaussian) and isinstance(second, Gaussian)
    x, y, free = (factor.detach() for factor in _coupled(first, second, noise.exposure))
    means = (first.mean.detach(), second.mean.detach())
    return GaussianBridge(
        p, q, noise.duration, _path_divergence(first, second, noise), _joint(p, q, noise, x, y, free), noise, sigma,
        x, y, free, means,
    )  # fmt: skip


def _coupled(p: Gaussian, q: Gaussian, tau: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Factors X, Y, Z of the optimal coupling: x = m_0 + X z_1, y = m_1 + Y z_1 + Z z_2 with normal z_1, z_2."""
    with torch.no_grad():
        width = max(p.factor.shape[-1], q.factor.shape[-1], p.dim)
        batch = torch.broadcast_shapes(p.batch_shape, q.batch_shape, tau.shape)
        A, B = (_square(law.factor.detach(), width).expand(*batch, p.dim, p.dim) for law in (p, q))
        left, singular, right = torch.linalg.svd(B.mT @ A)
        half = tau.expand(batch)[..., None]
        rho = correlations(singular, half)
        # 1 - rho^2 without cancellation
        rest = (2 * half / (torch.hypot(2 * singular, half) + half)).sqrt()
        return A @ right.mT, B @ (left * rho[..., None, :]), B @ (left * rest[..., None, :])


def _joint(p: Gaussian, q: Gaussian, noise: Noise, x: Tensor, y: Tensor, free: Tensor) -> Gaussian:
    if noise.root is not None:
        x, y, free = (noise.root @ part for part in (x, y, free))
    factor = torch.cat([torch.cat([x, torch.zeros_like(free)], -1), torch.cat([y, free], -1)], -2)
    batch = factor.shape[:-2]
    mean = torch.cat([law.mean.detach().expand(*batch, p.dim) for law in (p, q)], -1)
    return Gaussian.from_factor(mean, factor, parts={"x": p.dim, "y": q.dim})


def _path_divergence(p: Gaussian, q: Gaussian, noise: Noise) -> Estimate:
    """OT_epsilon / epsilon + (D / 2) log(2 pi tau) - h(q)."""
    tau = noise.exposure
    cost, spread = entropic(p, q, 2 * tau), entropy(q)
    ratio, free = torch.broadcast_tensors(cost.value / (2 * tau), 0.5 * p.dim * (2 * math.pi * tau).log())
    value = ratio + free - spread.value
    error = cost.error / (2 * tau) + spread.error + rounding_error([ratio, free])
    # tau stands in the prefactor, in epsilon (with the slope KL) and in the logarithm
    error = error + (ratio.abs() + cost.info["information"] + 0.5 * p.dim) * noise.exposure_error / tau
    return Estimate(value, error=error.detach())
