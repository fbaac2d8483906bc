"""Entropy production of Langevin processes over a time, by the Fokker-Planck equation on a grid."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.quantity import NotApplicable
from infotherm.distributions.base import Distribution
from infotherm.information.entropies import entropy
from infotherm.processes import Langevin
from infotherm.processes.fokker_planck import evolve
from infotherm.thermodynamics.langevin_rates import certain_infinity, on_its_space, runs_off_a_cliff
from infotherm.thermodynamics.system_and_medium import has_atoms
from infotherm.thermodynamics.totals import total_quantity

_TIMES = {1: 33, 2: 9}  # at which a total is resolved, unless asked for others


def _needs_grid(process: Langevin, p0: Distribution, *rest: Any, route: str = "balance") -> None:
    if route not in ("balance", "rate"):
        raise ValueError(f"route must be 'balance' or 'rate'; got {route!r}")
    if p0.dim > 2:
        raise NotApplicable(f"a grid needs D <= 2; p0 has D = {p0.dim}: simulate paths")
    if has_atoms(p0):
        raise NotApplicable("p0 has atoms: infinite")


def _needs_atoms(process: Langevin, p0: Distribution, *rest: Any) -> None:
    if not has_atoms(p0):
        raise NotApplicable("p0 has a density")


@total_quantity.rule(Langevin, Distribution, method="closed-form", when=_needs_atoms)
def atomic_langevin_total(process: Langevin, p0: Distribution, start: Tensor, end: Tensor) -> Estimate:
    """Infinite: h(p_0) = -infinity."""
    return certain_infinity(p0)


@total_quantity.rule(Langevin, Distribution, method="quadrature", when=_needs_grid)
def langevin_total(
    process: Langevin,
    p0: Distribution,
    start: Tensor,
    end: Tensor,
    *,
    times: Any = None,
    tolerance: float | None = None,
    route: str = "balance",
) -> Estimate:
    """The balance h(p_T) - h(p_0) + medium, or the integral of the rate: two routes, the other one in the info.

    A start on a part of the space only is fine: its entropy is finite and so is what spreading produces, although the
    rate is infinite at first. What is lost there is another law: exp(-S_tot) then has a mean below one.
    """
    if start.ndim or end.ndim:
        raise ValueError("start and duration must be single numbers for a grid: take them one by one")
    if times is None:
        times = torch.linspace(float(start), float(end), _TIMES[p0.dim], dtype=torch.float64)
    if bool(end == start):
        return Estimate(torch.zeros((), dtype=torch.float64), method="quadrature")
    asked = times.reshape(-1)
    stops = torch.cat([start.reshape(1), asked.cpu(), end.reshape(1)]).unique()
    evolution = evolve(process, p0, stops, tolerance=tolerance)
    before = entropy(on_its_space(process, p0))
    after = entropy(evolution.final) if p0.dim == 1 else _last(evolution.entropy)
    if p0.dim == 1:
        # an error of the log-density of relative size a moves -E log p by a (1 + |log p|) at most
        slack = evolution.final.accuracy * (1 + float(after.value.abs()))
        after = Estimate(after.value, error=after.error + slack, kind=after.kind, method="quadrature")
    system = after - before
    medium, produced = _last(evolution.medium), _last(evolution.produced)
    total, other = (system + medium, produced) if route == "balance" else (produced, system + medium)
    where = torch.searchsorted(stops, asked.cpu())
    if runs_off_a_cliff(
        process, on_its_space(process, p0)
    ):  # what starts at a cliff runs down it at an infinite rate, for no time
        evolution.rate[0, 0] = torch.inf
    rate = Estimate(evolution.rate[0, where], error=evolution.rate[1, where], method="quadrature", units="nat/time")
    info: dict[str, Any] = {"rate": rate, "times": asked, "system": system, "medium": medium, "nodes": evolution.nodes}
    info["integral_of_rate" if route == "balance" else "balance"] = other
    if not evolution.converged:
        info["converged"] = False
    return Estimate(total.value, error=total.error, kind=total.kind, method="quadrature", info=info)


def _last(numbers: Tensor) -> Estimate:
    """The last of values and errors (2, T)."""
    return Estimate(numbers[0, -1], error=numbers[1, -1], method="quadrature")
