"""The log of the probability of simulated steps over that of their reversal, summed up step by step.

Exact and Euler steps have Gaussian densities, the friction of BAOAB gives the heat; where a scheme's steps have no
density in closed form, it is the ratio of the process itself along the steps, a Stratonovich sum.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from infotherm.processes.plans import Plan, State

Field = Callable[[Tensor, Plan, int], Tensor]


def along(field: Tensor, change: Tensor) -> Tensor:
    """The scalar product over coordinates; sums over an axis of length one are slow."""
    product = field * change
    return product[..., 0] if product.shape[-1] == 1 else product.sum(-1)


def applied(matrix: Tensor, x: Tensor) -> Tensor:
    """The matrix applied to each state; small products are slow as such."""
    return matrix[0, 0] * x if x.shape[-1] == 1 else x @ matrix.mT


def trapezoid(field: Field, x: Tensor, moved: Tensor, change: Tensor, plan: Plan, k: int) -> Tensor:
    """field o dx over step k."""
    return 0.5 * along(field(x, plan, k) + field(moved, plan, k), change)


class PathRatio(ABC):
    """Adds up over the steps of a block.

    Attributes
    ----------
    needs_change
        Whether `add` looks at x' - x.
    """

    needs_change = False

    def __init__(self, first: State) -> None:
        self.sum = torch.zeros(first.x.shape[:-1], dtype=first.x.dtype, device=first.x.device)

    @abstractmethod
    def add(self, before: State, after: State, change: Tensor) -> State:
        """Enter a step; returns the state after it, with what was worked out on the way."""

    def total(self, last: State) -> Tensor:
        """The log ratio of all steps."""
        return self.sum


class ExactRatio(PathRatio):
    """log N(x'; m(x), C) - log N(x; m(x'), C) for exact steps with mean m and covariance C."""

    def add(self, before: State, after: State, change: Tensor) -> State:
        plan, k = before.plan, before.index
        assert plan.noises is not None
        ahead = after.x - plan.drift(before.x, plan.drives[k])
        back = before.x - plan.drift(after.x, plan.drives[k])
        scale = plan.noises[k]
        if isinstance(scale, float):
            self.sum += along(back - ahead, back + ahead) / (2 * scale**2)
        else:
            self.sum += 0.5 * along(applied(torch.cholesky_inverse(scale), back - ahead), back + ahead)
        return after


class EulerRatio(PathRatio):
    """The same for Euler steps with additive noise: ((b + b') . dx + (b'^2 - b^2) h / 2) / (2 D) for a number D.

    With multiplicative noise the ratio of Euler steps does not tend to that of the process, however small the step.

    Attributes
    ----------
    common
        2 D where all steps are alike, so that the squares of the drift cancel between neighbours; else None.
    """

    needs_change = True

    def __init__(self, first: State) -> None:
        super().__init__(first)
        plan = first.plan
        self._start: Tensor | None = None
        h, scales = plan.lengths[0], plan.noises
        assert scales is not None
        even = not plan.driven and max(plan.lengths) - min(plan.lengths) < 1e-9 * h
        numbers = isinstance(scales[0], float) and max(scales) - min(scales) < 1e-9 * max(scales)
        self.common = scales[0] ** 2 / h if even and numbers else None

    def add(self, before: State, after: State, change: Tensor) -> State:
        plan, k = before.plan, before.index
        h = plan.lengths[k]
        own = before.carried if before.carried is not None and not plan.driven else plan.drift(before.x, plan.drives[k])
        other = plan.drift(after.x, plan.drives[k])
        if self.common is not None:
            if self._start is None:
                self._start = own
            if change.shape[-1] == 1:
                self.sum.addcmul_(own[..., 0], change[..., 0]).addcmul_(other[..., 0], change[..., 0])
            else:
                self.sum += along(own + other, change)
            return State(after.x, after.index, plan, other)
        assert plan.noises is not None
        scale = plan.noises[k]
        # (change + b' h)^2 - (change - b h)^2 as a product, which does not cancel
        summed, doubled = own + other, torch.add(2 * change, other - own, alpha=h)
        if isinstance(scale, float):
            self.sum += along(summed, doubled) * (h / (2 * scale**2))
        else:
            inverse = torch.linalg.pinv(scale @ scale.mT, hermitian=True)
            self.sum += along(applied(inverse, summed), doubled) * (h / 2)
        return after if plan.driven else State(after.x, after.index, plan, other)

    def total(self, last: State) -> Tensor:
        if self.common is None or self._start is None:
            return self.sum
        ends = along(last.carried + self._start, last.carried - self._start)
        return (self.sum + 0.5 * last.plan.lengths[0] * ends) / self.common


class LinearEulerRatio(EulerRatio):
    """The same for like steps in a linear gradient drift: both sums are differences between the ends of the path."""

    needs_change = False

    def __init__(self, first: State) -> None:
        super().__init__(first)
        self._first = first.x

    def add(self, before: State, after: State, change: Tensor) -> State:
        return after

    def total(self, last: State) -> Tensor:
        assert self.common is not None
        plan = last.plan
        start, end = (plan.drift(x, plan.drives[0]) for x in (self._first, last.x))
        return along(start + end, last.x - self._first + 0.5 * plan.lengths[0] * (end - start)) / self.common


class HeatRatio(PathRatio):
    """The heat that BAOAB's friction gives to each bath over its temperature."""

    def add(self, before: State, after: State, change: Tensor) -> State:
        self.sum += after.carried[1]
        return after


class StratonovichRatio(PathRatio):
    """The sum of F o dx with F = D^-1 (b - div D), a function (x, plan, k)."""

    needs_change = True

    def __init__(self, first: State, force: Field) -> None:
        super().__init__(first)
        self._force = force

    def add(self, before: State, after: State, change: Tensor) -> State:
        self.sum += trapezoid(self._force, before.x, after.x, change, before.plan, before.index)
        return after
