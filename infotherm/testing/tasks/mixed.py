"""Discrete beside continuous arguments, and laws with atoms among continuous values."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.testing.tasks.gaussian import paired_draw
from infotherm.testing.tasks.task import (
    Draw,
    Task,
    certified,
    choice,
    closed_form,
    normal,
    plogp,
    quadrature,
    uniform,
)

_GAO = "Gao, Kannan, Oh, Viswanath, Estimating Mutual Information for Discrete-Continuous Mixtures, NeurIPS 2017"
_ARB = "Arb ball arithmetic (Johansson, IEEE Trans. Comput. 66, 1281, 2017); radius below 1e-30"

# -- equispaced levels of unit power in Gaussian noise -----------------------------------------------------------------


def amplitude_draw(levels: int, snr: float) -> Draw:
    """Samples of X and sqrt(snr) X + N, X one of `levels` equispaced amplitudes of unit power, all alike."""
    spacing = math.sqrt(12 / (levels**2 - 1))

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        index = choice(generator, n, torch.full((levels,), 1 / levels, dtype=torch.float64))[:, None]
        x = spacing * (index - (levels - 1) / 2)
        return x, math.sqrt(snr) * x + normal(generator, n, 1)

    return draw


# -- Gao et al.'s experiments ------------------------------------------------------------------------------------------


def shifted_uniform_information(levels: int) -> float:
    """I(X; Y) of X uniform on 0 ... m - 1 and Y uniform on [X, X + 2]: log m - (m - 1) log(2) / m, in nats."""
    return math.log(levels) - (levels - 1) * math.log(2) / levels


def shifted_uniform_draw(levels: int) -> Draw:
    """Samples of X uniform on 0 ... m - 1 and Y uniform on [X, X + 2]."""

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = choice(generator, n, torch.full((levels,), 1 / levels, dtype=torch.float64)).double()[:, None]
        return x, x + 2 * uniform(generator, n, 1)

    return draw


def zero_inflated_poisson_information(p: float) -> float:
    """I(X; Y) of X ~ Exp(1) and Y = 0 with probability p, Poisson(X) otherwise, in nats.

    P(Y = k) = (1 - p) 2^-(k+1) for k > 0, and q = (1 + p) / 2 for k = 0. A count k > 0 can only come from the Poisson
    part: these terms are (1 - p) times those of p = 0. With u = e^-x uniform, the term of k = 0 is

        int_p^1 w log w dw / (1 - p) - q log q = -(1 + p) / 4 - p^2 log(p) / (2 (1 - p)) - q log q.

    The source prints (1 - p) (2 log 2 - gamma - sum_k log(k) 2^-k), which holds for p = 0 only: it takes for granted
    that a zero shows where it comes from. At p = 0.15 it is 0.2560580573, the truth 0.2297759585.

    Examples
    --------
    >>> zero_inflated_poisson_information(0.0), zero_inflated_poisson_information(0.15)
    (0.30124477335, 0.229775958542)
    """
    gamma = 0.57721566490153286061
    of_poisson = 2 * math.log(2) - gamma - math.fsum(math.log(k) * 2.0**-k for k in range(2, 80))
    of_zeros_alone = math.log(2) / 2 - 0.25
    q = (1 + p) / 2
    of_zeros = -(1 + p) / 4 - (p * plogp(p) / (2 * (1 - p)) if p else 0.0) - q * math.log(q)
    return (1 - p) * (of_poisson - of_zeros_alone) + of_zeros


def zero_inflated_poisson_draw(p: float) -> Draw:
    """Samples of X ~ Exp(1) and of a Poisson(X) count that is set to zero with probability p."""

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = -torch.log1p(-uniform(generator, n, 1))
        y = torch.poisson(x, generator=generator)
        return x, torch.where(uniform(generator, n, 1) < p, 0.0, y)

    return draw


def atoms_information(rho: float, agree: float) -> float:
    """log 2 - log(1 - rho^2) / 4 + (log 2 - H(agree)) / 2: whether the pair is an atom shows in x and in y."""
    return math.log(2) - math.log1p(-rho * rho) / 4 + (math.log(2) + plogp(agree) + plogp(1 - agree)) / 2


def atoms_draw(rho: float, agree: float) -> Draw:
    """Samples that are correlated Gaussian or, in one half, points +-1 that agree with probability `agree`."""
    gaussian = paired_draw(-math.log1p(-rho * rho) / 2, 1, 1)

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x, y = gaussian(n, generator)
        atom, same = uniform(generator, n, 1) < 0.5, uniform(generator, n, 1) < agree
        sign = torch.where(uniform(generator, n, 1) < 0.5, -1.0, 1.0).double()
        return torch.where(atom, sign, x), torch.where(atom, torch.where(same, sign, -sign), y)

    return draw


# -- Gaussian pairs read off coarsely ----------------------------------------------------------------------------------


def signs_information(rho: float) -> float:
    """I(sign x; sign y) of a normal pair: log 2 - H(1/2 + asin(rho) / pi), by Sheppard's formula, in nats."""
    same = 0.5 + math.asin(rho) / math.pi
    return math.log(2) + plogp(same) + plogp(1 - same)


