"""Two coupled systems with independent noises: who learns about whom, at which cost.

The information between them changes because X moves and because Y moves, dI(X; Y)/dt = I_x + I_y, and each part obeys
its own second law with its flow of information in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.channels.posterior import like
from infotherm.core.estimate import Estimate
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensor, validating
from infotherm.distributions import Discrete, Gaussian, as_distribution
from infotherm.processes import AffineProcess, MarkovJump, Process, steady_state
from infotherm.thermodynamics.jump_entropy import jump_rate
from infotherm.thermodynamics.linear_information_flow import gaussian_parts, gaussian_transfer_entropy
from infotherm.thermodynamics.rates import as_process, check_batches, first_time

DIRECTIONS = ("x->y", "y->x")
_ALL = (-4, -3, -2, -1)  # reservoirs, states of the other part, jumps


@dataclass(frozen=True)
class PartialRates:
    """Rates of one of two coupled systems, nats per unit of time.

    entropy_production = entropy_change + medium_entropy - information_flow, and it is never negative: a system that
    the other one has learnt about (information_flow < 0) may cool its bath.

    Attributes
    ----------
    entropy_production
        sigma_x, the irreversibility of its own moves.
    information_flow
        I_x, the change of I(X; Y) by its moves; in the steady state the learning rate of X about Y.
    entropy_change
        Of its marginal law, d H(X) / dt.
    medium_entropy
        The entropy that its moves give to the medium.
    """

    entropy_production: Estimate
    information_flow: Estimate
    entropy_change: Estimate
    medium_entropy: Estimate


@dataclass(frozen=True)
class BipartiteRates:
    """The rates of both systems, nats per unit of time.

    Attributes
    ----------
    x, y
        The `PartialRates` of each.
    """

    x: PartialRates
    y: PartialRates

    @property
    def entropy_production(self) -> Estimate:
        """Of both together."""
        return self.x.entropy_production + self.y.entropy_production

    @property
    def information_change(self) -> Estimate:
        """dI(X; Y)/dt, zero in the steady state."""
        return self.x.information_flow + self.y.information_flow


def bipartite_rates(process: Process, parts: Any, p: Any = None, t: Any = None) -> BipartiteRates:
    r"""The information flows between two coupled systems and their own entropy production rates, nats per unit of time.

    Diffusions: I_x = E[nu_x . grad_x log(p(x, y) / p(x))], sigma_x = E[nu_x^T D_x^-1 nu_x] with the velocity
    nu = b - D grad log p. Jumps: I_x = sum over x -> x', y of p(x, y) k log(p(y | x') / p(y | x)), sigma_x the sum of
    currents times affinities over the jumps of x. Both: sigma_x = dH(X)/dt + medium_x - I_x >= 0.

    Parameters
    ----------
    process
        An affine diffusion whose first coordinates are X, or a MarkovJump whose states are pairs, number x K_y + y.
    parts
        Sizes of X and Y: numbers of coordinates (D_x, D_y), or of states (K_x, K_y).
    p
        The law at time t: a Gaussian, or a Discrete with one part or with the two. The steady state unless given.
    t
        Time; the process's first time unless given.

    Returns
    -------
    BipartiteRates
        Exact, by closed form. For one-way jumps entropy production and medium entropy are infinite.

    Raises
    ------
    ValueError
        When the noises are correlated (an entry of D between the parts), a jump changes both parts at once (the message
        names it), the sizes do not fit, p has no density or leaves a state empty that a jump reaches, or there is no
        steady state to take.

    References
    ----------
    Allahverdyan, Janzing and Mahler, J. Stat. Mech. (2009) P09011; Horowitz and Esposito, Phys. Rev. X 4 (2014)
    031015; Barato, Hartich and Seifert, New J. Phys. 16 (2014) 103024 (learning rate).

    Examples
    --------
    A sensor Y that follows a signal X (it does not act back) learns what X's motion makes it forget:

    >>> from infotherm.processes import OrnsteinUhlenbeck
    >>> rates = bipartite_rates(OrnsteinUhlenbeck([[1.0, 0.0], [-2.0, 2.0]], 2**0.5), (1, 1))
    >>> round(rates.y.information_flow.value.item(), 6), round(rates.x.information_flow.value.item(), 6)
    (0.615385, -0.615385)
    """
    process, sizes = as_process(process), _sizes(parts)
    t = first_time(process) if t is None else t
    if isinstance(process, MarkovJump):
        rates = process.reservoir_rates_at(t)
        joint = like(_pair_law(process, rates, sizes, p), rates)
        return BipartiteRates(*(_jump_part(rates, joint, axis) for axis in (0, 1)))
    process = _affine(process)
    law = _gaussian(process, p, t)
    rates = gaussian_parts(process, None if p is None else law, sizes, as_tensor(t, "t"), law)
    return BipartiteRates(*(PartialRates(*part) for part in rates))


def transfer_entropy_rate(process: Process, parts: Any, direction: str = "x->y") -> Estimate:
    r"""The stationary transfer entropy rate, lim I(Y_{t+dt}; past of X | past of Y) / dt, nats per unit of time.

    Linear diffusions: the best filter of X from the past of Y (Kalman-Bucy) errs with covariance S, and the rate is
    tr(D_y^-1 A_yx S A_yx^T) / 4. Jumps: an upper bound, that of an observer who knows only the present y,
    sum p(x, y) k^x_{yy'} log(k^x_{yy'} / sum_x p(x | y) k^x_{yy'}).

    The learning rate of Y about X is not larger: information_flow of Y <= transfer entropy X -> Y.

    Parameters
    ----------
    process, parts
        As in `bipartite_rates`, with a steady state.
    direction
        "x->y", what the past of X adds to the prediction of Y, or "y->x".

    Returns
    -------
    Estimate
        Exact for linear diffusions, kind "upper" for jump processes.

    Raises
    ------
    ValueError
        For an unknown direction, and as `bipartite_rates`.

    References
    ----------
    Hartich, Barato and Seifert, J. Stat. Mech. (2014) P02016 (upper bound); Horowitz and Sandberg, New J. Phys. 16
    (2014) 125007 (filter); Duncan, SIAM J. Appl. Math. 19 (1970) 215.

    Examples
    --------
    >>> from infotherm.processes import OrnsteinUhlenbeck
    >>> follower = OrnsteinUhlenbeck([[1.0, 0.0], [-2.0, 2.0]], 2**0.5)
    >>> round(transfer_entropy_rate(follower, (1, 1)).value.item(), 6)
    0.618034
    >>> transfer_entropy_rate(follower, (1, 1), "y->x").value.item()
    0.0
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"direction must be 'x->y' or 'y->x'; got {direction!r}")
    process, sizes = as_process(process), _sizes(parts)
    into = int(direction == "x->y")
    if isinstance(process, MarkovJump):
        rates = process.reservoir_rates_at(first_time(process))
        joint = like(_pair_law(process, rates, sizes, None), rates)
        return _jump_transfer_entropy(rates.sum(-3, keepdim=True), joint, into)
    t = first_time(process)
    process = _affine(process)
    return gaussian_transfer_entropy(process, sizes, as_tensor(t, "t"), _gaussian(process, None, t), into)


