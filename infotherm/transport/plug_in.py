"""Optimal transport between two samples, with the dual potentials that say how it would vary."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class PlugIn(NamedTuple):
    """W2^2 of two samples, a bound on its numerical error, and dual potentials (n,), (m,) up to a constant.

    `partners` are the places in y of the points that x is moved to, where the samples are of one size, else None.
    """

    square: Tensor
    error: Tensor
    u: Tensor
    v: Tensor
    partners: Tensor | None


def plug_in(x: Tensor, y: Tensor) -> PlugIn:
    """Optimal transport of samples (n, D) to (m, D) for the cost |x - y|^2: by sorting on a line, else by POT.

    The error is the duality gap of the potentials after they have been made feasible, u_i + v_j <= |x_i - y_j|^2.

    Raises
    ------
    ModuleNotFoundError
        In D > 1 without the package POT.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    >>> found = plug_in(x, x.flip(0) + 2)
    >>> found.square.item(), found.partners.tolist()
    (4.0, [1, 0])
    """
    return _on_a_line(x[:, 0], y[:, 0]) if x.shape[1] == 1 else _by_pot(x, y)


def _on_a_line(x: Tensor, y: Tensor) -> PlugIn:
    n, m = len(x), len(y)
    (x, order_x), (y, order_y) = x.sort(), y.sort()
    rows, columns = torch.arange(1, n, device=x.device), torch.arange(1, m, device=x.device)
    # levels i m and j n of the two quantile functions, in integers: ties are exact
    levels = torch.cat([rows * m, columns * n]).sort().values
    ends = torch.nn.functional.pad(torch.cat([levels, levels.new_tensor([n * m])]), (1, 0))
    low, widths = ends[:-1], ends.diff()
    square = (widths * (x[low // m] - y[low // n]).square()).sum() / (n * m)
    u = _climb(x, y, rows * m, n)
    v = _climb(y, x, columns * n, m)
    partners = None
    if n == m:
        partners = torch.empty_like(order_x)
        partners[order_x] = order_y
    eps = torch.finfo(x.dtype).eps
    largest = torch.maximum((x[0] - y[-1]).square(), (x[-1] - y[0]).square())
    error = 8 * eps * (square + largest * eps * (n + m)) + torch.finfo(x.dtype).tiny
    shift = square - u.mean() - v.mean()
    return PlugIn(square, error, _placed(u + shift, order_x), _placed(v, order_y), partners)


def _climb(x: Tensor, y: Tensor, levels: Tensor, n: int) -> Tensor:
    """Potential at sorted points: its steps keep the duality constraints tight; a tie takes the middle of its range."""
    before, after = ((levels - shift).div(n, rounding_mode="floor").clamp(max=len(y) - 1) for shift in (1, 0))
    steps = x.diff() * (x[1:] + x[:-1] - y[before] - y[after])
    return torch.nn.functional.pad(steps.cumsum(0), (1, 0))


def _placed(ordered: Tensor, order: Tensor) -> Tensor:
    return torch.empty_like(ordered).index_copy(0, order, ordered)


def _by_pot(x: Tensor, y: Tensor) -> PlugIn:
    try:
        import ot
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "an optimal assignment in D > 1 needs the package POT (pip install POT); empirical_lower does without"
        ) from missing
    costs = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square().cpu()
    n, m = costs.shape
    plan, log = ot.emd([], [], costs.numpy(), numItermax=10_000_000, log=True)
    if log["warning"] is not None:
        raise RuntimeError(f"the optimal assignment did not finish: {log['warning']}")
    plan, u, v = (torch.as_tensor(t) for t in (plan, log["u"], log["v"]))
    violation = (u[:, None] + v - costs).max().clamp(min=0.0)
    square = (plan * costs).sum()
    gap = (square - (u.mean() + v.mean() - violation)).clamp(min=0.0)
    error = gap + torch.finfo(costs.dtype).eps * (8 * square + (n + m) * costs.max())
    partners = plan.argmax(-1).to(x.device) if n == m else None
    return PlugIn(square.to(x), error.to(x), u.to(x), v.to(x), partners)
