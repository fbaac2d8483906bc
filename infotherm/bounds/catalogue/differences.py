"""Derivatives of Estimates by differences of their values: the second route to what a formula gives."""

from __future__ import annotations

from collections.abc import Callable

import torch

from infotherm.bounds.catalogue.parts import rebuilt
from infotherm.core.estimate import Estimate

LEVELS = 5  # steps span, span / 2, ..., extrapolated to a truncation error of order span^(2 LEVELS)


def derivative(function: Callable[[float], Estimate], at: float, span: float) -> Estimate:
    """df/dt at one point, from central differences extrapolated to step zero (Richardson; Ridders 1982).

    The function must be analytic within a few spans. The level of extrapolation with the least error is taken; the
    error is twice its distance from the levels before it, plus the errors of the values divided by the steps.

    Parameters
    ----------
    function
        f, from a number to an Estimate.
    at
        The point.
    span
        The largest step.

    Returns
    -------
    Estimate
        Of the kind of f's values ("unknown" where those are bounds: a difference of bounds bounds nothing).

    Examples
    --------
    >>> from infotherm.core.estimate import exact
    >>> import math
    >>> slope = derivative(lambda t: exact(math.log(t)), 2.0, 0.5)
    >>> abs(slope.value.item() - 0.5) <= slope.error.item() < 1e-8
    True
    """
    steps = [span / 2**i for i in range(LEVELS)]
    row = [(function(at + h) - function(at - h)) / (2 * h) for h in steps]
    best, least = row[-1], None
    for order in range(1, LEVELS):
        factor = 4.0**order
        new = [(row[i + 1] * factor - row[i]) / (factor - 1) for i in range(len(row) - 1)]
        for i, candidate in enumerate(new):
            # the farther of both: a candidate is close to the nearer one by its weights alone
            farther = torch.maximum(_distance(candidate, row[i]), _distance(candidate, row[i + 1]))
            error = candidate.error + 2 * farther
            total = float((error + candidate.stderr).max())
            if least is None or total < least:
                least = total
                best = rebuilt(candidate, error=error)
        row = new
    return best


def _distance(a: Estimate, b: Estimate) -> torch.Tensor:
    return (a.value - b.value).detach().abs()
