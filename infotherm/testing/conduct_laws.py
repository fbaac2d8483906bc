"""Laws of conduct: what a function of samples must not do, whatever number it computes. No chance is involved."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from infotherm.estimators.tags import QUANTITIES
from infotherm.testing.answers import ask
from infotherm.testing.lattice import GRID, Samples, evidence, few_calls, same_number, samples
from infotherm.testing.law import Broken, Trial, law
from infotherm.testing.subject import Subject

_FUNCTION = "an estimate is a function of the samples (and of the seed)"
_ROUNDING = 1e-12  # sums of several threads may differ in their last bits
_SINGLE = 2e-3  # of numbers computed in single precision


@law(
    "result-form",
    statement="the result is one finite number in nats; a claimed bound is of that kind, a claimed error is stated",
    source="Estimate: a number that says how it was obtained and how wrong it can be",
    sort="exact",
    quantities=QUANTITIES,
)
def result_form(subject: Subject, trial: Trial) -> str:
    """What came back for ordinary samples."""
    estimate = subject.estimate(*samples(subject, trial).arrays)
    value, stderr, error = (float(part) for part in (estimate.value.detach(), estimate.stderr, estimate.error))
    if not math.isfinite(value):
        raise Broken(f"the number is {value}")
    if estimate.kind not in (subject.tags.kind, "unknown") and subject.tags.kind != "estimate":  # a bound claims less
        raise Broken(f"the kind is {estimate.kind!r}; the tags claim {subject.tags.kind!r}")
    if estimate.kind != "unknown":
        if subject.tags.states_error and not math.isfinite(stderr + error):
            raise Broken(f"the tags claim a stated error; standard error {stderr:.3g}, error bound {error:.3g}")
        if stderr + error == 0:
            raise Broken("the stated error is zero, of a number that depends on random samples")
    return f"{estimate!r}"


@law(
    "repeatability",
    statement="the same samples and the same seed give the same number",
    source=_FUNCTION,
    sort="exact",
    quantities=QUANTITIES,
)
def repeatability(subject: Subject, trial: Trial) -> str:
    """Called twice, with another call on other samples in between; and on samples with ties."""
    data = samples(subject, trial)
    first = subject.value(*data.arrays)
    subject.value(*samples(subject, trial, purpose="others").arrays)
    second = subject.value(*data.arrays)
    if not abs(first - second) <= _ROUNDING * max(1.0, abs(first)):
        raise Broken(f"the same call gave {first!r} and {second!r} nat")
    tied = _tied(data)
    if all(data.labels) or few_calls(subject, trial):
        return f"{first:.6g} nat both times"
    one, two = ask(subject, *tied).value, ask(subject, *tied).value
    if not (one == two or math.isnan(one) and math.isnan(two) or abs(one - two) <= _ROUNDING * max(1.0, abs(one))):
        raise Broken(f"the same call on samples with ties gave {one!r} and {two!r} nat")
    return f"{first:.6g} nat both times; on samples with ties {one:.6g}"


def _tied(data: Samples) -> tuple[np.ndarray, ...]:
    """The samples in steps of 1/2: equal ones bring out noise that is added to break ties."""
    return data.map(lambda index, array: np.round(2 * array) / 2)


@law(
    "global-randomness-unused",
    statement="the state of the global random generators does not matter",
    source=f"{_FUNCTION}; a result must not depend on what else ran in the process",
    sort="exact",
    quantities=QUANTITIES,
)
def global_randomness_unused(subject: Subject, trial: Trial) -> str:
    """The same samples and the same seed under two states of numpy's, torch's and Python's generators."""
    data = samples(subject, trial)
    values = []
    for seed in (12345, 54321):
        with _global_seed(seed):
            values.append(subject.value(*data.arrays))
    if not abs(values[0] - values[1]) <= _ROUNDING * max(1.0, abs(values[0])):
        raise Broken(f"{values[0]!r} and {values[1]!r} nat under two states of the global generators, with one seed")
    return f"{values[0]:.6g} nat under both states"


@law(
    "global-randomness-untouched",
    statement="the global random generators are left as they were",
    source="others draw from them: moving or seeding them changes, or repeats, results elsewhere in the process",
    sort="exact",
    quantities=QUANTITIES,
)
def global_randomness_untouched(subject: Subject, trial: Trial) -> str:
    """The states of numpy's, torch's and Python's generators before and after a call; and one on samples with ties."""
    data = samples(subject, trial)
    with _global_seed(777):
        before = _global_states()
        subject.value(*data.arrays)
        if not few_calls(subject, trial):
            ask(subject, *_tied(data))
        after = _global_states()
    moved = [name for name in before if before[name] != after[name]]
    if moved:
        raise Broken(f"a call moved the global generator of {', '.join(moved)}")
    return "those of numpy, torch and Python are untouched"


@contextmanager
def _global_seed(seed: int) -> Iterator[None]:
    """A scope with known states of the global generators, which are put back at its end."""
    kept = np.random.get_state(), torch.get_rng_state(), random.getstate()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(kept[0])  # noqa: NPY002
        torch.set_rng_state(kept[1])
        random.setstate(kept[2])


