"""Every law of conduct catches a function that misbehaves in that way, and passes those that do not."""

import random

import numpy as np
import pytest
import torch

from infotherm.core.estimate import Estimate
from infotherm.estimators import KSG, GaussianPlugIn, KozachenkoLeonenko
from infotherm.testing import as_estimator, check_estimator, laws
from infotherm.testing.adapters import FunctionEstimator
from tests.testing.plain import counted_information, gaussian, ksg

CONDUCT = [name for name in laws.names(sort="exact") if laws.get(name).check.__module__.endswith("conduct_laws")]


@pytest.mark.parametrize("est", [KSG(), KozachenkoLeonenko(), GaussianPlugIn(), as_estimator(ksg)], ids=repr)
def test_correct_estimators(est):
    own = laws.names("entropy" if isinstance(est, KozachenkoLeonenko) else "mutual_information")
    report = check_estimator(est, laws=[name for name in CONDUCT if name in own])
    assert report.passed and not report.counts["skipped"], str(report)


def test_labels_pass_too():
    report = check_estimator(as_estimator(counted_information, tags={"data": ("discrete",)}), laws=CONDUCT)
    assert report.passed, str(report)


def state_of_numpy(x, y):
    return gaussian(x, y) + 1e-6 * np.random.normal()  # noqa: NPY002


def state_of_torch(x, y):
    return gaussian(x, y) + 1e-6 * float(torch.rand(()))


def state_of_python(x, y):
    return gaussian(x, y) + 1e-6 * random.random()


def seeds_numpy(x, y):
    np.random.seed(0)  # noqa: NPY002
    return gaussian(x, y) + 1e-6 * np.random.normal()  # noqa: NPY002


def remembers(x, y, calls=[0]):  # noqa: B006 - the bug
    calls[0] += 1
    return gaussian(x, y) + 1e-6 * calls[0]


def centres_in_place(x, y):
    x -= x.mean(0)
    return gaussian(x, y)


def sorts_in_place(x, y):
    y.sort(axis=0)
    return gaussian(x, y)


def reads_the_buffer(x, y):
    return gaussian(x, y) + 1e-3 * float(np.frombuffer(x if x.base is None else x.base).mean())


def assumes_row_order(x, y):
    return gaussian(x.ravel(order="K").reshape(x.shape), y)


def writes_to_its_arrays(x, y):
    x[0] = x[0]
    return gaussian(x, y)


def truncates(x, y):
    return gaussian(x, y.astype(np.int16) if y.dtype.kind == "i" else y)


def overflows(x, y):
    return float(np.mean((x[:, :1] * y * 8).astype(x.dtype)) / np.abs(x).max() / np.abs(y).max())


def half_precision(x, y):
    return gaussian(x, y.astype(np.float16) if y.dtype == np.float32 else y) + 5e-3 * (x.dtype == np.float32)


def wrong_kind(x, y):
    return Estimate(gaussian(x, y), error=0.1, kind="estimate")


def not_a_number(x, y):
    return float("nan")


def certain(x, y):
    return gaussian(x, y), 0.0


def evasive(x, y):
    return gaussian(x, y), float("nan")


STATED = {"states_error": True}
BROKEN = [
    ("global-randomness-unused", state_of_numpy, {}),
    ("global-randomness-unused", state_of_torch, {}),
    ("global-randomness-unused", state_of_python, {}),
    ("global-randomness-untouched", state_of_numpy, {}),
    ("global-randomness-untouched", state_of_torch, {}),
    ("global-randomness-untouched", state_of_python, {}),
    ("global-randomness-untouched", seeds_numpy, {}),
    ("repeatability", remembers, {}),
    ("repeatability", state_of_numpy, {}),
    ("inputs-unchanged", centres_in_place, {}),
    ("inputs-unchanged", sorts_in_place, {}),
    ("aliasing", reads_the_buffer, {}),
    ("layout", assumes_row_order, {}),
    ("layout", writes_to_its_arrays, {}),
    ("integers", truncates, {}),
    ("integers", overflows, {}),
    ("single-precision", half_precision, {}),
    ("result-form", wrong_kind, {"kind": "lower"}),
    ("result-form", not_a_number, {}),
    ("result-form", certain, STATED),
    ("result-form", evasive, STATED),
]


@pytest.mark.parametrize(("law", "bug", "tags"), BROKEN, ids=lambda part: getattr(part, "__name__", None))
def test_planted_bugs(law, bug, tags):
    (result,) = check_estimator(as_estimator(bug, tags=tags), laws=[law]).results
    assert result.status == "failed", result.reason


def test_containers_that_are_refused():
    class ArraysOnly(FunctionEstimator):
        def estimate(self, x, y=None, **options):
            if not isinstance(x, np.ndarray) or x.ndim != 2:
                raise TypeError("x must be a numpy array")
            return super().estimate(x, y, **options)

    plain = as_estimator(gaussian)
    est = ArraysOnly(plain.function, plain.quantity, "nat", plain.tags, "arrays only", plain.convention)
    (result,) = check_estimator(est, laws="containers").results
    assert result.status == "failed" and result.reason == "TypeError: x must be a numpy array"


def test_the_state_of_the_global_generators_is_put_back():
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random(), torch.get_rng_state(), random.getstate()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    check_estimator(as_estimator(state_of_python), laws="global-*")
    assert np.random.random() == expected[0]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), expected[1]) and random.getstate() == expected[2]
