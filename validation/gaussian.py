"""Four theories on Gaussians: thermodynamics, transport, TherML and replica against each other and closed forms."""

from __future__ import annotations

import math

import torch

import infotherm as it
import infotherm.replica as rp
from infotherm.core.estimate import exact
from infotherm.core.verdict import Verdict, decide
from infotherm.studies import Context, Study

study = Study(
    "gaussian",
    title="Four theories meet on Gaussians",
    source="closed forms, each by two routes through different theories",
)

pr, th, tr, tm = it.processes, it.thermodynamics, it.transport, it.therml


def start(context: Context) -> it.Gaussian:
    """A law of two correlated coordinates, off the origin."""
    return it.Gaussian([1.5, -0.5], [[0.5, 0.2], [0.2, 1.5]]).to(device=context.device)


PROCESSES = {
    "ornstein-uhlenbeck": (pr.OrnsteinUhlenbeck(rate=1.0, sigma=2.0**0.5), 1.0),
    "variance-preserving": (pr.VariancePreserving(beta_min=0.1, beta_max=8.0), 1.0),
    "variance-exploding": (pr.VarianceExploding(sigma=1.0), 1.0),
    "straight-line": (pr.StraightLine(sigma0=0.1), 0.9),
}


# -- thermodynamics and information ------------------------------------------------------------------------------------


@study.claim(
    "entropy-production-is-a-divergence-lost",
    statement=r"$S_{tot} = KL(p_0 \| p_{eq}) - KL(p_T \| p_{eq})$ with detailed balance: time integral of the rate "
    "against the difference of divergences",
    source="Spohn, J. Math. Phys. 19, 1227 (1978), Eq. 5",
)
def divergence_lost(context: Context) -> dict[str, Verdict]:
    p = start(context)
    verdicts = {}
    for name in ("ornstein-uhlenbeck", "variance-preserving", "straight-line"):
        process, duration = PROCESSES[name]
        by_rate = th.entropy_production(process, p, duration, method="quadrature")
        final = process.marginal(p, duration)
        rest = process.quasi_invariant(0.0, 2)
        verdicts[name] = decide(by_rate, it.kl(p, rest) - it.kl(final, rest), "==", tolerance=1e-8)
    return verdicts


@study.claim(
    "de-bruijn",
    statement=r"pure diffusion: $S_{tot} = h(p_T) - h(p_0)$, the integrated Fisher information",
    source="Stam, Inf. Control 2, 101 (1959), Eq. 2.5",
)
def de_bruijn(context: Context) -> Verdict:
    p = start(context)
    process, duration = PROCESSES["variance-exploding"]
    by_rate = th.entropy_production(process, p, duration, method="quadrature")
    return decide(by_rate, it.entropy(process.marginal(p, duration)) - it.entropy(p), "==", tolerance=1e-8)


@study.claim(
    "rotation-costs-housekeeping",
    statement=r"without detailed balance the steady rate is $2 \omega^2 D / \theta$, all of it housekeeping",
    source="Risken, The Fokker-Planck Equation (1989), section 6.4; Esposito and Van den Broeck (2010)",
)
def rotation(context: Context) -> dict[str, Verdict]:
    theta, omega = 1.0, 2.0
    process = pr.OrnsteinUhlenbeck([[theta, omega], [-omega, theta]], 2.0**0.5)
    rest = pr.steady_state(process)
    split = th.excess_housekeeping(process, rest, 0.0)
    return {
        "rate": decide(th.entropy_production_rate(process), 2 * omega**2 / theta, "==", tolerance=1e-10),
        "excess": decide(split.excess, 0.0, "==", tolerance=1e-10),
        "housekeeping": decide(split.housekeeping, 2 * omega**2 / theta, "==", tolerance=1e-10),
    }


# -- thermodynamics and transport --------------------------------------------------------------------------------------


