"""Iterative proportional fitting: the Schroedinger bridge by half-bridges, one end made right at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infotherm.channels import LinearGaussianChannel
from infotherm.core.tensors import as_tensor, as_tensors, require_finite, require_shape
from infotherm.distributions import Gaussian, as_distribution


def proportional_fitting(reference: Any, p: Any, q: Any, steps: int) -> list[Any]:
    """The couplings after 0, 1, ..., `steps` half-bridges, by turns with the second marginal q and the first p.

    A half-bridge keeps the conditional law of one end given the other and puts the right law at the other: it is the
    nearest coupling, in KL, with that marginal. Between Gaussians the conditional means are affine, so that the
    regression of one end on the other (mean matching) is exact; between atoms half-bridges are Sinkhorn's scalings.
    They converge geometrically to the coupling of the Schroedinger bridge.

    Parameters
    ----------
    reference
        A joint Gaussian with parts "x" and "y" of one size, or a matrix (N, M) of weights > 0.
    p, q
        The laws of the ends: Gaussians, or weights (N,) and (M,).
    steps
        The number of half-bridges, >= 0.

    Returns
    -------
    list
        Of steps + 1 couplings of the kind of `reference`, which is the first.

    Raises
    ------
    TypeError, ValueError
        When the ends are not of the kind of the reference, for shapes that do not fit, weights that are not > 0.

    Source: De Bortoli, Thornton, Heng and Doucet, NeurIPS 34 (2021), Proposition 2; Ruschendorf, Ann. Stat. 23, 1160
    (1995), for the convergence.

    Examples
    --------
    >>> [m.tolist() for m in proportional_fitting([[1.0, 1.0], [1.0, 3.0]], [0.5, 0.5], [0.5, 0.5], steps=1)]
    [[[1.0, 1.0], [1.0, 3.0]], [[0.25, 0.125], [0.25, 0.375]]]
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise ValueError(f"steps must be an integer >= 0; got {steps!r}")
    if isinstance(reference, Gaussian):
        return _gaussian(reference, p, q, steps)
    if not isinstance(reference, Tensor | list | tuple) and not hasattr(reference, "__array__"):
        raise TypeError(f"reference must be a Gaussian or a matrix; got {type(reference).__name__}")
    return _atoms(as_tensor(reference, "reference"), p, q, steps)


def _atoms(matrix: Tensor, p: Any, q: Any, steps: int) -> list[Tensor]:
    sizes = require_shape(matrix, ("N", "M"), "reference")
    matrix, p, q = as_tensors(reference=matrix, p=p, q=q)
    require_shape(p, (sizes["N"],), "p")
    require_shape(q, (sizes["M"],), "q")
    for name, weights in (("reference", matrix), ("p", p), ("q", q)):
        if not bool((require_finite(weights, name) > 0).all()):
            raise ValueError(f"{name} must be > 0; got {weights.min().item()}")
    found = [matrix]
    for step in range(steps):
        last = found[-1]
        found.append(last * (q / last.sum(0)) if step % 2 == 0 else last * (p / last.sum(1))[:, None])
    return found


def _gaussian(joint: Gaussian, p: Any, q: Any, steps: int) -> list[Gaussian]:
    p, q = as_distribution(p, "p"), as_distribution(q, "q")
    for name, law in (("p", p), ("q", q)):
        if not isinstance(law, Gaussian):
            raise TypeError(f"{name} must be a Gaussian like the reference; got {type(law).__name__}")
    if joint.parts != {"x": p.dim, "y": q.dim}:
        raise ValueError(f"reference must have the parts x of size {p.dim} and y of size {q.dim}; got {joint.parts}")
    found = [joint]
    for step in range(steps):
        given, other, law = ("y", "x", q) if step % 2 == 0 else ("x", "y", p)
        turned = _regression(found[-1], given, other).joint(law, names=(given, other)).marginal(["x", "y"])
        assert isinstance(turned, Gaussian)
        found.append(turned)
    return found


def _regression(joint: Gaussian, given: str, other: str) -> LinearGaussianChannel:
    """The conditional law of one part given the other, as a channel."""
    i, j = joint.part_indices(given), joint.part_indices(other)
    C = joint.covariance
    gain = torch.linalg.solve(C[..., i, :][..., i], C[..., j, :][..., i], left=False)
    rest = C[..., j, :][..., j] - gain @ C[..., i, :][..., j]
    offset = joint.mean[..., j] - (gain @ joint.mean[..., i, None])[..., 0]
    return LinearGaussianChannel(gain, (rest + rest.mT) / 2, offset)
