"""Estimators from samples: against known numbers, against each other, and against their own claims."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import infotherm as it
import infotherm.replica as rp
from infotherm.core.estimate import Estimate, exact
from infotherm.core.verdict import Verdict, decide
from infotherm.studies import Context, Study
from infotherm.testing import check_estimator, tasks

study = Study(
    "estimators",
    title="Estimators from samples and what they claim",
    source="Gabrie et al., J. Stat. Mech. 124014 (2019), Fig. 2; tasks with exactly known information",
)

es = it.estimators


def quietly(estimate: Callable[..., Estimate], *samples: Tensor, **options: Any) -> Estimate:
    """The Estimate; that it warns of kind "unknown" is counted, not shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimate(*samples, **options)


# -- the entropy of wide linear layers, Fig. 2 of Gabrie et al. --------------------------------------------------------

_NOISE = 1e-5
_SAMPLES = 1000
_ROUTES = ("Kolchinsky, parametric", "Kolchinsky, noisy", "Kraskov")


def exact_layer_entropy(weights: Tensor) -> Estimate:
    """h(W X + noise) / n for standard normal X, from the singular values of the weights drawn."""
    logs = (torch.linalg.svdvals(weights).square() + _NOISE).log()
    return exact((math.log(2 * math.pi * math.e) + logs.mean()) / 2, terms=[logs.abs().mean(), torch.ones(())])


def replica_entropy(sigma: float, depth: int) -> Estimate:
    """H(T) / n of the same layer in the limit of large n."""
    layers = [
        rp.Layer(rp.GaussianWeights(1.0, variance=sigma**2), rp.Linear(), noise=_NOISE if level == depth else 0.0)
        for level in range(1, depth + 1)
    ]
    return rp.solve(rp.Network(it.Gaussian(0.0, 1.0), layers)).entropy


def layers(context: Context, n: int, sigma: float) -> list[tuple[int, Tensor]]:
    """The weights from the input to the first and to the second layer."""
    first, second = (
        sigma
        / math.sqrt(n)
        * torch.randn(n, n, dtype=torch.float64, device=context.device, generator=context.generator)
        for _ in range(2)
    )
    return [(1, first), (2, second @ first)]


@study.claim(
    "linear-layers-by-replica",
    statement=r"$H(T_1)/n$ and $H(T_2)/n$ of linear layers: sampled weights against the limit, up to $5/n$",
    source="Gabrie et al. (2019), Fig. 2, left column",
)
def linear_layers(context: Context) -> dict[str, Verdict]:
    n = 1000 if context.level == "full" else 200
    return {
        f"layer {depth}, sigma = {sigma}": decide(
            exact_layer_entropy(weights), replica_entropy(sigma, depth), "==", tolerance=5 / n
        )
        for sigma in (0.1, 1.0, 10.0)
        for depth, weights in layers(context, n, sigma)
    }


@study.claim(
    "samples-overestimate-layers",
    statement=r"$H(T_1)/n$ and $H(T_2)/n$ from 1000 samples lie above the exact entropy: pairwise bounds with a fitted "
    "kernel, and nearest neighbours",
    source="Gabrie et al. (2019), Fig. 2, left column",
)
def samples_overestimate(context: Context) -> dict[str, Verdict]:
    n, sigmas = (1000, (0.1, 0.3, 1.0, 3.0, 10.0)) if context.level == "full" else (50, (0.1, 1.0, 10.0))
    verdicts = {}
    curves: dict[tuple[str, int], list[float]] = {}
    for sigma in sigmas:
        for depth, weights in layers(context, n, sigma):
            normal = torch.randn(
                2, _SAMPLES, n, dtype=torch.float64, device=context.device, generator=context.generator
            )
            clean = normal[0] @ weights.mT
            noisy = clean + math.sqrt(_NOISE) * normal[1]
            numbers = (
                quietly(es.KolchinskyTracey(_NOISE, kernel_variance="likelihood").estimate, clean).info["upper"],
                quietly(es.KolchinskyTracey(0.0, kernel_variance="likelihood").estimate, noisy).info["upper"],
                quietly(es.KozachenkoLeonenko().estimate, noisy),
            )
            truth = exact_layer_entropy(weights)
            curves.setdefault(("exact", depth), []).append(float(truth))
            curves.setdefault(("replica", depth), []).append(float(replica_entropy(sigma, depth)))
            for route, number in zip(_ROUTES, numbers, strict=True):
                # what they come to, apart from what they say of it: none of the three claims to be near the truth here
                plain = Estimate(number.value / n, stderr=number.stderr / n, kind="estimate", method="sample-based")
                verdicts[f"{route}, layer {depth}, sigma = {sigma}"] = decide(plain, truth, ">=")
                curves.setdefault((route, depth), []).append(float(plain))
    context.attach(_drawn_layers(sigmas, curves, n), "Entropy of linear layers from samples, exact and by replica")
    return verdicts


