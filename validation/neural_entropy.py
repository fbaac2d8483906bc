"""Neural entropy: how much a diffusion forgets, which is what its reversal must be told."""

from __future__ import annotations

from typing import Any

import torch

import infotherm as it
from infotherm.core.estimate import Estimate
from infotherm.core.verdict import Verdict, decide
from infotherm.studies import Context, Study

study = Study(
    "neural_entropy",
    title="Neural entropy: the entropy that a diffusion produces",
    source="Premkumar, Neural entropy, Machine Learning and the Physical Sciences Workshop, NeurIPS 2024",
)

pr, th = it.processes, it.thermodynamics

# two separated modes, one narrow and one broad, that relax to one Gaussian
DATA = it.GaussianMixture([0.4, 0.6], [-2.0, 1.5], [0.09, 0.25])
FORGETTING = pr.OrnsteinUhlenbeck(1.0, 2**0.5)
SNAPSHOTS = (0.0, 0.05, 0.2, 0.5, 1.0, 2.0)


def part(e: Estimate, k: int) -> Estimate:
    """One element of a batch."""
    return Estimate(e.value[k], error=e.error[k], units=e.units)


@study.claim(
    "figure-1",
    statement=r"$S_{tot}(t)$ along an Ornstein-Uhlenbeck process: time integral of the rate against "
    r"$KL(p_0 \| p_{eq}) - KL(p_t \| p_{eq})$; it grows at every snapshot and differs from the gain of entropy",
    source="Premkumar (2024), Figure 1 and Eq. 6",
)
def figure_1(context: Context) -> dict[str, Verdict]:
    rest, data = FORGETTING.quasi_invariant(0.0, 1), DATA.to(device=context.device)
    times = torch.tensor(SNAPSHOTS[1:], dtype=torch.float64)
    laws = FORGETTING.marginal(data, times)
    total = th.entropy_production(FORGETTING, data, times, method="quadrature", route="rate", times=[0.0])
    lost = it.kl(data, rest) - it.kl(laws, rest)
    gained = it.entropy(laws) - it.entropy(data)
    totals = [0.0, *total.value.tolist()]
    verdicts = {f"t = {t}": decide(part(total, k), part(lost, k), "==") for k, t in enumerate(SNAPSHOTS[1:])}
    for k, t in enumerate(SNAPSHOTS[:-1]):
        verdicts[f"grows after t = {t}"] = decide(part(total, k), totals[k], ">=")
    verdicts["more than the gain of entropy"] = decide(part(total, -1), part(gained, -1), ">=")
    context.attach(
        _drawn(data, totals, [0.0, *gained.value.tolist()]),
        "Snapshots of an Ornstein-Uhlenbeck process, and the entropy produced",
    )
    return verdicts


@study.claim(
    "entropy-produced-by-three-routes",
    statement=r"$S_{tot}$ of variance-preserving and variance-exploding diffusions: integral of the rate, difference "
    "of divergences (gain of entropy without drift), and mean log ratio of the probabilities of paths "
    "and their reversals",
    source="Premkumar (2024), Eq. 6; Seifert, Phys. Rev. Lett. 95, 040602 (2005)",
)
def three_routes(context: Context) -> dict[str, Verdict]:
    n = 20_000 if context.level == "full" else 4_000
    data, verdicts = DATA.to(device=context.device), {}
    for name, process in (
        ("variance preserving", pr.VariancePreserving(beta_min=0.1, beta_max=8.0)),
        ("variance exploding", pr.VarianceExploding(sigma=1.0)),
    ):
        final = process.marginal(data, 1.0)
        by_rate = th.entropy_production(process, data, 1.0, method="quadrature", route="rate", times=[0.0, 1.0])
        if name == "variance exploding":
            lost = it.entropy(final) - it.entropy(data)
        else:
            rest = process.quasi_invariant(0.0, 1)
            lost = it.kl(data, rest) - it.kl(final, rest)
        paths = th.simulate(process, data, 1.0, n, 50, generator=context.generator)
        verdicts[f"{name}: rate and divergences"] = decide(by_rate, lost, "==")
        verdicts[f"{name}: rate and paths"] = decide(paths.mean("log_path_ratio"), by_rate, "==", tolerance=0.2)
    return verdicts


def _drawn(data: Any, totals: list[float], gains: list[float]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False)[0]
    x = torch.linspace(-4, 4, 401, dtype=torch.float64)[:, None]
    for k, (ax, t) in enumerate(zip(left.subplots(6, 1, sharex=True), SNAPSHOTS, strict=True)):
        law = FORGETTING.marginal(data, t) if t else data
        ax.fill_between(x[:, 0].tolist(), law.log_prob(x.to(data.device)).exp().tolist(), color=f"C{k}")
        ax.set_yticks([])
        ax.set_ylabel(f"{k + 1}", rotation=0, labelpad=8)
    times = torch.linspace(0.0, SNAPSHOTS[-1], 33, dtype=torch.float64)[1:]
    rest, laws = FORGETTING.quasi_invariant(0.0, 1), FORGETTING.marginal(data, times)
    curves = {"S_tot": it.kl(data, rest) - it.kl(laws, rest), "gain of entropy": it.entropy(laws) - it.entropy(data)}
    ax = right.subplots()
    for (name, curve), style in zip(curves.items(), ("-", ":"), strict=True):
        ax.plot([0.0, *times.tolist()], [0.0, *curve.value.tolist()], style, color="0.3", label=name)
    for k, (t, total, gain) in enumerate(zip(SNAPSHOTS, totals, gains, strict=True)):
        ax.plot(t, total, "o", color=f"C{k}")
        ax.plot(t, gain, "o", color=f"C{k}", markerfacecolor="white")
        ax.annotate(f"{k + 1}", (t, total), textcoords="offset points", xytext=(4, -10), fontsize=8)
    ax.set_xlabel("time")
    ax.set_ylabel("nat")
    ax.legend(fontsize=8)
    return figure
