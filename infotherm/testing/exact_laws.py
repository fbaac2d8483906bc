"""Exact laws: how the number changes when the samples are transformed. No chance is involved, only rounding."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from infotherm.estimators.tags import QUANTITIES
from infotherm.testing.lattice import Samples, evidence, few_calls, same_number, samples
from infotherm.testing.law import Skipped, Trial, law
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
    """The coordinates of x in reverse order, or of both others beside noise (of both arguments for a KL divergence)."""
    if subject.tags.trains:
        raise Skipped("a trained estimator begins from weights that belong to certain coordinates")
    data = samples(subject, trial)
    if data.dimensions < 2:
        raise Skipped("its arguments have one coordinate")
    flipped = tuple(
        np.ascontiguousarray(array[:, ::-1]) if index == 0 or subject.quantity == "kl" else array
        for index, array in enumerate(data.arrays)
    )
    differences = [same_number(subject, data.arrays, flipped, "coordinates of x in reverse order")]
    if subject.quantity in _INFORMATION and not any(data.labels) and not few_calls(subject, trial):
        noise = samples(subject, trial, purpose="others").arrays
        wide = [
            np.concatenate([own, other], axis=1) if index else own
            for index, (own, other) in enumerate(zip(data.arrays, noise, strict=True))
        ]
        for index in range(1, len(wide)):
            turned = [np.ascontiguousarray(array[:, ::-1]) if i == index else array for i, array in enumerate(wide)]
            words = f"coordinates of {('x', 'y', 'z')[index]} in reverse order"
            differences.append(same_number(subject, tuple(wide), tuple(turned), words))
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
    """All coordinates times 2^10, 2^-10 and 1000."""
    return _tried(subject, trial, "common-scale", _scaled)


@law(
    "entropy-scale",
    statement="h(a x) = h(x) + D log |a|",
    source="Cover and Thomas, Elements of Information Theory (2006), theorem 8.6.4",
    sort="exact",
    quantities=("entropy",),
)
def entropy_scale(subject: Subject, trial: Trial) -> str:
    """All coordinates times 2^10, 2^-10 and 1000: units other than nats show here."""
    return _tried(subject, trial, "common-scale", _scaled)


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
