"""Entropic transport between finite laws: the coupling, its potentials, and a certificate of its cost."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.gradients import first_order
from infotherm.core.tensors import as_tensors, require_finite, require_shape
from infotherm.transport.couplings import Costs, row_transform
from infotherm.transport.entropic_solver import Progress, Solution, Solver
from infotherm.transport.progress_bar import progress_bar

_NOTICEABLE = 2**18  # pairs of atoms whose coupling may take seconds


@dataclass(frozen=True, eq=False)
class EntropicCoupling:
    """The minimiser of <P, C> + epsilon KL(P | a x b) over couplings P of a and b, as far as it was found.

    Attributes
    ----------
    cost
        The minimum; its error is the measured gap between a dual lower and a primal upper bound, plus rounding.
    information
        KL(P | a x b), the mutual information of the two ends, in nats.
    potentials
        f (N,) and g (M,), in units of the cost: P = a b exp((f + g - C) / epsilon); known up to a constant, which moves
        from one to the other.
    converged, iterations
        Whether the gap met the tolerance (or rounding), and the number of scalings and Newton steps.
    """

    cost: Estimate
    information: Tensor
    potentials: tuple[Tensor, Tensor]
    converged: bool
    iterations: int
    _solution: Solution
    _kept: tuple[Tensor, Tensor]
    _swapped: bool

    @property
    def plan(self) -> Tensor:
        """A coupling (N, M) with the marginals a and b to rounding, within `cost.error` of optimal."""
        return self._embedded(self._rounded())

    def _rounded(self) -> Tensor:
        """The scaled matrix, rows that weigh too much shrunk, and what then is missing coupled independently."""
        coupling, found = self._solution.coupling, self._solution.certificate
        parts = [block * found.shrink[rows, None] for rows, block in coupling.blocks()]
        plan = torch.cat(parts)
        missing = found.left.sum()
        if bool(missing > 0):
            plan = plan + found.left[:, None] * (found.right / missing)
        return plan.mT if self._swapped else plan

    def _embedded(self, plan: Tensor) -> Tensor:
        rows, columns = self._kept
        if plan.shape == (len(rows), len(columns)):
            return plan
        whole = plan.new_zeros(len(rows), len(columns))
        whole[rows.nonzero(), columns.nonzero()[:, 0]] = plan
        return whole


def sinkhorn(
    a: Any,
    b: Any,
    cost: Any,
    epsilon: float,
    *,
    tolerance: float = 1e-9,
    max_iterations: int = 5000,
    progress: Progress | None = None,
) -> EntropicCoupling:
    """Entropic transport between two finite laws: min over couplings P of a and b of <P, C> + epsilon KL(P | a x b).

    Both terms count, and the divergence is relative to the product a x b: neither <P, C> alone nor the entropy of P.
    Scalings on a stabilised kernel while these converge fast, then Newton steps on the dual: any epsilon > 0 is legal.

    Parameters
    ----------
    a, b
        Weights (N,) and (M,), >= 0, each summing to one; zero is legal.
    cost
        C, shape (N, M), any finite numbers.
    epsilon
        > 0, in units of the cost.
    tolerance
        The goal for the duality gap, relative to the mean cost a^T C b.
    max_iterations
        The most scalings and Newton steps.
    progress
        Called as progress(iterations, max_iterations) after each round; without it a bar comes up on a terminal after
        two seconds.

    Returns
    -------
    EntropicCoupling
        `.cost` (Estimate, kind "exact", units "1"; differentiable once in a, b, C), `.plan`, `.potentials`,
        `.information`, `.converged`, `.iterations`. Its dtype and device are those of the inputs.

    Raises
    ------
    ValueError
        For weights that are negative or do not sum to one, shapes that do not fit, entries that are not finite, an
        epsilon that is not > 0.

    Warns
    -----
    RuntimeWarning
        When the gap did not meet the tolerance; the error says how large it is.

    Source: Cuturi, NeurIPS 26 (2013); Schmitzer, SIAM J. Sci. Comput. 41, A1443 (2019), for stabilised kernels;
    Altschuler, Weed and Rigollet, NeurIPS 30 (2017), Algorithm 2, for the rounding of couplings.

    Examples
    --------
    >>> found = sinkhorn([0.5, 0.5], [0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]], epsilon=1.0)
    >>> round(found.cost.value.item(), 9), found.plan[0, 1].item()  # -log((1 + 1/e) / 2) and 1 / (2 + 2 e)
    (0.379885493, 0.1344707)
    """
    a, b, cost = as_tensors(a=a, b=b, cost=cost)
    require_shape(a, ("N",), "a")
    require_shape(b, ("M",), "b")
    require_shape(require_finite(cost, "cost"), (len(a), len(b)), "cost")
    a, b = (_weights(w, name) for w, name in ((a, "a"), (b, "b")))
    found = couple(
        Costs(matrix=cost.detach()),
        a,
        b,
        positive_number(epsilon, "epsilon"),
        tolerance=tolerance,
        max_iterations=max_iterations,
        progress=progress,
    )
    if not cost.requires_grad:
        return found
    coupling = found._solution.coupling
    assert coupling.matrix is not None
    plan = found._embedded(coupling.matrix.mT if found._swapped else coupling.matrix)
    through = (plan * first_order(cost)).sum()
    return _with(found, found.cost.value + (through - through.detach()))


def positive_number(x: Any, name: str) -> float:
    """A finite number > 0.

    Raises
    ------
    TypeError, ValueError
        Naming the argument.
    """
    (x,) = as_tensors(**{name: x})
    require_finite(x, name)
    if x.numel() != 1:
        raise ValueError(f"{name} must be a single number; got shape {tuple(x.shape)}")
    number = float(x.detach())
    if not number > 0:
        raise ValueError(f"{name} must be > 0; got {number}")
    return number


def couple(
    costs: Costs,
    a: Tensor,
    b: Tensor,
    epsilon: float,
    *,
    tolerance: float = 1e-9,
    max_iterations: int = 5000,
    symmetric: bool = False,
    progress: Progress | None = None,
) -> EntropicCoupling:
    """`sinkhorn` for costs of any form and weights that sum to one; `symmetric` for a law with itself."""
    tolerance = positive_number(tolerance, "tolerance")
    if isinstance(max_iterations, bool) or not isinstance(max_iterations, int) or max_iterations < 1:
        raise ValueError(f"max_iterations must be an integer >= 1; got {max_iterations!r}")
    with torch.no_grad():
        rows, columns = a > 0, b > 0
        inner = costs.kept(rows, columns)
        first, second = a.detach()[rows], b.detach()[columns]
        swapped = len(first) > len(second)
        ends = (second, first) if swapped else (first, second)
        with _reported(progress, len(first) * len(second)) as report:
            found = Solver(
                inner.transposed() if swapped else inner,
                *ends,
                tolerance=tolerance,
                max_iterations=max_iterations,
                symmetric=symmetric,
                progress=report,
            ).solve(epsilon)
        coupling, certificate = found.coupling, found.certificate
        f, g = (coupling.g, coupling.f) if swapped else (coupling.f, coupling.g)
        f, g = _everywhere(costs, first, second, f, g, rows, columns, epsilon)
        transported = coupling.transported()
        value = a.new_tensor(certificate.dual)
        information = (certificate.dual - a.new_tensor(transported)) / epsilon
    if not found.converged:
        warnings.warn(
            f"entropic transport did not converge in {found.iterations} iterations: its duality gap is "
            f"{certificate.gap:.2g}, which the error says; give more max_iterations or a larger epsilon",
            RuntimeWarning,
            stacklevel=3,
        )
    if a.requires_grad or b.requires_grad:
        slope = f @ first_order(a) + g @ first_order(b)
        value = value + (slope - slope.detach())
    estimate = Estimate(
        value,
        error=certificate.gap + certificate.rounding,
        method="fixed-point",
        units="1",
        info={
            "converged": found.converged,
            "iterations": found.iterations,
            "duality_gap": certificate.gap,
            "information": information,
        },
    )
    return EntropicCoupling(
        estimate, information, (f, g), found.converged, found.iterations, found, (rows, columns), swapped
    )


def _reported(progress: Progress | None, pairs: int) -> AbstractContextManager[Progress | None]:
    if progress is not None or pairs < _NOTICEABLE:
        return nullcontext(progress)
    return progress_bar("entropic transport")


def _with(found: EntropicCoupling, value: Tensor) -> EntropicCoupling:
    """The same coupling with a value that carries more gradients."""
    fields = {name: getattr(found, name) for name in found.__dataclass_fields__}
    fields["cost"] = Estimate(value, error=found.cost.error, method="fixed-point", units="1", info=found.cost.info)
    return EntropicCoupling(**fields)


def _everywhere(
    costs: Costs, a: Tensor, b: Tensor, f: Tensor, g: Tensor, rows: Tensor, columns: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """The potentials at atoms without weight too: what the cost would change by if they got some."""
    if not bool(rows.all()):
        known, f = f, f.new_empty(len(rows))
        f[rows] = known
        f[~rows] = row_transform(costs.kept(~rows, columns), b, g, epsilon)
    if not bool(columns.all()):
        known, g = g, g.new_empty(len(columns))
        g[columns] = known
        g[~columns] = row_transform(costs.kept(rows, ~columns).transposed(), a, f[rows], epsilon)
    return f, g


def _weights(w: Tensor, name: str) -> Tensor:
    require_finite(w, name)
    if len(w) == 0:
        raise ValueError(f"{name} must not be empty")
    if bool((w < 0).any()):
        raise ValueError(f"{name} must not be negative; got {w.min().item():.6g}")
    total = float(w.detach().double().sum())
    if abs(total - 1) > torch.finfo(w.dtype).eps ** (2 / 3):
        raise ValueError(f"{name} must sum to one; got {total:.12g}: divide it by its sum")
    return w / w.sum()
