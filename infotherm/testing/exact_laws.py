"""Exact laws: how the number changes when the samples are transformed. No chance is involved, only rounding."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from infotherm.estimators.tags import QUANTITIES
from infotherm.testing.lattice import TOLERANCE, Samples, evidence, few_calls, same_number, samples
from infotherm.testing.law import Broken, Skipped, Trial, law
from infotherm.testing.subject import Subject

_INFORMATION = ("mutual_information", "conditional_mutual_information")
_RELATIVE = (*_INFORMATION, "kl")

_EXCHANGEABLE = "independent draws are exchangeable: their order carries no information"
_INVARIANT = (
    "Kraskov, Stoegbauer and Grassberger, Phys. Rev. E 69, 066138 (2004), appendix; for KL divergences Kullback and "
    "Leibler, Ann. Math. Stat. 22, 79 (1951), theorem 4.1"
)
_SCALED = "Cover and Thomas, Elements of Information Theory (2006), theorems 8.6.3 and 8.6.4"

# a transformation: its words, the arguments after it, and what must be added to an entropy
Variant = tuple[str, tuple[np.ndarray, ...], float]


def _tried(subject: Subject, trial: Trial, tag: str, variants: Callable[[Samples], Iterator[Variant]]) -> str:
    """Every variant against the original, where the estimator claims the invariance."""
    if tag not in subject.tags.invariances:
        raise Skipped(f"its tags do not claim the invariance {tag!r}")
    data = samples(subject, trial)
    if all(data.labels):
        raise Skipped("its data are labels: numbers only name symbols")
    differences = []
    for words, arrays, shift in variants(data):
        added = shift if subject.quantity == "entropy" else 0.0
        differences.append(same_number(subject, data.arrays, arrays, words, shift=added))
        if few_calls(subject, trial):
            break
    return evidence(differences, f"under {len(differences)} transformation(s) the number")


@law(
    "symmetry",
    statement="I(x; y) = I(y; x)",
    source="Cover and Thomas, Elements of Information Theory (2006), theorem 2.4.1",
    sort="exact",
    quantities=_INFORMATION,
)
def symmetry(subject: Subject, trial: Trial) -> str:
    """x and y exchanged."""
    if not subject.tags.symmetric:
        raise Skipped("its tags do not claim symmetry")
    data = samples(subject, trial)
    x, y, *given = data.arrays
    if subject.tags.data == ("mixed",):
        raise Skipped("x and y are of different sorts")
    return evidence([same_number(subject, data.arrays, (y, x, *given), "x and y exchanged")], "the number")


@law(
    "asymmetry",
    statement="D(p || q) and D(q || p) are different numbers",
    source="Kullback and Leibler, Ann. Math. Stat. 22, 79 (1951), section 2: their sum is another quantity",
    sort="exact",
    quantities=("kl",),
)
def asymmetry(subject: Subject, trial: Trial) -> str:
    """Samples of a law and of a wider one beside it, exchanged."""
    x, y = samples(subject, trial).arrays
    first, second = subject.value(x, y), subject.value(y, x)
    if abs(first - second) <= TOLERANCE * max(1.0, abs(first)):
        raise Broken(f"{first:.9g} nat, and again with the samples of p and q exchanged")
    return f"{first:.4g} nat, {second:.4g} with the samples of p and q exchanged"


@law(
    "row-permutation",
    statement="the order of the samples does not matter (of p and of q separately for a KL divergence)",
    source=_EXCHANGEABLE,
    sort="exact",
    quantities=QUANTITIES,
)
def row_permutation(subject: Subject, trial: Trial) -> str:
    """The samples in another order, and sorted by the first coordinate."""
    if subject.tags.trains:
        raise Skipped("a trained estimator visits the samples in their order")
    data = samples(subject, trial)
    random = np.random.default_rng(trial.seed % 2**32)

    def ordered(keys: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        return tuple(np.ascontiguousarray(array[key]) for array, key in zip(data.arrays, keys, strict=True))

    if subject.quantity == "kl":
        shuffled = [random.permutation(len(array)) for array in data.arrays]
        ascending = [array[:, 0].argsort(kind="stable") for array in data.arrays]
    else:
        shuffled = [random.permutation(len(data.arrays[0]))] * len(data.arrays)
        ascending = [data.arrays[0][:, 0].argsort(kind="stable")] * len(data.arrays)
    differences = [
        same_number(subject, data.arrays, ordered(shuffled), "samples in another order"),
        same_number(subject, data.arrays, ordered(ascending), "samples sorted by their first coordinate"),
    ]
    return evidence(differences, "the number")


@law(
    "coordinate-permutation",
    statement="the order of the coordinates within an argument does not matter",
    source="the quantity is that of the joint law of the coordinates, whatever they are called",
    sort="exact",
    quantities=QUANTITIES,
)
def coordinate_permutation(subject: Subject, trial: Trial) -> str:
    """The coordinates of each argument in reverse order (both for a KL divergence), single ones beside noise."""
    if subject.tags.trains:
        raise Skipped("a trained estimator begins from weights that belong to certain coordinates")
    data = samples(subject, trial)
    if subject.tags.most_dimensions == 1 or any(data.labels) and not all(data.labels):
        raise Skipped("its arguments have one coordinate")
    noise = samples(subject, trial, purpose="others").arrays
    wide = tuple(
        np.concatenate([own, other], axis=1) if own.shape[1] == 1 else own
        for own, other in zip(data.arrays, noise, strict=True)
    )
    turned = [tuple(range(2))] if subject.quantity == "kl" else [(index,) for index in range(len(wide))]
    differences = []
    for which in turned:
        flipped = tuple(np.ascontiguousarray(array[:, ::-1]) if i in which else array for i, array in enumerate(wide))
        words = f"coordinates of {' and '.join('xyz'[i] for i in which)} in reverse order"
        differences.append(same_number(subject, wide, flipped, words))
    return evidence(differences, "the number")


@law(
    "shift",
    statement="adding a constant to a coordinate changes nothing",
    source=_SCALED,
    sort="exact",
    quantities=QUANTITIES,
)
def shift(subject: Subject, trial: Trial) -> str:
    """Each coordinate shifted by its own constant, up to 1024 in size (the same for both laws of a KL divergence)."""

    def variants(data: Samples) -> Iterator[Variant]:
        for size in (1.0, 1024.0):
            yield f"shift by up to {size:g}", data.map(lambda i, a, s=size: a + _constants(subject, i, a) * s), 0.0

    return _tried(subject, trial, "shift", variants)


def _constants(subject: Subject, index: int, array: np.ndarray) -> np.ndarray:
    """Dyadic numbers of size up to one, other ones for each coordinate; equal for the two laws of a KL divergence."""
    offset = 0 if subject.quantity == "kl" else 2 * index
    return np.array([1.0, -0.625, 0.375, -0.875, 0.75, -0.5])[(offset + np.arange(array.shape[1])) % 6]


@law(
    "reflection",
    statement="the sign of a coordinate does not matter",
    source=_SCALED,
    sort="exact",
    quantities=QUANTITIES,
)
def reflection(subject: Subject, trial: Trial) -> str:
    """All coordinates reflected, and every second one."""

    def variants(data: Samples) -> Iterator[Variant]:
        yield "all coordinates reflected", data.map(lambda i, a: -a), 0.0
        yield (
            "some coordinates reflected",
            data.map(lambda i, a: a * np.sign(_constants(subject, i, a))),
            0.0,
        )

    return _tried(subject, trial, "reflection", variants)


@law(
    "common-scale",
    statement="one factor for all coordinates changes nothing",
    source=_INVARIANT,
    sort="exact",
    quantities=_RELATIVE,
)
def common_scale(subject: Subject, trial: Trial) -> str:
    """All coordinates times 2^10, 2^-10 and 1000; times 1/10, which rounds."""
    return _scaled_numbers(subject, trial)


@law(
    "entropy-scale",
    statement="h(a x) = h(x) + D log |a|",
    source="Cover and Thomas, Elements of Information Theory (2006), theorem 8.6.4",
    sort="exact",
    quantities=("entropy",),
)
def entropy_scale(subject: Subject, trial: Trial) -> str:
    """All coordinates times 2^10, 2^-10 and 1000; times 1/10, which rounds. Units other than nats show here."""
    return _scaled_numbers(subject, trial)


def _scaled_numbers(subject: Subject, trial: Trial) -> str:
    said = _tried(subject, trial, "common-scale", _scaled)
    if few_calls(subject, trial):
        return said
    # off the grid no two distances are alike: rounding leaves their order, and with it all counts, as they are
    data = samples(subject, trial)
    random = np.random.default_rng(trial.seed % 2**32)
    plain = data.map(lambda i, a: a + 2.0**-20 * random.normal(size=a.shape))
    tenth = tuple(a if label else 0.1 * a for a, label in zip(plain, data.labels, strict=True))
    added = -data.dimensions * math.log(10) if subject.quantity == "entropy" else 0.0
    same_number(subject, plain, tenth, "factor 0.1", shift=added)
    return said


def _scaled(data: Samples) -> Iterator[Variant]:
    for factor in (2.0**10, 2.0**-10, 1000.0):
        yield f"factor {factor:g}", data.map(lambda i, a, f=factor: a * f), data.dimensions * math.log(factor)


@law(
    "coordinate-scale",
    statement="a factor for each coordinate changes nothing; an entropy by the sum of log |a_i|",
    source=f"{_INVARIANT}; {_SCALED}",
    sort="exact",
    quantities=QUANTITIES,
)
def coordinate_scale(subject: Subject, trial: Trial) -> str:
    """Coordinates times powers of two that differ by up to 2^16."""
    exponents = np.array([8.0, -8.0, -3.0, 5.0, 2.0, -6.0])

    def factors(index: int, dim: int) -> np.ndarray:
        offset = 0 if subject.quantity == "kl" else 2 * index
        return 2.0 ** exponents[(offset + np.arange(dim)) % 6]

    def variants(data: Samples) -> Iterator[Variant]:
        added = float(np.log(factors(0, data.dimensions)).sum())
        yield "a factor for each coordinate", data.map(lambda i, a: a * factors(i, a.shape[1])), added

    return _tried(subject, trial, "coordinate-scale", variants)


@law(
    "rotation",
    statement="an orthogonal map of each argument changes nothing",
    source=f"{_INVARIANT}; {_SCALED} (log |det| = 0)",
    sort="exact",
    quantities=QUANTITIES,
)
def rotation(subject: Subject, trial: Trial) -> str:
    """Arguments rotated (the same way for both laws of a KL divergence)."""

    def variants(data: Samples) -> Iterator[Variant]:
        if data.dimensions < 2:
            raise Skipped("its arguments have one coordinate")
        yield "rotated", data.map(lambda i, a: a @ _rotation(a.shape[1])), 0.0

    return _tried(subject, trial, "rotation", variants)


def _rotation(dim: int) -> np.ndarray:
    matrix = np.eye(dim)
    if dim > 1:
        matrix[:2, :2] = [[0.8, 0.6], [-0.6, 0.8]]
    return matrix


@law(
    "linear-map",
    statement="an invertible matrix for each argument changes nothing; an entropy by log |det A|",
    source=f"{_INVARIANT}; Cover and Thomas (2006), eq. 8.71",
    sort="exact",
    quantities=QUANTITIES,
)
def linear_map(subject: Subject, trial: Trial) -> str:
    """Arguments times a matrix (the same for both laws of a KL divergence)."""

    def matrix(index: int, dim: int) -> np.ndarray:
        scale = 2.0 if index == 0 or subject.quantity == "kl" else 0.75
        return scale * (np.eye(dim) + 0.5 * np.eye(dim, k=1) - 0.25 * np.eye(dim, k=-1))

    def variants(data: Samples) -> Iterator[Variant]:
        added = math.log(abs(np.linalg.det(matrix(0, data.dimensions))))
        yield "times a matrix", data.map(lambda i, a: a @ matrix(i, a.shape[1])), added

    return _tried(subject, trial, "linear", variants)


@law(
    "monotone-map",
    statement="an increasing function of each coordinate changes nothing",
    source=_INVARIANT,
    sort="exact",
    quantities=_RELATIVE,
)
def monotone_map(subject: Subject, trial: Trial) -> str:
    """sinh and the cube of every coordinate."""

    def variants(data: Samples) -> Iterator[Variant]:
        yield "sinh of every coordinate", data.map(lambda i, a: np.sinh(a)), 0.0
        yield "cube of every coordinate", data.map(lambda i, a: a**3), 0.0

    return _tried(subject, trial, "monotone", variants)


@law(
    "relabelling",
    statement="the names of the symbols do not matter",
    source="Cover and Thomas, Elements of Information Theory (2006), section 2.1: entropy is a functional of the "
    "probabilities",
    sort="exact",
    quantities=QUANTITIES,
)
def relabelling(subject: Subject, trial: Trial) -> str:
    """Labels renamed by a map that keeps no order and no spacing."""
    data = samples(subject, trial)
    if not any(data.labels):
        raise Skipped("its data are numbers, not labels")
    names = np.array([7.0, -2.0, 100.0, 3.0])
    renamed = tuple(
        names[array.astype(int)] if label else array for array, label in zip(data.arrays, data.labels, strict=True)
    )
    return evidence([same_number(subject, data.arrays, renamed, "symbols renamed")], "the number")