@study.claim(
    "speed-limit",
    statement=r"$S_{tot} \geq 2 W_2^2 / \int \sigma^2 dt$ for four processes",
    source="Aurell et al., J. Stat. Phys. 147, 487 (2012); constant corrected from the workshop paper's 1/2",
)
def speed_limit(context: Context) -> dict[str, Verdict]:
    p = start(context)
    return {
        name: it.bounds.check("speed-limit-w2", process=process, initial=p, duration=duration)
        for name, (process, duration) in PROCESSES.items()
    }


@study.claim(
    "speed-limit-is-attained",
    statement=r"the drive along the Wasserstein geodesic dissipates $2 W_2^2 / (\sigma^2 T)$: its entropy production "
    "as "
    "a driven diffusion against the distance",
    source="Schmiedl and Seifert, Phys. Rev. Lett. 98, 108301 (2007); Aurell et al. (2012)",
)
def speed_limit_attained(context: Context) -> Verdict:
    p, q = start(context), it.Gaussian([-0.5, 0.5], [[1.0, -0.3], [-0.3, 0.6]]).to(device=context.device)
    sigma, duration = 1.2, 2.0
    drive = tr.optimal_protocol(p, q, sigma, duration)
    process = pr.AffineDiffusion(
        lambda t: drive.affine(t)[0], sigma, lambda t: drive.affine(t)[1], horizon=duration, tolerance=1e-12
    )
    paid = th.entropy_production(process, p, duration, method="quadrature")
    return decide(paid, tr.minimum_entropy_production(p, q, sigma, duration), "==", tolerance=1e-8)


@study.claim(
    "distance-two-ways",
    statement=r"$W_2$ of Gaussians: Procrustes form against the eigenvalues of $C_0 C_1$",
    source="Dowson and Landau, J. Multivariate Anal. 12, 450 (1982), Eq. 4",
)
def distance_two_ways(context: Context) -> Verdict:
    generator = context.generator
    factors = torch.randn(64, 2, 5, 5, dtype=torch.float64, device=context.device, generator=generator)
    covariances = factors @ factors.mT + 0.1 * torch.eye(5, dtype=torch.float64, device=context.device)
    zero = covariances.new_zeros(5)
    distance = it.wasserstein2(it.Gaussian(zero, covariances[:, 0]), it.Gaussian(zero, covariances[:, 1]))
    product = torch.linalg.eigvals(covariances[:, 0] @ covariances[:, 1]).real.sqrt().sum(-1)
    trace = covariances.diagonal(dim1=-2, dim2=-1).sum((-2, -1))
    return decide(
        distance.square(), exact(trace - 2 * product, terms=[trace, 2 * product], units="1"), "==", tolerance=1e-8
    )


@study.claim(
    "distance-is-convex-in-time",
    statement=r"geodesics have constant speed: $W_2(p_s, p_t) = |t - s| W_2(p_0, p_1)$",
    source="McCann, Adv. Math. 128, 153 (1997)",
)
def constant_speed(context: Context) -> Verdict:
    path = tr.geodesic(start(context), it.Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 0.0]]).to(device=context.device))
    part = it.wasserstein2(path.at(0.25), path.at(0.75))
    return decide(part, 0.5 * it.wasserstein2(path.at(0.0), path.at(1.0)), "==", tolerance=1e-7)


# -- TherML and information --------------------------------------------------------------------------------------------


@study.claim(
    "bottleneck-through-its-encoder",
    statement=r"Gaussian bottleneck: $I(X;Z)$ and $I(Y;Z)$ in closed form against the informations of its encoder",
    source="Chechik, Globerson, Tishby and Weiss, J. Mach. Learn. Res. 6, 165 (2005), Theorem 3.1",
)
def bottleneck(context: Context) -> dict[str, Verdict]:
    joint = _joint(context)
    verdicts = {}
    for beta in (1.5, 3.0, 20.0):
        point = tm.gaussian_information_bottleneck(joint, beta)
        assert point.encoder is not None
        seen = tm.encoder_functionals(joint, point.encoder)
        relevance = it.entropy(joint.marginal("y")) - seen.classification
        verdicts[f"compression, beta = {beta}"] = decide(point.compression, seen.rate, "==", tolerance=1e-9)
        verdicts[f"relevance, beta = {beta}"] = decide(point.relevance, relevance, "==", tolerance=1e-9)
    return verdicts


