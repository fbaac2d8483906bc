"""Lower bounds on the Wasserstein-2 distance of two laws from samples: duality, with potentials fitted elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.tensors import Generator, as_generator, as_tensor, require_finite
from infotherm.estimators.base import as_samples, stream_of_samples
from infotherm.estimators.held_out import copied_rows
from infotherm.transport.brenier_potentials import (
    Potential,
    Quadratic,
    fit_quadratic,
    fit_radial,
    fit_separable,
)
from infotherm.transport.sample_limits import root_of, sampled_sum, squared_bound

FAMILIES = ("quadratic", "separable", "radial")
_KNOTS = (8, 24, 72)
_FITTED_SHARE = 0.7  # of the samples that may be used for fitting, when families are compared on the rest

Fit = Callable[[Tensor, Tensor, Quadratic], Potential]


def empirical_lower(
    x: Any,
    y: Any,
    *,
    confidence: float = 0.99,
    folds: int = 5,
    families: Sequence[str] | None = None,
    squared: bool = False,
    generator: Generator = None,
) -> Estimate:
    r"""A lower bound on W2(p, q) of the laws behind two samples, whatever these laws are.

    Kantorovich duality: W2(p, q)^2 >= E_p[|x|^2 - 2 f(x)] + E_q[|y|^2 - 2 f*(y)] for every convex f. Here f is fitted
    to all folds but one and the means are taken over that one, in turn; the bound is the mean over the folds. The
    conjugate f* is exact or bounded from above, so that the inequality holds for the fitted f too.

    Families: "quadratic" (the optimal map of the Gaussians with the sample moments: tight for Gaussians, elsewhere the
    bound of Gelbrich), "separable" (one-dimensional optimal maps along an orthonormal basis: tight on a line and for
    product laws), "radial" (of the radii in the metric of the linear map: tight between laws of one elliptic shape).
    Which one is taken is decided, in every turn, on samples that the bound is not evaluated on.

    Parameters
    ----------
    x, y
        Samples (N, D) and (M, D), or (N,) and (M,) for D = 1; batches (..., N, D) and (..., M, D) of one shape. Rows of
        each are independent; where N = M, row i of x and row i of y may depend on each other (ends of a path).
    confidence
        The level at which limits are corrected for skewness; `.lower_limit(alpha)` takes any other, see below.
    folds
        Number of folds K >= 2; or 1: the first half of the (shuffled) samples fits, the second evaluates.
    families
        Those to choose from, by default all. "quadratic" alone is fast, also over large batches.
    squared
        Whether the bound is on W2^2 instead.
    generator
        For the split into folds.

    Returns
    -------
    Estimate
        Kind "lower", units "1". The value is the bound's point value (0 where the mean is negative; `info["square"]`
        keeps the sign), with a standard error such that `.lower_limit(alpha)` is a one-sided confidence limit
        of the bound and so of W2: asymptotically, by the central limit theorem within folds (Student's t, corrected for
        skewness at level (1 - confidence) / 2), and, for K > 1, potentials that settle down as N grows (Bayle et al.);
        a single split needs only the former. Kind "unknown", with a warning, where few samples carry the variance or
        rows look copied.
        `info`: `families` taken, `folds`, `n_x`, `n_y`, and what the gate has seen. The root is conservative, down to
        alpha = (1 - confidence) / 100. Of 1000 pairs of Gaussian samples (N = 500, D = 1, 2, 8), at most 1.5 % of the
        limits at 99 % exceeded the truth.

    Raises
    ------
    ValueError
        For samples of different dimension, NaN, fewer than 10 or than 2 `folds` samples, an unknown family, or a
        confidence outside (0, 1).

    Source: Villani, Topics in Optimal Transportation (2003), Theorem 2.9 (duality); Bayle, Bayle, Janson and Mackey,
    Advances in Neural Information Processing Systems 33 (2020), Theorem 1 (means over folds).

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> x, y = torch.randn(2, 1000, 2, generator=g, dtype=torch.float64)
    >>> found = empirical_lower(x, 2 * y + 1, generator=0)  # the truth is 2
    >>> found.kind, 1.7 < found.lower_limit(0.01).item() < 2
    ('lower', True)
    """
    x, y = two_samples(x, y, confidence, least=10)
    folds = _folds(folds, min(x.shape[-2], y.shape[-2]))
    fits = dict(_candidates(_families(families), x.shape[-1], min(x.shape[-2], y.shape[-2])))
    random = as_generator(generator, x.device)
    streams = (stream_of_samples(x, y),)
    origin, scale = frame_of(x, y)
    reason, doubtful = copied(x, y)
    turns = [_turns((v - origin) / scale, folds) for v in shuffled(x, y, random)]
    over_x: list[Tensor] = []
    over_y: list[Tensor] = []
    chosen: set[str] = set()
    for (fit_x, held_x), (fit_y, held_y) in zip(*turns, strict=True):
        for gains, kept in zip(_gains(fit_x, fit_y, held_x, held_y, fits, chosen), (over_x, over_y), strict=True):
            kept.append(scale[..., 0].square() * gains)
    found = sampled_sum(over_x, over_y)
    size = sum(torch.cat(kept, -1).abs().mean(-1) for kept in (over_x, over_y)) + scale[..., 0, 0].square()
    seen_x, seen_y = (scale * torch.cat([held for _, held in turn], -2) for turn in turns)
    error = 64 * x.shape[-1] * torch.finfo(x.dtype).eps * size
    error = error + unseen(seen_x, seen_y, confidence) + unseen(seen_y, seen_x, confidence)
    info = {"families": ", ".join(sorted(chosen)), "folds": folds, "n_x": x.shape[-2], "n_y": y.shape[-2]}
    square = squared_bound(
        found, "lower", confidence=confidence, error=error, streams=streams, reason=reason, doubtful=doubtful, **info
    )
    return square if squared else root_of(square, "lower")


def two_samples(x: Any, y: Any, confidence: float, *, least: int) -> tuple[Tensor, Tensor]:
    """Samples (..., N, D) and (..., M, D) in float64, after a check of them and of the confidence.

    Raises
    ------
    ValueError
        Naming what does not fit.
    """
    x, y = _samples(x, "x", least), _samples(y, "y", least)
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(f"x and y must have as many coordinates; got D = {x.shape[-1]} and D = {y.shape[-1]}")
    if x.shape[:-2] != y.shape[:-2]:
        raise ValueError(f"x and y must be of one batch shape; got {tuple(x.shape)} and {tuple(y.shape)}")
    if x.device != y.device:
        raise ValueError(f"x and y must be on one device; got {x.device} and {y.device}")
    if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1); got {confidence!r}")
    return x, y


def _samples(x: Any, name: str, least: int) -> Tensor:
    if hasattr(x, "log_prob"):
        raise TypeError(f"{name} must be an array of samples; got the law {type(x).__name__}: its samples are needed")
    x = as_tensor(x, name).detach()
    if x.ndim <= 2:
        return as_samples(x, name, least=least)
    as_samples(x.flatten(0, -3)[0] if x.numel() else x[..., 0, :, :].flatten(0, -2), name, least=least)
    return require_finite(x.to(torch.float64), name)


def frame_of(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """A common origin (..., 1, D) and scale (..., 1, 1) in which squares neither cancel nor overflow.

    Raises
    ------
    ValueError
        When squared differences of the samples overflow.
    """
    low = torch.minimum(x.amin(-2, keepdim=True), y.amin(-2, keepdim=True))
    high = torch.maximum(x.amax(-2, keepdim=True), y.amax(-2, keepdim=True))
    scale = (high - low).amax(-1, keepdim=True)
    if not bool((scale.square() * x.shape[-1] < 1e-3 * torch.finfo(x.dtype).max).all()):
        raise ValueError(f"x and y must be in units in which squares do not overflow; they spread over {scale.max():g}")
    return low / 2 + high / 2, torch.where(scale > 0, scale, 1.0)


def unseen(x: Tensor, y: Tensor, confidence: float) -> Tensor:
    """What the law of x may hold beside the single point that all its samples show, as an allowance in W2^2.

    Of N equal samples, a mass of at most e = ln(2 / (1 - confidence)) / N lies elsewhere, at half of the level. At
    least the nearest 1 - e of y has to go to the point: what is missed is at most the mean over the farthest e of y.
    """
    constant = (x == x[..., :1, :]).all(-1).all(-1)
    if not bool(constant.any()):
        return torch.zeros_like(x[..., 0, 0])
    missed = min(math.log(2 / (1 - confidence)) / x.shape[-2], 1.0)
    squares = (y - x[..., :1, :]).square().sum(-1)
    farthest = squares.topk(math.ceil(missed * y.shape[-2]), dim=-1).values
    return torch.where(constant, farthest.sum(-1) / y.shape[-2], 0.0)


def shuffled(x: Tensor, y: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Both samples in random order; equally many keep their partners, so that pairs do not fall into two folds."""
    order = torch.randperm(x.shape[-2], generator=generator, device=x.device)
    other = order
    if y.shape[-2] != x.shape[-2]:
        other = torch.randperm(y.shape[-2], generator=generator, device=x.device)
    return x[..., order, :], y[..., other, :]