def _drawn_layers(sigmas: tuple[float, ...], curves: dict[tuple[str, int], list[float]], n: int) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for depth, ax in zip((1, 2), axes, strict=True):
        for (route, at), values in curves.items():
            if at == depth:
                style = {"exact": "k-", "replica": "k:"}.get(route, "o--")
                ax.semilogx(sigmas, values, style, label=route, markersize=4)
        ax.set_xlabel("weight scale")
        ax.set_title(f"layer {depth}, n = {n}")
    axes[0].set_ylabel("entropy / n (nat)")
    axes[0].legend(fontsize=7)
    return figure


# -- bounds are bounds -------------------------------------------------------------------------------------------------


@study.claim(
    "pairwise-bounds-enclose",
    statement=r"pairwise bounds enclose the entropy of $\frac{1}{N} \sum_i N(x_i, v)$, found by quadrature",
    source="Kolchinsky and Tracey, Entropy 19, 361 (2017), Eq. 10",
)
def pairwise_bounds(context: Context) -> dict[str, Verdict]:
    centres = torch.randn(40, 1, dtype=torch.float64, device=context.device, generator=context.generator)
    verdicts = {}
    for variance in (1e-4, 1e-2, 1.0, 100.0):
        mixture = it.GaussianMixture(centres.new_ones(40) / 40, centres, variance * centres.new_ones(40, 1, 1))
        truth = it.entropy(mixture)
        info = quietly(es.KolchinskyTracey(variance).estimate, centres).info
        verdicts[f"lower, v = {variance}"] = decide(replace(info["lower"], kind="exact"), truth, "<=")
        verdicts[f"upper, v = {variance}"] = decide(replace(info["upper"], kind="exact"), truth, ">=")
    return verdicts


@study.claim(
    "trained-bounds-stay-below",
    statement=r"the limit (level 1e-4) of what a trained critic finds in unseen samples is below $I(X; Y)$, and "
    r"that of InfoNCE below $\log K$",
    source="Poole et al., ICML (2019), Eqs. 2, 8, 12; McAllester and Stratos, AISTATS (2020)",
)
def trained_bounds(context: Context) -> dict[str, Verdict]:
    known = ("gaussian-1x1-0.5", "spiral-gaussian-2x2") if context.level == "full" else ("gaussian-1x1-0.5",)
    bounds = (es.NWJ(), es.InfoNCE(), es.DonskerVaradhan(), es.MINE()) if context.level == "full" else (es.NWJ(),)
    verdicts = {}
    for name in known:
        task = tasks.get(name)
        x, y = task.sample(2000, context.generator)
        for bound in bounds:
            number = quietly(bound.estimate, x, y, generator=context.seed)
            limit = exact(number.lower_limit(1e-4), error=number.error, method="variational")
            verdicts[f"{type(bound).__name__}, {name}"] = decide(limit, task.truth, "<=")
            if number.info.get("ceiling") is not None:
                verdicts[f"ceiling, {name}"] = decide(limit, float(number.info["ceiling"]), "<=")
    return verdicts


