"""Robustness laws: hostile samples get the right number, a refusal, a warning or kind "unknown" - never silence."""

from __future__ import annotations

import math

import numpy as np

from infotherm.estimators.tags import QUANTITIES
from infotherm.testing.answers import Answer, ask, no_silent_number, right_or_cautious
from infotherm.testing.lattice import Samples, evidence, few_calls, number_of_samples, on_grid, same_number, samples
from infotherm.testing.law import Broken, Skipped, Trial, law
from infotherm.testing.subject import Subject

_INFORMATION = ("mutual_information", "conditional_mutual_information")
_SILENCE = "no number is better than a wrong one"
_LEAST = 400  # samples
_TOLERANCE = 0.15  # nat: well above the random error at this N, well below the defects it is for


# -- what is not a sample -------------------------------------------------------------------------------------------


@law(
    "nonfinite-samples",
    statement="NaN or infinite entries are refused, or give NaN",
    source=_SILENCE,
    sort="robustness",
    quantities=QUANTITIES,
)
def nonfinite_samples(subject: Subject, trial: Trial) -> str:
    """One entry of each argument in turn."""
    data = samples(subject, trial)
    said = []
    for index, label in enumerate(data.labels):
        entries = (math.nan,) if label or few_calls(subject, trial) else (math.nan, math.inf)
        for entry in entries:
            arrays = [array.copy() for array in data.arrays]
            arrays[index][7, 0] = entry
            said.append(no_silent_number(subject, tuple(arrays), f"{entry} in argument {index + 1}"))
    return said[0]


@law(
    "too-few-samples",
    statement="from no sample, one or two nothing can be told",
    source=f"{_SILENCE}; infomeasure returns 1.5 nat from one sample",
    sort="robustness",
    quantities=QUANTITIES,
)
def too_few_samples(subject: Subject, trial: Trial) -> str:
    """The first N samples, N = 0, 1, 2 (of labels, which a sum of zeros may describe, only N = 0)."""
    data = samples(subject, trial)
    said = []
    for n in (0, 1, 2) if not any(data.labels) else (0,):
        first = tuple(array[:n].copy() for array in data.arrays)
        said.append(no_silent_number(subject, first, f"N = {n}"))
    return said[-1]


@law(
    "no-coordinates",
    statement="samples without coordinates are refused, or carry no information: 0",
    source=_SILENCE,
    sort="robustness",
    quantities=QUANTITIES,
)
def no_coordinates(subject: Subject, trial: Trial) -> str:
    """x of shape (N, 0) (both arguments for a KL divergence)."""
    data = samples(subject, trial)
    empty = tuple(
        array[:, :0] if index == 0 or subject.quantity == "kl" else array for index, array in enumerate(data.arrays)
    )
    return no_silent_number(subject, empty, "D = 0", accepted=lambda v: math.isnan(v) or abs(v) < 1e-12)


