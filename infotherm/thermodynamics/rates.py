"""Entropy production rates: how irreversible a process is at one time, and the part that only keeps it in motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.channels.posterior import like
from infotherm.core.estimate import Estimate
from infotherm.core.quantity import NotApplicable, Quantity
from infotherm.core.tensors import Generator, as_tensor
from infotherm.distributions import Gaussian, GaussianMixture, as_distribution
from infotherm.distributions.base import Distribution
from infotherm.processes import AffineProcess, Langevin, MarkovJump, Process, steady_state
from infotherm.thermodynamics.abrupt_ends import infinite_score
from infotherm.thermodynamics.jump_split import jump_split
from infotherm.thermodynamics.score_mismatch import (
    gaussian_mismatch,
    quadratic_mean,
    sampled_mismatch,
    scalar_mismatch,
)
from infotherm.thermodynamics.system_and_medium import has_atoms


def as_process(x: Any, name: str = "process") -> Process:
    """The process itself.

    Raises
    ------
    TypeError
        When it is none.
    """
    if not isinstance(x, Process):
        raise TypeError(f"{name} must be a process, like processes.OrnsteinUhlenbeck(...); got {type(x).__name__}")
    return x


rate_quantity = Quantity(
    "entropy_production_rate",
    accepts=(as_process, as_distribution),
    arguments=("process", "p"),
    doc="Entropy production rate of a process in the law p at time t, nats per unit of time.",
)


def entropy_production_rate(
    process: Process, p: Any = None, t: Any = None, *, method: str = "auto", **options: Any
) -> Estimate:
    r"""The entropy production rate, E[nu^T D^-1 nu] with nu = b - D grad log p, in nats per unit of time.

    For isotropic noise it is (2 / sigma^2) E|nu|^2 = E|2 b - sigma^2 grad log p|^2 / (2 sigma^2). For jump processes,
    sum over pairs of (p_i k_ij - p_j k_ji) log(p_i k_ij / (p_j k_ji)).

    Parameters
    ----------
    process
        An affine diffusion, a MarkovJump, or a MarkovChain (what its next step produces, in "nat/step").
    p
        The law at time t, any batch; the steady state unless given.
    t
        Time, a number or a tensor whose shape broadcasts against the batch of p; the process's first time unless given.
    method
        "closed-form" (Gaussian p, jump processes), "quadrature" (D = 1; a Langevin process also with D = 2 and p on a
        grid) or "monte-carlo". Langevin processes: E[(F - s)^T D (F - s)] with F = D^-1 (b - div D) and the score s.
    **options
        tolerance (quadrature), n_samples and generator (Monte Carlo).

    Returns
    -------
    Estimate
        Units "nat/time". Exact by closed form or quadrature, an estimate by Monte Carlo; infinite for a law without
        density, for one that ends or jumps abruptly (a uniform law), and for one-way jumps.

    Raises
    ------
    ValueError
        When the diffusion matrix is singular (a coordinate without noise has no overdamped entropy production), the
        process is not defined at t, or there is no steady state to take for p.

    References
    ----------
    Seifert, Rep. Prog. Phys. 75 (2012) 126001, sec. 2; Premkumar, "Neural entropy", eq. 6 (integrand).

    Examples
    --------
    >>> from infotherm.processes import OrnsteinUhlenbeck
    >>> entropy_production_rate(OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], 2**0.5)).value
    tensor(8., dtype=torch.float64)
    """
    process = as_process(process)
    p = steady_state(process) if p is None else as_distribution(p, "p")
    t = first_time(process) if t is None else t
    check_batches(process, p, t=t)
    return rate_quantity(process, p, t, method=method, **options)


@dataclass(frozen=True)
class EntropyProductionSplit:
    """The two parts of an entropy production rate, neither negative, in nats per unit of time.

    Attributes
    ----------
    excess
        The non-adiabatic part, which relaxation makes.
    housekeeping
        The adiabatic part, which keeping up a current makes; zero with detailed balance.
    """

    excess: Estimate
    housekeeping: Estimate

    @property
    def total(self) -> Estimate:
        """Their sum, the entropy production rate."""
        return self.excess + self.housekeeping


def excess_housekeeping(
    process: AffineProcess | Langevin | MarkovJump,
    p: Any,
    t: Any = None,
    *,
    split: str = "hatano-sasa",
    method: str = "auto",
    **options: Any,
) -> EntropyProductionSplit:
    r"""The entropy production rate split into excess and housekeeping parts, nats per unit of time each.

    With p_ss the law that the process frozen at t would keep and nu_ss = b - D grad log p_ss: excess =
    E[(s_ss - s)^T D (s_ss - s)] for the scores s, minus the rate of change of KL(p || p_ss) where p_ss is static;
    housekeeping = E_p[nu_ss^T D^-1 nu_ss], zero with detailed balance. Their sum is the entropy production rate.
    For jumps: excess = sum_ij p_i k_ij log(p_i pi_j / (p_j pi_i)), housekeeping = sum_ij p_i k_ij log(pi_i k_ij /
    (pi_j k_ji)) summed over reservoirs, with the law pi that the rates of time t would keep.

    That is the split of Hatano and Sasa. That of Maes and Netocny (diffusions) needs no steady state: excess is the
    least rate that moves p as nu does, E|grad psi|^2 in the metric of D where div(p D grad psi) = div(p nu), and
    housekeeping is the rest, never above that of Hatano and Sasa.

    Parameters
    ----------
    process
        An affine diffusion, a Langevin process of one coordinate (or two, with p on a grid) or a MarkovJump.
    p
        The law at time t.
    t
        Time; the process's first time unless given.
    split
        "hatano-sasa" or "maes-netocny".
    method, **options
        For the excess part, as in `entropy_production_rate`.

    Raises
    ------
    ValueError
        When the frozen process has no stationary law; for another split, or one that the process does not have.

    References
    ----------
    Maes and Netocny, J. Stat. Phys. 154 (2014) 188; Dechant, Sasa and Ito, Phys. Rev. E 106 (2022) 024125; Hatano and
    Sasa, Phys. Rev. Lett. 86 (2001) 3463.
    Esposito and Van den Broeck, Phys. Rev. Lett. 104 (2010) 090601 (adiabatic and non-adiabatic).

    Examples
    --------
    >>> from infotherm.processes import OrnsteinUhlenbeck
    >>> rotating = OrnsteinUhlenbeck([[1.0, -2.0], [2.0, 1.0]], 2**0.5)
    >>> excess_housekeeping(rotating, Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])).housekeeping.value
    tensor(8., dtype=torch.float64)
    """
    p = as_distribution(p, "p")
    if not isinstance(process, AffineProcess | Langevin | MarkovJump):
        raise TypeError(
            f"process must be an affine diffusion, a Langevin process or a MarkovJump; got {type(process).__name__}"
        )
    if split not in ("hatano-sasa", "maes-netocny"):
        raise ValueError(f"split must be 'hatano-sasa' or 'maes-netocny'; got {split!r}")
    t = first_time(process) if t is None else t
    check_batches(process, p, t=t)
    if isinstance(process, Langevin) or split == "maes-netocny":
        from infotherm.thermodynamics.excess_split import geometric_or_grid_split

        return EntropyProductionSplit(*geometric_or_grid_split(process, p, t, split))
    if isinstance(process, MarkovJump):
        return EntropyProductionSplit(*jump_split(process, p, t))
    diffusion, matrix, offset = fields(process, p, t)
    accuracy = force_accuracy(process, diffusion)
    if process.static_force(p.dim) is not None:
        own, shift = (
            matrix,
            offset,
        )  # detailed balance: nothing is kept in motion, whether or not p_ss can be normalised
    else:
        law = process.quasi_invariant(t, p.dim)
        own = like(-law.precision, diffusion)
        shift = -(own @ like(law.mean, diffusion)[..., None])[..., 0]
        accuracy = max(accuracy, 4 * float(torch.linalg.cond(law.covariance.detach()).max()))
    excess = _mismatch(p, (diffusion, own, shift), accuracy, method, options)
    field = ((matrix, offset), (own, shift))
    return EntropyProductionSplit(excess, quadratic_mean(p.mean, p.covariance, diffusion, field, accuracy=accuracy))


def first_time(process: Process) -> float:
    """The time at which a process begins, 0 where it has none."""
    return 0.0 if process.start is None else process.start


def check_batches(process: Process, p: Distribution, name: str = "p", **times: Any) -> None:
    """Refuse shapes of times that do not broadcast against the batch of the law and of the process.

    Raises
    ------
    ValueError
        Naming what does not fit, or what is empty.
    """
    shapes = {f"the batch of {name}": p.batch_shape}
    for label, t in times.items():
        shape = as_tensor(t, label).shape
        if 0 in shape:
            raise ValueError(f"{label} must not be empty; got shape {tuple(shape)}")
        shapes[label] = shape
    if process.batch_shape:
        shapes["the batch of the process"] = process.batch_shape
    try:
        torch.broadcast_shapes(*shapes.values())
    except RuntimeError:
        given = ", ".join(f"{label} {tuple(shape)}" for label, shape in shapes.items())
        raise ValueError(f"shapes must broadcast; got {given}") from None


def infinite(p: Distribution, batch: Any, units: str = "nat") -> Estimate:
    """Infinity, for certain, for a law without density.

    Raises
    ------
    ValueError
        When only some laws of a batch are without.
    """
    if isinstance(p, GaussianMixture) and bool((~p.components.degenerate | (p.weights == 0)).all(-1).any()):
        raise ValueError("a batch must not mix laws with and without a density: take them apart")
    value = torch.full(tuple(batch), torch.inf, dtype=p.dtype, device=p.device)
    return Estimate(value, error=torch.finfo(p.dtype).tiny, units=units)


# -- rules of the rate -------------------------------------------------------------------------------------------------


def fields(process: AffineProcess, p: Distribution, t: Any) -> tuple[Tensor, Tensor, Tensor]:
    """D, F and f at time t, in the dtype and on the device of p."""
    beside = torch.empty(0, dtype=p.dtype, device=p.device)
    diffusion, (matrix, offset) = process.diffusion_matrix(t, p.dim), process.force(t, p.dim)
    return like(diffusion, beside), like(matrix, beside), like(offset, beside)


def force_accuracy(process: AffineProcess, diffusion: Tensor) -> float:
    """Relative accuracy of the force D^-1 b in units of eps: the condition of D, 1 where D is a number."""
    return 1.0 if process.isotropic else float(torch.linalg.cond(diffusion.detach()).max())


def needs_score(process: AffineProcess, p: Distribution, *rest: Any) -> None:
    """Applies to laws with a density."""
    if has_atoms(p):
        raise NotApplicable("p has atoms: no score, and an infinite rate")


def _needs_one_dimension(process: AffineProcess, p: Distribution, *rest: Any) -> None:
    needs_score(process, p)
    if p.dim != 1:
        raise NotApplicable(f"quadrature over x needs D = 1; p has D = {p.dim}")


def needs_atoms(process: AffineProcess, p: Distribution, *rest: Any) -> None:
    """Applies to laws without a density."""
    if isinstance(p, Gaussian):
        raise NotApplicable("Gaussians, singular ones too, have rules of their own")
    if not has_atoms(p):
        raise NotApplicable("p has a density")


@rate_quantity.rule(AffineProcess, Gaussian, method="closed-form")
def gaussian_rate(process: AffineProcess, p: Gaussian, t: Any) -> Estimate:
    """A sum of squares in the factor of the covariance."""
    diffusion, matrix, offset = fields(process, p, t)
    return gaussian_mismatch(p, diffusion, matrix, offset, accuracy=force_accuracy(process, diffusion))


@rate_quantity.rule(AffineProcess, Distribution, method="closed-form", when=needs_atoms)
def atomic_rate(process: AffineProcess, p: Distribution, t: Any) -> Estimate:
    """Infinite: the score of an atom is."""
    return _infinite_rate(p, t)


@rate_quantity.rule(AffineProcess, Distribution, method="quadrature", when=_needs_one_dimension)
def scalar_rate(process: AffineProcess, p: Distribution, t: Any, *, tolerance: float = 1e-12) -> Estimate:
    """Adaptive quadrature over x."""
    if _runs_off_a_cliff(p):
        return _infinite_rate(p, t)
    return scalar_mismatch(p, *fields(process, p, t), tolerance=tolerance)


@rate_quantity.rule(AffineProcess, Distribution, method="monte-carlo", when=needs_score)
def sampled_rate(
    process: AffineProcess, p: Distribution, t: Any, *, n_samples: int = 10_000, generator: Generator = None
) -> Estimate:
    """The mean over samples of the law."""
    if _runs_off_a_cliff(p):
        return _infinite_rate(p, t)
    return sampled_mismatch(p, *fields(process, p, t), n_samples=n_samples, generator=generator)


def _runs_off_a_cliff(p: Distribution) -> bool:
    """Whether densities end or jump so abruptly that the current of the noise there is without end.

    Raises
    ------
    ValueError
        When only some laws of a batch do.
    """
    found = infinite_score(p)
    if bool(found.any()) and not bool(found.all()):
        raise ValueError("a batch must not mix laws with and without an infinite rate (abrupt ends): take them apart")
    return bool(found.any())


def _infinite_rate(p: Distribution, t: Any) -> Estimate:
    return infinite(p, torch.broadcast_shapes(p.batch_shape, as_tensor(t, "t").shape), "nat/time")


def _mismatch(
    p: Distribution, field: tuple[Tensor, Tensor, Tensor], accuracy: float, method: str, options: dict[str, Any]
) -> Estimate:
    """E |F x + f - grad log p|^2 in the metric of D, for the field (D, F, f), by the route that fits."""
    if isinstance(p, Gaussian) and method in ("auto", "closed-form"):
        return gaussian_mismatch(p, *field, accuracy=accuracy)
    if has_atoms(p) or _runs_off_a_cliff(p):
        return infinite(p, p.batch_shape, "nat/time")
    if p.dim == 1 and method in ("auto", "quadrature"):
        return scalar_mismatch(p, *field, **options)
    if method not in ("auto", "monte-carlo"):
        raise ValueError(f"method must fit p ({type(p).__name__} with D = {p.dim}); got {method!r}")
    return sampled_mismatch(p, *field, **options)