def _global_states() -> dict[str, Any]:
    numpy_state: Any = np.random.get_state(legacy=True)  # noqa: NPY002
    return {
        "numpy": (numpy_state[1].tobytes(), *numpy_state[2:]),
        "torch": torch.get_rng_state().numpy().tobytes(),
        "Python": random.getstate(),
    }


@law(
    "inputs-unchanged",
    statement="the samples are not modified",
    source=_FUNCTION,
    sort="exact",
    quantities=QUANTITIES,
)
def inputs_unchanged(subject: Subject, trial: Trial) -> str:
    """The arrays after a call, bit by bit."""
    data = samples(subject, trial)
    given = tuple(array.copy() for array in data.arrays)
    subject.value(*given)
    for name, before, after in zip(_argument_names(subject), data.arrays, given, strict=True):
        if before.shape != after.shape or before.tobytes() != after.tobytes():
            raise Broken(f"{name} was modified")
    return "bit by bit as before"


@law(
    "aliasing",
    statement="one object given twice is as good as a copy of it",
    source=_FUNCTION,
    sort="exact",
    quantities=("mutual_information", "conditional_mutual_information", "kl"),
)
def aliasing(subject: Subject, trial: Trial) -> str:
    """Views of one buffer against copies of their own."""
    data = samples(subject, trial)
    if subject.quantity == "kl":
        pooled = np.concatenate(data.arrays)
        views = (pooled[: len(data.arrays[0])], pooled[len(data.arrays[0]) :])
    else:
        table = np.concatenate(data.arrays, axis=1)
        ends = np.cumsum([0, *(array.shape[1] for array in data.arrays)])
        views = tuple(table[:, start:stop] for start, stop in zip(ends, ends[1:], strict=False))
    return evidence([same_number(subject, data.arrays, views, "arguments that share one buffer")], "the number")


@law(
    "layout",
    statement="the memory layout of the samples does not matter",
    source=_FUNCTION,
    sort="exact",
    quantities=QUANTITIES,
)
def layout(subject: Subject, trial: Trial) -> str:
    """Arrays in column order, strided, with negative strides and read-only."""
    data = samples(subject, trial)

    def strided(array: np.ndarray) -> np.ndarray:
        wide = np.full((len(array), 2 * array.shape[1]), np.nan)
        wide[:, ::2] = array
        return wide[:, ::2]

    def reversed_rows(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array[::-1])[::-1]

    def locked(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array.flags.writeable = False
        return array

    layouts = {
        "arrays in column order": np.asfortranarray,
        "strided arrays": strided,
        "arrays with negative strides": reversed_rows,
        "read-only arrays": locked,
    }
    tried = list(layouts.items())[: 1 if few_calls(subject, trial) else None]
    differences = [same_number(subject, data.arrays, tuple(map(change, data.arrays)), words) for words, change in tried]
    return evidence(differences, "the number")


@law(
    "containers",
    statement="lists, tensors and labelled arrays of the same numbers give the same number",
    source=_FUNCTION,
    sort="exact",
    quantities=QUANTITIES,
)
def containers(subject: Subject, trial: Trial) -> str:
    """Nested lists, torch tensors, xarray DataArrays, and vectors for single coordinates."""
    import xarray

    data = samples(subject, trial)
    forms = {
        "nested lists": lambda array: array.tolist(),
        "torch tensors": lambda array: torch.tensor(array),
        "xarray DataArrays": lambda array: xarray.DataArray(array, dims=("sample", "coordinate")),
        "vectors for single coordinates": lambda array: array[:, 0] if array.shape[1] == 1 else array,
    }
    tried = list(forms.items())[: 1 if few_calls(subject, trial) else None]
    differences = [same_number(subject, data.arrays, tuple(map(form, data.arrays)), words) for words, form in tried]
    return evidence(differences, "the number")


@law(
    "integers",
    statement="integers are numbers like others: no truncation, no overflow, no other method",
    source=f"{_FUNCTION}; scikit-learn issue 26696 (integer arrays truncated)",
    sort="exact",
    quantities=QUANTITIES,
)
def integers(subject: Subject, trial: Trial) -> str:
    """Whole numbers up to 2^27 as int64 and int32 against the same ones as float64."""
    data = samples(subject, trial)
    whole = data.map(lambda index, array: np.round(array / GRID))
    differences = [
        same_number(subject, whole, tuple(array.astype(dtype) for array in whole), f"whole numbers as {dtype.__name__}")
        for dtype in ((np.int64,) if few_calls(subject, trial) else (np.int64, np.int32))
    ]
    return evidence(differences, "the number")


@law(
    "single-precision",
    statement="samples in float32 give the number of the same values in float64, within single precision",
    source=_FUNCTION,
    sort="exact",
    quantities=QUANTITIES,
)
def single_precision(subject: Subject, trial: Trial) -> str:
    """float32 arrays against the very same values in float64."""
    data = samples(subject, trial)
    single = tuple(array.astype(np.float32) for array in data.arrays)
    double = tuple(array.astype(np.float64) for array in single)
    return evidence([same_number(subject, double, single, "float32 arrays", tolerance=_SINGLE)], "the number")


def _argument_names(subject: Subject) -> tuple[str, ...]:
    return ("x", "y", "given")[: {"entropy": 1, "conditional_mutual_information": 3}.get(subject.quantity, 2)]