@study.claim(
    "rate-plus-distortion",
    statement=r"$R + D = h(X)$ with unlimited decoders, whatever the encoder",
    source="Alemi and Fischer, TherML (2018), Eq. 14 at its optimum",
)
def rate_plus_distortion(context: Context) -> Verdict:
    joint = _joint(context)
    encoder = it.LinearGaussianChannel([[1.0, 2.0, 0.5]], [[0.7]])
    seen = tm.encoder_functionals(joint, encoder)
    return decide(seen.rate + seen.distortion, it.entropy(joint.marginal("x")), "==", tolerance=1e-10)


@study.claim(
    "rate-distortion-is-a-channel",
    statement=r"reverse water-filling: $R(D)$ against the information of its test channel, and $D$ against its error",
    source="Cover and Thomas, Elements of Information Theory (2006), Theorem 10.3.3",
)
def rate_distortion(context: Context) -> dict[str, Verdict]:
    covariance = _joint(context).marginal("x").covariance
    point = tm.gaussian_rate_distortion(covariance, 0.9)
    assert point.channel is not None
    source = it.Gaussian(covariance.new_zeros(3), covariance)
    noisy = it.LinearGaussianChannel(point.channel.matrix(3), point.channel.noise_covariance(3))
    image = noisy.output(source).covariance
    drawn = covariance + image - 2 * (point.channel.matrix(3) @ covariance)
    error = exact(drawn.diagonal().sum(), terms=[covariance.diagonal().sum(), image.diagonal().sum()], units="1")
    return {
        "distortion": decide(point.distortion, error, "==", tolerance=1e-9),
        "rate": decide(point.rate, it.mutual_information(noisy.joint(source), "x", "y"), "==", tolerance=1e-7),
    }


# -- replica and the others --------------------------------------------------------------------------------------------


def _network(alpha: float, variance: float, noise: float) -> rp.Network:
    layer = rp.Layer(rp.GaussianWeights(alpha=alpha, variance=variance), rp.Linear(), noise=noise)
    return rp.Network(prior=it.Gaussian(0.0, 1.0), layers=[layer])


@study.claim(
    "replica-against-random-matrices",
    statement="entropy of a linear layer: replica potential against the Marchenko-Pastur integral",
    source="Gabrie et al., J. Stat. Mech. (2019) 124014, Eq. 2; Tulino and Verdu (2004), Eq. 1.14",
)
def replica_two_ways(context: Context) -> dict[str, Verdict]:
    verdicts = {}
    for alpha, variance, noise in ((1.0, 1.0, 1e-5), (0.5, 2.0, 0.1), (3.0, 0.25, 1.0)):
        solution = rp.solve(_network(alpha, variance, noise))
        second = solution.certificate.second_route
        verdicts[f"alpha = {alpha}"] = decide(solution.entropy, second, "==", tolerance=1e-9)
    return verdicts


@study.claim(
    "replica-against-channels",
    statement=r"$I(T; X)/n$ of the replica formula against channels with sampled weights, $n = 400$",
    source="Gabrie et al. (2019), section 2",
)
def replica_against_channels(context: Context) -> Verdict:
    n, draws, noise = 400, 6, 0.1
    informations = []
    for _ in range(draws):
        weights = torch.randn(n, n, dtype=torch.float64, generator=context.generator, device=context.device) / n**0.5
        channel = it.LinearGaussianChannel(weights, noise * torch.eye(n, dtype=torch.float64, device=context.device))
        unit = it.Gaussian(weights.new_zeros(n), torch.eye(n, dtype=torch.float64, device=context.device))
        informations.append(0.5 * channel.signal_to_noise(unit).log1p().sum() / n)
    values = torch.stack(informations)
    sampled = it.Estimate(
        values.mean(),
        stderr=values.std() / draws**0.5,
        error=1 / n,
        kind="estimate",
        method="monte-carlo",
        streams=["w"],
    )
    return decide(rp.solve(_network(1.0, 1.0, noise)).mutual_information, sampled, "==", tolerance=0.02)