def copied(x: Tensor, y: Tensor) -> tuple[str, Tensor]:
    """Why rows look copied rather than drawn, if they do, and where: a copy in another fold is no fresh sample."""
    reason, doubtful = "", torch.zeros_like(x[..., 0, 0], dtype=torch.bool)
    for name, v in (("x", x), ("y", y)):
        repeats = (v[..., 0].sort(-1).values.diff(dim=-1) == 0).any(-1)
        for place in repeats.nonzero().tolist():
            found = copied_rows(v[tuple(place)])
            if found is not None:
                reason = f"{name}: {found}"
                doubtful[tuple(place)] = True
    return reason, doubtful


def _folds(folds: int, n: int) -> int:
    if isinstance(folds, bool) or not isinstance(folds, int) or folds < 1:
        raise ValueError(f"folds must be a positive integer; got {folds!r}")
    if n < 2 * folds:
        raise ValueError(f"{folds} folds need at least {2 * folds} samples on each side; got {n}")
    return folds


def _families(families: Sequence[str] | None) -> tuple[str, ...]:
    if families is None:
        return FAMILIES
    families = (families,) if isinstance(families, str) else tuple(families)
    unknown = [f for f in families if f not in FAMILIES]
    if unknown or not families:
        raise ValueError(f"families must be some of {', '.join(FAMILIES)}; got {', '.join(unknown) or 'none'}")
    return families


