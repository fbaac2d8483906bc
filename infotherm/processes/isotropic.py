"""Diffusions of generative modelling: variance-preserving and sub-VP, variance-exploding, straight-line."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from infotherm.channels.gaussian import LinearGaussianChannel
from infotherm.core.tensors import as_tensor, validating
from infotherm.distributions import Gaussian
from infotherm.processes.base import AffineProcess, identity_like
from infotherm.processes.schedules import linear_schedule, schedule_of


class IsotropicProcess(AffineProcess):
    """dX = -a(t) X dt + sigma(t) dB in any number of coordinates, with the gradient force 2 b / sigma^2 = -k x.

    Subclasses give a, sigma and their integrals; k is `force_constant`, unless it changes in time (`stiffness`): the
    quasi-invariant law is N(0, 1/k).
    """

    force_constant: float = 0.0

    @abstractmethod
    def pull(self, t: Any) -> Tensor:
        """a(t) in b = -a(t) x, shape (...)."""

    @abstractmethod
    def _moments(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
        """Gain and noise variance from t0 to t1."""

    @property
    def is_static(self) -> bool:
        return True

    def stiffness(self, t: Any) -> Tensor:
        """k(t) in 2 b / sigma^2 = -k x, shape (...)."""
        (t,) = self._times(t=t)
        return torch.full_like(t, self.force_constant)

    def has_energy(self, dim: int | None = None) -> bool:
        return True

    def transition(self, t0: Any, t1: Any) -> LinearGaussianChannel:
        """The exact channel from t0 to t1: x -> N(gain x, variance), batch = shape of the times."""
        return LinearGaussianChannel.isotropic(*self._moments(*self._interval(t0, t1)))

    def drift(self, x: Any, t: Any) -> Tensor:
        """-a(t) x, shapes (..., D) and (...) -> (..., D), in the dtype of x."""
        x = as_tensor(x, "x")
        return -self.pull(t).to(x)[..., None] * x

    def drift_matrix(self, t: Any, dim: int | None = None) -> Tensor:
        pull = self.pull(t)
        return -pull[..., None, None] * identity_like(pull, self._size(dim))

    def drift_offset(self, t: Any, dim: int | None = None) -> Tensor:
        pull = self.pull(t)
        return torch.zeros(*pull.shape, self._size(dim), dtype=pull.dtype, device=pull.device)

    def force(self, t: Any, dim: int | None = None) -> tuple[Tensor, Tensor]:
        """(F, f) = (-k, 0): 2 b / sigma^2 = -k x, also where sigma vanishes."""
        stiffness = self.stiffness(t)
        size = self._size(dim)
        matrix = -stiffness[..., None, None] * identity_like(stiffness, size)
        return matrix, torch.zeros(*stiffness.shape, size, dtype=stiffness.dtype, device=stiffness.device)

    def static_force(self, dim: int | None = None) -> tuple[Tensor, Tensor] | None:
        return self.force(0.0, dim) if self.is_static else None

    def quasi_invariant(self, t: Any, dim: int | None = None) -> Gaussian:
        """N(0, 1/k) in `dim` coordinates (1 unless given).

        Raises
        ------
        ValueError
            When k = 0 (variance-exploding): nothing pulls back.
        """
        stiffness = self.stiffness(t)
        if validating(stiffness) and bool((stiffness == 0).any()):
            raise ValueError(f"{type(self).__name__} has no quasi-invariant law: nothing pulls its variance back")
        size = self._size(dim)
        mean = torch.zeros(*stiffness.shape, size, dtype=stiffness.dtype, device=stiffness.device)
        return Gaussian(mean, identity_like(stiffness, size) / stiffness[..., None, None])


class VariancePreserving(IsotropicProcess):
    """dX = -beta(t) X / 2 dt + kappa sqrt(beta(t)) dB; it keeps N(0, kappa^2).

    The transition has gain exp(-I / 2) and variance kappa^2 (1 - exp(-I)), I the integral of beta.

    Parameters
    ----------
    beta_min, beta_max
        beta at times 0 and `horizon`, both >= 0 (1 / time), with a straight line between them.
    kappa
        Standard deviation of the stationary law.
    horizon
        The last time.
    beta
        Another schedule in the line's place: a function of time with values >= 0, whose integral is found by quadrature
        to 1e-13, or a pair of functions (beta(t), integral(t0, t1)), such as `cosine_schedule()`. beta_min and beta_max
        are not looked at then.

    Raises
    ------
    ValueError
        For a negative rate, or a kappa or horizon that is not positive.

    References
    ----------
    Song et al., "Score-based generative modeling through stochastic differential equations" (2021), eq. 11 (kappa = 1).

    Examples
    --------
    >>> VariancePreserving().marginal(Gaussian(1.5, 0.25), 1.0).covariance
    tensor([[0.9869]], dtype=torch.float64)
    """

    def __init__(
        self,
        beta_min: float = 0.1,
        beta_max: float = 8.0,
        kappa: float = 1.0,
        horizon: float = 1.0,
        *,
        beta: Any = None,
    ) -> None:
        self.kappa = _number(kappa, "kappa", above=0.0)
        self.horizon: float = _number(horizon, "horizon", above=0.0)
        self.force_constant = 1 / self.kappa**2
        if beta is None:
            self.beta_min = _number(beta_min, "beta_min", least=0.0)
            self.beta_max = _number(beta_max, "beta_max", least=0.0)
            self._schedule = linear_schedule(self.beta_min, self.beta_max, self.horizon)
            return
        self._schedule = schedule_of(beta, self.horizon)
        ends = self._schedule.beta(torch.tensor([0.0, self.horizon], dtype=torch.float64))
        self.beta_min, self.beta_max = ends.tolist()
        # what the integral is off by, the gain is off by relatively
        self.transition_accuracy = self._schedule.accuracy * (1 + float(self._passed(self.horizon)))

    def beta(self, t: Any) -> Tensor:
        """beta(t), shape (...)."""
        (t,) = self._times(t=t)
        return self._schedule.beta(t)

    def pull(self, t: Any) -> Tensor:
        return 0.5 * self.beta(t)

    def diffusion(self, t: Any) -> Tensor:
        return self.kappa * self.beta(t).sqrt()

    def integrated_diffusion(self, t0: Any, t1: Any) -> Tensor:
        return self.kappa**2 * self._schedule.integral(*self._interval(t0, t1))

    def _passed(self, t: Any) -> Tensor:
        """The integral of beta from 0 to t."""
        (t,) = self._times(t=t)
        return self._schedule.integral(torch.zeros_like(t), t)

    def _moments(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
        integral = self._schedule.integral(t0, t1)
        return torch.exp(-integral / 2), -(self.kappa**2) * torch.expm1(-integral)


class SubVariancePreserving(VariancePreserving):
    """dX = -beta X / 2 dt + kappa sqrt(beta (1 - exp(-2 B))) dB, B(t) the integral of beta from 0 to t.

    Its variance from a point is that of the variance-preserving process, squared where kappa = 1: between t0 and t1 the
    gain is exp(-I / 2) and the variance kappa^2 (1 - exp(-I)) (1 - exp(-B(t0) - B(t1))), I = B(t1) - B(t0); from t0 = 0
    that is kappa^2 (1 - exp(-B))^2. The quasi-invariant law N(0, kappa^2 (1 - exp(-2 B))) changes in time.

    At t = 0 the noise vanishes while the pull does not: the force 2 b / sigma^2 is infinite there, and is refused. It
    grows as 1 / B, so that the entropy production from t = 0 diverges, as the logarithm of the first time looked at:
    state that time, `entropy_production(..., start=1e-3)`.

    Parameters
    ----------
    beta_min, beta_max, kappa, horizon, beta
        As for `VariancePreserving`.

    Raises
    ------
    ValueError
        As `VariancePreserving`.

    References
    ----------
    Song et al., "Score-based generative modeling through stochastic differential equations" (2021), eqs. 12 and 29-30
    (kappa = 1, from t0 = 0).

    Examples
    --------
    >>> SubVariancePreserving().transition(0.0, 1.0).noise_variance
    tensor(0.9655, dtype=torch.float64)
    >>> VariancePreserving().transition(0.0, 1.0).noise_variance ** 2
    tensor(0.9655, dtype=torch.float64)
    """

    @property
    def is_static(self) -> bool:
        return False

    def diffusion(self, t: Any) -> Tensor:
        return self.kappa * (self.beta(t) * -torch.expm1(-2 * self._passed(t))).sqrt()

    def integrated_diffusion(self, t0: Any, t1: Any) -> Tensor:
        """kappa^2 times the integral of beta (1 - exp(-2 B)), shape (...)."""
        t0, t1 = self._interval(t0, t1)
        before, integral = self._passed(t0), self._schedule.integral(t0, t1)
        return self.kappa**2 * (-torch.expm1(-2 * before) * integral + torch.exp(-2 * before) * _second_order(integral))

    def stiffness(self, t: Any) -> Tensor:
        """k(t) = 1 / (kappa^2 (1 - exp(-2 B))), shape (...).

        Raises
        ------
        ValueError
            Where B = 0: the noise vanishes, the pull does not.
        """
        passed = self._passed(t)
        if validating(passed) and bool((passed <= 0).any()):
            raise ValueError(
                "t must be > 0: the noise of the sub-variance-preserving process vanishes at t = 0, the force D^-1 b "
                "is infinite there, and the entropy production from there diverges logarithmically: start later "
                "(at 1e-3, say)"
            )
        return self.force_constant / -torch.expm1(-2 * passed)

    def _moments(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
        integral = self._schedule.integral(t0, t1)
        twice = 2 * self._passed(t0) + integral  # B(t0) + B(t1)
        return torch.exp(-integral / 2), self.kappa**2 * torch.expm1(-integral) * torch.expm1(-twice)


class VarianceExploding(IsotropicProcess):
    """dX = sigma(t) dB: sigma constant, or geometric between two marginal scales.

    In the geometric form the variance added by time t is sigma_min^2 ((sigma_max / sigma_min)^(2 t / horizon) - 1).

    Parameters
    ----------
    sigma
        The constant; 1 when nothing is given.
    sigma_min, sigma_max
        Both, for the geometric form.
    horizon
        The last time (geometric: 1 unless given; constant: none unless given).

    Raises
    ------
    ValueError
        When both forms are given, only one of the two scales, or scales that do not increase from above zero.

    Examples
    --------
    >>> VarianceExploding(sigma_min=0.01, sigma_max=5.0).integrated_diffusion(0.0, 1.0)
    tensor(24.9999, dtype=torch.float64)
    """

    def __init__(
        self,
        sigma: float | None = None,
        *,
        sigma_min: float | None = None,
        sigma_max: float | None = None,
        horizon: float | None = None,
    ) -> None:
        self.horizon = None if horizon is None else _number(horizon, "horizon", above=0.0)
        self._log_ratio = 0.0
        if sigma_min is None and sigma_max is None:
            self.sigma = _number(1.0 if sigma is None else sigma, "sigma", least=0.0)
            return
        if sigma is not None or sigma_min is None or sigma_max is None:
            raise ValueError("give either sigma, or both sigma_min and sigma_max")
        self.sigma_min = _number(sigma_min, "sigma_min", above=0.0)
        self.sigma_max = _number(sigma_max, "sigma_max", above=self.sigma_min)
        self.horizon = self.horizon or 1.0
        self._log_ratio = 2 * math.log(self.sigma_max / self.sigma_min) / self.horizon
        self.sigma = self.sigma_min * math.sqrt(self._log_ratio)

    def pull(self, t: Any) -> Tensor:
        (t,) = self._times(t=t)
        return torch.zeros_like(t)

    def diffusion(self, t: Any) -> Tensor:
        (t,) = self._times(t=t)
        return self.sigma * torch.exp(self._log_ratio * t / 2)

    def integrated_diffusion(self, t0: Any, t1: Any) -> Tensor:
        return self._added(*self._interval(t0, t1))

    def _added(self, t0: Tensor, t1: Tensor) -> Tensor:
        if self._log_ratio == 0:
            return self.sigma**2 * (t1 - t0)
        return self.sigma_min**2 * torch.exp(self._log_ratio * t0) * torch.expm1(self._log_ratio * (t1 - t0))

    def _moments(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(t1), self._added(t0, t1)


class StraightLine(IsotropicProcess):
    """dX = -X / (1 - t) dt + sigma0 sqrt(2 / (1 - t)) dB on [0, 1): means go to zero on straight lines.

    The transition has gain (1 - t1) / (1 - t0) and variance sigma0^2 (1 - gain^2), finite up to t1 = 1, where every
    law has become N(0, sigma0^2). Drift and noise are infinite there and refused, and the integral of sigma^2
    diverges: a bound that divides by it says nothing up to t = 1, so state the cut-off (the published code stops at
    1 - 1e-5).

    Parameters
    ----------
    sigma0
        Standard deviation of the final law, positive.

    Examples
    --------
    >>> StraightLine(0.1).transition(0.0, 1.0)([5.0]).mean
    tensor([0.], dtype=torch.float64)
    >>> StraightLine(0.1).integrated_diffusion(0.0, 1.0)
    tensor(inf, dtype=torch.float64)
    """

    horizon = 1.0

    def __init__(self, sigma0: float = 0.1) -> None:
        self.sigma0 = _number(sigma0, "sigma0", above=0.0)
        self.force_constant = 1 / self.sigma0**2

    def pull(self, t: Any) -> Tensor:
        return 1 / self._left(t)

    def diffusion(self, t: Any) -> Tensor:
        return self.sigma0 * torch.sqrt(2 / self._left(t))

    def integrated_diffusion(self, t0: Any, t1: Any) -> Tensor:
        t0, t1 = self._interval(t0, t1)
        return -2 * self.sigma0**2 * torch.log((1 - t1) / (1 - t0))

    def _left(self, t: Any) -> Tensor:
        (t,) = self._times(t=t)
        if validating(t) and bool((t >= 1).any()):
            raise ValueError(
                "t must be < 1: the straight-line process is singular at t = 1, stop before (1 - 1e-5, say)"
            )
        return 1 - t

    def _moments(self, t0: Tensor, t1: Tensor) -> tuple[Tensor, Tensor]:
        if validating(t0) and bool((t0 >= 1).any()):
            raise ValueError("t0 must be < 1: the straight-line process ends at t = 1")
        gain = (1 - t1) / (1 - t0)
        return gain, self.sigma0**2 * (t1 - t0) / (1 - t0) * (1 + gain)


def _second_order(x: Tensor) -> Tensor:
    """x - (1 - exp(-2 x)) / 2 = x^2 - 2 x^3 / 3 + ..., without the cancellation at small x."""
    small = x.clamp(max=0.25)
    term, series = -2 * small, torch.zeros_like(x)
    for n in range(2, 20):
        term = term * (-2 * small / n)
        series = series + 0.5 * term
    return torch.where(x < 0.25, series, x + 0.5 * torch.expm1(-2 * x))


def _number(x: Any, name: str, *, least: float = -math.inf, above: float = -math.inf) -> float:
    """A finite number in range.

    Raises
    ------
    ValueError
        Naming it.
    """
    value = as_tensor(x, name)
    if value.numel() != 1:
        raise ValueError(f"{name} must be one number; got shape {tuple(value.shape)}")
    number = float(value)
    if not math.isfinite(number) or number < least or number <= above:
        bound = f">= {least}" if least > -math.inf else f"> {above}" if above > -math.inf else "finite"
        raise ValueError(f"{name} must be a finite number {bound}; got {number}")
    return number
