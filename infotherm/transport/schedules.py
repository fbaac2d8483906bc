"""Noise schedules compared as paths of a law in the Wasserstein metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from infotherm.core.estimate import Estimate
from infotherm.distributions import as_distribution
from infotherm.processes import AffineProcess
from infotherm.transport.path_speeds import path_action, path_length, wasserstein_speed
from infotherm.transport.second_order import wasserstein2

if TYPE_CHECKING:
    import xarray


def compare_schedules(
    processes: Mapping[str, AffineProcess],
    p0: Any,
    *,
    until: float | Mapping[str, float] | None = None,
    start: float = 0.0,
    points: int = 65,
) -> xarray.Dataset:
    """What noise schedules cost as paths of the law p0: how long a detour, how uneven a speed.

    Parameters
    ----------
    processes
        Affine processes by name.
    p0
        The law at the time `start`, as for `wasserstein_speed`, without batch.
    until
        The last time, a number or one by name; the horizon of a process unless given. A straight-line process needs a
        cut-off before its horizon, where its noise is infinite: state it.
    start
        The first time.
    points
        At how many times the speed is resolved.

    Returns
    -------
    xarray.Dataset
        Along `schedule`: `length` L, `action` A, `wasserstein2` W2 of the ends, and the ratios `detour` = L / W2,
        `unevenness` = T A / L^2 and `waste` = T A / W2^2, their product (with detour squared), all >= 1; an `_error`
        beside each. Along `schedule` and `fraction` of the duration: `speed` and `time`.

    Raises
    ------
    ValueError
        As `path_length`; for no process, or one without a last time.

    Examples
    --------
    >>> from infotherm.distributions import Gaussian
    >>> from infotherm.processes import StraightLine, VariancePreserving
    >>> schedules = {"VP": VariancePreserving(), "straight": StraightLine(sigma0=1.0)}
    >>> found = compare_schedules(schedules, Gaussian(2.0, 0.25), until={"straight": 0.99})
    >>> [round(float(x), 3) for x in found["unevenness"]]
    [1.107, 1.003]
    """
    import xarray

    from infotherm._version import __version__

    if not processes:
        raise ValueError("processes must hold at least one process; got none")
    if points < 2:
        raise ValueError(f"points must be at least 2; got {points}")
    law = as_distribution(p0, "p0")
    if law.batch_shape:
        raise ValueError(f"p0 must have no batch; got {tuple(law.batch_shape)}")
    fractions = torch.linspace(0.0, 1.0, points, dtype=torch.float64)
    rows: dict[str, list[Estimate]] = {name: [] for name in _COLUMNS}
    speeds, times = [], []
    for name, process in processes.items():
        end = _last_time(name, process, until)
        span = torch.tensor(end - start, dtype=torch.float64)
        length = path_length(process, law, span, start=start)
        action = path_action(process, law, span, start=start)
        distance = wasserstein2(law, process.marginal(law, end, start))
        run = span * action
        values = (length, action, distance, length / distance, run / length.square(), run / distance.square())
        for column, value in zip(rows, values, strict=True):
            rows[column].append(value)
        times.append(start + (end - start) * fractions)
        speeds.append(wasserstein_speed(process, law, times[-1], start=start).value.detach())
    columns: dict[str, Any] = {}
    for column, found in rows.items():
        label, units = _COLUMNS[column]
        attrs = {"units": units, "long_name": label}
        columns[column] = ("schedule", [float(e.value) for e in found], attrs)
        errors = {"units": units, "long_name": f"error of the {label}"}
        columns[f"{column}_error"] = ("schedule", [float(e.error) for e in found], errors)
    grid = ("schedule", "fraction")
    columns["speed"] = (grid, torch.stack(speeds).numpy(), {"units": "1/time", "long_name": "Wasserstein speed"})
    columns["time"] = (grid, torch.stack(times).numpy(), {"units": "time", "long_name": "time"})
    coords = {
        "schedule": list(processes),
        "fraction": ("fraction", fractions.numpy(), {"units": "1", "long_name": "fraction of the duration"}),
    }
    attrs = {"infotherm_version": __version__, "method": "quadrature", "start": start}
    return xarray.Dataset(columns, coords=coords, attrs=attrs)


_COLUMNS = {
    "length": ("length of the path", "1"),
    "action": ("action of the path", "1"),
    "wasserstein2": ("Wasserstein-2 distance of the ends", "1"),
    "detour": ("length over distance", "1"),
    "unevenness": ("duration times action over squared length", "1"),
    "waste": ("duration times action over squared distance", "1"),
}


def _last_time(name: str, process: AffineProcess, until: float | Mapping[str, float] | None) -> float:
    given = until.get(name) if isinstance(until, Mapping) else until
    end = process.horizon if given is None else given
    if end is None:
        raise ValueError(f"until must say when {name!r} ends: the process has no horizon")
    return float(end)
