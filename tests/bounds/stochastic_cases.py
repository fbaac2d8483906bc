"""Cases of the bounds of stochastic thermodynamics, far from saturation, and the same claims with a wrong constant."""

import torch

import infotherm as it
from infotherm.bounds.catalogue.fluctuations import moved_trap, ring_of, turns_of

STANDARD = it.Gaussian(0.0, 1.0)
BUMPS = it.GaussianMixture([0.4, 0.6], [[-1.0], [1.5]], [[[0.3]], [[0.8]]])
UNLIKE = it.GaussianMixture([0.5, 0.5], [[-1.1], [1.6]], [[[0.3]], [[0.7]]])
TILT = it.Discrete([0.3, 0.7])
TILTED = it.Gaussian([1.0, -0.5], [[0.5, 0.1], [0.1, 0.4]])
UNEVEN = it.processes.MarkovJump([[0.0, 3.0, 0.4], [1.0, 0.0, 2.0], [2.5, 0.7, 0.0]])
TURNS = turns_of()
THREE = it.Discrete([0.6, 0.3, 0.1])
RELAXING = it.processes.MarkovJump([[0.0, 2.0], [1.0, 0.0]])
SKEWED = it.processes.OrnsteinUhlenbeck([[1.0, -2.0], [1.0, 2.0]], 1.2)
SENSOR = it.processes.OrnsteinUhlenbeck([[1.0, 0.0], [-2.0, 1.0]], 2**0.5)
SAMPLES = {"tolerance": 0.1, "n_samples": 20_000, "generator": 3}


def switching(first, last):
    """Two states of energies 0 and E(t), E from `first` to `last` in a unit of time, with the rates of a heat bath."""

    def gap(t):
        return first + (last - first) * t

    def rates(t):
        up = torch.sigmoid(-gap(t))
        zero = torch.zeros_like(up)
        return torch.stack([torch.stack([zero, 2 * up], -1), torch.stack([2 - 2 * up, zero], -1)], -2)

    def energies(t):
        return torch.stack([torch.zeros_like(gap(t)), gap(t)], -1)

    return it.processes.MarkovJump(rates, horizon=1.0, energies=energies)


def tilted_ring(height, force=1.5):
    return it.processes.Langevin(force=lambda x: force + height * torch.sin(x), sigma=1.2, periodic=2 * torch.pi)


def walk(p):
    one = torch.eye(3, dtype=torch.float64)
    return it.processes.MarkovChain(p * one.roll(1, 1) + (1 - p) * one.roll(-1, 1))


MOVED = {"process": UNEVEN, "initial": THREE, "duration": 0.4}
TWO = {"process": RELAXING, "initial": it.Discrete([0.95, 0.05]), "duration": 0.5}
JUMPS = {"process": UNEVEN, "counting": TURNS}
RATES = [{"process": SKEWED, "p": TILTED}, {"process": UNEVEN, "p": THREE}]
NOISY = {"prior": it.Gaussian(0.0, 1.0), "measurement": it.LinearGaussianChannel(1.0, 0.25)}
STIFFER = it.processes.AffineDiffusion(lambda t: -(1 + t)[..., None, None], 2**0.5, lambda t: t[..., None])

