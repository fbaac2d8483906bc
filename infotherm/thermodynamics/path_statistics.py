"""Statistics of very many paths, block by block: nothing of a path is kept once it has been counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.propagation import product_units
from infotherm.core.rounding import rounding_error
from infotherm.core.sample_means import number_of_samples
from infotherm.core.tensors import Generator
from infotherm.processes import DiffusionProcess
from infotherm.thermodynamics.ledger import Current
from infotherm.thermodynamics.reweighting import exponential_average
from infotherm.thermodynamics.run import Progress, planned_run
from infotherm.thermodynamics.step_checks import warn_of_coarse_step
from infotherm.thermodynamics.trajectory import units_of

if TYPE_CHECKING:
    import xarray

_KEPT = 200_000  # paths whose entropies are kept to judge whether an exponential average can be trusted
_BINS = 200


@dataclass(frozen=True, eq=False)
class PathStatistics:
    """Means, variances and histograms of the entries of a ledger over all paths of a run.

    Attributes
    ----------
    n_paths
        How many paths were counted.
    means, variances
        Estimates by name of the entry, with standard errors (of the variance from the fourth moment); the means state
        the error of the step too, the variances do not.
    histograms
        (edges, counts) by name; the first and last bin also hold what lies beyond.
    exponential
        The mean of exp(-entropy production) over the first 200 000 paths, None where that entry is missing.
    missing
        Why an entry is not there, by name.
    """

    n_paths: int
    means: Mapping[str, Estimate]
    variances: Mapping[str, Estimate]
    histograms: Mapping[str, tuple[Tensor, Tensor]]
    exponential: Estimate | None
    missing: Mapping[str, str]

    def to_dataset(self) -> xarray.Dataset:
        """Means and variances over the dimension `entry`, histograms over `entry` and `bin`."""
        import xarray

        from infotherm._version import __version__

        names = list(self.means)
        columns: dict[str, Any] = {}
        for label, found in (("mean", self.means), ("variance", self.variances)):
            columns[label] = ("entry", [float(found[name]) for name in names], {"long_name": f"{label} over paths"})
            columns[f"{label}_stderr"] = ("entry", [float(found[name].stderr) for name in names], {})
        columns["count"] = (("entry", "bin"), torch.stack([self.histograms[n][1] for n in names]).numpy(), {})
        columns["edge"] = (("entry", "edge_of_bin"), torch.stack([self.histograms[n][0] for n in names]).numpy(), {})
        attrs = {"n_paths": self.n_paths, "infotherm_version": __version__}
        return xarray.Dataset(columns, coords={"entry": names}, attrs=attrs)


def path_statistics(
    process: DiffusionProcess,
    p0: Any,
    duration: float,
    n_paths: int,
    n_steps: int,
    *,
    method: str = "auto",
    generator: Generator = None,
    start: float | None = None,
    currents: Mapping[str, Current] | None = None,
    target: Callable[[Tensor], Tensor] | None = None,
    final_law: Any = None,
    dtype: torch.dtype | None = None,
    compile: bool = False,
    housekeeping: bool = False,
    progress: Progress | None = None,
) -> PathStatistics:
    """Mean, variance and histogram of work, heat, entropies and currents over paths that are not stored.

    The paths are those of `simulate` with the same seed; memory does not grow with their number.

    Parameters
    ----------
    process
        A diffusion.
    p0, duration, n_paths, n_steps
        As in `simulate`, like all that follow.

    Returns
    -------
    PathStatistics
        Estimates of kind "estimate"; `first_passage` counts a path that did not arrive as the end of the run.

    Raises
    ------
    ValueError, TypeError
        As `simulate`.

    Examples
    --------
    >>> import infotherm as it
    >>> ou = it.processes.OrnsteinUhlenbeck(1.0, 2**0.5)
    >>> found = path_statistics(ou, it.Gaussian(1.0, 1.0), 1.0, 50_000, 10, generator=0)
    >>> found.means["entropy_production"]
    0.4357 +- 0.0041 nat  estimate  monte-carlo(n=50000)
    """
    if not isinstance(process, DiffusionProcess):
        raise TypeError(f"process must be a diffusion; got {type(process).__name__}")
    n_paths = number_of_samples(n_paths, "n_paths")
    run = planned_run(
        process, p0, duration, n_paths, n_steps, method=method, generator=generator, start=start, currents=currents,
        target=target, final_law=final_law, dtype=dtype, compile=compile, housekeeping=housekeeping,
        progress=progress,
    )  # fmt: skip
    moments: dict[str, _Moments] = {}
    kept: list[Tensor] = []
    for entries, _ in run.blocks():
        for name, values in entries.items():
            if name in ("initial", "final"):
                continue
            if name == "first_passage":
                values = values.clamp(max=float(run.times[-1]))
            moments.setdefault(name.removeprefix("current "), _Moments(values)).add(values.double())
        if "entropy_production" in entries and sum(map(len, kept)) < _KEPT:
            kept.append(entries["entropy_production"])
    exponential = None
    if kept:
        entropy = torch.cat(kept)
        exponential = exponential_average(entropy, streams=(run.stream,))
        warn_of_coarse_step(entropy, run.step, run.integrator.name)
    return PathStatistics(
        n_paths=n_paths,
        means={
            name: m.mean_estimate(run.stream, units_of(name), run.step_errors.get(name, 0.0))
            for name, m in moments.items()
        },
        variances={
            name: m.variance_estimate(run.stream, product_units(units_of(name), units_of(name)))
            for name, m in moments.items()
        },
        histograms={name: (m.edges, m.counts) for name, m in moments.items()},
        exponential=exponential,
        missing=run.missing,
    )


class _Moments:
    """Central moments up to the fourth, merged block by block, and a histogram on the first block's range."""

    def __init__(self, first: Tensor) -> None:
        values = first.detach().double()
        low, high = values.min(), values.max()
        margin = 0.25 * (high - low) + torch.finfo(torch.float64).tiny
        self.edges = torch.linspace(float(low - margin), float(high + margin), _BINS + 1, dtype=torch.float64)
        self.counts = torch.zeros(_BINS, dtype=torch.int64)
        self.n, self.mean, self.m2, self.m3, self.m4 = 0, 0.0, 0.0, 0.0, 0.0

    def add(self, values: Tensor) -> None:
        values = values.detach()
        inner = self.edges[1:-1].to(values.device)
        self.counts += torch.bincount(torch.bucketize(values, inner), minlength=_BINS).cpu()
        n, mean = len(values), float(values.mean())
        away = values - mean
        m2, m3, m4 = (float(away.pow(k).sum()) for k in (2, 3, 4))
        a, b, total = self.n, n, self.n + n
        d = mean - self.mean
        self.m4 += (
            m4
            + d**4 * a * b * (a * a - a * b + b * b) / total**3
            + 6 * d**2 * (a * a * m2 + b * b * self.m2) / total**2
            + 4 * d * (a * m3 - b * self.m3) / total
        )
        self.m3 += m3 + d**3 * a * b * (a - b) / total**2 + 3 * d * (a * m2 - b * self.m2) / total
        self.m2 += m2 + d**2 * a * b / total
        self.mean += d * b / total
        self.n = total

    def mean_estimate(self, stream: str, units: str, step_error: float) -> Estimate:
        return self._estimate(self.mean, math.sqrt(self.m2 / (self.n - 1) / self.n), stream, units, step_error)

    def variance_estimate(self, stream: str, units: str) -> Estimate:
        variance = self.m2 / (self.n - 1)
        spread = max(self.m4 / self.n - (self.n - 3) / (self.n - 1) * variance**2, 0.0)
        return self._estimate(variance, math.sqrt(spread / self.n), stream, units)

    def _estimate(self, value: float, stderr: float, stream: str, units: str, error: float = 0.0) -> Estimate:
        error = error + float(rounding_error([torch.tensor(value, dtype=torch.float64)]))
        return Estimate(
            value, stderr=stderr, error=error, kind="estimate", method="monte-carlo", units=units, streams=(stream,),
            info={"n": self.n},
        )  # fmt: skip
