"""Uncertainty relations: how precise a current can be for what it dissipates, and what its precision says of that."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.kinds import combined_method, negated, sum_kind
from infotherm.core.propagation import UNNAMED, joined_stderr, shared_info, size_product, streams_of
from infotherm.core.quantiles import student_quantile
from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import as_tensor
from infotherm.thermodynamics.precision import inverse_x_tanh_x, step_count
from infotherm.thermodynamics.reweighting import refused_where, samples_of

FORMS = ("steady", "driven", "discrete-time", "fluctuation-theorem", "fluctuation-theorem-tight", "kinetic", "unified")
_DISSIPATIVE = ("steady", "driven", "discrete-time", "fluctuation-theorem", "fluctuation-theorem-tight", "unified")
_ACTIVE = ("kinetic", "unified")
# the one-sided level of a comparison at level 0.01 (each side has half of it), at which limits are made to hold
_LEVEL = 0.005


def uncertainty_ratio(
    current: Any,
    entropy_production: Any = None,
    form: str = "steady",
    *,
    activity: Any = None,
    steps: int | None = None,
    response: Any = None,
) -> Estimate:
    """The relative variance of a current over the least that an uncertainty relation allows: at least 1 if it holds.

    Var J / <J>^2 over `uncertainty_bound`; with form="driven", Var J / R^2 with the response R in place of <J>. Every
    form has its own conditions, listed at `uncertainty_bound`: a ratio below 1 of a form that does not apply refutes
    nothing. Of underdamped motion none of them holds in general.

    Parameters
    ----------
    current
        Samples (n, ...) of the integrated current, or the tuple (mean, variance) of numbers or Estimates.
    entropy_production
        Mean entropy production over the same time in nats, a number or an Estimate; not used by "kinetic".
    form
        One of "steady", "driven", "discrete-time", "fluctuation-theorem", "fluctuation-theorem-tight", "kinetic",
        "unified".
    activity
        Mean number of jumps over the same time, for "kinetic" and "unified".
    steps
        Number of steps n, for "discrete-time"; the entropy production is that of all of them.
    response
        R = t d<J>/dt - v d<J>/dv of the mean integrated current <J>(t, v) to the duration t and the driving speed v,
        for "driven"; a number or an Estimate.

    Returns
    -------
    Estimate
        Dimensionless. From samples the standard error is made for one-sided limits: of the delta method on the
        logarithm, at least that of Gaussian currents, stretched so that the upper limit at level 0.005 is the one on
        the logarithmic scale with Student's t for the mean. At saturation, of 20 to 1000 Gaussian, Poisson, Skellam and
        exponential currents, `decide(ratio, 1)` at level 0.01 calls at most 0.8 % violated (the bare delta method: up
        to 2.5 %).

    Raises
    ------
    ValueError
        For an unknown form, what it needs and was not given (or the reverse), negative dissipation or activity, fewer
        than two samples.

    References
    ----------
    See `uncertainty_bound`.

    Examples
    --------
    >>> uncertainty_ratio((0.8, 0.36), 1.7577796618689758, "discrete-time", steps=1)  # a walk, 0.9 to the right
    1.34987235041 +- 6.8e-15  exact  closed-form
    >>> uncertainty_ratio((0.8, 0.36), 1.7577796618689758).value.item() < 0.5  # not valid in discrete time
    True
    """
    ceiling = _precision_ceiling(entropy_production, form, activity, steps)
    if form != "driven":
        if response is not None:
            raise ValueError(f"response belongs to the form 'driven'; got form={form!r}")
        return _positive_product(relative_variance(current), ceiling)
    if response is None:
        raise ValueError("response is required by the form 'driven': t d<J>/dt - v d<J>/dv of the mean current")
    variance = _given(current[1], "variance") if isinstance(current, tuple) else _sample_variance(current)
    return _positive_product(_over_square(variance, _given(response, "response")), ceiling)


def uncertainty_bound(
    entropy_production: Any = None, form: str = "steady", *, activity: Any = None, steps: int | None = None
) -> Estimate:
    """The least relative variance Var J / <J>^2 of a current J for its mean entropy production S and activity A.

    - "steady": 2 / S. Steady state of an overdamped diffusion or a jump process in continuous time (local detailed
      balance, no magnetic field), any duration, J odd under time reversal. Saturated by Gaussian currents (uniform
      drift) and in linear response.
    - "driven": 2 / S for Var J / R^2, R = t d<J>/dt - v d<J>/dv. The same processes from any initial state, under
      driving at speed v; without driving R = t d<J>/dt.
    - "discrete-time": 2 / (n (e^(S/n) - 1)). Steady state of a Markov chain over n steps with S in total.
    - "fluctuation-theorem": 2 / (e^S - 1). Any process with p(S, J) = e^S p(-S, -J): time-symmetric driving, ends that
      the reversal exchanges; measured exchanges of heat.
    - "fluctuation-theorem-tight": 1 / sinh^2 g(S/2), g the inverse of x tanh x. Under the same condition, never below
      the previous one, and saturated by S = +-a, J = sign S.
    - "kinetic": 1 / A, A the mean number of jumps. Steady state of a jump process, any counting observable,
      local detailed balance not needed.
    - "unified": (4 A / S^2) g(S / (2 A))^2, above both 2 / S and 1 / A. Steady state of a jump process, J odd.
      Saturated by the uniform ring at any drive.

    Parameters
    ----------
    entropy_production, form, activity, steps
        As in `uncertainty_ratio`.

    Raises
    ------
    ValueError
        As `uncertainty_ratio`.

    References
    ----------
    Barato and Seifert, Phys. Rev. Lett. 114 (2015) 158101; Gingrich, Horowitz, Perunov and England, Phys. Rev. Lett.
    116 (2016) 120601; Horowitz and Gingrich, Phys. Rev. E 96 (2017) 020103 (finite time, "steady"); Koyuk and Seifert,
    Phys. Rev. Lett. 125 (2020) 260604 ("driven"); Liu, Gong and Ueda, Phys. Rev. Lett. 125 (2020) 140602 (any initial
    state); Proesmans and Van den Broeck, EPL 119 (2017) 20001 ("discrete-time"); Hasegawa and Van Vu, Phys. Rev. Lett.
    123 (2019) 110602 ("fluctuation-theorem"); Timpanaro, Guarnieri, Goold and Landi, Phys. Rev. Lett. 123 (2019) 090604
    (tight); Garrahan, Phys. Rev. E 95 (2017) 032134, and Di Terlizzi and Baiesi, J. Phys. A 52 (2019) 02LT03
    ("kinetic"); Vo, Van Vu and Hasegawa, J. Phys. A 55 (2022) 405004 ("unified").

    Examples
    --------
    >>> uncertainty_bound(2.0).value.item()
    1.0
    >>> [round(uncertainty_bound(4.0, "unified", activity=a).value.item(), 4) for a in (1.0, 100.0)]
    [1.0664, 0.5034]
    """
    ceiling = _precision_ceiling(entropy_production, form, activity, steps)
    value = 1 / ceiling.value
    room = ceiling.value - ceiling.error
    error = torch.where(room > 0, ceiling.error / (ceiling.value * room), math.inf) + rounding_error([value])
    ample = ceiling.value - 2 * ceiling.stderr
    stderr = torch.where(ample > 0, ceiling.stderr / (ceiling.value * ample), math.inf)
    stderr = torch.where(ceiling.stderr > 0, stderr, 0.0)
    return Estimate(
        value,
        stderr=stderr,
        error=error,
        kind=negated(ceiling.kind),
        method=ceiling.method,
        units="1",
        streams=ceiling.streams,
        info=shared_info([ceiling]),
    )


def relative_variance(current: Any) -> Estimate:
    """The relative variance Var J / <J>^2 of a current, from samples or from its two moments.

    Parameters
    ----------
    current
        Samples (n, ...), or the tuple (mean, variance) of numbers or Estimates.

    Returns
    -------
    Estimate
        Dimensionless; from samples with the standard error described at `uncertainty_ratio`, and of kind "unknown"
        where all samples agree.

    Raises
    ------
    ValueError
        For fewer than two samples, samples that are not finite, a negative variance.

    Examples
    --------
    >>> relative_variance((2.0, 1.0)).value.item()
    0.25
    """
    if isinstance(current, tuple):
        if len(current) != 2:
            raise ValueError(f"current must be samples (n, ...) or a pair (mean, variance); got {len(current)} entries")
        return _over_square(_given(current[1], "variance"), _given(current[0], "mean"))
    given = samples_of(current, "current")
    samples = given.detach().double()
    n = len(samples)
    mean, variance, moving = _two_moments(samples)
    value = variance / mean.square()
    # to first order the logarithm moves by the mean of (d^2 / Var - 1 - 2 d / mean), d = x - mean
    away = samples - mean
    influence = away.square() / torch.where(moving, variance, 1.0) - 1 - 2 * away / mean
    gaussian = 2 / (n - 1) + 4 * value / n
    spread = torch.maximum(influence.var(0) / n, gaussian).sqrt()
    t = float(student_quantile(1 - _LEVEL, n))
    # beyond first order: the limit of |mean| at t standard errors
    shortfall = t * (value / n).sqrt()
    bend = torch.where(shortfall < 1, -2 * torch.log1p(-shortfall.clamp(max=1 - 1e-12)) - 2 * shortfall, math.inf)
    return _sampled(value, value * torch.expm1(t * spread + bend) / t, moving, n, given.dtype)


# -- what is allowed -------------------------------------------------------------------------------------------------


def _precision_ceiling(entropy_production: Any, form: str, activity: Any, steps: int | None) -> Estimate:
    """The largest <J>^2 / Var J: an increasing function of the entropy production and of the activity."""
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}; got {form!r}")
    costs = {}
    for name, given, users in (
        ("entropy_production", entropy_production, _DISSIPATIVE),
        ("activity", activity, _ACTIVE),
    ):
        if (given is not None) != (form in users):
            need = "is required" if form in users else "is not used"
            raise ValueError(f"{name} {need} by the form {form!r}; got {given!r}")
        if given is not None:
            cost = _given(given, name)
            if bool((cost.value + cost.error + 6 * cost.stderr < 0).any()):
                raise ValueError(f"{name} must be >= 0; got {cost.value.min().item()}")
            costs[name] = cost
    if (steps is not None) != (form == "discrete-time"):
        raise ValueError(f"steps belongs to the form 'discrete-time' and is required by it; got {steps} for {form!r}")
    ceilings: dict[str, Callable[..., Tensor]] = {
        "steady": lambda s: s / 2,
        "driven": lambda s: s / 2,
        "discrete-time": lambda s: step_count(steps) * torch.expm1(s / step_count(steps)) / 2,
        "fluctuation-theorem": lambda s: torch.expm1(s) / 2,
        "fluctuation-theorem-tight": lambda s: torch.sinh(inverse_x_tanh_x(s / 2)).square(),
        "kinetic": lambda a: a,
        "unified": lambda s, a: torch.where(a > 0, a * torch.tanh(inverse_x_tanh_x(s / (2 * a))).square(), 0.0),
    }
    return _increasing(ceilings[form], *costs.values())


# -- numbers that know their errors ----------------------------------------------------------------------------------


def _given(x: Any, name: str) -> Estimate:
    """A number known up to its rounding, or an Estimate."""
    if isinstance(x, Estimate):
        return x
    value = as_tensor(x, name).detach()
    if not bool(value.isfinite().all()):
        raise ValueError(f"{name} must be finite; got {x!r}")
    return Estimate(value, error=torch.finfo(value.dtype).eps * value.abs(), units="1")


def _increasing(function: Callable[..., Tensor], *parts: Estimate) -> Estimate:
    """A function of numbers >= 0 that increases in each; its errors are those at the ends of all intervals."""
    values = [p.value.detach().clamp(min=0) for p in parts]
    value = function(*values)

    def reach(above: list[Tensor], below: list[Tensor]) -> Tensor:
        return torch.maximum(function(*above) - value, value - function(*below)).nan_to_num(
            nan=math.inf, posinf=math.inf
        )

    error = reach(
        [v + p.error for v, p in zip(values, parts, strict=True)],
        [(v - p.error).clamp(min=0) for v, p in zip(values, parts, strict=True)],
    )
    spreads = []
    for i, part in enumerate(parts):
        ends = [[*values], [*values]]
        ends[0][i], ends[1][i] = values[i] + 2 * part.stderr, (values[i] - 2 * part.stderr).clamp(min=0)
        spreads.append(torch.where(part.stderr > 0, reach(*ends) / 2, 0.0))
    stderr, kind, method = spreads[0], parts[0].kind, parts[0].method
    if len(parts) == 2:
        stderr = joined_stderr(spreads[0], spreads[1], parts[0], parts[1])
        kind, method = sum_kind(kind, parts[1].kind), combined_method(method, parts[1].method)
    streams = tuple(dict.fromkeys(s for p in parts for s in streams_of(p)))
    return Estimate(
        value,
        stderr=stderr,
        error=error + rounding_error([value]),
        kind=kind,
        method=method,
        units="1",
        streams=streams,
        info=shared_info(parts),
    )


def _positive_product(first: Estimate, second: Estimate) -> Estimate:
    """The product of two numbers that cannot be negative: relative errors add, kinds combine as in a sum."""
    a, b = torch.broadcast_tensors(first.value.detach(), second.value.detach())
    value = a * b
    mine, theirs = size_product(b, first.stderr), size_product(a, second.stderr)
    stderr = joined_stderr(mine, theirs, first, second) + size_product(first.stderr, second.stderr)
    error = size_product(b, first.error) + size_product(a, second.error) + size_product(first.error, second.error)
    error = error + rounding_error([value])
    kind, undefined = sum_kind(first.kind, second.kind), {}
    if bool(value.isnan().any()):
        kind = "unknown" if bool(value.isnan().all()) else kind
        undefined = {"reason": "a mean current of zero, with no variance or no dissipation, leaves nothing to compare"}
    return Estimate(
        value,
        stderr=stderr.nan_to_num(nan=math.inf, posinf=math.inf),
        error=error.nan_to_num(nan=math.inf, posinf=math.inf),
        kind=kind,
        method=combined_method(first.method, second.method),
        units="1",
        streams=tuple(dict.fromkeys(streams_of(first) + streams_of(second))),
        info=shared_info([first, second]) | {k: v for k, v in first.info.items() if k == "reason"} | undefined,
    )


def _over_square(variance: Estimate, mean: Estimate) -> Estimate:
    """variance / mean^2."""
    if bool((variance.value < 0).any()):
        raise ValueError(f"variance must be >= 0; got {variance.value.min().item()}")
    size = mean.value.detach().abs()
    inverse = size.pow(-2)

    def reach(room: Tensor) -> Tensor:
        return torch.where(room > 0, (size - room).clamp(min=0).pow(-2) - inverse, 0.0).nan_to_num(
            nan=math.inf, posinf=math.inf
        )

    error = reach(mean.error) + rounding_error([inverse])
    two_sided = mean.kind in ("exact", "estimate")
    square = Estimate(
        inverse,
        stderr=reach(2 * mean.stderr) / 2,
        error=error,
        kind=mean.kind if two_sided else "unknown",
        method=mean.method,
        units="1",
        streams=mean.streams,
        info=shared_info([mean]),
    )
    return _positive_product(variance, square)


def _two_moments(samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance over the first dimension, and whether the samples differ by more than rounding."""
    mean, variance = samples.mean(0), samples.var(0)
    unit = 8 * torch.finfo(samples.dtype).eps * samples.abs().amax(0)
    return mean, variance, variance.sqrt() > unit


def _sample_variance(current: Any) -> Estimate:
    given = samples_of(current, "current")
    samples = given.detach().double()
    n = len(samples)
    mean, variance, moving = _two_moments(samples)
    influence = (samples - mean).square() / torch.where(moving, variance, 1.0)
    spread = (influence.var(0) / n).clamp(min=2 / (n - 1)).sqrt()
    t = float(student_quantile(1 - _LEVEL, n))
    return _sampled(variance, variance * torch.expm1(t * spread) / t, moving, n, given.dtype)


def _sampled(value: Tensor, stderr: Tensor, moving: Tensor, n: int, dtype: torch.dtype) -> Estimate:
    return refused_where(
        ~moving,
        "all samples agree: nothing says how much the current fluctuates",
        value,
        stderr,
        rounding_error([value]) * n**0.5,
        units="1",
        streams=(UNNAMED,),
        info={"n": n},
    ).to(dtype)