GENERIC = {
    "path-divergence": [
        MOVED,
        {"process": it.processes.VariancePreserving(), "initial": BUMPS, "duration": 0.5},
        {"process": switching(0.0, 2.0), "initial": it.Discrete([0.3, 0.7]), "duration": 1.0},
    ],
    "relaxation-identity": [
        TWO,
        {"process": it.processes.OrnsteinUhlenbeck(1.5, 1.0), "initial": BUMPS, "duration": 0.5},
    ],
    "pure-noise-identity": [{"process": it.processes.VarianceExploding(sigma=1.0), "initial": BUMPS, "duration": 0.4}],
    "dissipation-lag": [{"process": moved_trap(), "duration": 1.5}, {"process": switching(-1.0, 2.0), "duration": 1.0}],
    "dissipated-work-identity": [
        {"process": switching(-1.0, 2.0), "duration": 1.0},
        {"process": STIFFER, "duration": 0.7},
    ],
    "adiabatic-second-law": RATES,
    "non-adiabatic-second-law": RATES,
    "excess-and-housekeeping": RATES,
    "maes-netocny-excess": RATES[:1],
    "integral-fluctuation-theorem": [
        TWO | SAMPLES,
        {"process": SKEWED, "initial": SKEWED.quasi_invariant(0.0), "duration": 0.05} | SAMPLES,
        {"process": walk(0.6), "initial": THREE, "duration": 3} | SAMPLES,
    ],
    "speck-seifert-equality": [
        {"process": UNEVEN, "initial": THREE, "duration": 0.1} | SAMPLES,
        {"process": SKEWED, "initial": TILTED, "duration": 0.03} | SAMPLES,
    ],
    "hatano-sasa-equality": [{"process": STIFFER, "duration": 1.0} | SAMPLES],
    "jarzynski-equality": [
        {"process": switching(-1.0, 1.5), "duration": 1.0} | SAMPLES,
        {"process": STIFFER, "duration": 1.0} | SAMPLES,
    ],
    "crooks-theorem": [
        {"process": switching(-1.0, 1.5), "reverse": switching(1.5, -1.0), "duration": 1.0}
        | SAMPLES
        | {"tolerance": 0.3}
    ],
    "gallavotti-cohen": [
        {"process": UNEVEN, "q": [0.4, -2.0]},
        {"process": tilted_ring(0.7), "q": 0.3},
        {"process": ring_of(3.0, 1.0), "q": 0.4, "counting": TURNS, "affinity": torch.tensor(3.0).double().log()},
        {"process": walk(0.7), "q": [0.3, -1.5]},
    ],
    "uncertainty-relation": [JUMPS, {"process": tilted_ring(1.0)}, {"process": tilted_ring(1.8)}],
    "uncertainty-relation-discrete-time": [{"process": walk(0.9), "counting": TURNS}],
    "uncertainty-relation-kinetic": [JUMPS],
    "uncertainty-relation-unified": [JUMPS],
    "landauer": [
        TWO,
        {"process": it.processes.VariancePreserving(), "initial": it.Gaussian(2.0, 0.3), "duration": 0.5},
        {"process": walk(0.7), "initial": THREE, "duration": 2},
    ],
    "speed-limit-activity": [MOVED, TWO],
    "speed-limit-activity-sharp": [MOVED, TWO],
    "speed-limit-w1-mobility": [MOVED, TWO, {"process": switching(0.0, 2.0), "initial": TILT, "duration": 1.0}],
    "speed-limit-w1-activity": [MOVED, TWO, {"process": switching(0.0, 2.0), "initial": TILT, "duration": 1.0}],
    "speed-limit-w2-printed": [
        {"process": it.processes.VariancePreserving(), "initial": it.Gaussian(2.0, 0.3), "duration": 0.5}
    ],
    "speed-accuracy": [
        {"process": it.processes.VariancePreserving(), "initial": BUMPS, "perturbed": UNLIKE, "duration": 0.5},
        {
            "process": it.processes.VarianceExploding(sigma=1.0),
            "initial": STANDARD,
            "perturbed": it.Gaussian(0.3, 0.8),
            "duration": 2.0,
        },
    ],
    "sagawa-ueda": [NOISY | {"feedback": "shift", "temperature": 2.0}],
    "sagawa-ueda-equality": [NOISY, NOISY | {"feedback": "shift-and-stiffen"}],
    "bipartite-second-law": [
        {"process": SENSOR, "parts": (1, 1)},
        {"process": SENSOR, "parts": (1, 1), "side": "y"},
        {"process": SKEWED, "parts": (1, 1), "p": TILTED},
    ],
    "learning-rate": [{"process": SENSOR, "parts": (1, 1)}],
    "learning-efficiency": [{"duration": 2.0}, {"duration": 3.0, "samples": 3, "drive": "linear", "gain": 4.0}],
}

