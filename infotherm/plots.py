"""Figures of results, drawn on axes that are given or made; matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from infotherm.core.tensors import as_tensor
from infotherm.distributions import as_distribution
from infotherm.information.fits import GaussianFit

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

    from infotherm.core.verdict import Verdict
    from infotherm.testing import Report

# of a law tried on an estimator; read from green to red also by those who tell lightness only
_STATUS_COLOURS = {"failed": "#b2182b", "expected": "#f4a582", "passed": "#92c5de", "skipped": "0.94"}


def plot_gaussian_fits(mixture: Any, fits: GaussianFit | Sequence[GaussianFit], *, ax: Axes | None = None) -> Axes:
    """The density of a scalar law with those of Gaussians fitted to it: mode-covering beside mode-seeking.

    Parameters
    ----------
    mixture
        The law, scalar and without batch.
    fits
        What `forward_kl_fit` and `reverse_kl_fit` return, one or several.
    ax
        Where to draw; new axes by default.

    Raises
    ------
    ValueError
        When the law is not scalar.

    Examples
    --------
    >>> from infotherm.distributions import GaussianMixture
    >>> from infotherm.information import forward_kl_fit, reverse_kl_fit
    >>> p = GaussianMixture([0.5, 0.5], [-3.0, 3.0], 1.0)
    >>> plot_gaussian_fits(p, [forward_kl_fit(p), reverse_kl_fit(p)]).get_xlabel()
    'x'
    """
    law = as_distribution(mixture, "mixture")
    if law.dim != 1 or law.batch_shape:
        raise ValueError(f"mixture must be one scalar law; got D = {law.dim}, batch {tuple(law.batch_shape)}")
    fits = [fits] if isinstance(fits, GaussianFit) else list(fits)
    ax = _axes(ax)
    laws = [law, *(fit.law for fit in fits)]
    reach = [(q.mean[0].item(), q.variance[0].sqrt().item()) for q in laws]
    x = torch.linspace(
        min(m - 3.5 * s for m, s in reach), max(m + 3.5 * s for m, s in reach), 801, dtype=law.dtype
    ).unsqueeze(-1)
    with torch.no_grad():
        density = law.log_prob(x).exp()
        ax.fill_between(x[:, 0].tolist(), density.tolist(), color="0.85", label="p")
        for fit in fits:
            name = "KL(p || q)" if fit.direction == "forward" else "KL(q || p)"
            style = "-" if fit.direction == "forward" else "--"
            label = f"{fit.direction}: {name} = {fit.divergence.value.item():.3g} nat"
            ax.plot(x[:, 0].tolist(), fit.law.log_prob(x).exp().tolist(), style, label=label)
    ax.set_xlabel("x")
    ax.set_ylabel("density")
    ax.set_ylim(bottom=0.0)
    ax.legend()
    return ax


def plot_conformance(reports: Sequence[Report], *, ax: Axes | None = None) -> Axes:
    """Which laws which estimators obey: a row a law, a column an estimator.

    Parameters
    ----------
    reports
        What `infotherm.testing.check_estimator` returned, one an estimator.
    ax
        Where to draw; new axes by default, tall enough for the names.

    Raises
    ------
    ValueError
        Without a report.

    Examples
    --------
    >>> import infotherm as it
    >>> found = it.testing.check_estimator(it.estimators.GaussianPlugIn(), "entropy", laws=["shift", "symmetry"])
    >>> plot_conformance([found]).get_title()
    '1 passed, 1 skipped'
    """
    if not reports:
        raise ValueError("reports must hold at least one report")
    laws = list(dict.fromkeys(result.law for report in reports for result in report.results))
    if ax is None:
        from matplotlib.figure import Figure

        size = (4 + 1.1 * len(reports), 1.8 + 0.21 * len(laws))
        ax = Figure(figsize=size, layout="constrained").subplots()
    counts = dict.fromkeys(_STATUS_COLOURS, 0)
    for column, report in enumerate(reports):
        for result in report.results:
            counts[result.status] += 1
            row = laws.index(result.law)
            colour = _STATUS_COLOURS[result.status]
            ax.scatter(column, row, marker="s", s=90, color=colour, edgecolors="0.6", linewidths=0.4)
    ax.set_yticks(range(len(laws)), laws, fontsize=7)
    names = [f"{report.name.partition('(')[0]}\n{report.quantity.replace('_', ' ')}" for report in reports]
    ax.set_xticks(range(len(reports)), names, rotation=45, ha="right", fontsize=7)
    ax.set_xlim(-0.6, len(reports) - 0.4)
    ax.set_ylim(len(laws) - 0.4, -0.6)
    ax.set_title(", ".join(f"{count} {status}" for status, count in counts.items() if count), fontsize=9)
    return ax


def plot_orders(
    errors: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    orders: Mapping[str, float],
    *,
    ax: Axes | None = None,
) -> Axes:
    """Errors of schemes against their step, with lines of the order that each is said to have.

    Parameters
    ----------
    errors
        (steps, errors) by name of the scheme, all positive.
    orders
        The order of each, by the same names: a dotted line of that slope through the point of the smallest step.
    ax
        Where to draw; new axes by default.

    Raises
    ------
    ValueError
        When a scheme has no order, or steps and errors differ in number.

    Examples
    --------
    >>> plot_orders({"euler": ([0.1, 0.05], [0.2, 0.1])}, {"euler": 1}).get_xscale()
    'log'
    """
    ax = _axes(ax)
    for name, (steps, found) in errors.items():
        if name not in orders:
            raise ValueError(f"orders must name every scheme; {name!r} is missing")
        if len(steps) != len(found):
            raise ValueError(f"errors of {name!r} must have one error a step; got {len(found)} for {len(steps)} steps")
        (line,) = ax.plot(steps, found, "o-", label=f"{name} (order {orders[name]:g})")
        last = min(range(len(steps)), key=lambda i: steps[i])
        guide = [found[last] * (h / steps[last]) ** orders[name] for h in steps]
        ax.plot(steps, guide, ":", color=line.get_color())
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("step")
    ax.set_ylabel("error")
    ax.legend(fontsize=7)
    return ax


def plot_fluctuation_theorem(entropy: Any, *, bins: int = 40, ax: Axes | None = None) -> Axes:
    """ln p(s) / p(-s) of sampled entropy production against s, with the line of slope one of the detailed theorem.

    Parameters
    ----------
    entropy
        Samples of the entropy production in nats, shape (n,), or paths that have `.entropy_production`.
    bins
        How many bins of equal width on the positive side; those with fewer than five samples on either side of zero
        are left out.
    ax
        Where to draw; new axes by default. Bars are two standard errors of the counts.

    Raises
    ------
    ValueError
        For samples of another shape, or when no bin has enough samples on both sides.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> s = 1 + 2**0.5 * torch.randn(10_000, generator=g, dtype=torch.float64)
    >>> plot_fluctuation_theorem(s).get_xlabel()
    'entropy production s (nat)'
    """
    s = as_tensor(getattr(entropy, "entropy_production", entropy), "entropy").detach().to("cpu", torch.float64)
    if s.ndim != 1:
        raise ValueError(f"entropy must have shape (n,); got {tuple(s.shape)}")
    ax = _axes(ax)
    edges = torch.linspace(0.0, float(s.abs().max()), bins + 1, dtype=torch.float64)
    up, down = (torch.histogram(part, edges).hist for part in (s[s > 0], -s[s < 0]))
    kept = (up >= 5) & (down >= 5)
    if not bool(kept.any()):
        raise ValueError("entropy must have values of both signs: no bin has five samples on both sides of zero")
    middle, up, down = (0.5 * (edges[1:] + edges[:-1]))[kept], up[kept], down[kept]
    spread = 2 * (1 / up + 1 / down).sqrt()
    ax.errorbar(middle.tolist(), (up / down).log().tolist(), spread.tolist(), fmt="o", ms=3, label="samples")
    reach = [0.0, float(middle[-1])]
    ax.plot(reach, reach, color="0.4", label="detailed fluctuation theorem")
    ax.set_xlabel("entropy production s (nat)")
    ax.set_ylabel("ln p(s) / p(-s)")
    ax.legend(fontsize=7)
    return ax


def plot_schedules(schedules: xarray.Dataset, *, ax: Axes | None = None) -> Axes:
    """The Wasserstein speed of noise schedules over time, in units of the steady speed along the geodesic.

    A schedule at constant speed is level; its height is its detour, its mean square what it wastes.

    Parameters
    ----------
    schedules
        What `infotherm.transport.compare_schedules` returns.
    ax
        Where to draw; new axes by default. The legend says how many times the least action each one spends.

    Raises
    ------
    ValueError
        When the Dataset is another one.

    Examples
    --------
    >>> import infotherm as it
    >>> from infotherm.transport.schedules import compare_schedules
    >>> found = compare_schedules({"VP": it.processes.VariancePreserving()}, it.Gaussian(2.0, 0.3), points=9)
    >>> plot_schedules(found).get_xlabel()
    'fraction of the duration'
    """
    missing = [name for name in ("speed", "time", "wasserstein2", "waste") if name not in schedules]
    if missing:
        raise ValueError(f"schedules must be what compare_schedules returns; it lacks {', '.join(missing)}")
    ax = _axes(ax)
    for name in schedules["schedule"].values.tolist():
        row = schedules.sel(schedule=name)
        duration = float(row["time"][-1] - row["time"][0])
        steady = float(row["wasserstein2"]) / duration
        label = f"{name}: {float(row['waste']):.3g} x least action"
        ax.plot(row["fraction"].values, row["speed"].values / steady, label=label)
    ax.axhline(1.0, color="0.4", ls=":", label="geodesic at constant speed")
    ax.set_yscale("log")
    ax.set_xlabel("fraction of the duration")
    ax.set_ylabel("Wasserstein speed x duration / W2")
    ax.legend(fontsize=7)
    return ax


def plot_tightness(verdicts: Mapping[str, Verdict], *, ax: Axes | None = None) -> Axes:
    """How much of the larger side of an inequality its smaller side explains: a bar a case, 1 at saturation.

    Parameters
    ----------
    verdicts
        Verdicts on inequalities by name of the case, each on one number.
    ax
        Where to draw; new axes by default.

    Raises
    ------
    ValueError
        Without a verdict, or with one that has no sides or several elements.

    Examples
    --------
    >>> import infotherm as it
    >>> plot_tightness({"half": it.decide(2.0, 1.0), "tight": it.decide(1.0, 1.0)}).get_xlabel()
    'smaller side / larger side'
    """
    if not verdicts:
        raise ValueError("verdicts must hold at least one verdict; got none")
    ax = _axes(ax)
    for row, (name, verdict) in enumerate(verdicts.items()):
        if verdict.tightness is None or verdict.tightness.numel() != 1:
            raise ValueError(f"verdicts must be on one number each; {name!r} is {verdict.outcome} of {verdict.shape}")
        value = float(verdict.tightness)
        ax.barh(row, value, color="C0" if verdict.outcome == "holds" else _STATUS_COLOURS["failed"])
        ax.annotate(f"{value:.3g}", (value, row), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7)
    ax.axvline(1.0, color="0.4", ls=":")
    ax.set_yticks(range(len(verdicts)), list(verdicts), fontsize=7)
    ax.invert_yaxis()
    ax.set_xlim(0.0, 1.15)
    ax.set_xlabel("smaller side / larger side")
    return ax


def _axes(ax: Axes | None) -> Axes:
    """The given axes, or those of a new figure that no window manager holds."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(layout="constrained").subplots()