@law(
    "unequal-samples",
    statement="samples that cannot be paired (of other coordinates for a KL divergence) are refused",
    source=_SILENCE,
    sort="robustness",
    quantities=(*_INFORMATION, "kl"),
)
def unequal_samples(subject: Subject, trial: Trial) -> str:
    """The last argument one sample, or half of the samples, short; for a KL divergence with one coordinate more."""
    data = samples(subject, trial)
    *others, last = data.arrays
    if subject.quantity == "kl":
        wider = np.concatenate([last, last[:, :1]], axis=1)
        return no_silent_number(subject, (*others, wider), "samples of p and q of different dimension")
    said = [
        no_silent_number(subject, (*others, last[:keep].copy()), f"{len(others[0])} and {keep} samples")
        for keep in (len(last) - 1, len(last) // 2)
    ]
    return said[0]


# -- samples that are not in general position -----------------------------------------------------------------------


@law(
    "constant-coordinate",
    statement="I(x; c) = 0 for a constant c; a constant beside the coordinates changes no information; h = -inf",
    source=f"{_SILENCE}; scikit-learn issue 30772 (a constant feature had 0.21 nat)",
    sort="robustness",
    quantities=QUANTITIES,
)
def constant_coordinate(subject: Subject, trial: Trial) -> str:
    """An argument that does not vary, and a constant coordinate beside those of x."""
    data = samples(subject, trial, n=number_of_samples(subject, trial, _LEAST))
    first, *others = data.arrays
    said = []
    if subject.quantity == "entropy":
        if data.labels[0]:
            return right_or_cautious(subject, (np.ones_like(first),), "one symbol", truth=0.0, tolerance=_TOLERANCE)
        constant = first.copy()
        constant[:, -1] = 1.5
        return right_or_cautious(subject, (constant,), "a constant coordinate", truth=-math.inf, tolerance=_TOLERANCE)
    if subject.quantity in _INFORMATION:
        constant = (first, np.full_like(others[0], 1.0), *others[1:])
        said.append(right_or_cautious(subject, constant, "y constant", truth=0.0, tolerance=_TOLERANCE))
    most = subject.tags.most_dimensions
    if (most is None or data.dimensions < most) and not data.labels[0]:
        wide = tuple(
            np.concatenate([array, np.full((len(array), 1), 0.25)], axis=1)
            if index == 0 or subject.quantity == "kl"
            else array
            for index, array in enumerate(data.arrays)
        )
        before = subject.value(*data.arrays)
        words = "a constant coordinate beside the others"
        said.append(right_or_cautious(subject, wide, words, truth=before, tolerance=_TOLERANCE))
    if not said:
        raise Skipped("its arguments have one coordinate")
    return said[0]


@law(
    "ties",
    statement="samples with few different values have the information of their symbols (and no density: h = -inf)",
    source="binary symmetric channel: Cover and Thomas (2006), section 7.1.4",
    sort="robustness",
    quantities=QUANTITIES,
)
def ties(subject: Subject, trial: Trial) -> str:
    """Symmetric channels with two and five symbols, given as numbers."""
    if "continuous" not in subject.tags.data:
        raise Skipped("it takes labels; whether it is right for them is a statistical law")
    if subject.tags.consistent_for == "gaussian":
        raise Skipped("its tags claim Gaussian data only")
    repeats = -(-number_of_samples(subject, trial, _LEAST) // 200)
    random = np.random.default_rng(int(trial.generator().initial_seed()))
    said = []
    for symbols, flip in ((2, 0.1), (5, 0.2)):
        arrays, truth = _symbols(subject.quantity, symbols, flip, 200 * repeats, random)
        said.append(
            right_or_cautious(subject, arrays, f"{symbols} different values", truth=truth, tolerance=_TOLERANCE)
        )
    return said[0]


def _symbols(
    quantity: str, symbols: int, flip: float, n: int, random: np.random.Generator
) -> tuple[tuple[np.ndarray, ...], float]:
    """Samples of a symmetric channel, each just as often as it should be, in random order, and their number."""
    if quantity == "kl":
        weights = np.arange(1, symbols + 1) / (symbols * (symbols + 1) / 2)
        x = np.arange(n) % symbols
        y = np.repeat(np.arange(symbols), np.rint(1.5 * n * weights).astype(int))
        columns, truth = (random.permutation(x), random.permutation(y)), float(-np.log(symbols * weights).mean())
    else:
        off = np.rint(n * flip / (symbols * (symbols - 1)))
        counts = np.where(np.eye(symbols, dtype=bool), n / symbols - off * (symbols - 1), off).astype(int)
        cells = np.repeat(np.arange(symbols**2), counts.ravel())
        z = np.arange(len(cells)) % 2
        order = random.permutation(len(cells))
        columns = (cells[order] // symbols, cells[order] % symbols, z[order])
        noise = -flip * math.log(flip / (symbols - 1)) - (1 - flip) * math.log(1 - flip)
        truth = math.log(symbols) - noise
        if quantity == "entropy":
            columns, truth = columns[:1], -math.inf
        elif quantity == "mutual_information":
            columns = columns[:2]
    return tuple(column[:, None].astype(float) for column in columns), truth


@law(
    "duplicated-samples",
    statement="every sample given twice is no more information",
    source=f"{_SILENCE}; in nearest-neighbour estimators two copies add about 0.7 nat",
    sort="robustness",
    quantities=QUANTITIES,
)
def duplicated_samples(subject: Subject, trial: Trial) -> str:
    """The samples (of p, for a KL divergence) followed by themselves."""
    data = samples(subject, trial, n=number_of_samples(subject, trial, _LEAST))
    if all(data.labels):
        raise Skipped("labels repeat anyway")
    twice = tuple(
        np.concatenate([array, array]) if index == 0 or subject.quantity != "kl" else array
        for index, array in enumerate(data.arrays)
    )
    before = subject.value(*data.arrays)
    return right_or_cautious(subject, twice, "every sample twice", truth=before, tolerance=_TOLERANCE)


@law(
    "same-samples-twice",
    statement="one set of samples given as both is not two independent ones; the divergence is 0",
    source=f"{_SILENCE}; NPEET returns -0.5 nat",
    sort="robustness",
    quantities=("kl",),
)
def same_samples_twice(subject: Subject, trial: Trial) -> str:
    """The samples of p given as those of q."""
    x = samples(subject, trial, n=number_of_samples(subject, trial, _LEAST)).arrays[0]
    return right_or_cautious(subject, (x, x), "the same samples twice", truth=0.0, tolerance=_TOLERANCE)


# -- samples of unusual size ----------------------------------------------------------------------------------------


def _rescaled(subject: Subject, trial: Trial, factor: float) -> str:
    """Samples times a power of two: the number changes as the quantity does, or comes with a word of caution."""
    if "common-scale" not in subject.tags.invariances:
        raise Skipped("its tags do not claim the invariance 'common-scale'")
    data = samples(subject, trial, n=number_of_samples(subject, trial, _LEAST))
    _require_numbers(data)
    scaled = data.map(lambda index, array: array * factor)
    if answer := ask(subject, *scaled).caution:
        usual = ask(subject, *data.arrays).caution
        if not usual:
            return f"factor {factor:.3g}: {answer}"
    added = data.dimensions * math.log(factor) if subject.quantity == "entropy" else 0.0
    return evidence([same_number(subject, data.arrays, scaled, f"factor {factor:.3g}", shift=added)], "the number")


@law(
    "tiny-scale",
    statement="samples of size 1e-12 are as good as samples of size 1",
    source="an absolute epsilon, or noise of absolute size, shows here: NPEET and infomeasure lose all information",
    sort="robustness",
    quantities=QUANTITIES,
)
def tiny_scale(subject: Subject, trial: Trial) -> str:
    """Times 2^-40."""
    return _rescaled(subject, trial, 2.0**-40)


@law(
    "huge-scale",
    statement="samples of size 1e6 are as good as samples of size 1",
    source="an absolute epsilon below the rounding of the samples shows here",
    sort="robustness",
    quantities=QUANTITIES,
)
def huge_scale(subject: Subject, trial: Trial) -> str:
    """Times 2^20."""
    return _rescaled(subject, trial, 2.0**20)


@law(
    "unequal-scales",
    statement="x and y may be measured in units that differ by 1e9",
    source="Kraskov, Stoegbauer and Grassberger (2004), appendix: information does not change when x and y are "
    "rescaled on their own",
    sort="robustness",
    quantities=_INFORMATION,
)
def unequal_scales(subject: Subject, trial: Trial) -> str:
    """x times 2^-15, y times 2^15."""
    data = samples(subject, trial, n=number_of_samples(subject, trial, _LEAST))
    _require_numbers(data)
    scaled = data.map(lambda index, array: array * (2.0**-15, 2.0**15, 1.0)[index])
    before = subject.value(*data.arrays)
    return right_or_cautious(subject, scaled, "units that differ by 1e9", truth=before, tolerance=_TOLERANCE)


@law(
    "far-offset",
    statement="samples around 1e8 are as good as samples around 0",
    source="differences of large numbers: a Gram matrix of uncentred samples has lost its digits",
    sort="robustness",
    quantities=QUANTITIES,
)
def far_offset(subject: Subject, trial: Trial) -> str:
    """Plus 2^27, which the samples carry without rounding."""
    if "shift" not in subject.tags.invariances:
        raise Skipped("its tags do not claim the invariance 'shift'")
    data = samples(subject, trial, n=number_of_samples(subject, trial, _LEAST))
    _require_numbers(data)
    moved = data.map(lambda index, array: array + 2.0**27)
    if (answer := ask(subject, *moved).caution) and not ask(subject, *data.arrays).caution:
        return f"offset 1e8: {answer}"
    return evidence([same_number(subject, data.arrays, moved, "offset 1e8", tolerance=1e-6)], "the number")


@law(
    "heavy-tails",
    statement="samples without moments give a finite number that obeys the law of the common scale",
    source="information and entropy of Cauchy laws are finite: Cover and Thomas (2006), table 17.1",
    sort="robustness",
    quantities=QUANTITIES,
)
def heavy_tails(subject: Subject, trial: Trial) -> str:
    """Sums of Cauchy variables."""
    if "continuous" not in subject.tags.data:
        raise Skipped("its data are labels")
    n = number_of_samples(subject, trial, _LEAST)
    random = np.random.default_rng(int(trial.generator().initial_seed()))
    x, noise, z = on_grid(random.standard_cauchy((3, n, 1)))
    arrays = {
        "entropy": (x,),
        "mutual_information": (x, x + noise),
        "conditional_mutual_information": (x, x + noise + z, z),
        "kl": (x, 2.0 * noise + 0.5),
    }[subject.quantity]
    answer = ask(subject, *arrays)
    if answer.estimate is None:
        return f"Cauchy samples: {answer.caution}"
    if not math.isfinite(answer.value):
        if answer.caution:
            return f"Cauchy samples: {answer.value} and {answer.caution}"
        raise Broken(f"Cauchy samples: silently {answer.value}")
    if "common-scale" not in subject.tags.invariances:
        return f"Cauchy samples: {answer.value:.4g} nat"
    scaled = tuple(array * 1024.0 for array in arrays)
    added = math.log(1024.0) if subject.quantity == "entropy" else 0.0
    return evidence([same_number(subject, arrays, scaled, "Cauchy samples times 1024", shift=added)], "the number")


# -- samples that nearly, or entirely, determine each other ---------------------------------------------------------


@law(
    "near-determinism",
    statement="I(x; x) = inf and I(x; x + noise) is large: no modest number without a word; h of nearly dependent "
    "coordinates is right or marked",
    source="McAllester and Stratos, AISTATS (2020): no estimate from N samples can warrant much more than log N",
    sort="robustness",
    quantities=("entropy", *_INFORMATION),
)
def near_determinism(subject: Subject, trial: Trial) -> str:
    """y = x; y = x + 1e-6 noise; for an entropy two coordinates that differ by 1e-9."""
    if "continuous" not in subject.tags.data:
        raise Skipped("its data are labels")
    n = number_of_samples(subject, trial, _LEAST)
    random = np.random.default_rng(int(trial.generator().initial_seed()))
    x, noise, z = random.normal(size=(3, n, 1))
    if subject.quantity == "entropy":
        if subject.tags.most_dimensions == 1:
            raise Skipped("its argument has one coordinate")
        truth = math.log(2 * math.pi * math.e) + math.log(1e-9)
        close = np.concatenate([x, x + 1e-9 * noise], axis=1)
        return right_or_cautious(subject, (close,), "coordinates 1e-9 apart", truth=truth, tolerance=1.0)
    given = (z,) if subject.quantity == "conditional_mutual_information" else ()
    said = []
    cases = ((x.copy(), math.inf, "y = x"), (x + 1e-6 * noise, 0.5 * math.log1p(1e12), "y = x + 1e-6 noise"))
    for y, truth, words in cases:
        answer = ask(subject, x, y, *given)
        if answer.caution:
            said.append(f"{words}: {answer.caution}")
        elif answer.is_right(truth, 1.0) or _bare(answer) and answer.value >= _floor(subject, n):
            said.append(f"{words}: {answer.value:.4g} nat")
        else:
            stated = (
                f"a bare number must reach {_floor(subject, n):.3g}" if _bare(answer) else "far outside its interval"
            )
            raise Broken(
                f"{words}: silently {answer.value:.4g} nat where {truth:.4g} is right (N = {n}; {stated}); expected "
                "the number, an error, a warning or kind 'unknown'"
            )
    return said[0]


def _bare(answer: Answer) -> bool:
    return answer.estimate is not None and not math.isfinite(float(answer.estimate.error))


def _floor(subject: Subject, n: int) -> float:
    """What a number without a stated error must reach: half of what N samples can show.

    With a condition of one coordinate that is log(N) / 2: as many neighbours in z as in (x, z) about, sqrt(k N).
    """
    show = math.log(n) if subject.quantity != "conditional_mutual_information" else 0.5 * math.log(n)
    ceiling = show if subject.tags.ceiling is None else subject.tags.ceiling(n)
    return 0.5 * min(ceiling, show)


def _require_numbers(data: Samples) -> None:
    if all(data.labels):
        raise Skipped("its data are labels: numbers only name symbols")