def _sizes(parts: Any) -> tuple[int, int]:
    sizes = tuple(parts)
    if len(sizes) != 2 or any(isinstance(n, bool) or int(n) != n or n < 1 for n in sizes):
        raise ValueError(f"parts must be two sizes of at least 1, of X and of Y; got {parts!r}")
    return int(sizes[0]), int(sizes[1])


def _affine(process: Process) -> AffineProcess:
    if not isinstance(process, AffineProcess):
        raise TypeError(f"process must be an affine diffusion or a MarkovJump; got {type(process).__name__}")
    return process


def _gaussian(process: AffineProcess, p: Any, t: Any) -> Gaussian:
    law = steady_state(process) if p is None else as_distribution(p, "p")
    if not isinstance(law, Gaussian):
        raise TypeError(f"p must be Gaussian for a diffusion; got {type(law).__name__}")
    if validating(law.mean) and bool(law.degenerate.any()):
        raise ValueError("p must have a density: a singular Gaussian has infinite information flows")
    check_batches(process, law, t=t)
    return law


# -- jumps between pairs of states -------------------------------------------------------------------------------------


def _pair_law(process: MarkovJump, reservoirs: Tensor, sizes: tuple[int, int], p: Any) -> Tensor:
    """The pmf (..., K_x, K_y), for rates (..., R, K, K) that are checked to change one part at a time.

    Raises
    ------
    ValueError
        When sizes do not fit, or a jump changes both parts.
    """
    kx, ky = sizes
    if kx * ky != process.states:
        raise ValueError(f"parts must multiply to the {process.states} states of the process; got {sizes}")
    rates = reservoirs.reshape(*reservoirs.shape[:-2], kx, ky, kx, ky)
    both = ~torch.eye(kx, dtype=torch.bool)[:, None, :, None] & ~torch.eye(ky, dtype=torch.bool)[None, :, None, :]
    if validating(rates):
        at_once = torch.nonzero(((rates > 0) & both.to(rates.device)).reshape(-1, kx, ky, kx, ky).any(0))
        if len(at_once):
            x, y, x2, y2 = at_once[0].tolist()
            rate = rates[..., x, y, x2, y2].max().item()
            raise ValueError(
                f"a bipartite process changes one part at a time; got the jump (x, y) = ({x}, {y}) -> ({x2}, {y2}) "
                f"with rate {rate:.6g}"
            )
    if p is None:
        pmf = steady_state(process).pmf  # type: ignore[attr-defined]
        return pmf.reshape(*pmf.shape[:-1], kx, ky)
    law = as_distribution(p, "p")
    if isinstance(law, Discrete) and law.dim == 2 and tuple(law.alphabet) == sizes:
        return law.pmf
    if isinstance(law, Discrete) and law.dim == 1 and law.alphabet[0] == kx * ky:
        return law.pmf.reshape(*law.pmf.shape[:-1], kx, ky)
    raise ValueError(
        f"p must be a Discrete law of {kx * ky} states, or of two parts with {kx} and {ky} outcomes; got {law!r}"
    )