@study.claim(
    "replica-information-and-error",
    statement=r"I-MMSE in a wide network: $d(I/n) / d(1/\Delta) = \frac{1}{2n} E|W(x - \langle x \rangle)|^2$, the "
    "derivative of the potential against the error that it reports",
    source="Guo, Shamai and Verdu, IEEE Trans. Inf. Theory 51, 1261 (2005), Theorem 2",
)
def replica_i_mmse(context: Context) -> Verdict:
    snr = torch.tensor(4.0, dtype=torch.float64, requires_grad=True)
    information = rp.solve(_network_at(1 / snr)).mutual_information.value
    (slope,) = torch.autograd.grad(information, snr)
    solution = rp.solve(_network(1.0, 1.0, 0.25))
    # y = W x + n: the error of W x is what the data explain, tr(W P W^T)/n = (1 - mmse) / snr for x of unit variance
    error_of_image = (1 - solution.mmse) / 4.0
    return decide(exact(slope, units="1"), 0.5 * error_of_image, "==", tolerance=1e-7)


def _network_at(noise: torch.Tensor) -> rp.Network:
    layer = rp.Layer(rp.GaussianWeights(alpha=1.0, variance=1.0), rp.Linear(), noise=noise)
    return rp.Network(prior=it.Gaussian(0.0, 1.0), layers=[layer])


@study.claim(
    "four-theories-on-one-spectrum",
    statement=r"data $W x$ with $W$ a wide random matrix, diffusing from noise 0.1 to noise 1: entropy produced "
    "(thermodynamics), entropy gained (information), replica formula, bottleneck relevance, and the transport bound",
    source="de Bruijn's identity joins them",
)
def four_theories(context: Context) -> dict[str, Verdict]:
    n, first, last = 200, 0.1, 1.0
    weights = torch.randn(n, n, dtype=torch.float64, generator=context.generator, device=context.device) / n**0.5
    eye = torch.eye(n, dtype=torch.float64, device=context.device)
    data = it.Gaussian.from_factor(weights.new_zeros(n), weights)
    diffusion = pr.VarianceExploding(sigma=1.0)
    begin = diffusion.marginal(data, first)
    produced = th.entropy_production(diffusion, begin, last - first) / n
    gained = (it.entropy(diffusion.marginal(data, last)) - it.entropy(begin)) / n
    replica = rp.solve(_network(1.0, 1.0, last)).entropy - rp.solve(_network(1.0, 1.0, first)).entropy
    # one draw of the weights at size n: the limit is off by order 1/n, and so is the spread between draws
    finite_size = it.Estimate(0.0, error=4 / n)
    noisy = it.LinearGaussianChannel(eye, last * eye).joint(it.Gaussian.from_factor(weights.new_zeros(n), weights))
    most = tm.gaussian_information_bottleneck(noisy, 1e12).relevance / n
    told = (it.entropy(diffusion.marginal(data, last)) / n) - 0.5 * math.log(2 * math.pi * math.e * last)
    return {
        "thermodynamics and information": decide(produced, gained, "==", tolerance=1e-8),
        "thermodynamics and replica": decide(produced, replica + finite_size, "==", tolerance=0.02),
        "TherML and information": decide(most, told, "==", tolerance=1e-5),
        "thermodynamics and transport": it.bounds.check(
            "speed-limit-w2", process=diffusion, initial=begin, duration=last - first
        ),
    }


def _joint(context: Context) -> it.Gaussian:
    mixing = torch.tensor(
        [[1.0, 0.2, 0.0, 0.5, 0.1], [0.0, 1.0, 0.3, -0.4, 0.6], [0.2, 0.0, 1.0, 0.3, -0.2], [0.6, 0.4, 0.1, 1.0, 0.0]]
        + [[0.1, -0.5, 0.8, 0.0, 1.0]],
        dtype=torch.float64,
        device=context.device,
    )
    return it.Gaussian(mixing.new_zeros(5), mixing @ mixing.mT, parts={"x": 3, "y": 2})
