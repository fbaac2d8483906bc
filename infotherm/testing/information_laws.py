"""Laws between several estimates of the same samples: data processing, chain rule, additivity, invariance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from infotherm.testing.law import Broken, Skipped, Trial, law
from infotherm.testing.replication import (
    Replications,
    across,
    default_tolerance,
    most_replications,
    number_of_samples,
    require_consistent,
    require_replications,
    slack_of,
    worth_their_time,
)
from infotherm.testing.sequential import Mean, Rate, Reading, mean_test, rate_test
from infotherm.testing.situations import dependent, flip, normal, sample, situation, symbols, uniform
from infotherm.testing.subject import Subject
from infotherm.testing.tasks import Task

_MI, _CMI = "mutual_information", "conditional_mutual_information"
_SOURCE = "Cover and Thomas, Elements of Information Theory (2006), "
_SELF_CONSISTENCY = "; Song and Ermon, ICLR 2020, section 4"

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Relation:
    """A sum of estimates whose expectation is known, or known not to exceed a number.

    Parameters
    ----------
    name
        Of the case.
    draw
        `draw(n, generator)` returns signed sets of arguments: the sign and the arrays of each estimate.
    sizes
        About the true numbers in the order of the estimates (not needed for entropies): the tolerance of bare numbers.
    one_sided
        Whether the signed sum is at most its expectation rather than equal to it.
    expected
        The signed sum of the true numbers, or its upper limit.
    """

    name: str
    draw: Callable[[int, torch.Generator], Sequence[tuple[int, Arrays]]]
    sizes: tuple[float, ...]
    one_sided: bool = False
    expected: float = 0.0
    wide: int = 1
    discrete: bool = False
    gaussian: bool = True


def _hold(subject: Subject, trial: Trial, relations: list[Relation], n: int) -> str:
    """Judges the relations that fit the estimator."""
    require_consistent(subject)
    require_replications(subject, trial)
    tags = subject.tags
    fitting = [
        r
        for r in relations
        if ("discrete" if r.discrete else "continuous") in tags.data
        and r.wide <= (tags.most_dimensions or r.wide)
        and (r.gaussian or tags.consistent_for == "any")
    ]
    if not fitting:
        raise Skipped(
            f"no case fits {', '.join(tags.data)} data, consistent_for {tags.consistent_for},"
            f" most_dimensions {tags.most_dimensions}"
        )
    most = most_replications(subject, trial)

    def judge(relation: Relation) -> Mean:
        replications = Replications(subject, trial, relation.name)

        def draw(_: int) -> Reading | None:
            deviation, stated, tolerance = -relation.expected, 0.0, 0.0
            terms = relation.draw(n, replications.generator)
            for (sign, arrays), size in zip(terms, relation.sizes, strict=True):
                estimate = replications.ask(*arrays)
                if estimate is None or estimate.kind in ("lower", "upper"):
                    return None
                columns = sum(array.shape[1] for array in arrays)
                size = float(columns) if subject.quantity == "entropy" else size
                counted = arrays if relation.discrete else None
                tolerance = max(tolerance, default_tolerance(n, columns, size, counted))  # biases cancel in part
                deviation += sign * float(estimate)
                stated += slack_of(subject, estimate, 0.0)
            slack = stated if tags.states_error else tolerance
            return Reading(deviation, above=slack, below=math.inf if relation.one_sided else slack)

        return mean_test(draw, level=trial.level / len(fitting), most=most)

    return across(fitting, _named(subject), judge)


def _named(subject: Subject) -> Callable[[Relation], str]:
    claim = " (not Gaussian: the tags claim consistent_for 'any')" if subject.tags.consistent_for == "any" else ""
    return lambda relation: relation.name + ("" if relation.gaussian or relation.discrete else claim)


# -- does the second argument matter? --------------------------------------------------------------------------------


@law(
    "depends-on-y",
    statement="strongly dependent samples give a larger number than the same samples with y shuffled",
    source="I(x; y) is zero for independent samples (given z) and positive for these",
    sort="statistical",
    quantities=(_MI, _CMI, "kl"),
)
def depends_on_y(subject: Subject, trial: Trial) -> str:
    """Shuffled pairs; for a KL divergence, samples of a law far away against samples of the same law."""
    n, most = number_of_samples(subject), most_replications(subject, trial, 64, 256)
    if subject.quantity == "kl":
        if "continuous" not in subject.tags.data:
            raise Skipped("it is tried on continuous data")
        cases = [situation("normals 3 apart", "kl", "continuous", (1, 1), 4.5, _far_apart)]
    else:
        cases = worth_their_time(subject, trial, dependent(subject))

    def judge(task: Task) -> Rate:
        replications = Replications(subject, trial, task.name)

        def draw(_: int) -> bool | None:
            generator = replications.generator
            x, y, *z = sample(task, n, generator)
            if subject.quantity == "kl":
                other = y - 3.0
            elif z and task.data == "discrete":
                other = _shuffled_given(generator, y, z[0])
            else:
                other = y[torch.randperm(n, generator=generator).numpy()]
            numbers = [float(subject.estimate(x, second, *z)) for second in (y, other)]
            if math.isnan(numbers[0]) or math.isnan(numbers[1]):
                raise Broken(f"{task.name}: not a number: {numbers}")
            return numbers[0] <= numbers[1]

        return rate_test(draw, 0.1, level=trial.level / len(cases), most=most)

    return "not larger, " + across(cases, lambda task: task.name, judge)


def _far_apart(n: int, m: int, generator: torch.Generator) -> Arrays:
    return normal(generator, n, 1), 3.0 + normal(generator, m, 1)


def _shuffled_given(generator: torch.Generator, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """y shuffled among the samples of the same label z."""
    shuffled = y.copy()
    for label in np.unique(z):
        (where,) = np.nonzero(z[:, 0] == label)
        shuffled[where] = y[where[torch.randperm(len(where), generator=generator).numpy()]]
    return shuffled


# -- invariance --------------------------------------------------------------------------------------------------------


def _normal_cdf(x: np.ndarray) -> np.ndarray:
    return torch.special.ndtr(torch.from_numpy(x)).numpy()


_MAPS = {
    "half-cube": lambda x: np.sign(x) * np.abs(x) ** 1.5,
    "exp(x / 2)": lambda x: np.exp(x / 2),
    "CDF": _normal_cdf,
}


@law(
    "invertible-maps",
    statement="I(f(x); y) = I(x; y) and D(f(p) || f(q)) = D(p || q) for invertible f, within the stated errors",
    source=_SOURCE + "section 8.6; Kraskov, Stoegbauer and Grassberger, Phys. Rev. E 69, 066138 (2004), appendix",
    sort="statistical",
    quantities=(_MI, _CMI, "kl"),
)
def invertible_maps(subject: Subject, trial: Trial) -> str:
    """x -> sign(x) |x|^(3/2), exp(x / 2), the normal CDF."""
    relations = []
    for name, change in _MAPS.items():

        def draw(n: int, generator: torch.Generator, change: Callable = change) -> list[tuple[int, Arrays]]:
            if subject.quantity == "kl":
                x, y = normal(generator, n, 1), 0.8 + normal(generator, n, 1)
                return [(1, (change(x), change(y))), (-1, (x, y))]
            arrays = _triple(subject, generator, n, 0.5)
            return [(1, (change(arrays[0]), *arrays[1:])), (-1, arrays)]

        size = 0.32 if subject.quantity == "kl" else 0.5
        relations.append(Relation(name, draw, (size, size), gaussian=False))
    return _hold(subject, trial, relations, number_of_samples(subject, 300))


def _triple(subject: Subject, generator: torch.Generator, n: int, information: float, dim: int = 1) -> Arrays:
    """x and y that share `information` nats in each coordinate, and z beside them where it is asked for."""
    rho = math.sqrt(-math.expm1(-2 * information))
    x = normal(generator, n, dim)
    arrays = x, rho * x + math.sqrt(1 - rho**2) * normal(generator, n, dim)
    return (*arrays, normal(generator, n, 1)) if subject.quantity == _CMI else arrays


# -- less cannot be more -----------------------------------------------------------------------------------------------


@law(
    "data-processing",
    statement="I(x; g(y)) <= I(x; y) and D(g(p) || g(q)) <= D(p || q)",
    source=_SOURCE + "theorems 2.8.1 and 4.4.1" + _SELF_CONSISTENCY,
    sort="statistical",
    quantities=(_MI, _CMI, "kl"),
)
def data_processing(subject: Subject, trial: Trial) -> str:
    """One of two coordinates left out; a symbol of four forgotten to a bit; noise added."""

    def left_out(n: int, generator: torch.Generator) -> list[tuple[int, Arrays]]:
        if subject.quantity == "kl":
            x, y = normal(generator, n, 2), 0.8 + normal(generator, n, 2)
            return [(1, (x[:, :1], y[:, :1])), (-1, (x, y))]
        x, *rest = _triple(subject, generator, n, 0.7)
        y = np.concatenate([rest[0], x + 2 * normal(generator, n, 1)], axis=1)
        return [(1, (x, y[:, :1], *rest[1:])), (-1, (x, y, *rest[1:]))]

    def forgotten(n: int, generator: torch.Generator) -> list[tuple[int, Arrays]]:
        x = symbols(generator, n, [0.25] * 4)
        wrong = uniform(generator, n, 1) < 0.2
        y = np.where(wrong, symbols(generator, n, [0.25] * 4), x)
        if subject.quantity == _MI:
            return [(1, (x, y // 2)), (-1, (x, y))]
        z = symbols(generator, n, [0.5, 0.5])
        return [(1, (x, y // 2, z)), (-1, (x, y, z))]

    sizes = (0.32, 0.64) if subject.quantity == "kl" else (0.7, 0.74)
    relations = [Relation("a coordinate left out", left_out, sizes, one_sided=True, wide=2)]
    if subject.quantity != "kl":
        relations.append(Relation("symbols merged", forgotten, (0.4, 0.8), one_sided=True, discrete=True))
    return _hold(subject, trial, relations, number_of_samples(subject, 300))


@law(
    "noise-monotonicity",
    statement="I(x; y + more noise) <= I(x; y + noise), h(x + noise) >= h(x)",
    source=_SOURCE + "theorem 2.8.1 and lemma 17.2.1",
    sort="statistical",
    quantities=("entropy", _MI, _CMI),
)
def noise_monotonicity(subject: Subject, trial: Trial) -> str:
    """Noise of deviations 0.5, 1 and 2; bits flipped more and more often."""

    def noisy(n: int, generator: torch.Generator, few: float, many: float) -> list[tuple[int, Arrays]]:
        x, noise = normal(generator, n, 1), normal(generator, n, 1)
        if subject.quantity == "entropy":
            return [(1, (x + few * noise,)), (-1, (x + many * noise,))]
        z = (normal(generator, n, 1),) if subject.quantity == _CMI else ()
        return [(1, (x, x + many * noise, *z)), (-1, (x, x + few * noise, *z))]

    def flipped(n: int, generator: torch.Generator) -> list[tuple[int, Arrays]]:
        x = symbols(generator, n, [0.5, 0.5])
        once = flip(generator, x, 0.05)
        twice = flip(generator, once, 0.1)
        if subject.quantity == "entropy":
            low = symbols(generator, n, [0.9, 0.1])
            return [(1, (low,)), (-1, (flip(generator, low, 0.1),))]
        z = (symbols(generator, n, [0.5, 0.5]),) if subject.quantity == _CMI else ()
        return [(1, (x, twice, *z)), (-1, (x, once, *z))]

    relations = []
    for few, many in ((0.5, 1.0), (1.0, 2.0)):

        def draw(n: int, generator: torch.Generator, few: float = few, many: float = many) -> list[tuple[int, Arrays]]:
            return noisy(n, generator, few, many)

        sizes = tuple(0.5 * math.log1p(noise**-2) for noise in (many, few))
        relations.append(Relation(f"deviation {few} and {many}", draw, sizes, one_sided=True))
    relations.append(Relation("bits flipped", flipped, (0.3, 0.5), one_sided=True, discrete=True))
    return _hold(subject, trial, relations, number_of_samples(subject, 300))


@law(
    "noise-dimensions",
    statement="a coordinate that is independent of everything adds nothing",
    source=_SOURCE + "theorem 2.5.2: I(x, n; y) = I(x; y) + I(n; y | x)",
    sort="statistical",
    quantities=(_MI, _CMI, "kl"),
)
def noise_dimensions(subject: Subject, trial: Trial) -> str:
    """One coordinate of noise beside x (beside both samples for a KL divergence), one label of noise beside symbols."""

    def widened(n: int, generator: torch.Generator) -> list[tuple[int, Arrays]]:
        if subject.quantity == "kl":
            arrays = normal(generator, n, 1), 0.8 + normal(generator, n, 1)
            wide = tuple(np.concatenate([array, normal(generator, n, 1)], axis=1) for array in arrays)
            return [(1, wide), (-1, arrays)]
        x, *rest = _triple(subject, generator, n, 0.5)
        return [(1, (np.concatenate([x, normal(generator, n, 1)], axis=1), *rest)), (-1, (x, *rest))]

    def labelled(n: int, generator: torch.Generator) -> list[tuple[int, Arrays]]:
        x = symbols(generator, n, [0.5, 0.5])
        rest = (flip(generator, x, 0.1), *([symbols(generator, n, [0.5, 0.5])] if subject.quantity == _CMI else []))
        wide = np.concatenate([x, symbols(generator, n, [0.5, 0.5])], axis=1)
        return [(1, (wide, *rest)), (-1, (x, *rest))]

    size = 0.32 if subject.quantity == "kl" else 0.5
    relations = [Relation("a normal coordinate", widened, (size, size), wide=2)]
    if subject.quantity != "kl":
        relations.append(Relation("a label", labelled, (size, size), wide=2, discrete=True))
    return _hold(subject, trial, relations, number_of_samples(subject, 300))


# -- sums --------------------------------------------------------------------------------------------------------------


@law(
    "additivity",
    statement="of independent pairs the numbers add: I(x1, x2; y1, y2) = I(x1; y1) + I(x2; y2); so do h and D",
    source=_SOURCE + "theorems 2.5.3 and 8.6.2" + _SELF_CONSISTENCY,
    sort="statistical",
    quantities=("entropy", _MI, "kl"),
)
def additivity(subject: Subject, trial: Trial) -> str:
    """Two independent coordinates together and each by itself."""

    def together(n: int, generator: torch.Generator) -> list[tuple[int, Arrays]]:
        if subject.quantity == "entropy":
            arrays = (normal(generator, n, 2) * np.array([1.0, 2.0]),)
        elif subject.quantity == "kl":
            arrays = (normal(generator, n, 2), np.array([0.8, -0.8]) + normal(generator, n, 2))
        else:
            arrays = _triple(subject, generator, n, 0.35, 2)
        single = [tuple(array[:, i : i + 1] for array in arrays) for i in range(2)]
        return [(1, arrays), (-1, single[0]), (-1, single[1])]

    def labels(n: int, generator: torch.Generator) -> list[tuple[int, Arrays]]:
        columns = symbols(generator, n, [0.5, 0.5]), symbols(generator, n, [0.25, 0.75])
        both = np.concatenate(columns, axis=1)
        if subject.quantity == "entropy":
            return [(1, (both,)), (-1, columns[:1]), (-1, columns[1:])]
        copies = tuple(flip(generator, column, 0.1) for column in columns)
        return [
            (1, (both, np.concatenate(copies, axis=1))),
            *((-1, (column, copy)) for column, copy in zip(columns, copies, strict=True)),
        ]

    relations = [Relation("two normal coordinates", together, (0.7, 0.35, 0.35), wide=2)]
    if subject.quantity != "kl":
        relations.append(Relation("two labels", labels, (0.7, 0.35, 0.35), wide=2, discrete=True))
    return _hold(subject, trial, relations, number_of_samples(subject, 300))


@law(
    "chain-rule",
    statement="I(x; y, w | z) = I(x; y | z) + I(x; w | y, z)",
    source=_SOURCE + "theorem 2.5.2",
    sort="statistical",
    quantities=(_CMI,),
)
def chain_rule(subject: Subject, trial: Trial) -> str:
    """Two noisy copies of a signal, and a common cause; the same of bits."""

    def signals(n: int, generator: torch.Generator) -> list[tuple[int, Arrays]]:
        z = normal(generator, n, 1)
        x = z + normal(generator, n, 1)
        y, w = x + 0.5 * normal(generator, n, 1), x + 0.5 * normal(generator, n, 1)
        return [(1, (x, np.concatenate([y, w], 1), z)), (-1, (x, y, z)), (-1, (x, w, np.concatenate([y, z], 1)))]

    def bits(n: int, generator: torch.Generator) -> list[tuple[int, Arrays]]:
        z = symbols(generator, n, [0.5, 0.5])
        x = flip(generator, z, 0.3)
        y, w = flip(generator, x, 0.1), flip(generator, x, 0.2)
        return [(1, (x, np.concatenate([y, w], 1), z)), (-1, (x, y, z)), (-1, (x, w, np.concatenate([y, z], 1)))]

    relations = [
        Relation("two copies of a signal", signals, (1.1, 0.8, 0.3), wide=2),
        Relation("two copies of a bit", bits, (0.45, 0.3, 0.15), wide=2, discrete=True),
    ]
    return _hold(subject, trial, relations, number_of_samples(subject, 300))
