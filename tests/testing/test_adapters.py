"""Functions of every form become estimators: what they return, how seeds and options reach them, what is refused."""

import functools
import math

import numpy as np
import pytest
import torch

from infotherm.core.estimate import Estimate
from infotherm.estimators import GaussianPlugIn
from infotherm.estimators.tags import Tags
from infotherm.testing import as_estimator
from infotherm.testing.adapters import as_estimate, as_subject, checked_quantity
from tests.testing.plain import gaussian, gaussian_entropy, ksg

x = np.random.default_rng(0).normal(size=(100, 2))
y = x[:, :1] + np.random.default_rng(1).normal(size=(100, 1))


@pytest.mark.parametrize(
    "result",
    [0.5, np.float32(0.5), np.array(0.5), np.array([[0.5]]), [0.5], torch.tensor([0.5]), Estimate(0.5)],
    ids=lambda result: type(result).__name__,
)
def test_numbers_of_every_form(result):
    assert float(as_estimator(lambda x, y: result).estimate(x, y)) == 0.5


def test_a_bare_number_states_no_error():
    estimate = as_estimator(lambda x, y: 0.5).estimate(x, y)
    assert estimate.kind == "estimate" and estimate.method == "sample-based" and math.isinf(float(estimate.error))


def test_a_pair_is_a_number_and_its_standard_error():
    estimate = as_estimator(lambda x, y: (1.0, 0.1), units="bit").estimate(x, y)
    assert float(estimate) == pytest.approx(math.log(2)) and estimate.units == "nat"
    assert float(estimate.stderr) == pytest.approx(0.1 * math.log(2))
    assert math.isinf(float(as_estimator(lambda x, y: (1.0, math.nan)).estimate(x, y).error))
    with pytest.raises(TypeError, match="standard error of f must be >= 0; got -1"):
        as_estimator(lambda x, y: (1.0, -1.0), name="f").estimate(x, y)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_left_to_the_laws(value):
    assert float(as_estimator(lambda x, y: value).estimate(x, y)) == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize("result", [None, 1j, "0.5", [0.1, 0.2], np.zeros((2, 2)), True, {}, Estimate([0.1, 0.2])])
def test_what_is_no_number_is_refused(result):
    with pytest.raises(TypeError, match="wrong must return one"):
        as_estimator(lambda x, y: result, name="wrong").estimate(x, y)


def test_objects_that_compute_when_asked():
    class Lazy:
        def __init__(self, x, y):
            self.samples = x, y

        def result(self):
            return gaussian(*self.samples)

    assert float(as_estimator(lambda x, y: Lazy(x, y)).estimate(x, y)) == pytest.approx(gaussian(x, y))


def test_objects_with_a_method_estimate():
    class Estimator:
        def estimate(self, x, y):
            return gaussian(x, y)

    est = as_estimator(Estimator())
    assert est.name == "Estimator" and float(est.estimate(x, y)) == pytest.approx(gaussian(x, y))


def test_arrays_arrive_as_they_are():
    seen = []
    est = as_estimator(lambda x, y: float(bool(seen.append((x, y)))))
    strided = x[::2].astype(np.int32)
    est.estimate(strided, y[::2])
    assert seen[-1][0] is strided
    est.estimate(torch.tensor(x), y[:, 0].tolist())
    assert [type(array) for array in seen[-1]] == [np.ndarray] * 2 and seen[-1][1].shape == (100, 1)
    as_estimator(lambda x: float(x.ndim), "entropy", flat=True).estimate(x[:, :1])
    with pytest.raises(ValueError, match=r"takes one coordinate, of shape \(N,\) or \(N, 1\); got \(100, 2\)"):
        as_estimator(lambda x: 0.0, "entropy", flat=True).estimate(x)


