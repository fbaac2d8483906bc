"""Estimates: construction, intervals, arithmetic, containers and what they refuse."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils import _pytree as pytree

from infotherm.core.estimate import Estimate, exact, stack
from infotherm.core.kinds import KINDS

numbers = st.floats(-1e6, 1e6).filter(lambda x: abs(x) > 1e-6 or x == 0)
errors = st.floats(0, 1e3)


def estimate(value, stderr=0.1, streams=("a",), **fields):
    return Estimate(value, stderr=stderr, kind="estimate", method="monte-carlo", streams=streams, **fields)


# -- construction ----------------------------------------------------------------------------------------------------


def test_errors_broadcast_to_the_value():
    e = Estimate([1.0, 2.0], error=0.5)
    assert e.error.shape == e.value.shape == (2,) and e.value.dtype == torch.float64


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"kind": "sharp"}, "kind must be one of"),
        ({"method": "magic"}, "method must be one of"),
        ({"error": -1.0}, "error must be >= 0"),
        ({"error": math.nan}, "error must be >= 0"),
        ({"error": [1.0, 2.0, 3.0]}, r"value's shape \(2,\); got \(3,\)"),
        ({"stderr": 1.0}, "an exact Estimate has no random error"),
    ],
)
def test_bad_fields_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        Estimate([1.0, 2.0], **fields)


def test_text_is_not_a_value():
    with pytest.raises(TypeError, match="value must hold real numbers"):
        Estimate("one")


def test_it_is_frozen():
    with pytest.raises(AttributeError):
        Estimate(1.0).value = torch.tensor(2.0)


def test_float32_stays_float32():
    e = Estimate(np.float32(1.5), error=1e-7)
    assert e.value.dtype == e.error.dtype == (e * 2 + 1).value.dtype == torch.float32


# -- intervals -------------------------------------------------------------------------------------------------------


def test_intervals_by_kind():
    e = Estimate(1.0, stderr=0.1, error=0.01, kind="estimate")
    low, high = e.interval(0.95)
    assert float(high) == pytest.approx(1 + 1.959963984540054 * 0.1 + 0.01)
    assert float(low) == pytest.approx(1 - 1.959963984540054 * 0.1 - 0.01)
    low, high = Estimate(1.0, stderr=0.1, error=0.01, kind="lower").interval(0.95)
    assert float(low) == pytest.approx(1 - 1.6448536269514722 * 0.1 - 0.01) and float(high) == math.inf
    low, high = Estimate(1.0, error=0.01, kind="upper").interval(0.95)
    assert float(low) == -math.inf and float(high) == pytest.approx(1.01)
    low, high = Estimate(1.0, kind="unknown").interval()
    assert float(low) == -math.inf and float(high) == math.inf


def test_interval_refuses_a_level_outside_the_unit_interval():
    with pytest.raises(ValueError, match="confidence must lie in"):
        Estimate(1.0).interval(1.0)


# -- arithmetic ------------------------------------------------------------------------------------------------------


@given(numbers, errors, numbers, errors, st.floats(-1, 1), st.floats(-1, 1))
def test_deterministic_error_bounds_the_truth(a, da, b, db, u, v):
    """Wherever the truths lie within their errors, the truth of every combination lies within its own."""
    x, y = Estimate(a, error=da), Estimate(b, error=db)
    true_x, true_y = a + u * da, b + v * db
    results = {
        "sum": (x + y, true_x + true_y),
        "difference": (x - y, true_x - true_y),
        "product": (x * y, true_x * true_y),
    }
    if true_y != 0:
        with np.errstate(over="ignore"):
            results["ratio"] = (x / y, true_x / true_y) if b != 0 else (x, true_x)
    results["scaled"] = (3 * x, 3 * true_x)
    for name, (result, truth) in results.items():
        slack = 1e-12 * (1 + abs(truth) + (abs(a) + da) * (abs(b) + db))  # this test's own rounding
        assert abs(float(result) - truth) <= float(result.error) + slack, name
        assert float(result.error) > 0, "no combination claims error 0"


@given(st.floats(-20, 20), st.floats(0, 3), st.floats(-1, 1))
def test_exp_and_log_carry_the_error(a, da, u):
    e = Estimate(a, error=da)
    assert abs(float(e.exp()) - math.exp(a + u * da)) <= float(e.exp().error) * (1 + 1e-12)
    positive = Estimate(math.exp(a), error=da)
    truth = math.exp(a) + u * da
    if truth > 0:
        assert abs(float(positive.log()) - math.log(truth)) <= float(positive.log().error) * (1 + 1e-9) + 1e-12


def test_independent_streams_add_in_quadrature_and_shared_ones_linearly():
    a, b, again = estimate(1.0, 0.3, ("a",)), estimate(2.0, 0.4, ("b",)), estimate(2.0, 0.4, ("a",))
    assert float((a + b).stderr) == pytest.approx(0.5)
    assert float((a + again).stderr) == pytest.approx(0.7)
    assert float((a - again).stderr) == pytest.approx(0.7)
    assert set((a + b).streams) == {"a", "b"}
    assert float(((a + b) + again).stderr) == pytest.approx(0.9)


def test_random_errors_without_a_stream_may_be_correlated():
    measured = Estimate(1.0, stderr=0.1, kind="estimate")
    assert float((measured + measured).stderr) == pytest.approx(0.2)
    mixed = measured + estimate(1.0, 0.1, ("a",))
    assert float((mixed + estimate(1.0, 0.3, ("b",))).stderr) == pytest.approx(0.5)
    assert float((Estimate(1.0) + estimate(1.0, 0.3, ("b",)) + estimate(1.0, 0.4, ("c",))).stderr) == pytest.approx(0.5)


def test_the_error_of_one_factor_scales_the_random_error_of_the_other():
    """0 +- 1 (random) times 1 +- 0.9 (bound): the truth may be 1.9 standard errors of the product."""
    product = estimate(0.0, 1.0) * Estimate(1.0, error=0.9)
    assert float(product.stderr) == pytest.approx(1.9)


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_intervals_of_functions_cover_where_they_bend(scale):
    draws = torch.randn(20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * scale
    low, high = estimate(draws, scale).exp().interval(0.95)
    assert float(((low <= 1) & (1 <= high)).double().mean()) > 0.945
    positive = draws[draws > -1] + 1
    low, high = estimate(positive, scale).sqrt().interval(0.95)
    assert float(((low <= 1) & (1 <= high)).double().mean()) > 0.945


def test_limits_use_the_number_of_samples_of_each_element():
    e = Estimate([0.0, 0.0], stderr=1.0, kind="estimate", info={"n": torch.tensor([5, 10**9])})
    assert e.upper_limit(0.025).tolist() == pytest.approx([2.776445, 1.959964], abs=1e-6)
    assert e.sum().info["n"] is not None and float((e[0] + 1.0).info["n"]) == 5


# -- infinities and what is not a number -------------------------------------------------------------------------------


def test_of_what_is_not_a_number_nothing_is_known():
    infinite = Estimate(math.inf, error=1e-300)
    for e in (
        Estimate(math.nan),
        infinite - infinite,
        Estimate(0.0) * infinite,
        Estimate(1.0) * math.nan,
        Estimate(math.nan).exp(),
        Estimate(math.nan).log(),
    ):
        assert math.isnan(e.value) and e.error == math.inf


def test_a_certain_infinity_stays_certain_and_an_overflow_is_not_one():
    infinite = Estimate(-math.inf, error=1e-300)
    for e in (infinite + 1, 1 - infinite, 2 * infinite, infinite.to("bit"), (-infinite).sqrt()):
        assert math.isinf(e.value) and e.error < 1e-290
    assert (Estimate(1e308) + Estimate(1e308)).error == math.inf
    assert (Estimate(1e308) * 10).error == math.inf and Estimate(1e3).exp().error == math.inf
    assert (infinite * Estimate(1.0, error=0.1)).error == math.inf


def test_random_error_of_functions_is_first_order():
    e = estimate(2.0, 0.01)
    assert float(e.exp().stderr) == pytest.approx(math.exp(2) * 0.01, rel=0.02)
    assert float(e.log().stderr) == pytest.approx(0.005, rel=0.02)
    assert float((e * 3).stderr) == pytest.approx(0.03)
    assert float((e / -2).stderr) == pytest.approx(0.005)
    assert float((e / -2).value) == -1


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_under_scaling(kind):
    e = Estimate(2.0, kind=kind)
    flipped = {"lower": "upper", "upper": "lower"}.get(kind, kind)
    assert (2 * e).kind == (e / 2).kind == (e + 1).kind == kind
    assert (-2 * e).kind == (-e).kind == (1 - e).kind == flipped
    mixed = e * torch.tensor([1.0, -1.0])
    assert mixed.kind == ("unknown" if kind in ("lower", "upper") else kind)


def test_kinds_of_products_and_ratios():
    sure, low, high = Estimate(2.0, error=0.1), Estimate(3.0, kind="lower"), Estimate(-3.0, kind="upper")
    sampled = estimate(2.0)
    assert (sure * sure).kind == (sure / sure).kind == "exact"
    assert (sure * low).kind == "lower" and (sure * high).kind == "upper" and (-sure * low).kind == "upper"
    assert (low * low).kind == "lower" and (high * high).kind == "lower" and (low * high).kind == "upper"
    assert (sure / low).kind == "upper" and (sure * sampled).kind == (sampled / sure).kind == "estimate"
    assert (sampled * sampled).kind == (sure / sampled).kind == (low / low).kind == "unknown"


def test_a_ratio_whose_denominator_may_vanish_has_infinite_error():
    assert math.isinf((Estimate(1.0) / Estimate(0.1, error=0.2)).error)
    with pytest.raises(ValueError, match="divided by zero"):
        Estimate(1.0) / 0


def test_monotone_functions_keep_the_kind():
    low = Estimate(4.0, error=1.0, kind="lower")
    assert low.sqrt().kind == low.square().kind == low.log().kind == low.exp().kind == "lower"
    assert float(low.sqrt().lower_limit(0.5)) <= math.sqrt(3.0)
    assert math.isinf(Estimate(1.0, error=1.0).log().error)
    with pytest.raises(ValueError, match="log needs positive values"):
        Estimate(-1.0).log()
    with pytest.raises(ValueError, match="needs values >= 0"):
        Estimate(-1.0).sqrt()


@pytest.mark.parametrize(
    "left", [2, 2.0, np.float64(2), np.float32(2), torch.tensor(2.0), np.full(3, 2.0), torch.full((3,), 2.0)]
)
def test_numbers_arrays_and_tensors_on_the_left(left):
    e = Estimate(4.0, error=0.5, kind="lower")
    for result, value, kind in [
        (left + e, 6, "lower"),
        (left - e, -2, "upper"),
        (left * e, 8, "lower"),
        (left / e, 0.5, "upper"),
    ]:
        assert isinstance(result, Estimate) and result.kind == kind
        assert bool((result.value == value).all()) and result.shape == np.shape(left)


def test_units_must_agree():
    with pytest.raises(ValueError, match="'nat' and 'bit'"):
        Estimate(1.0) + Estimate(1.0, units="bit")
    assert (Estimate(1.0) + Estimate(1.0, units="1")).units == "nat"
    assert (Estimate(1.0) * Estimate(1.0, units="nat/time")).units == "nat*nat/time"
    with pytest.raises(ValueError, match="exp needs"):
        Estimate(1.0, units="bit").exp()


def test_bits():
    e = estimate(math.log(2), 0.1, info={"n": 7, "note": "kept"}).to("bit")
    assert float(e) == pytest.approx(1) and float(e.stderr) == pytest.approx(0.1 / math.log(2))
    assert e.units == "bit" and e.info["note"] == "kept" and float(e.to("nat")) == pytest.approx(math.log(2))
    with pytest.raises(ValueError, match="units '1'"):
        Estimate(1.0, units="1").to("bit")


def test_unconverged_numbers_stay_marked():
    e = Estimate(1.0, info={"converged": False})
    assert not e.converged and not (e + 1).converged and not (Estimate(1.0) - 2 * e).converged
    assert "NOT CONVERGED" in repr(e)


def test_sums_over_the_batch():
    shared = Estimate([1.0, 2.0], stderr=0.1, kind="estimate", streams=("a",))
    assert float(shared.sum()) == 3 and float(shared.sum().stderr) == pytest.approx(0.2)
    nameless = Estimate([1.0, 2.0], stderr=0.1, kind="estimate")
    assert float(nameless.sum().stderr) == pytest.approx(0.2)


def test_stack():
    both = stack([Estimate(1.0, kind="lower"), Estimate(2.0, kind="lower", method="quadrature")])
    assert both.kind == "lower" and both.method == "quadrature" and both.value.tolist() == [1, 2]
    assert stack([Estimate(1.0), Estimate(1.0, kind="lower")]).kind == "unknown"
    assert float(both[1]) == 2


def test_stack_keeps_the_weakest():
    members = [estimate(1.0, info={"n": 1000}), estimate(2.0, info={"n": 5, "converged": False})]
    assert stack(members).info == {"n": 5, "converged": False}
    with pytest.raises(ValueError, match="units must agree in a stack; got bit, nat"):
        stack([Estimate(1.0), Estimate(1.0, units="bit")])
    with pytest.raises(ValueError, match="at least one"):
        stack([])


def test_a_narrower_dtype_costs_its_rounding():
    e = Estimate(1 / 3, error=1e-17).to(torch.float32)
    assert abs(float(e.value.double()) - 1 / 3) <= float(e.error)
    assert Estimate(1e200).to(torch.float32).error == math.inf
    with pytest.raises(TypeError, match="floating dtype; got torch.int64"):
        e.to(torch.int64)
    with pytest.raises(ValueError, match="target must be nat, bit, hartley, a device or a dtype; got 'nats'"):
        e.to("nats")


# -- containers --------------------------------------------------------------------------------------------------------


def test_gradients_flow_through_the_value():
    v = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    e = (3 * Estimate(v, error=v) + 1).exp() / 2
    e.value.backward()
    assert float(v.grad) == pytest.approx(1.5 * math.exp(7)) and not e.error.requires_grad


def test_func_transforms():
    gradient = torch.func.grad(lambda v: (Estimate(v) * Estimate(v)).value)(torch.tensor(3.0))
    assert float(gradient) == 6
    batch = torch.func.vmap(lambda v: Estimate(v, kind="lower") * 2 + 1)(torch.arange(3.0))
    assert isinstance(batch, Estimate) and batch.value.tolist() == [1, 3, 5]


def test_pytree_has_tensor_leaves_and_string_context():
    e = estimate(1.0, info={"n": 3, "note": "text", "inner": Estimate(2.0), "grid": torch.ones(2)})
    leaves, spec = pytree.tree_flatten(e)
    assert all(isinstance(leaf, torch.Tensor | int) for leaf in leaves) and len(leaves) == 3 + 1 + 3 + 1
    again = pytree.tree_unflatten(leaves, spec)
    assert again.info["note"] == "text" and again.streams == ("a",) and float(again.info["inner"]) == 2
    doubled = pytree.tree_map_only(torch.Tensor, lambda t: 2 * t, e)
    assert float(doubled) == 2 and float(doubled.stderr) == pytest.approx(0.2)

    def strings(context):
        return isinstance(context, str) or all(strings(c) for c in context)

    assert strings(spec.context if hasattr(spec, "context") else spec._context)


def test_to_xarray_says_what_it_is():
    data = estimate([1.0, 2.0], info={"n": 5}).to_xarray("entropy", dims=("beta",))
    assert data["entropy"].dims == ("beta",) and data["entropy"].attrs["units"] == "nat"
    assert data.attrs["kind"] == "estimate" and data.attrs["method"] == "monte-carlo" and data.attrs["n"] == 5
    assert all(entry is not None for entry in data.attrs.values())
    with pytest.raises(ValueError, match="dims must name the 1 batch"):
        estimate([1.0, 2.0]).to_xarray(dims=("a", "b"))


def test_to_xarray_does_not_lose_the_value_under_the_name_of_an_error():
    with pytest.raises(ValueError, match="name must differ"):
        Estimate(1.0).to_xarray("stderr")
    attrs = Estimate(1.0, info={"flag": True, "n": np.int64(3)}).to_xarray().attrs
    assert attrs["flag"] == 1 and not isinstance(attrs["flag"], bool) and attrs["n"] == 3


def test_copies_and_pickles():
    e = estimate(torch.tensor(2.0, requires_grad=True), info={"n": 5, "inner": Estimate(1.0)})
    for again in (copy.copy(e), copy.deepcopy(e), pickle.loads(pickle.dumps(e))):
        assert float(again) == 2 and again.kind == "estimate" and again.info["n"] == 5 and again.streams == ("a",)
        assert float(again.info["inner"]) == 1


def test_augmented_assignment_gives_a_new_estimate():
    e = Estimate(2.0, error=0.1)
    for left in (torch.ones(3), 2.0, np.float64(2)):
        left += e
        assert isinstance(left, Estimate)
    array = np.ones(3)
    with pytest.raises(TypeError, match="Estimate"):
        array += e


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_it_refuses_truth_comparison_and_hash():
    e = Estimate(1.0)
    for act in (bool, hash, lambda x: x == 1.0, lambda x: x < 2, lambda x: x != x, lambda x: {x}):
        with pytest.raises(TypeError):
            act(e)
    with pytest.raises(TypeError, match="one element"):
        float(Estimate([1.0, 2.0]))
    with pytest.raises(TypeError):
        e + "1"


def test_a_single_estimate_is_no_sequence():
    assert [float(e) for e in Estimate([1.0, 2.0])] == [1, 2]
    for act in (list, len):
        with pytest.raises(TypeError, match="no length"):
            act(Estimate(1.0))


def test_bad_names_are_refused():
    with pytest.raises(TypeError, match="streams must be a sequence of names"):
        Estimate(1.0, streams="abc")
    with pytest.raises(TypeError, match="units must be a string"):
        Estimate(1.0, units=None)


def test_exact_never_claims_error_zero():
    assert exact(torch.tensor(0.0, dtype=torch.float64)).error > 0
    cancelling = exact(0.0, terms=[torch.tensor(1e8, dtype=torch.float64)])
    assert float(cancelling.error) > 1e-8
