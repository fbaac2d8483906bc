"""Process: channels in time. dX = b(X, t) dt + sigma(t) dB, with D = sigma sigma^T / 2 and k_B = 1."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from infotherm.channels.base import Channel
from infotherm.core.tensors import as_tensor, as_tensors, require_finite, validating
from infotherm.distributions import Gaussian
from infotherm.distributions.base import Distribution


class Process(ABC):
    """A Markov process: `transition(t0, t1)` is a channel, `marginal(p0, t)` a law.

    Times are those of the forward (noising) clock. They may be tensors: their shape is the batch of the result, and it
    broadcasts against the batch of the initial law.
    """

    batch_shape: torch.Size = torch.Size()
    """Batch of the parameters: several processes at once."""
    dim: int | None = None
    """Number of coordinates, None when the process acts on any."""
    horizon: float | None = None
    """The process is defined for times in [0, horizon]; None: for every time from `start` on."""
    start: float | None = 0.0
    """The earliest time; None when the process does not change in time and has none."""

    @abstractmethod
    def transition(self, t0: Any, t1: Any) -> Channel:
        """The channel from the state at t0 to the state at t1 >= t0; the shape of the times is its batch."""

    def marginal(self, p0: Any, t: Any, t0: Any = 0.0) -> Distribution:
        """The law at time t, when the law at time t0 is p0."""
        return self.transition(t0, t).output(p0)

    def quasi_invariant(self, t: Any, dim: int | None = None) -> Distribution:
        """The law that would not change if the process were frozen as it is at time t.

        Raises
        ------
        ValueError
            Where there is none.
        """
        raise ValueError(f"{type(self).__name__} has no quasi-invariant law")

    @property
    def is_static(self) -> bool:
        """Whether the quasi-invariant law is the same at all times."""
        return False

    def looks_static(self) -> bool:
        """Whether the process is static, or shows no change at the times at which it is looked at.

        Enough where a steady state is asked for: functions that take a time and do not use it have one.
        """
        return self.is_static

    def _times(self, **named: Any) -> tuple[Tensor, ...]:
        """Times in float64, broadcast, checked to be in the process's range.

        Raises
        ------
        ValueError
            Naming the time that is not finite or out of range.
        """
        times = tuple(t.to(torch.float64) for t in as_tensors(**named))
        for name, t in zip(named, times, strict=True):
            require_finite(t, name)
            if not validating(t):
                continue
            if self.start is not None and bool((t < self.start).any()):
                raise ValueError(f"{name} must be >= {self.start}; got {t.min().item()}")
            if self.horizon is not None and bool((t > self.horizon * (1 + 1e-15)).any()):
                raise ValueError(f"{name} must be <= the horizon {self.horizon}; got {t.max().item()}")
        return torch.broadcast_tensors(*times) if len(times) > 1 else times

    def _interval(self, t0: Any, t1: Any) -> tuple[Tensor, Tensor]:
        t0, t1 = self._times(t0=t0, t1=t1)
        if validating(t0, t1) and bool((t1 < t0).any()):
            worst = int((t1 - t0).argmin())
            raise ValueError(
                f"t1 must not be before t0; got t0 = {t0.flatten()[worst].item()}, t1 = {t1.flatten()[worst].item()}"
            )
        return t0, t1

    def _size(self, dim: int | None) -> int:
        """The number of coordinates asked for, or that of the process, or 1."""
        if dim is not None and self.dim is not None and dim != self.dim:
            raise ValueError(f"this process has D = {self.dim}; got dim = {dim}")
        return dim or self.dim or 1


class DiffusionProcess(Process):
    """A diffusion dX = b(X, t) dt + sigma dB, read as Ito, with D = sigma sigma^T / 2.

    Unless a subclass says otherwise the noise does not depend on the state (`additive`): then `diffusion(t)` is all
    there is to it, and the methods that also take a state follow from it.
    """

    additive: bool = True
    """Whether the noise is the same in all states."""
    isotropic: bool = True
    """Whether sigma is a number times the identity: `diffusion(t)` is then that number."""

    @abstractmethod
    def drift(self, x: Any, t: Any) -> Tensor:
        """The drift b(x, t), shapes (..., D) and (...) -> (..., D)."""

    @abstractmethod
    def diffusion(self, t: Any) -> Tensor:
        """sigma(t): shape (...) of t when isotropic, else a matrix (..., D, M)."""

    @abstractmethod
    def integrated_diffusion(self, t0: Any, t1: Any) -> Tensor:
        """Integral of sigma^2 (isotropic, shape (...)) or of sigma sigma^T (shape (..., D, D)) from t0 to t1."""

    def diffusion_matrix(self, t: Any, dim: int | None = None) -> Tensor:
        """D(t) = sigma sigma^T / 2 as a matrix, shape (..., D, D)."""
        sigma = self.diffusion(t)
        if self.isotropic:
            return identity_like(sigma, self._size(dim)) * (0.5 * sigma.square())[..., None, None]
        return 0.5 * sigma @ sigma.mT

    def noise_at(self, x: Any, t: Any) -> Tensor:
        """sigma at the states x, in their dtype: shape (...) when isotropic, else (..., D, M)."""
        return self.diffusion(t).to(as_tensor(x, "x"))

    def diffusion_matrix_at(self, x: Any, t: Any) -> Tensor:
        """D(x, t), shape (..., D, D), in the dtype of x."""
        x = as_tensor(x, "x")
        sigma = self.noise_at(x, t)
        if self.isotropic:
            return identity_like(x, x.shape[-1]) * (0.5 * sigma.square())[..., None, None]
        return 0.5 * sigma @ sigma.mT

    def diffusion_divergence(self, x: Any, t: Any) -> Tensor:
        """div D(x, t) = sum_j d D_ij / d x_j, shape (..., D); zero for additive noise."""
        return torch.zeros_like(as_tensor(x, "x"))

    def thermodynamic_force(self, x: Any, t: Any) -> Tensor:
        """D^-1 (b - div D), shape (..., D): its Stratonovich integral along a path is what the medium gains in entropy.

        Raises
        ------
        ValueError
            Where the diffusion matrix is singular.
        """
        x = as_tensor(x, "x")
        pushed = self.drift(x, t)
        if not self.additive:
            pushed = pushed - self.diffusion_divergence(x, t)
        if self.isotropic:
            return pushed / (0.5 * self.noise_at(x, t).square())[..., None]
        return _solved(self.diffusion_matrix_at(x, t), pushed)

    @property
    def temperature(self) -> Tensor:
        """The temperature of the bath, or one for each coordinate (D,); 1 unless given."""
        return torch.ones((), dtype=torch.float64)

    def has_energy(self, dim: int | None = None) -> bool:
        """Whether states have an energy: whether all or part of the force is minus its gradient."""
        return False

    def energy(self, x: Any, t: Any) -> Tensor:
        """The energy of the states x at time t, shape (...).

        Raises
        ------
        ValueError
            When states have none.
        """
        raise ValueError(f"{type(self).__name__} has no energy: no part of its force is given as a gradient")


class AffineProcess(DiffusionProcess):
    """A diffusion with affine drift b = A(t) x + c(t): its transitions are linear-Gaussian channels, exact.

    Subclasses give A, c, sigma and the transition.
    """

    transition_accuracy: float = 1e-15
    """Relative accuracy of the moments that a transition gives, in float64."""

    @abstractmethod
    def drift_matrix(self, t: Any, dim: int | None = None) -> Tensor:
        """A(t), shape (..., D, D)."""

    @abstractmethod
    def drift_offset(self, t: Any, dim: int | None = None) -> Tensor:
        """c(t), shape (..., D)."""

    def drift(self, x: Any, t: Any) -> Tensor:
        """The drift A(t) x + c(t), shapes (..., D) and (...) -> (..., D), in the dtype of x."""
        x = as_tensor(x, "x")
        if x.ndim == 0 or (self.dim is not None and x.shape[-1] != self.dim):
            raise ValueError(f"x must have shape (..., {self.dim or 'D'}); got {tuple(x.shape)}")
        dim = x.shape[-1]
        matrix, offset = (m.to(x) for m in (self.drift_matrix(t, dim), self.drift_offset(t, dim)))
        return (matrix @ x[..., None])[..., 0] + offset

    def force(self, t: Any, dim: int | None = None) -> tuple[Tensor, Tensor]:
        """(F, f) with D^-1 b = F x + f, the force in units of the temperature: F (..., D, D), f (..., D).

        With detailed balance it is the score of the quasi-invariant law, 2 b / sigma^2 = grad log p_eq.

        Raises
        ------
        ValueError
            Where the diffusion matrix is singular.
        """
        matrix, offset, diffusion = (m(t, dim) for m in (self.drift_matrix, self.drift_offset, self.diffusion_matrix))
        factor, info = torch.linalg.cholesky_ex(diffusion)
        if validating(diffusion) and bool(info.any()):
            raise ValueError("the diffusion matrix is singular: no force moves a coordinate without noise")
        return torch.cholesky_solve(matrix, factor), torch.cholesky_solve(offset[..., None], factor)[..., 0]

    def thermodynamic_force(self, x: Any, t: Any) -> Tensor:
        """F x + f = D^-1 b, shapes (..., D) and (...) -> (..., D), in the dtype of x."""
        x = as_tensor(x, "x")
        matrix, offset = (m.to(x) for m in self.force(t, x.shape[-1]))
        return (matrix @ x[..., None])[..., 0] + offset

    def has_energy(self, dim: int | None = None) -> bool:
        """Whether D^-1 b is a gradient at every time at which it is looked at here: at 9 times of the range."""
        matrix, _ = self.force(self._looks(), dim)
        return not bool((_asymmetry(matrix) > self._symmetry_noise(matrix)).any())

    def energy(self, x: Any, t: Any) -> Tensor:
        """-(x - m)^T F (x - m) / 2 in units of the temperature, for D^-1 b = F (x - m): zero where the force is.

        Where F is singular, f must lie in its range (a constant force has the energy -f^T x instead).

        Raises
        ------
        ValueError
            When F is not symmetric, so that the force is not a gradient.
        """
        x = as_tensor(x, "x")
        matrix, centre, rest = (m.to(x) for m in self.energy_coefficients(t, x.shape[-1]))
        away = x - centre
        return -0.5 * (away * (matrix @ away[..., None])[..., 0]).sum(-1) - (rest * x).sum(-1)

    def energy_coefficients(self, t: Any, dim: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """(F, m, g) with the energy -(x - m)^T F (x - m) / 2 - g^T x, shapes (..., D, D), (..., D), (..., D).

        g is the part of the constant force that F cannot balance, zero where F is regular.

        Raises
        ------
        ValueError
            When F is not symmetric, so that the force is not a gradient.
        """
        matrix, offset = self.force(t, dim)
        if validating(matrix) and bool((_asymmetry(matrix) > self._symmetry_noise(matrix)).any()):
            raise ValueError(f"{type(self).__name__} has no energy here: its force is not a gradient")
        matrix = 0.5 * (matrix + matrix.mT)
        centre = -(torch.linalg.pinv(matrix, hermitian=True) @ offset[..., None])[..., 0]
        return matrix, centre, offset + (matrix @ centre[..., None])[..., 0]

    def _looks(self) -> Tensor:
        start = 0.0 if self.start is None else self.start
        end = start + 1.0 if self.horizon is None else start + 0.999 * (self.horizon - start)
        return torch.linspace(start, end, 9, dtype=torch.float64).reshape(-1, *[1] * len(self.batch_shape))

    def _symmetry_noise(self, matrix: Tensor) -> Tensor:
        """How asymmetric rounding alone can make the force matrix."""
        spread = 1.0 if self.isotropic else torch.linalg.cond(self.diffusion_matrix(self._looks())).max()
        return 16 * torch.finfo(matrix.dtype).eps * spread * matrix.abs().amax((-2, -1))

    def static_force(self, dim: int | None = None) -> tuple[Tensor, Tensor] | None:
        """The force (F, f) when it is a gradient that does not change in time, else None.

        Then p_eq = exp(x^T F x / 2 + f^T x) is the same at all times, normalisable or not, and
        S_tot = KL(p_0 || p_eq) - KL(p_T || p_eq) in the sense of differences.
        """
        return None

    def quasi_invariant(self, t: Any, dim: int | None = None) -> Gaussian:
        """The Gaussian that the process frozen at time t would keep; with detailed balance, p_eq(t).

        Parameters
        ----------
        t
            Time, any shape: the batch of the result.
        dim
            Number of coordinates, for a process that acts on any (1 unless given).

        Raises
        ------
        ValueError
            When the drift does not pull back (an eigenvalue with real part >= 0), so that no such law exists.
        """
        from infotherm.core.linalg import lyapunov

        size = self._size(dim)
        matrix, offset, diffusion = (m(t, size) for m in (self.drift_matrix, self.drift_offset, self.diffusion_matrix))
        if validating(matrix):
            growth = torch.linalg.eigvals(matrix).real.max().item()
            if not growth < 0:
                raise ValueError(
                    f"{type(self).__name__} has no quasi-invariant law: its drift must pull back in every direction, "
                    f"but it grows at rate {growth:.6g}"
                )
        mean = -torch.linalg.solve(matrix, offset[..., None])[..., 0]
        return Gaussian(mean, lyapunov(-matrix, 2 * diffusion))


def steady_state(process: Process, dim: int | None = None) -> Distribution:
    """The law that the process keeps for ever.

    Parameters
    ----------
    process
        A process whose quasi-invariant law does not change in time.
    dim
        Number of coordinates, for a process that acts on any (1 unless given).

    Raises
    ------
    ValueError
        Where there is none, or more than one, or where it changes in time.

    Examples
    --------
    >>> from infotherm.processes import OrnsteinUhlenbeck
    >>> steady_state(OrnsteinUhlenbeck(rate=2.0, sigma=2.0)).covariance
    tensor([[1.]], dtype=torch.float64)
    """
    law = process.quasi_invariant(process.start or 0.0, dim)
    if not process.looks_static():
        raise ValueError(
            f"{type(process).__name__} is driven: it has a quasi-invariant law at each time, no steady state"
        )
    return law


def identity_like(like: Tensor, dim: int) -> Tensor:
    """The identity (D, D) in the dtype and on the device of `like`."""
    return torch.eye(dim, dtype=like.dtype, device=like.device)


def _solved(matrix: Tensor, x: Tensor) -> Tensor:
    """matrix^-1 x for a symmetric positive matrix.

    Raises
    ------
    ValueError
        Where it is singular.
    """
    factor, info = torch.linalg.cholesky_ex(matrix)
    if validating(matrix) and bool(info.any()):
        raise ValueError("the diffusion matrix is singular: no force moves a coordinate without noise")
    shape = torch.broadcast_shapes(matrix.shape[:-1], x.shape)
    return torch.cholesky_solve(x.expand(shape)[..., None], factor.expand(*shape, shape[-1]))[..., 0]


def _asymmetry(matrix: Tensor) -> Tensor:
    return (matrix - matrix.mT).detach().abs().amax((-2, -1))
