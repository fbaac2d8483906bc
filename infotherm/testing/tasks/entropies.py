"""Entropy tasks: laws with a density, from light to heavy tails, and laws of labels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.testing.tasks import laws
from infotherm.testing.tasks.gaussian import dense
from infotherm.testing.tasks.laws import Sampler
from infotherm.testing.tasks.student import student_draw
from infotherm.testing.tasks.task import Task, certified, closed_form, normal, plogp, uniform

_COVER = "Cover and Thomas, Elements of Information Theory (2006), table 17.1"
_ARB = "Arb ball arithmetic (Johansson, IEEE Trans. Comput. 66, 1281, 2017); radius below 1e-30"


def gaussian_entropy(covariance: Tensor) -> float:
    """log det(2 pi e C) / 2, in nats."""
    return float(torch.linalg.slogdet(2 * math.pi * math.e * covariance).logabsdet) / 2


def student_entropy(degrees: float, dispersion: Tensor) -> float:
    """h of a Student-t with dispersion C and v degrees of freedom, in nats.

    log|C| / 2 - log[Gamma((v+d)/2) / (Gamma(v/2) (v pi)^(d/2))] + (v+d)/2 [psi((v+d)/2) - psi(v/2)];
    Arellano-Valle, Contreras-Reyes, Genton, Scand. J. Stat. 40 (2013) 42.
    """
    dim = len(dispersion)
    half = torch.tensor([degrees, degrees + dim], dtype=torch.float64) / 2
    log_gamma, digamma = half.lgamma(), half.digamma()
    norm = float(log_gamma[1] - log_gamma[0]) - dim / 2 * math.log(degrees * math.pi)
    return float(dispersion.logdet()) / 2 - norm + float(half[1] * (digamma[1] - digamma[0]))


def beta_entropy(a: float, b: float) -> float:
    """log B(a, b) - (a - 1) psi(a) - (b - 1) psi(b) + (a + b - 2) psi(a + b), in nats."""
    values = torch.tensor([a, b, a + b], dtype=torch.float64)
    log_gamma, digamma = values.lgamma(), values.digamma()
    log_beta = log_gamma[0] + log_gamma[1] - log_gamma[2]
    return float(log_beta - (a - 1) * digamma[0] - (b - 1) * digamma[1] + (a + b - 2) * digamma[2])


def gamma_entropy(shape: float) -> float:
    """a + log Gamma(a) + (1 - a) psi(a) of the gamma law of unit scale, in nats."""
    a = torch.tensor(shape, dtype=torch.float64)
    return float(a + a.lgamma() + (1 - a) * a.digamma())


def family() -> list[Task]:
    """The tasks of entropy."""
    return [*_gaussian(), *_continuous(), *_discrete()]


def _gaussian() -> list[Task]:
    one = torch.eye(20, dtype=torch.float64)
    covariances = {f"gaussian-{d}": one[:d, :d] for d in (1, 2, 3, 4, 5, 6, 20)}
    covariances["gaussian-dense-3"] = dense(3, 0.5)
    covariances["gaussian-dense-6-strong"] = dense(6, 0.95)
    covariances["gaussian-narrow-2"] = 1e-4 * one[:2, :2]
    return [
        _of(
            name,
            "continuous",
            laws.affine_normal([0.0] * len(c), c),
            closed_form(gaussian_entropy(c)),
            f"N(0, C) in {len(c)} dimensions",
            dim=len(c),
            gaussian=True,
        )
        for name, c in covariances.items()
    ]


def _continuous() -> list[Task]:
    correlated = dense(3, 0.5)

    def student(degrees: int, dispersion: Tensor) -> Sampler:
        draw = student_draw(dispersion, degrees, len(dispersion))
        return lambda n, g: draw(n, g)[0]

    one = torch.eye(1, dtype=torch.float64)
    return [
        _of("uniform-1", "continuous", lambda n, g: uniform(g, n, 1), closed_form(0.0), "uniform on [0, 1]"),
        _of(
            "uniform-3",
            "continuous",
            lambda n, g: uniform(g, n, 3) / 2,
            closed_form(-3 * math.log(2)),
            "uniform on a cube of side 1/2",
            dim=3,
        ),
        _of("exponential", "continuous", laws.exponential(), closed_form(1.0), "exponential of rate 1"),
        _of("laplace", "continuous", laws.laplace(), closed_form(1 + math.log(2)), "Laplace of scale 1"),
        _of(
            "laplace-3",
            "continuous",
            laws.laplace(2.0, 3),
            closed_form(3 * (1 + math.log(4))),
            "three independent Laplace coordinates of scale 2",
            dim=3,
        ),
        _of("cauchy", "continuous", laws.cauchy(), closed_form(math.log(4 * math.pi)), "standard Cauchy"),
        _of(
            "student-1-dof3",
            "continuous",
            student(3, one),
            closed_form(student_entropy(3, one), error=1e-13),
            "Student-t of 3 degrees of freedom",
        ),
        _of(
            "student-3-dof5",
            "continuous",
            student(5, correlated),
            closed_form(student_entropy(5, correlated), error=1e-13),
            "Student-t of 5 degrees of freedom, all correlations 0.5",
            dim=3,
        ),
        _of(
            "lognormal",
            "continuous",
            lambda n, g: (0.5 * normal(g, n, 1)).exp(),
            closed_form(math.log(2 * math.pi * math.e * 0.25) / 2),
            "exponential of N(0, 1/4)",
        ),
        _of(
            "beta-2-5",
            "continuous",
            laws.beta(2, 5),
            closed_form(beta_entropy(2, 5), error=1e-14),
            "beta law of parameters 2 and 5",
        ),
        _of(
            "gamma-3",
            "continuous",
            laws.gamma(3),
            closed_form(gamma_entropy(3), error=1e-14),
            "gamma law of shape 3",
        ),
        _of(
            "two-peaks",
            "continuous",
            laws.mixture([0.5, 0.5], [-2, 2], [1, 1]),
            certified(2.0516587269415397234393403307),
            "0.5 N(-2, 1) + 0.5 N(2, 1)",
            source=_ARB,
        ),
        _of(
            "uneven-peaks",
            "continuous",
            laws.mixture([0.3, 0.7], [-1, 2], [0.5, 1.5]),
            certified(1.9402892143791311926590516250),
            "0.3 N(-1, 1/4) + 0.7 N(2, 9/4)",
            source=_ARB,
        ),
        _of(
            "three-peaks",
            "continuous",
            laws.mixture([0.2, 0.5, 0.3], [-3, 0, 4], [1, 0.25, 2]),
            certified(1.8875397952618766985696153540),
            "0.2 N(-3, 1) + 0.5 N(0, 1/16) + 0.3 N(4, 4)",
            source=_ARB,
        ),
    ]


def _discrete() -> list[Task]:
    eight = torch.full((8,), 1 / 8, dtype=torch.float64)
    skewed = laws.zipf(20, 1.0)
    plain = -math.fsum(plogp(p) for p in skewed.tolist())
    p = 0.3
    return [
        _of("uniform-labels-8", "discrete", laws.labels(eight), closed_form(math.log(8)), "eight labels, all alike"),
        _of("zipf-20", "discrete", laws.labels(skewed), closed_form(plain), "20 labels, probability as 1 / rank"),
        _of(
            "geometric-0.3",
            "discrete",
            lambda n, g: (torch.log1p(-uniform(g, n, 1)) / math.log1p(-p)).floor(),
            closed_form(-(plogp(p) + plogp(1 - p)) / p),
            "failures before the first success of probability 0.3",
        ),
        _of(
            "poisson-10",
            "discrete",
            lambda n, g: torch.poisson(torch.full((n, 1), 10.0, dtype=torch.float64, device=g.device), generator=g),
            certified(2.5614099352749091225946534960),
            "Poisson of mean 10",
            source=_ARB,
        ),
        _of(
            "certain-label",
            "discrete",
            lambda n, g: torch.zeros(n, 1, dtype=torch.float64, device=g.device),
            closed_form(0.0),
            "always the same label",
        ),
    ]


def _of(
    name: str,
    data: str,
    sampler: Sampler,
    truth: Estimate,
    what: str,
    *,
    dim: int = 1,
    gaussian: bool = False,
    source: str = _COVER,
) -> Task:
    return Task(
        name=f"entropy-{name}",
        quantity="entropy",
        data=data,
        gaussian=gaussian,
        dims=(dim,),
        description=what,
        source=source,
        draw=lambda n, g: (sampler(n, g),),
        find=lambda: truth,
    )