# -- errors are errors -------------------------------------------------------------------------------------------------

_COVERED_QUICKLY = (
    (es.KSG(), "gaussian-1x1-0.5", 300),
    (es.KozachenkoLeonenko(), "entropy-two-peaks", 300),
    (es.GaussianPlugIn(), "gaussian-2x2-1.0", 100),
)
_COVERED = (
    *_COVERED_QUICKLY,
    (es.KSG(variant=2), "gaussian-1x1-0.5", 300),
    (es.KernelDensity(), "gaussian-1x1-0.5", 300),
    (es.MixedKSG(), "shifted-uniform-5", 300),
    (es.NeighbourKL(), "kl-gaussian-shift", 300),
)


@study.claim(
    "intervals-cover",
    statement="intervals at 95 % hold the truth in at least 90 % (quick) or 93 % (full) of the samples drawn",
    source="definition of a confidence interval",
)
def intervals_cover(context: Context) -> dict[str, Verdict]:
    cases, draws, floor = (_COVERED, 2000, 0.93) if context.level == "full" else (_COVERED_QUICKLY, 300, 0.90)
    verdicts = {}
    for estimator, name, n in cases:
        task = tasks.get(name)
        found = [quietly(estimator.estimate, *task.sample(n, context.generator)) for _ in range(draws)]
        trusted = [number for number in found if number.kind != "unknown"]
        inside = [bool(low <= float(task.truth) <= high) for low, high in (number.interval() for number in trusted)]
        share = sum(inside) / len(inside)
        # of a share near one the normal interval is too narrow: two more misses are counted than were seen
        cautious = (sum(inside) - 2) / len(inside)
        stderr = math.sqrt(cautious * (1 - cautious) / len(inside))
        coverage = Estimate(share, stderr=stderr, kind="estimate", method="monte-carlo", units="1")
        case = f"{estimator!r}, {name}, N = {n}, {draws - len(trusted)} of {draws} declined"
        verdicts[case] = decide(coverage, floor, ">=")
    return verdicts


@study.claim(
    "bias-within-the-stated-uncertainty",
    statement="wherever KSG trusts itself, its mean error is below its own stated uncertainty; in 10 + 10 dimensions "
    "it does not trust itself",
    source="Kraskov, Stoegbauer and Grassberger, Phys. Rev. E 69, 066138 (2004)",
)
def bias(context: Context) -> dict[str, Verdict]:
    sizes = (100, 200, 400, 800, 1600, 3200) if context.level == "full" else (200, 800)
    draws, dims = (100, (1, 2, 3, 5, 10)) if context.level == "full" else (20, (1, 2, 10))
    verdicts = {}
    curves: dict[int, list[tuple[int, float, float, float]]] = {}
    for dim in dims:
        task = tasks.get(f"gaussian-{dim}x{dim}-1.0")
        for n in sizes:
            found = [quietly(es.KSG().estimate, *task.sample(n, context.generator)) for _ in range(draws)]
            values = torch.stack([number.value for number in found]) - float(task.truth)
            share = sum(number.kind == "unknown" for number in found) / draws
            curves.setdefault(dim, []).append((n, float(values.mean()), float(values.std()), share))
            trusted = [number for number in found if number.kind != "unknown"]
            if dim == 10:
                verdicts[f"declined in 10 + 10 dimensions, N = {n}"] = decide(exact(share, units="1"), 1.0, "==")
            elif len(trusted) > draws / 2:
                values = torch.stack([number.value for number in trusted]) - float(task.truth)
                stated = torch.stack([number.error + number.stderr for number in trusted]).mean()
                mean = Estimate(
                    values.mean().abs(),
                    stderr=values.std() / math.sqrt(len(trusted)),
                    kind="estimate",
                    method="monte-carlo",
                )
                verdicts[f"{dim} + {dim} dimensions, N = {n}"] = decide(mean, exact(stated), "<=")
    context.attach(_drawn_bias(curves), "Error of KSG against N, in 1 + 1 to 10 + 10 dimensions, I = 1 nat")
    return verdicts


