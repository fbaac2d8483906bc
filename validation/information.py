"""Information quantities: identities and inequalities of the textbook, each by two routes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch

import infotherm as it
from infotherm.core.estimate import exact
from infotherm.core.verdict import Verdict, decide
from infotherm.information import ExactReversal, elbo_terms, information_from_mmse
from infotherm.studies import Context, Study

study = Study(
    "information",
    title="Information quantities and diffusion",
    source="Shannon (1948); Cover and Thomas, Elements of Information Theory (2006)",
)

MIXTURE = it.GaussianMixture([0.3, 0.7], [-1.0, 2.0], [0.25, 2.25])
SYMMETRIC = it.GaussianMixture([0.5, 0.5], [-2.0, 2.0], [1.0, 1.0])


def discrete(context: Context, *alphabet: int, parts: tuple[str, ...]) -> it.Discrete:
    """A random pmf."""
    weights = torch.rand(alphabet, dtype=torch.float64, generator=context.generator, device=context.device)
    return it.Discrete(weights / weights.sum(), parts=parts)


# -- against certified digits ------------------------------------------------------------------------------------------


@study.claim(
    "certified-values",
    statement="entropies, informations, errors and divergences against values enclosed by ball arithmetic",
    source="Johansson, IEEE Trans. Comput. 66, 1281 (2017)",
)
def certified(context: Context) -> dict[str, Verdict]:
    import torch.distributions as td

    three = it.GaussianMixture([0.2, 0.5, 0.3], [-3.0, 0.0, 4.0], [1.0, 1 / 16, 4.0])
    levels = torch.arange(-7.0, 8.0, 2.0, dtype=torch.float64) / 21.0**0.5
    eight = it.Empirical(levels[:, None])
    one, zero = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)

    def sent(law: Any, snr: float) -> it.Estimate:
        return it.mutual_information(it.LinearGaussianChannel(snr**0.5, 1.0).joint(law), "x", "y")

    computed = {
        "gm2-entropy-sym": it.entropy(SYMMETRIC),
        "gm3-entropy": it.entropy(three),
        "bpsk-awgn-mi-snr1/10": sent(it.Rademacher(), 0.1),
        "bpsk-awgn-mi-snr10": sent(it.Rademacher(), 10.0),
        "bpsk-awgn-mmse-snr1": it.minimum_mean_square_error(it.Rademacher(), 1.0),
        "pam8-awgn-mi-snr100": sent(eight, 100.0),
        "poisson-entropy-10": it.entropy(td.Poisson(10 * one)),
        "kl-laplace1-gauss-sqrt2ish": it.kl(td.Laplace(zero, one), it.Gaussian(0.0, 1.96)),
    }
    references = json.loads((Path(__file__).parent / "references" / "certified.json").read_text())
    return {
        case["name"]: decide(computed[case["name"]], float(case["value"]["nats"]), "==", tolerance=case["tolerance"])
        for case in references
    }


# -- identities --------------------------------------------------------------------------------------------------------


@study.claim(
    "kl-three-ways",
    statement=r"$KL(p \| q)$ of Gaussians: closed form, quadrature, Monte Carlo",
    source="Cover and Thomas (2006), Eq. 8.46",
)
def kl_three_ways(context: Context) -> dict[str, Verdict]:
    means = torch.randn(2, 16, 1, dtype=torch.float64, generator=context.generator, device=context.device)
    scales = torch.rand(2, 16, 1, 1, dtype=torch.float64, generator=context.generator, device=context.device) + 0.2
    p, q = it.Gaussian(means[0], scales[0]), it.Gaussian(means[1], scales[1])
    closed = it.kl(p, q, method="closed-form")
    sampled = it.kl(p, q, method="monte-carlo", n_samples=40_000, generator=context.generator)
    return {
        "quadrature": decide(closed, it.kl(p, q, method="quadrature"), "=="),
        "monte-carlo": decide(closed, sampled, "==", tolerance=0.05 * (1 + closed.value.max())),
    }


@study.claim(
    "cross-entropy-splits",
    statement=r"$H(P, Q) = H(P) + KL(P \| Q)$ for discrete laws, Gaussians and mixtures",
    source="Cover and Thomas (2006), Theorem 5.4.3",
)
def cross_entropy_splits(context: Context) -> dict[str, Verdict]:
    pairs = {
        "discrete": (discrete(context, 7, parts=("x",)), discrete(context, 7, parts=("x",))),
        "gaussian": (
            it.Gaussian([1.0, 0.0], [[2.0, 0.3], [0.3, 1.0]]),
            it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 3.0]]),
        ),
        "mixture": (MIXTURE, SYMMETRIC),
    }
    return {name: decide(it.cross_entropy(p, q), it.entropy(p) + it.kl(p, q), "==") for name, (p, q) in pairs.items()}


@study.claim(
    "chain-rules",
    statement=r"$H(X,Y) = H(X) + H(Y|X)$ and $I(X; Y, Z) = I(X; Z) + I(X; Y | Z)$",
    source="Cover and Thomas (2006), Theorems 2.2.1 and 2.5.2",
)
def chain_rules(context: Context) -> dict[str, Verdict]:
    d = discrete(context, 3, 4, 2, parts=("x", "y", "z"))
    mixing = torch.tensor([[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [-0.3, 0.8, 1.0]], dtype=torch.float64)
    g = it.Gaussian(torch.zeros(3, dtype=torch.float64), mixing @ mixing.mT, parts={"x": 1, "y": 1, "z": 1})
    verdicts = {}
    for name, law in (("discrete", d), ("gaussian", g)):
        pair = law.marginal(("x", "y"))
        split = it.entropy(pair.marginal("x")) + it.conditional_entropy(pair, "y", given="x")
        verdicts[f"entropy, {name}"] = decide(it.entropy(pair), split, "==")
        whole = it.mutual_information(law, "x", ("y", "z"))
        parts = it.mutual_information(law, "x", "z") + it.mutual_information(law, "x", "y", given="z")
        verdicts[f"information, {name}"] = decide(whole, parts, "==")
    return verdicts


@study.claim(
    "self-information",
    statement=r"$I(X; X) = H(X)$, $H(X) \leq \log K$ with equality for the uniform law",
    source="Cover and Thomas (2006), Eq. 2.42 and Theorem 2.6.4",
)
def self_information(context: Context) -> dict[str, Verdict]:
    d = discrete(context, 6, parts=("x",))
    uniform = it.Discrete(torch.full((6,), 1 / 6, dtype=torch.float64))
    return {
        "self": decide(it.mutual_information(d, "x", "x"), it.entropy(d), "=="),
        "at most log K": decide(math.log(6), it.entropy(d), ">="),
        "uniform": decide(it.entropy(uniform), math.log(6), "=="),
    }


@study.claim(
    "asymmetry",
    statement=r"$KL(P \| Q) \neq KL(Q \| P)$, and the triangle inequality fails: it is no distance",
    source="Cover and Thomas (2006), section 2.3",
)
def asymmetry(context: Context) -> dict[str, Verdict]:
    narrow, wide, far = it.Gaussian(0.0, 1.0), it.Gaussian(0.0, 4.0), it.Gaussian(4.0, 1.0)
    direct, detour = it.kl(narrow, far), it.kl(narrow, wide) + it.kl(wide, far)
    stops = [it.Discrete([1 - p, p]) for p in (0.5, 0.25, 0.1)]
    long_way, by_stop = it.kl(stops[0], stops[2]), it.kl(stops[0], stops[1]) + it.kl(stops[1], stops[2])
    return {
        "wide against narrow": decide(it.kl(wide, narrow), it.kl(narrow, wide), ">="),
        "a stop can be a shortcut": decide(long_way, by_stop, ">="),
        "or a detour": decide(detour, direct, ">="),
    }


@study.claim(
    "information-of-gaussian-channel",
    statement=r"$I(X; Y) = h(Y) - h(Y|X) = \frac{1}{2} \log\det(1 + N^{-1} A C A^T)$ signals $10^{-12}$ to $10^{12}$",
    source="Cover and Thomas (2006), Eq. 9.16",
)
def gaussian_channel(context: Context) -> Verdict:
    gain = torch.logspace(-6, 6, 13, dtype=torch.float64, device=context.device)
    joint = it.LinearGaussianChannel.isotropic(gain, torch.ones_like(gain)).joint(it.Gaussian(0.0, 1.0))
    closed = exact(0.5 * gain.square().log1p())
    return decide(it.mutual_information(joint, "x", "y"), closed, "==")


@study.claim(
    "information-of-mixtures",
    statement="mutual information of a mixture of two Gaussians with parts: quadrature against Monte Carlo",
    source="definition",
)
def mixture_information(context: Context) -> Verdict:
    means = [[-1.0, -1.0], [1.0, 1.5]]
    covariances = [[[1.0, 0.4], [0.4, 0.5]], [[0.5, -0.2], [-0.2, 1.0]]]
    joint = it.GaussianMixture([0.4, 0.6], means, covariances, parts={"x": 1, "y": 1})
    by_quadrature = it.mutual_information(joint, "x", "y", method="quadrature")
    sampled = it.mutual_information(
        joint, "x", "y", method="monte-carlo", n_samples=100_000, generator=context.generator
    )
    return decide(by_quadrature, sampled, "==", tolerance=0.02)


# -- along a diffusion -------------------------------------------------------------------------------------------------


@study.claim(
    "information-falls-along-a-diffusion",
    statement=r"$I(x_0; x_t)$ decreases in $t$; by entropies and by the integral of the denoising error",
    source="Guo, Shamai and Verdu, IEEE Trans. Inf. Theory 51, 1261 (2005), Theorem 1",
)
def falls(context: Context) -> dict[str, Verdict]:
    process = it.processes.VariancePreserving(beta_min=0.1, beta_max=8.0)
    times = (0.1, 0.3, 0.6, 1.0)
    verdicts, before = {}, None
    for t in times:
        channel = process.transition(0.0, t)
        information = it.mutual_information(channel.joint(MIXTURE), "x", "y")
        assert channel.gain is not None and channel.noise_variance is not None
        snr = (channel.gain.square() / channel.noise_variance).item()
        verdicts[f"two routes, t = {t}"] = decide(
            information, information_from_mmse(MIXTURE, snr), "==", tolerance=1e-7
        )
        if before is not None:
            verdicts[f"falls until t = {t}"] = decide(before, information, ">=")
        before = information
    return verdicts


@study.claim(
    "two-state-chain",
    statement=r"two states, flips at rate $r$: $I(x_0; x_t) = \log 2 - h_b((1 - e^{-2rt})/2)$, decreasing",
    source="Cover and Thomas (2006), Eq. 7.5",
)
def two_states(context: Context) -> dict[str, Verdict]:
    rate, times = 0.7, torch.tensor([0.0, 0.05, 0.3, 1.0, 4.0], dtype=torch.float64)
    chain = it.processes.MarkovJump([[0.0, rate], [rate, 0.0]])
    information = it.mutual_information(chain.transition(0.0, times).joint(it.Discrete([0.5, 0.5])), "x", "y")
    flip = -torch.expm1(-2 * rate * times) / 2
    return {
        "closed form": decide(information, math.log(2) - it.binary_entropy(flip), "==", tolerance=1e-14),
        "falls": decide(information[:-1], information[1:], ">="),
    }


@study.claim(
    "elbo-is-tight-for-the-true-reversal",
    statement=r"reconstruction - prior matching - denoising matching $= -h(x_0)$ for the true reversal, however coarse",
    source="Sohl-Dickstein et al., ICML 2015, Eq. 14; Ho, Jain and Abbeel, NeurIPS 2020, Eq. 5",
)
def elbo_tight(context: Context) -> dict[str, Verdict]:
    process = it.processes.VariancePreserving(beta_min=0.1, beta_max=8.0)
    data = it.Gaussian([1.0, -1.0], [[0.5, 0.3], [0.3, 0.4]])
    times = [0.05, 0.3, 1.0]
    model = ExactReversal(process, data, times[-1])
    closed = elbo_terms(process, data, model, times)
    sampled = elbo_terms(process, data, model, times, method="monte-carlo", generator=context.generator)
    return {
        "closed form": decide(closed.elbo, -it.entropy(data), "=="),
        "reconstruction": decide(sampled.reconstruction, closed.reconstruction, "==", tolerance=0.05),
        "prior matching": decide(sampled.prior_matching, closed.prior_matching, "==", tolerance=0.02),
        "denoising": decide(sampled.denoising_matching, closed.denoising_matching, "==", tolerance=0.05),
    }


@study.claim(
    "entropy-need-not-rise",
    statement=r"forward noising lowers the entropy when the noise is narrower than the data ($\kappa = 0.1$)",
    source="corrects the common statement that entropy increases in the forward process",
)
def entropy_falls(context: Context) -> Verdict:
    narrow = it.processes.VariancePreserving(beta_min=0.1, beta_max=8.0, kappa=0.1)
    return decide(it.entropy(MIXTURE), it.entropy(narrow.marginal(MIXTURE, 1.0)), ">=")


# -- fits --------------------------------------------------------------------------------------------------------------


@study.claim(
    "forward-covers-reverse-seeks",
    statement=r"the Gaussian nearest to a mixture: $KL(p\|q)$ covers the modes, $KL(q\|p)$ seeks one",
    source="Minka, Divergence measures and message passing (2005), section 3",
)
def fits(context: Context) -> dict[str, Verdict]:
    from matplotlib.figure import Figure

    modes = it.GaussianMixture([0.6, 0.4], [-3.0, 3.0], [1.0, 1.0])
    covering = it.information.forward_kl_fit(modes)
    seeking = it.information.reverse_kl_fit(modes)
    figure = Figure(figsize=(6, 3))
    it.plots.plot_gaussian_fits(modes, [covering, seeking], ax=figure.subplots())
    context.attach(figure, "The Gaussian nearest to a mixture, in the two directions")
    return {
        "covering is wider": decide(covering.law.variance.item(), seeking.law.variance.item(), ">="),
        "covering is forward's best": decide(it.kl(modes, seeking.law), it.kl(modes, covering.law), ">="),
        "seeking is reverse's best": decide(it.kl(covering.law, modes), it.kl(seeking.law, modes), ">="),
    }


# -- torch's closed forms ----------------------------------------------------------------------------------------------


@study.claim(
    "entropies-of-torch",
    statement="closed-form entropies of univariate torch distributions against quadrature",
    source="torch.distributions",
)
def torch_entropies(context: Context) -> dict[str, Verdict]:
    import torch.distributions as td

    a, b = torch.tensor(1.7, dtype=torch.float64), torch.tensor(0.8, dtype=torch.float64)
    laws = [
        td.Beta(a, 1 + b), td.Cauchy(a, b), td.Exponential(a), td.Gamma(a, b), td.Gumbel(a, b), td.Laplace(a, b),
        td.LogNormal(a, b), td.Normal(a, b), td.StudentT(3 + a), td.Uniform(-b, a), td.Weibull(a, b),
    ]  # fmt: skip
    return {
        type(law).__name__: decide(it.entropy(law, method="closed-form"), it.entropy(law, method="quadrature"), "==")
        for law in laws
    }


@study.claim(
    "kl-of-torch",
    statement="every closed-form divergence that torch registers between these univariate families against quadrature",
    source="torch.distributions.kl",
    level="full",
)
def torch_divergences(context: Context) -> dict[str, Verdict]:
    import torch.distributions as td

    a = torch.tensor([0.6, 1.1], dtype=torch.float64)
    b = torch.tensor([1.3, 0.8], dtype=torch.float64)
    laws = [
        td.Beta(a + 0.5, b + 0.7), td.Cauchy(a, b), td.Exponential(b), td.Gamma(a + 1, b), td.Gumbel(a, b),
        td.HalfNormal(b), td.Laplace(a, b), td.LogNormal(a, b), td.Normal(a, b), td.Pareto(b, a + 2.6),
        td.Uniform(a / 4, a / 4 + b / 4), td.Weibull(a + 0.7, b + 1),
    ]  # fmt: skip
    verdicts = {}
    for p in laws:
        for q in laws:
            taken = it.explain("kl", p, q).taken
            if taken is not None and taken.method == "closed-form" and p is not q:
                closed, integral = it.kl(p, q), it.kl(p, q, method="quadrature")
                if bool(torch.isfinite(closed.value).all()):
                    verdicts[f"{type(p).__name__} and {type(q).__name__}"] = decide(closed, integral, "==")
    return verdicts