def test_the_third_argument_by_position_or_keyword():
    z = x[:, 1:]
    expected = gaussian(x[:, :1], y, z)
    quantity = "conditional_mutual_information"
    for function in (gaussian, lambda x, y, *, given: gaussian(x, y, given), lambda x, y, *, z: gaussian(x, y, z)):
        assert float(as_estimator(function, quantity).estimate(x[:, :1], y, given=z)) == pytest.approx(expected)


def test_the_arguments_must_be_those_of_the_quantity():
    with pytest.raises(TypeError, match="gaussian estimates mutual_information from x and y; got 1"):
        as_estimator(gaussian).estimate(x)
    with pytest.raises(TypeError, match="from x; got 2"):
        as_estimator(gaussian_entropy, "entropy").estimate(x, y)
    with pytest.raises(TypeError, match="from x, y and given; got 2"):
        as_estimator(gaussian, "conditional_mutual_information").estimate(x, y)


def test_seeds_reach_the_function_in_its_own_form():
    def by_state(x, y, random_state=None):
        return float(np.random.RandomState(random_state).rand())

    def by_numpy(x, y, *, rng):
        return float(rng.random())

    def by_torch(x, y, generator=None):
        return float(torch.rand((), generator=generator))

    def by_seed(x, y, seed=0):
        return float(seed)

    for function in (by_state, by_numpy, by_torch, by_seed):
        est = as_estimator(function)
        assert est.tags.stochastic
        first, same, other = (float(est.estimate(x, y, generator=seed)) for seed in (3, 3, 4))
        assert first == same != other
    drawn = as_estimator(by_seed)
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    assert float(drawn.estimate(x, y, generator=generators[0])) == float(drawn.estimate(x, y, generator=generators[1]))
    assert not as_estimator(by_state, random_state=0).tags.stochastic
    assert not as_estimator(functools.partial(by_state, random_state=0)).tags.stochastic


def test_units_of_a_base():
    def bits(x, y, base=2):
        return gaussian(x, y) / np.log(base)

    for est in (as_estimator(bits), as_estimator(bits, base=10), as_estimator(bits, units="bit")):
        assert float(est.estimate(x, y)) == pytest.approx(gaussian(x, y))
    assert [as_estimator(f).units for f in (bits, functools.partial(bits, base=np.e), gaussian)] == [
        "bit",
        "nat",
        "nat",
    ]


def test_tags():
    est = as_estimator(ksg, tags={"invariances": ("shift",), "least_samples": 10}, k=5)
    assert est.tags.invariances == ("shift",) and not est.tags.states_error and est.tags.least_samples == 10
    assert est.name == "ksg(k=5)" and repr(est) == est.name
    own = Tags(quantities=("entropy",))
    assert as_estimator(gaussian_entropy, "entropy", tags=own).tags is own
    with pytest.raises(ValueError, match="tags must be those .* 'clips'"):
        as_estimator(ksg, tags={"clips": True})
    with pytest.raises(ValueError, match="must name the quantity 'mutual_information'; got quantities entropy"):
        as_estimator(ksg, tags=own)


def test_refusals():
    with pytest.raises(ValueError, match="got 'mutual_informations'; did you mean 'mutual_information'"):
        as_estimator(ksg, "mutual_informations")
    assert checked_quantity("kl_divergence") == "kl"
    with pytest.raises(ValueError, match="units must be one of nat, bit, hartley; got 'bits'"):
        as_estimator(ksg, units="bits")
    with pytest.raises(TypeError, match="not a class: got GaussianPlugIn"):
        as_estimator(GaussianPlugIn)
    with pytest.raises(TypeError, match="must be a function of samples.*got int"):
        as_estimator(3)
    with pytest.raises(TypeError, match="the estimator must return one"):
        as_estimate(None)