# on the saturating case of the right claim: what is often written instead, or a constant that is slightly off
WRONG = {
    "path-divergence": lambda lhs, rhs: (lhs, rhs * 2),  # sigma^2 for sigma^2 / 2
    "relaxation-identity": lambda lhs, rhs: (lhs, rhs * (1 + 1e-9)),
    "pure-noise-identity": lambda lhs, rhs: (lhs, rhs * 2),
    "dissipation-lag": lambda lhs, rhs: (lhs, rhs * 1.000001),
    "dissipated-work-identity": lambda lhs, rhs: (lhs, rhs * 1.000001),
    "adiabatic-second-law": lambda lhs, rhs: (lhs, rhs + 1e-9),
    "non-adiabatic-second-law": lambda lhs, rhs: (lhs, rhs + 1e-9),
    "excess-and-housekeeping": lambda lhs, rhs: (lhs, rhs * 1.000001),
    "maes-netocny-excess": lambda lhs, rhs: (lhs, rhs * 1.000001),
    "integral-fluctuation-theorem": lambda lhs, rhs: (lhs, rhs * 1.1),
    "speck-seifert-equality": lambda lhs, rhs: (lhs, rhs * 1.1),
    "hatano-sasa-equality": lambda lhs, rhs: (lhs, rhs * 1.1),
    "jarzynski-equality": lambda lhs, rhs: (lhs + 0.1, rhs),
    "crooks-theorem": lambda lhs, rhs: (lhs, rhs * 2),  # 2 W / T
    "gallavotti-cohen": lambda lhs, rhs: (lhs, rhs * 1.000001),
    "uncertainty-relation": lambda lhs, rhs: (lhs, rhs / 2),  # S >= 4 j^2 / Var
    "uncertainty-relation-discrete-time": lambda lhs, rhs: (lhs, rhs / 2),
    "uncertainty-relation-kinetic": lambda lhs, rhs: (lhs, rhs / 2),  # half the jumps, one of two directions
    "uncertainty-relation-unified": lambda lhs, rhs: (lhs, rhs * 0.999999),
    "landauer": lambda lhs, rhs: (lhs, rhs * 1.01),
    "speed-limit-activity": lambda lhs, rhs: (lhs, rhs * 4),  # the whole L1 distance for TV
    "speed-limit-activity-sharp": lambda lhs, rhs: (lhs, rhs * 1.000001),
    "speed-limit-w1-mobility": lambda lhs, rhs: (lhs, rhs * 2),  # every edge counted once in each direction
    "speed-limit-w1-activity": lambda lhs, rhs: (lhs, rhs * 1.000001),
    "speed-limit-w2-printed": lambda lhs, rhs: (lhs, rhs * 4.000001),  # four is how loose it is
    "speed-accuracy": lambda lhs, rhs: (lhs / 2, rhs),  # sigma^2 read for D, the other way round
    "sagawa-ueda": lambda lhs, rhs: (lhs, rhs * 0.999999),
    "sagawa-ueda-equality": lambda lhs, rhs: (lhs, rhs * 1.000001),
    "bipartite-second-law": lambda lhs, rhs: (lhs, rhs + 1e-9),
    "learning-rate": lambda lhs, rhs: (lhs, rhs * 0.999999),
    "learning-efficiency": lambda lhs, rhs: (lhs, rhs * 0.999999),
}

# how far from saturation a case that saturates only in a limit may stay
LIMITS = {
    "uncertainty-relation-discrete-time": 1e-8,
    "landauer": 5e-3,
    "speed-limit-activity": 1e-8,
    "learning-efficiency": 1e-9,
    "speed-accuracy": 1e-8,
}

# claims that are true and never tight, with the tightness of their best case
BEST = {"speed-limit-w2-printed": 0.25}

# identities between sampled sides
SAMPLED = {
    "integral-fluctuation-theorem",
    "speck-seifert-equality",
    "hatano-sasa-equality",
    "jarzynski-equality",
    "crooks-theorem",
}
