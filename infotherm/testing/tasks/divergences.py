"""Tasks of the Kullback-Leibler divergence from samples of both laws."""

from __future__ import annotations

import math

import torch

from infotherm.core.estimate import Estimate
from infotherm.distributions import Gaussian
from infotherm.information import kl
from infotherm.testing.tasks import laws
from infotherm.testing.tasks.gaussian import dense
from infotherm.testing.tasks.laws import Sampler
from infotherm.testing.tasks.task import Task, certified, closed_form, quadrature, uniform

_COVER = "Cover and Thomas, Elements of Information Theory (2006), eq. 8.46"
_ARB = "Arb ball arithmetic (Johansson, IEEE Trans. Comput. 66, 1281, 2017); radius below 1e-30"


def family() -> list[Task]:
    """The tasks of Kullback-Leibler divergence."""
    return [*_gaussian(), *_other()]


def _gaussian() -> list[Task]:
    one = torch.eye(10, dtype=torch.float64)
    cases = {
        "gaussian-shift": ([1.0], one[:1, :1], one[:1, :1]),
        "gaussian-narrower": ([0.0], one[:1, :1], 4 * one[:1, :1]),
        "gaussian-wider": ([0.0], 4 * one[:1, :1], one[:1, :1]),
        "gaussian-equal-2": ([0.0, 0.0], one[:2, :2], one[:2, :2]),
        "gaussian-3": ([0.5, 0.0, -0.5], dense(3, 0.5), one[:3, :3]),
        "gaussian-5": ([0.0] * 5, one[:5, :5], dense(5, 0.5)),
        "gaussian-shift-10": ([0.3] * 10, one, one),
    }
    tasks = []
    for name, (mean, first, second) in cases.items():
        zero = [0.0] * len(mean)
        truth = kl(Gaussian(mean, first), Gaussian(zero, second))
        samplers = laws.affine_normal(mean, first), laws.affine_normal(zero, second)
        what = f"N(m, C) from N(0, D) in {len(mean)} dimensions"
        tasks.append(_of(name, *samplers, truth, what, dim=len(mean), gaussian=True))
    return tasks


def _other() -> list[Task]:
    one = torch.eye(1, dtype=torch.float64)
    two_peaks = laws.mixture([0.5, 0.5], [-2, 2], [1, 1])
    entropy = 2.0516587269415397234393403307
    p, q = (torch.tensor(pmf, dtype=torch.float64) for pmf in ([0.5, 0.3, 0.2, 0.0], [0.25, 0.25, 0.25, 0.25]))
    return [
        _of(
            "laplace-gaussian",
            laws.laplace(),
            laws.affine_normal([0.0], 1.96 * one),
            certified(0.0724676708985934240921808210828),
            "Laplace of scale 1 from N(0, 1.96)",
            source=_ARB,
        ),
        _of(
            "exponential",
            laws.exponential(2.0),
            laws.exponential(1.0),
            closed_form(math.log(2) - 0.5),
            "exponential of rate 2 from rate 1",
            source="log(a / b) + b / a - 1",
        ),
        _of(
            "exponential-slower",
            laws.exponential(1.0),
            laws.exponential(2.0),
            closed_form(1 - math.log(2)),
            "exponential of rate 1 from rate 2",
            source="log(a / b) + b / a - 1",
        ),
        _of(
            "uniform-within",
            lambda n, g: uniform(g, n, 2),
            lambda n, g: 2 * uniform(g, n, 2),
            closed_form(2 * math.log(2)),
            "uniform on the unit square from uniform on a square of side 2",
            dim=2,
            source="log of the ratio of areas",
        ),
        _of(
            "two-peaks-gaussian",
            two_peaks,
            laws.affine_normal([0.0], 5 * one),
            closed_form(math.log(10 * math.pi) / 2 + 0.5 - entropy),
            "0.5 N(-2, 1) + 0.5 N(2, 1) from the Gaussian of its moments",
            source=f"log(2 pi e v) / 2 - h; h by {_ARB}",
        ),
        _of(
            "mixtures",
            laws.mixture([0.3, 0.7], [-1, 2], [0.5, 1.5]),
            two_peaks,
            quadrature(0.410809959930078246419295682151, error=1e-15),
            "0.3 N(-1, 1/4) + 0.7 N(2, 9/4) from 0.5 N(-2, 1) + 0.5 N(2, 1)",
            source="integral of p log(p / q), to 25 digits",
        ),
        _of(
            "equal-mixtures",
            two_peaks,
            two_peaks,
            closed_form(0.0),
            "both 0.5 N(-2, 1) + 0.5 N(2, 1)",
            source="zero for equal laws",
        ),
        _of(
            "labels",
            laws.labels(p),
            laws.labels(q),
            closed_form(math.log(4) + 0.5 * math.log(0.5) + 0.3 * math.log(0.3) + 0.2 * math.log(0.2)),
            "three labels of 0.5, 0.3, 0.2 from four labels alike",
            source="sum p log(p / q)",
            data="discrete",
        ),
    ]


def _of(
    name: str,
    first: Sampler,
    second: Sampler,
    truth: Estimate,
    what: str,
    *,
    dim: int = 1,
    gaussian: bool = False,
    source: str = _COVER,
    data: str = "continuous",
) -> Task:
    return Task(
        name=f"kl-{name}",
        quantity="kl",
        data=data,
        gaussian=gaussian,
        dims=(dim, dim),
        description=what,
        source=source,
        draw=lambda n, m, g: (first(n, g), second(m, g)),
        find=lambda: truth,
    )