def coarse_draw(rho: float, both: bool) -> Draw:
    """Samples of sign x beside y, or beside sign y, of a normal pair of correlation rho."""
    gaussian = paired_draw(-math.log1p(-rho * rho) / 2, 1, 1)

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x, y = gaussian(n, generator)
        return (x > 0).double(), (y > 0).double() if both else y

    return draw


# -- the tasks ---------------------------------------------------------------------------------------------------------

_AMPLITUDES = (
    ("bpsk-awgn-0.1", 2, 0.1, 0.0476492338967162838205891292),
    ("bpsk-awgn-1", 2, 1.0, 0.3368308203468316120048048000),
    ("bpsk-awgn-10", 2, 10.0, 0.6908988384515731635689512402),
    ("pam4-awgn-10", 4, 10.0, 1.0965391501245896684080992793),
    ("pam8-awgn-100", 8, 100.0, 2.0106334438720359226434660123),
)


def family() -> list[Task]:
    """The tasks of mutual information with a discrete argument or with atoms."""
    gao_corrected = f"{_GAO}, whose formula is corrected here for p > 0"
    sheppard = "Sheppard, Phil. Trans. R. Soc. A 192 (1899) 101: P(same sign) = 1/2 + asin(rho) / pi"
    return [
        *[
            _of(
                name,
                f"x one of {levels} equispaced levels of unit power, y = sqrt({snr:g}) x + standard normal noise",
                _ARB,
                amplitude_draw(levels, snr),
                certified(value),
            )
            for name, levels, snr, value in _AMPLITUDES
        ],
        *[
            _of(
                f"shifted-uniform-{levels}",
                f"x uniform on 0 ... {levels - 1}, y uniform on [x, x + 2]",
                _GAO,
                shifted_uniform_draw(levels),
                closed_form(shifted_uniform_information(levels)),
            )
            for levels in (2, 5, 20)
        ],
        *[
            _of(
                f"zero-inflated-poisson-{p}",
                f"x exponential, y = 0 with probability {p}, else a Poisson count of mean x",
                gao_corrected,
                zero_inflated_poisson_draw(p),
                closed_form(zero_inflated_poisson_information(p)),
            )
            for p in (0.0, 0.15, 0.5)
        ],
        _of(
            "gaussian-with-atoms",
            "half a Gaussian pair of correlation 0.9, half points +-1 that agree with probability 0.9",
            _GAO,
            atoms_draw(0.9, 0.9),
            closed_form(atoms_information(0.9, 0.9)),
        ),
        _of(
            "gaussian-sign-0.8",
            "the sign of x beside y, of a normal pair of correlation 0.8",
            "log 2 - E H(Phi(rho y / sqrt(1 - rho^2))), integrated to 25 digits",
            coarse_draw(0.8, both=False),
            quadrature(0.2665813762407628176843856, error=1e-15),
        ),
        replace(
            _of(
                "gaussian-signs-0.8",
                "the signs of a normal pair of correlation 0.8",
                sheppard,
                coarse_draw(0.8, both=True),
                closed_form(signs_information(0.8)),
            ),
            data="discrete",
        ),
    ]


def _of(name: str, description: str, source: str, draw: Draw, truth: Estimate) -> Task:
    return Task(
        name=name,
        quantity="mutual_information",
        data="mixed",
        dims=(1, 1),
        description=description,
        source=source,
        draw=draw,
        find=lambda: truth,
    )