def _drawn_bias(curves: dict[int, list[tuple[int, float, float, float]]]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    against_n, declined = figure.subplots(1, 2)
    for dim, points in curves.items():
        sizes = [point[0] for point in points]
        against_n.errorbar(
            sizes, [point[1] for point in points], [point[2] for point in points], label=f"{dim} + {dim}", capsize=2
        )
        declined.plot(sizes, [point[3] for point in points], "o-", label=f"{dim} + {dim}")
    for ax, title in ((against_n, "estimate minus truth (nat)"), (declined, "share marked 'unknown'")):
        ax.set_xscale("log")
        ax.set_xlabel("N")
        ax.set_title(title, fontsize=9)
    against_n.axhline(0, color="0.7", zorder=0)
    against_n.legend(fontsize=7)
    return figure


# -- laws --------------------------------------------------------------------------------------------------------------

_JUDGED_QUICKLY = (
    (es.KSG(), "mutual_information"),
    (es.KozachenkoLeonenko(), "entropy"),
    (es.GaussianPlugIn(), "mutual_information"),
    (es.Binning("labels"), "mutual_information"),
)
_JUDGED = (
    *_JUDGED_QUICKLY,
    (es.KSG(), "conditional_mutual_information"),
    (es.MixedKSG(), "mutual_information"),
    (es.NeighbourKL(), "kl"),
    (es.GaussianPlugIn(), "entropy"),
    (es.KernelDensity(), "entropy"),
    (es.KernelDensity(), "mutual_information"),
    (es.Binning("labels"), "entropy"),
    (es.KolchinskyTracey(0.1), "entropy"),
)


def _figure_of(ax: Any) -> Any:
    return ax.figure


def judged(context: Context, sort: str, cases: tuple[tuple[Any, str], ...]) -> dict[str, Verdict]:
    """No law of this sort is broken; the table of what came of each."""
    from infotherm.plots import plot_conformance
    from infotherm.testing import laws

    reports = []
    for estimator, quantity in cases:
        named = laws.names(quantity, None if sort == "every" else sort)
        reports.append(check_estimator(estimator, quantity, seed=context.seed % 2**31, laws=named))
    context.attach(_figure_of(plot_conformance(reports)), f"Laws ({sort}) and our estimators")
    return {
        f"{report.name}, {report.quantity}" + "".join(f", breaks {result.law}" for result in report.failed): decide(
            exact(float(len(report.failed)), units="1"), 0.0, "=="
        )
        for report in reports
    }


@study.claim("exact-laws", statement="our estimators break no exact law", source="the laws name their own sources")
def exact_laws(context: Context) -> dict[str, Verdict]:
    return judged(context, "exact", _JUDGED if context.level == "full" else _JUDGED_QUICKLY)


@study.claim(
    "every-law",
    statement="our estimators break no law at all, by chance with a probability below 1e-6 each",
    source="the laws name their own sources",
    level="full",
)
def every_law(context: Context) -> dict[str, Verdict]:
    return judged(context, "every", _JUDGED)


@study.claim(
    "laws-of-another-package",
    statement="scikit-learn's mutual information breaks at least one law: it clips at zero and says nothing of ties",
    source="scikit-learn, feature_selection.mutual_info_regression",
    level="full",
)
def another_package(context: Context) -> Verdict | dict[str, Verdict]:
    try:
        from sklearn.feature_selection import mutual_info_regression  # pyright: ignore[reportMissingImports]
    except ImportError:
        return Verdict("not applicable", ">=", 0.01, "scikit-learn is not installed")
    from infotherm.plots import plot_conformance
    from infotherm.testing import as_estimator

    report = check_estimator(as_estimator(mutual_info_regression), seed=context.seed % 2**31)
    context.attach(_figure_of(plot_conformance([report])), "Laws and scikit-learn's mutual_info_regression")
    return {"mutual_info_regression": decide(exact(float(len(report.failed)), units="1"), 1.0, ">=")}
