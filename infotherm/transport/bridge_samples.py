"""Schroedinger bridges between atoms: an entropic coupling of them, and Brownian bridges between its pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.tensors import Generator, as_generator, as_tensor, chunks, require_finite
from infotherm.distributions import GaussianMixture
from infotherm.distributions.base import Distribution
from infotherm.distributions.discrete import draw_indices
from infotherm.transport.atoms import atoms_of
from infotherm.transport.noise import Noise, Sigma
from infotherm.transport.regularised import coupled_atoms

_MOST_PAIRS = 2**22  # components of a marginal
_BLOCK = 2**22


@dataclass(frozen=True, eq=False)
class AtomicBridge:
    """The Schroedinger bridge between two laws of atoms: pairs drawn from the entropic coupling, joined by noise.

    With tau the integral of sigma^2 and epsilon = 2 tau, the coupling minimises E |x - y|^2 + epsilon KL(P | a x b). It
    is exact at the start; at the end it is b as far as the potentials converged, see `end_error`. All statements are
    about these atoms: a law of atoms has no density, so that the divergence from free Brownian motion is infinite, and
    `transport_cost` / epsilon is its finite part.

    Attributes
    ----------
    starts, start_weights, ends, end_weights
        The atoms (N, D), (M, D) and their weights.
    duration
        T.
    transport_cost
        OT_epsilon(p, q), an Estimate whose error is the duality gap.
    end_error
        Total variation between the weights with which the bridge arrives and those of q.
    """

    starts: Tensor
    start_weights: Tensor
    ends: Tensor
    end_weights: Tensor
    duration: Tensor
    transport_cost: Estimate
    end_error: Tensor
    _noise: Noise
    _log_weights: Tensor  # log b_j + g_j / epsilon: the end reached from x in proportion to exp(this) N(y_j; x, tau)
    _starts: Tensor  # in the coordinates of the noise
    _ends: Tensor

    @property
    def plan(self) -> Tensor:
        """The coupling, shape (N, M): from start i to end j with this probability."""
        return self.start_weights[:, None] * self._choices(self._starts, self._noise.exposure)

    def marginal(self, t: Any) -> GaussianMixture:
        """The law at one time t in [0, T]: normal around the straight line of each pair, variance tau s (1 - s).

        s is the fraction of tau spent at time t. Pairs whose probabilities add up to less than eps are left out.

        Raises
        ------
        ValueError
            For times outside [0, T], several times, or more pairs than fit (`sample_paths` takes any number).
        """
        s = self._place(t)
        plan = self.plan
        rows, columns = (plan > torch.finfo(plan.dtype).eps / plan.numel()).nonzero(as_tuple=True)
        if len(rows) > _MOST_PAIRS:
            raise ValueError(f"a mixture of {len(rows)} pairs does not fit: use sample_paths, or fewer atoms")
        weights = plan[rows, columns]
        means = (1 - s) * self.starts[rows] + s * self.ends[columns]
        variance = self._noise.exposure * s * (1 - s)
        root = self._noise.root
        covariance = variance if root is None else variance * root @ root.mT
        return GaussianMixture(weights / weights.sum(), means, covariance)

    def drift(self, x: Any, t: Any) -> Tensor:
        """b(x, t) = sigma^2 grad_x log E[h(X_T) | X_t = x] of dX = b dt + sigma dB at one time t < T, shape (..., D).

        The pull sigma^2 (E[y | x] - x) / (tau - tau(t)) towards the mean end, over weights
        b_j exp(g_j / epsilon) N(y_j; x, tau - tau(t)): no start occurs in it.

        Raises
        ------
        ValueError
            At t = T, where the noise that is left is zero, and for points of another dimension.
        """
        s = self._place(t)
        if float(s) >= 1.0:
            raise ValueError("t must be < duration: at the end the drift towards single atoms diverges")
        x = require_finite(as_tensor(x, "x", dtype=self.ends.dtype, device=self.ends.device), "x")
        if x.ndim == 0 or x.shape[-1] != self.ends.shape[-1]:
            raise ValueError(f"x must have shape (..., {self.ends.shape[-1]}); got {tuple(x.shape)}")
        root, flat = self._noise.root, x.reshape(-1, x.shape[-1])
        here = flat if root is None else torch.linalg.solve_triangular(root, flat.mT, upper=False).mT
        left = self._noise.exposure * (1 - s)
        parts = [
            self._choices(here[rows], left) @ self.ends for rows in chunks(len(here), max(1, _BLOCK // len(self.ends)))
        ]
        pull = torch.cat(parts) - flat if parts else flat
        return (self._noise.rate(t) / (1 - s) * pull).reshape(x.shape)

    def sample_paths(self, n: int, times: Any, *, generator: Generator = None) -> Tensor:
        """Exact draws of n paths at increasing times in [0, T], shape (K, n, D) for K times.

        Raises
        ------
        ValueError
            For n < 1, or times that do not increase or lie outside [0, T].
        """
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"n must be an integer >= 1; got {n!r}")
        times = as_tensor(times, "times", dtype=self.ends.dtype, device=self.ends.device)
        if times.ndim != 1 or bool((times.diff() <= 0).any()):
            raise ValueError(f"times must be one increasing row; got {times.tolist()}")
        places = torch.cat([places.new_zeros(1), places]) if (places := self._noise.clock(times)).numel() else places
        rng = as_generator(generator, self.ends.device)
        rows = draw_indices(self.start_weights, (n,), rng)
        distinct, which = rows.unique(return_inverse=True)
        columns = torch.empty_like(rows)
        for part in chunks(len(distinct), max(1, _BLOCK // len(self.ends))):
            chances = self._choices(self._starts[distinct[part]], self._noise.exposure)
            mine = ((which >= part.start) & (which < part.stop)).nonzero()[:, 0]
            columns[mine] = draw_indices(chances[which[mine] - part.start], (), rng)
        x, end, root = self._starts[rows], self._ends[columns], self._noise.root
        path = []
        for before, now in zip(places[:-1], places[1:], strict=True):
            # pinned Brownian motion: the next point given this one and the end
            share = (now - before) / (1 - before) if float(before) < 1 else torch.ones_like(now)
            spread = (self._noise.exposure * (now - before) * (1 - share)).sqrt()
            normal = torch.randn(x.shape, generator=rng, dtype=x.dtype, device=x.device)
            x = x + share * (end - x) + spread * normal
            path.append(x if root is None else x @ root.mT)
        return torch.stack(path) if path else x.new_empty(0, *x.shape)

    def _choices(self, x: Tensor, left: Tensor) -> Tensor:
        return _choices(x, self._ends, self._log_weights, left)

    def _place(self, t: Any) -> Tensor:
        s = self._noise.clock(t)
        if s.numel() != 1:
            raise ValueError(f"t must be one time; got shape {tuple(s.shape)}")
        return s.reshape(())


def atomic_bridge(p: Distribution, q: Distribution, sigma: Sigma, duration: Any, **options: Any) -> AtomicBridge:
    """`schroedinger_bridge` between laws of atoms; carries no gradient."""
    noise = Noise(sigma, duration, p)
    if noise.exposure.numel() != 1:
        raise ValueError(f"a bridge between atoms takes one sigma and duration; got {tuple(noise.exposure.shape)}")
    tau = noise.exposure.reshape(())
    with torch.no_grad():
        first, second = (atoms_of(law) for law in (p, q))
        dtype = torch.promote_types(first[0].dtype, second[0].dtype)
        (x, a), (y, b) = (tuple(part.to(dtype) for part in law) for law in (first, second))
        inner = [points if noise.root is None else _whitened(noise.root, points) for points in (x, y)]
        cost, coupling = coupled_atoms((inner[0], a), (inner[1], b), 2 * tau, **options)
        # the potential of centred points, to that of these: |x - y|^2 = |x' - y'|^2 + terms in x and in y alone
        shift = a @ inner[0] - b @ inner[1]
        g = coupling.potentials[1] - 2 * (inner[1] - b @ inner[1]) @ shift
        log_weights = torch.where(b > 0, b.log(), -torch.inf) + g / (2 * tau)
        blocks = chunks(len(x), max(1, _BLOCK // len(y)))
        arrived = sum(a[rows] @ _choices(inner[0][rows], inner[1], log_weights, tau) for rows in blocks)
        end_error = (arrived - b).abs().sum() / 2
    return AtomicBridge(x, a, y, b, noise.duration, cost, end_error, noise, log_weights, inner[0], inner[1])


def _choices(x: Tensor, ends: Tensor, log_weights: Tensor, left: Tensor) -> Tensor:
    """The probabilities of the ends from points x with the exposure `left` to go, shape (K, M)."""
    squares = torch.cdist(x, ends, compute_mode="donot_use_mm_for_euclid_dist").square_()
    return torch.softmax(log_weights - squares / (2 * left), -1)


def _whitened(root: Tensor, points: Tensor) -> Tensor:
    return torch.linalg.solve_triangular(root, points.mT, upper=False).mT
