"""Markov jump processes on a finite set of states: constant or driven rates, one reservoir or several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from infotherm.channels.discrete import DiscreteChannel
from infotherm.core.tensors import as_tensor, require_finite, require_shape, validating
from infotherm.distributions import Discrete
from infotherm.processes.base import Process
from infotherm.processes.ordered_products import OrderedPanels, Reward, ordered_panels
from infotherm.processes.stationary import eliminated, stationary_law
from infotherm.processes.time_functions import function_of_time
from infotherm.processes.uniformisation import stochastic_exponential


class MarkovJump(Process):
    """Jumps between K states at rates k, constant or driven: dp_j / dt = sum_i (p_i k[i, j] - p_j k[j, i]).

    Parameters
    ----------
    rates
        Shape (..., K, K): rates[i, j] is the rate of jumps i -> j, >= 0 (1 / time); the diagonal is ignored. Or a
        function of time that returns (K, K), or (..., K, K) for times (...): then the process is driven.
    reservoirs
        Instead of rates: those that each of R reservoirs causes, shape (..., R, K, K), or a function of time. Jumps
        happen at the sum of the rates; entropy is counted reservoir by reservoir.
    horizon
        Driven rates are defined on [0, horizon]; without it for all times from 0 on.
    breakpoints
        Times at which driven rates jump or bend. Without them such a time must be found by cutting panels around it.
    energies
        Energies (K,) of the states, or a function of time; zero unless given. Only work and heat need them.
    temperature
        Of the medium, a number or one for each reservoir, (R,): heat is temperature times medium entropy.

    Attributes
    ----------
    states
        The number of states K.
    driven
        Whether the rates depend on time.

    Raises
    ------
    ValueError
        For a negative rate or one that is not finite (at a time, where they are driven), or a matrix not square.

    Notes
    -----
    Driven transitions are ordered products of panels, each solved to order 16 and cut until it agrees with its halves.
    A pulse shorter than an eighth of the range that lies between breakpoints can be missed.

    Examples
    --------
    >>> chain = MarkovJump([[0.0, 1.0], [2.0, 0.0]])
    >>> chain.quasi_invariant(0.0).pmf, chain.marginal(Discrete([1.0, 0.0]), 0.1).pmf
    (tensor([0.6667, 0.3333], dtype=torch.float64), tensor([0.9136, 0.0864], dtype=torch.float64))
    >>> driven = MarkovJump(lambda t: [[0.0, 1 + t], [2.0, 0.0]], horizon=1.0)
    >>> driven.marginal(Discrete([1.0, 0.0]), 0.1).pmf
    tensor([0.9094, 0.0906], dtype=torch.float64)
    """

    dim = 1
    start = None

    def __init__(
        self,
        rates: Any = None,
        *,
        reservoirs: Any = None,
        horizon: float | None = None,
        breakpoints: Any = None,
        energies: Any = None,
        temperature: Any = 1.0,
    ) -> None:
        if (rates is None) == (reservoirs is None):
            raise ValueError(f"give either rates or reservoirs; got {'both' if rates is not None else 'neither'}")
        self._name = "rates" if reservoirs is None else "reservoirs"
        given = rates if reservoirs is None else reservoirs
        self.driven = _is_function(given)
        self.horizon = horizon
        if self.horizon is not None and not self.horizon > 0:
            raise ValueError(f"horizon must be > 0; got {self.horizon}")
        self._function: Callable[[Tensor], Tensor] | None = None
        self._constant: Tensor | None = None
        if self.driven:
            self.start = 0.0
            self._function = function_of_time(given, 2 if reservoirs is None else 3, self._name)
            first = self._checked(self._function(torch.zeros((), dtype=torch.float64)), torch.zeros(()))
        else:
            first = self._constant = self._checked(as_tensor(given, self._name))
        self.dtype, self.device = first.dtype, first.device
        self.reservoirs, self.states = first.shape[-3], first.shape[-1]
        self.batch_shape = first.shape[:-3]
        points = () if breakpoints is None else breakpoints
        self.breakpoints = as_tensor(points, "breakpoints", dtype=torch.float64).flatten().sort().values
        self.temperature = _temperature(temperature, self.reservoirs, first)
        self._energies: Callable[[Tensor], Tensor] | None = None
        if energies is not None:
            self._energies = function_of_time(energies, 1, "energies") if _is_function(energies) else _always(energies)
            self.energies_at(0.0)

    # -- rates -------------------------------------------------------------------------------------------------------

    def _checked(self, rates: Tensor, times: Tensor | None = None) -> Tensor:
        """Rates (..., R, K, K) with a zero diagonal, from (..., K, K) or from those of the reservoirs."""
        letters = ("...", "K", "K") if self._name == "rates" else ("...", "R", "K", "K")
        size = require_shape(rates, letters, self._name)["K"]
        diagonal = torch.eye(size, dtype=torch.bool, device=rates.device)
        if size == 0:
            raise ValueError(f"{self._name} must be those of at least one state; got shape {tuple(rates.shape)}")
        rates = torch.where(diagonal, 0.0, rates)
        if validating(rates) and not bool((rates.isfinite() & (rates >= 0)).all()):
            where = torch.nonzero(~(rates.isfinite() & (rates >= 0)))[0].tolist()
            at = ""
            if times is not None:
                at = f" at time {times[tuple(where[: times.ndim])].item():g}"
                where, times_ndim = where[times.ndim :], times.ndim
                rates = rates[tuple(torch.nonzero(~(rates.isfinite() & (rates >= 0)))[0].tolist()[:times_ndim])]
            got = rates[tuple(where)].item()
            wanted = "be >= 0" if got < 0 else "be finite"
            raise ValueError(f"{self._name} must {wanted}; got {got:.6g} at index {where}{at}")
        return rates.unsqueeze(-3) if self._name == "rates" else rates

    def reservoir_rates_at(self, t: Any = 0.0) -> Tensor:
        """The rates reservoir by reservoir: (..., R, K, K) at times (...) if driven, else constant with their batch."""
        if self._constant is not None:
            return self._constant
        assert self._function is not None
        (t,) = self._times(t=as_tensor(t, "t", dtype=torch.float64, device=self.device))
        return self._checked(self._function(t), t)

    def rates_at(self, t: Any = 0.0) -> Tensor:
        """The rates of all reservoirs together, shape (..., K, K), with a zero diagonal."""
        return self.reservoir_rates_at(t).sum(-3)

    @property
    def rates(self) -> Tensor:
        """The constant rates, shape (..., K, K), with a zero diagonal.

        Raises
        ------
        ValueError
            When they are driven.
        """
        return self.rates_at(0.0 if self._constant is not None else self._refuse_driven("rates without a time"))

    @property
    def generator(self) -> Tensor:
        """The generator L, shape (..., K, K), dp/dt = p L: the rates, and minus their row sums on the diagonal."""
        return self.rates - torch.diag_embed(self.rates.sum(-1))

    def _refuse_driven(self, asked: str) -> Any:
        raise ValueError(f"the rates are driven, there are no {asked}: use rates_at(t)")

    def energies_at(self, t: Any = 0.0) -> Tensor:
        """The energies of the states at times (...), shape (..., K); zero unless they were given."""
        if self._energies is None:
            return torch.zeros(self.states, dtype=self.dtype, device=self.device)
        found = self._energies(as_tensor(t, "t", dtype=torch.float64, device=self.device)).to(self.device, self.dtype)
        require_shape(found, ("...", self.states), "energies")
        return require_finite(found, "energies")

    @property
    def is_static(self) -> bool:
        return not self.driven

    # -- transitions -------------------------------------------------------------------------------------------------

    def transition(self, t0: Any, t1: Any) -> DiscreteChannel:
        """The channel from t0 to t1, in the dtype of the rates.

        Constant rates: exp(L (t1 - t0)), every entry to a few units in the last place. Driven ones: the time-ordered
        product, to `transition_accuracy(t0, t1)`.

        Raises
        ------
        ValueError
            When driven rates are negative or not finite somewhere between, or too many jumps are expected.

        Warns
        -----
        RuntimeWarning
            When driven rates change too abruptly to be followed: give `breakpoints`.
        """
        t0, t1 = self._interval(t0, t1)
        if self._constant is not None:
            return DiscreteChannel(stochastic_exponential(self.rates, (t1 - t0).to(self.rates))[0])
        panels = self.panels(t0, t1)
        first, last = panels.index(t0.flatten()), panels.index(t1.flatten())
        matrix = panels.between(first, last)[0]
        return DiscreteChannel(matrix.to(self.dtype).reshape(*t0.shape, *matrix.shape[-2:]))

    def transition_accuracy(self, t0: Any, t1: Any) -> tuple[Tensor, Tensor]:
        """How well `transition(t0, t1)` is known: the relative error of every entry, and what a row may be off besides.

        Both have the shape of the times: |P - truth| <= relative * P entry by entry, plus a row of total `absolute`.
        """
        t0, t1 = self._interval(t0, t1)
        if self._constant is not None:
            units = stochastic_exponential(self.rates, (t1 - t0).to(self.rates))[2]
            return units * torch.finfo(self.dtype).eps, torch.zeros_like(units)
        panels = self.panels(t0, t1)
        first, last = panels.index(t0), panels.index(t1)
        relative, absolute = (
            torch.cat([e.new_zeros(1), e.cumsum(0)]) for e in (panels.relative.detach(), panels.absolute.detach())
        )
        rounding = torch.finfo(self.dtype).eps
        return relative[last] - relative[first] + rounding, absolute[last] - absolute[first]

    def panels(self, t0: Tensor, t1: Tensor, *, reward: Reward | None = None) -> OrderedPanels:
        """The panels of driven transitions between these times, with the reward earned on each."""
        points = torch.cat([t0.flatten(), t1.flatten()])
        low, high = points.min(), points.max()
        inside = (self.breakpoints > low) & (self.breakpoints < high)
        points = torch.cat([points, self.breakpoints[inside], torch.linspace(0, 1, 9).to(points) * (high - low) + low])
        points = points.clamp(low, high).unique()
        if len(points) == 1:
            points = torch.cat([points, torch.nextafter(points, torch.full_like(points, torch.inf))])
        return ordered_panels(self._rates_inside, points, reward=reward)

    def _rates_inside(self, t: Tensor) -> Tensor:
        return self.reservoir_rates_at(t).to(torch.float64)

    # -- laws that are kept ------------------------------------------------------------------------------------------

    def quasi_invariant(self, t: Any, dim: int | None = None) -> Discrete:
        """The law that the jumps would keep at the rates of time t; its shape is that of t where they are driven.

        Raises
        ------
        ValueError
            When there is more than one (the states fall apart into closed classes), or only an absorbing state.
        """
        rates = self.rates_at(t)
        if not validating(rates):
            return Discrete(eliminated(rates))
        return Discrete(stationary_law(rates))

    def has_detailed_balance(self, t: Any = 0.0) -> bool:
        """Whether no reservoir carries a current between any pair of states in the steady state, to rounding."""
        flow = self.quasi_invariant(t).pmf[..., None, :, None] * self.reservoir_rates_at(t)
        tolerance = 32 * self.states * torch.finfo(flow.dtype).eps * flow.amax((-3, -2, -1), keepdim=True)
        return bool(((flow - flow.mT).abs() <= tolerance).all())


def _is_function(x: Any) -> bool:
    return callable(x) and not hasattr(x, "__array__")


def _always(x: Any) -> Callable[[Tensor], Tensor]:
    found = as_tensor(x, "energies")
    return lambda t: found


def _temperature(temperature: Any, reservoirs: int, like: Tensor) -> Tensor:
    found = as_tensor(temperature, "temperature", dtype=like.dtype, device=like.device)
    if found.ndim > 1 or found.ndim == 1 and len(found) != reservoirs:
        raise ValueError(
            f"temperature must be a number or one for each of the {reservoirs} reservoirs; got shape "
            f"{tuple(found.shape)}"
        )
    if validating(found) and not bool((found > 0).all()):
        raise ValueError(f"temperature must be > 0; got {found.min().item()}")
    return found