def test_subjects():
    subject = as_subject(as_estimator(gaussian_entropy, "entropy"))
    assert subject.quantity == "entropy" and subject.name == "gaussian_entropy"
    assert as_subject(subject) is subject and as_subject(ksg).quantity == "mutual_information"
    assert as_subject(gaussian, "conditional_mutual_information").value(x[:, :1], y, x[:, 1:]) < 1
    with pytest.raises(ValueError, match="gaussian_entropy estimates entropy; got the quantity 'kl'"):
        as_subject(as_estimator(gaussian_entropy, "entropy"), "kl_divergence")
    with pytest.raises(ValueError, match="is an estimator of entropy"):
        as_subject(subject, "kl")
    with pytest.raises(TypeError, match=r"not its class: GaussianPlugIn\(...\)"):
        as_subject(GaussianPlugIn)


# -- other libraries, where they are installed ----------------------------------------------------------------------


def test_scikit_learn():
    selection = pytest.importorskip("sklearn.feature_selection")
    est = as_estimator(selection.mutual_info_regression)
    assert est.tags.clips_at_zero and est.tags.most_dimensions == 1 and est.tags.stochastic
    expected = selection.mutual_info_regression(x[:, :1], y[:, 0], random_state=1)
    assert float(est.estimate(x[:, :1], y, generator=1)) == expected[0]
    with pytest.raises(ValueError, match="take one coordinate of x and of y; got 2 and 1"):
        est.estimate(x, y)
    labels = (y > 0).astype(float)
    classes = as_estimator(selection.mutual_info_classif, random_state=0)
    assert classes.tags.data == ("mixed",) and not classes.tags.symmetric and not classes.tags.stochastic
    assert float(classes.estimate(x[:, :1], labels)) > 0.1
    assert as_estimator(selection.mutual_info_classif, discrete_features=True).tags.data == ("discrete",)


def test_dit():
    dit = pytest.importorskip("dit")
    knn = pytest.importorskip("dit.inference.knn_estimators")
    state = np.random.get_state()  # noqa: NPY002 - dit draws from the global generator
    est = as_estimator(knn.total_correlation_ksg, k=3)
    value = float(est.estimate(x, y))
    assert est.units == "bit" and value == pytest.approx(ksg(x, y), abs=0.2)  # it counts points at the radius too
    conditional = as_estimator(knn.total_correlation_ksg, "conditional_mutual_information")
    assert abs(float(conditional.estimate(x[:, :1], y, given=x[:, 1:]))) < 1
    np.random.set_state(state)  # noqa: NPY002
    a, b = (x > 0).astype(float), (y > 0).astype(float)
    plug_in = as_estimator(dit.shannon.mutual_information)
    assert plug_in.tags.data == ("discrete",) and float(plug_in.estimate(a, b)) > 0
    joint = as_estimator(dit.multivariate.coinformation)
    assert float(joint.estimate(a, b)) == pytest.approx(float(plug_in.estimate(a, b)))


def test_infomeasure():
    im = pytest.importorskip("infomeasure")
    expected = ksg(x, y)
    for est in (
        as_estimator(im.mutual_information, approach="metric", k=3, noise_level=0),
        as_estimator(lambda x, y: im.estimator(x, y, measure="mi", approach="metric", k=3, noise_level=0)),
    ):
        assert float(est.estimate(x, y)) == pytest.approx(expected, abs=1e-9)
    given = as_estimator(im.cmi, "conditional_mutual_information", approach="metric")
    assert abs(float(given.estimate(x[:, :1], y, given=x[:, 1:]))) < 1
    bits = as_estimator(im.mutual_information, approach="metric", k=3, noise_level=0, base=2)
    assert bits.units == "bit" and float(bits.estimate(x, y)) == pytest.approx(expected, abs=1e-9)


def test_npeet():
    npeet = pytest.importorskip("npeet_plus")
    est = as_estimator(npeet.mi)
    state = np.random.get_state()  # noqa: NPY002
    assert est.units == "bit" and float(est.estimate(x, y)) == pytest.approx(ksg(x, y), abs=1e-6)
    np.random.set_state(state)  # noqa: NPY002
    assert as_estimator(npeet.micd).tags.data == ("mixed",)