def _candidates(families: Sequence[str], dim: int, n: int) -> Iterator[tuple[str, Fit]]:
    """Ways to fit, the simplest first; those with more knots than the samples determine are left out."""
    if "quadratic" in families:
        yield "quadratic", lambda x, y, linear: linear
    for knots in [k for k in _KNOTS if 8 * k <= n] or [2]:
        if "separable" in families:
            for axes in ("principal", "coordinates") if dim > 1 else ("coordinates",):
                name = f"separable {knots} {axes}"
                yield name, lambda x, y, linear, k=knots, a=axes: fit_separable(x, y, linear, knots=k, axes=a)
        if "radial" in families and (dim > 1 or len(families) == 1):
            yield f"radial {knots}", lambda x, y, linear, k=knots: fit_radial(x, y, linear, knots=k)


def _turns(x: Tensor, folds: int) -> list[tuple[Tensor, Tensor]]:
    """What fits and what evaluates, in every turn."""
    if folds == 1:
        first, second = x.tensor_split(2, -2)
        return [(first, second)]
    parts = x.tensor_split(folds, -2)
    return [(torch.cat([*parts[:k], *parts[k + 1 :]], -2), parts[k]) for k in range(folds)]


def _gains(
    x: Tensor, y: Tensor, held_x: Tensor, held_y: Tensor, fits: dict[str, Fit], chosen: set[str]
) -> tuple[Tensor, Tensor]:
    """The gains of a potential fitted to x and y, at points held back; the names of those taken go to `chosen`."""
    if list(fits) == ["quadratic"]:
        potential = fit_quadratic(x, y)
        chosen.add(potential.name.replace(",", ""))
        return potential.gains(held_x, held_y)
    if x.ndim > 2:
        found = [_gains(*each, fits, chosen) for each in zip(x, y, held_x, held_y, strict=True)]
        return torch.stack([f[0] for f in found]), torch.stack([f[1] for f in found])
    potential = _fitted(x, y, fits)
    chosen.add(potential.name.replace(",", ""))
    return potential.gains(held_x, held_y)


def _fitted(x: Tensor, y: Tensor, fits: dict[str, Fit]) -> Potential:
    """The potential of the family that does best on a part of these samples kept aside, fitted to all of them.

    A later candidate replaces an earlier one only for a gain above its own standard error.
    """
    names = list(fits)
    best = names[0]
    if len(names) > 1:
        (fit_x, held_x), (fit_y, held_y) = (v.tensor_split([math.ceil(_FITTED_SHARE * len(v))]) for v in (x, y))
        linear = fit_quadratic(fit_x, fit_y)
        kept = fits[best](fit_x, fit_y, linear).gains(held_x, held_y)
        for name in names[1:]:
            gains = fits[name](fit_x, fit_y, linear).gains(held_x, held_y)
            more = sampled_sum([gains[0] - kept[0]], [gains[1] - kept[1]])
            if bool(more.value > more.stderr):
                best, kept = name, gains
    return fits[best](x, y, fit_quadratic(x, y))