def _moves(rates: Tensor, joint: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Rates (..., R, other, s, s') and law (..., 1, other, s) of the jumps s -> s' of one part, for each reservoir."""
    sizes = joint.shape[-2:]
    table = rates.reshape(*rates.shape[:-2], *sizes, *sizes)
    law = joint[..., None, :, :]
    if axis == 0:
        return table.diagonal(dim1=-3, dim2=-1).movedim(-1, -3), law.mT
    return table.diagonal(dim1=-4, dim2=-2).movedim(-1, -3), law


def _jump_part(rates: Tensor, joint: Tensor, axis: int) -> PartialRates:
    own, law = _moves(rates, joint, axis)
    one_way = ((law[..., :, None] * own > 0) & (own.mT == 0)).flatten(-4).any(-1)
    alone = law.sum(-2)
    flux = law[..., :, None] * own
    production = jump_rate(own, law)  # of each reservoir, for each value of the other part
    moved = flux > 0
    if validating(law) and bool((moved & (law == 0)[..., None, :]).any()):
        raise ValueError(
            "p must give every state that a jump reaches some probability: into empty states all rates are infinite"
        )
    gained = _log(law)[..., None, :] - _log(law)[..., :, None]
    spread = _log(alone)[..., None, None, :] - _log(alone)[..., None, :, None]
    paid = torch.where(moved & (own.mT > 0), _log(own) - _log(own.mT), 0.0)

    def rate(weights: Tensor, infinite: Tensor | None = None) -> Estimate:
        weights = torch.where(moved, weights, 0.0)
        value = (flux * weights).sum(_ALL)
        # the logarithms, and the probabilities in them, are known to a few eps each
        sizes = (flux * (2 * weights.abs() + 4)).sum(_ALL)
        error = _entries(joint) * rounding_error([sizes])
        if infinite is not None:
            value = torch.where(infinite, torch.inf, value)
            error = torch.where(infinite, torch.finfo(value.dtype).tiny, error)
        return Estimate(value, error=error, units="nat/time")

    return PartialRates(production.sum((-2, -1)), rate(gained - spread), rate(-spread), rate(paid, one_way))


def _log(x: Tensor) -> Tensor:
    return torch.where(x > 0, torch.where(x > 0, x, 1.0).log(), -torch.inf)


def _entries(joint: Tensor) -> int:
    return joint.shape[-2] * joint.shape[-1]


def _jump_transfer_entropy(rates: Tensor, joint: Tensor, into: int) -> Estimate:
    own, law = _moves(rates, joint, into)
    guess = law / law.sum(-2, keepdim=True)  # of the hidden part, given the one that is seen
    predicted = (guess[..., :, None] * own).sum(-3, keepdim=True)
    known, unknown = torch.xlogy(own, own), torch.xlogy(own, predicted)
    weights = law[..., :, None]
    sizes = (weights * (own + known.abs() + unknown.abs())).sum(_ALL)
    value = (weights * (known - unknown)).sum(_ALL)
    return Estimate(value, error=_entries(joint) * rounding_error([sizes]), kind="upper", units="nat/time")
