import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from infotherm.distributions import Discrete
from infotherm.distributions.discrete import draw_indices

EPS = torch.finfo(torch.float64).eps


@st.composite
def joints(draw, parts=3, batch=()):
    """A law over x, y, z, with zeros in it."""
    shape = (*batch, *[draw(st.integers(1, 4)) for _ in range(parts)])
    weights = draw(hnp.arrays(np.float64, shape, elements=st.floats(0, 1) | st.just(0.0)))
    weights[(..., *[0] * parts)] += 0.1
    pmf = weights / weights.sum(axis=tuple(range(-parts, 0)), keepdims=True)
    return Discrete(pmf, parts=tuple("xyz"[:parts]))


# -- laws --------------------------------------------------------------------------------------------------------------


@given(joints())
def test_marginals_of_marginals_are_marginals(d):
    via = d.marginal(("z", "x")).marginal("x").pmf
    assert torch.allclose(via, d.marginal("x").pmf, rtol=0, atol=64 * EPS)
    assert torch.equal(d.marginal(("y", "x")).pmf, d.marginal(("x", "y")).pmf.mT)


@given(joints(batch=(2,)))
def test_bayes_rule_joint_is_marginal_times_conditional(d):
    y = d.marginal("y")
    for index in range(d.shape_of("y")):
        if bool((y.pmf[..., index] > 0).all()):
            conditional = d.condition(y=index)
            product = conditional.pmf * y.pmf[..., index, None, None]
            assert torch.allclose(product, d.pmf.select(2, index), rtol=1e-13, atol=1e-300)


@given(joints(parts=2))
def test_chain_rule_of_entropy(d):
    conditional = 0.0
    for index, p in enumerate(d.marginal("y").pmf):
        if p > 0:
            conditional = conditional + p * d.condition(y=index).entropy()
    # a few units in the last place of a sum of at most 16 terms, each at most 1/e
    assert abs(d.entropy() - d.marginal("y").entropy() - conditional) < 100 * EPS


@given(joints(batch=(3,)))
def test_log_prob_on_the_whole_alphabet_is_the_pmf(d):
    table = d.log_prob(d.enumerate_support()).movedim(0, -1).reshape(d.pmf.shape)
    assert torch.allclose(table, d.pmf.log(), rtol=4 * EPS, atol=4 * EPS)


@given(joints(parts=2, batch=(2,)))
def test_moments_are_sums_over_the_alphabet(d):
    x = d.enumerate_support().double()
    p = d.log_prob(x).exp()
    mean = (p.unsqueeze(-1) * x).sum(0)
    centred = x - mean
    covariance = torch.einsum("abi,abj,ab->bij", centred, centred, p)
    assert torch.allclose(d.mean, mean, atol=1e-14)
    assert torch.allclose(d.covariance, covariance, atol=1e-13)


# -- cases -------------------------------------------------------------------------------------------------------------


def test_zero_probabilities_cost_nothing_and_keep_gradients_finite():
    pmf = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64, requires_grad=True)
    entropy = Discrete(pmf).entropy()
    entropy.backward()
    assert entropy.item() == pytest.approx(math.log(2), abs=4 * EPS)
    assert pmf.grad is not None and bool(torch.isfinite(pmf.grad).all())


def test_gradients_of_entropy_and_log_prob_agree_with_differences():
    logits = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def entropy(logits):
        return Discrete(torch.softmax(logits, -1)).entropy()

    def log_prob(logits):
        return Discrete(torch.softmax(logits, -1)).log_prob(torch.tensor([[0], [2]]))

    assert torch.autograd.gradcheck(entropy, logits)
    assert torch.autograd.gradcheck(log_prob, logits)


def test_log_prob_is_minus_infinity_off_the_alphabet():
    d = Discrete([0.25, 0.75])
    assert d.log_prob([[-1.0], [0.5], [2.0], [math.inf]]).isneginf().all()
    assert d.log_prob(torch.tensor([[1]])).exp().tolist() == [0.75]


def test_batch_and_sample_dimensions_broadcast():
    d = Discrete(torch.tensor([[0.5, 0.5], [0.1, 0.9]], dtype=torch.float64))
    assert d.batch_shape == (2,) and d.parts == {} and d.alphabet == (2,)
    x = d.sample((5,), generator=1)
    assert x.shape == (5, 2, 1) and x.dtype == torch.int64
    assert d.log_prob(x).shape == (5, 2)
    assert d.log_prob([1]).tolist() == pytest.approx([math.log(0.5), math.log(0.9)])


def test_conditions_take_a_batch_of_indices():
    d = Discrete([[0.1, 0.2], [0.3, 0.4]], parts=("x", "y"))
    rows = d.condition(x=torch.tensor([[0], [1], [1]]))
    assert rows.batch_shape == (3,) and rows.parts == {"y": 1}
    assert torch.allclose(rows.pmf, torch.tensor([[1 / 3, 2 / 3], [3 / 7, 4 / 7], [3 / 7, 4 / 7]], dtype=torch.float64))
    assert d.condition() is d
    three = Discrete(torch.full((2, 3, 4), 1 / 24, dtype=torch.float64), parts=("x", "y", "z"))
    assert three.condition(z=3, x=0).alphabet == (3,)


def test_marginals_by_axis_number_keep_the_names():
    d = Discrete(torch.full((2, 3), 1 / 6, dtype=torch.float64), parts=("x", "y"))
    assert d.marginal(1).parts == {"y": 1} and d.marginal(-2).shape_of(0) == 2
    assert Discrete([0.5, 0.5]).marginal(0).alphabet == (2,)


def test_values_stand_for_the_outcomes():
    d = Discrete([[0.25, 0.25], [0.0, 0.5]], parts=("x", "y"), values={"x": [-1.0, 1.0]})
    assert d.mean.tolist() == [0.0, 0.75]
    assert d.covariance[0, 0].item() == 1.0
    assert d.values_at([[0, 1], [1, 0]]).tolist() == [[-1.0, 1.0], [1.0, 0.0]]
    assert d.marginal("x").mean.tolist() == [0.0]
    assert Discrete([0.5, 0.5], values=[2.0, 4.0]).mean.tolist() == [3.0]


def test_float32_stays_float32():
    d = Discrete(torch.full((7,), 1 / 7))
    assert d.dtype == torch.float32 and d.entropy().dtype == torch.float32
    assert d.to(dtype=torch.float64).pmf.dtype == torch.float64


def test_a_large_alphabet_in_float32_sums_to_one():
    # in float32 the sum of 10^6 numbers would be off by more than the tolerance if it were not taken in float64
    n = 1_000_000
    assert Discrete(torch.full((n,), 1 / n)).alphabet == (n,)


def test_samples_have_the_right_frequencies():
    # chi-square with 5 degrees of freedom: above 25.74 with probability 1e-4
    pmf = torch.tensor([[0.1, 0.2, 0.05], [0.3, 0.0, 0.35]], dtype=torch.float64)
    d, n = Discrete(pmf, parts=("x", "y")), 20_000
    x = d.sample((n,), generator=3)
    counts = torch.zeros(2, 3, dtype=torch.float64).index_put(
        (x[:, 0], x[:, 1]), torch.ones(n).double(), accumulate=True
    )
    assert counts[1, 1] == 0
    expected = n * pmf
    seen = pmf > 0
    assert ((counts - expected)[seen] ** 2 / expected[seen]).sum() < 25.74


def test_draws_follow_the_generator_and_leave_the_global_one_alone():
    d = Discrete([0.3, 0.7])
    before = torch.get_rng_state()
    first = d.sample((10,), generator=5)
    assert torch.equal(first, d.sample((10,), generator=torch.Generator().manual_seed(5)))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(0)
    one = d.sample((10,))
    torch.manual_seed(0)
    assert torch.equal(one, d.sample((10,)))


def test_no_index_of_weight_zero_is_drawn():
    weights = torch.tensor([0.0, 1e-300, 0.0, 1e-300, 0.0], dtype=torch.float64)
    assert set(draw_indices(weights, (1000,), generator=0).tolist()) == {1, 3}


def test_it_works_under_vmap_and_func_grad():
    pmf = torch.tensor([[0.2, 0.8], [0.5, 0.5]], dtype=torch.float64)
    mapped = torch.func.vmap(lambda p: Discrete(p).entropy())(pmf)
    assert torch.allclose(mapped, Discrete(pmf).entropy())
    slope = torch.func.grad(lambda p: Discrete(p).entropy())(pmf[0])
    assert torch.allclose(slope, -pmf[0].log() - 1)


def test_support_and_bounds():
    d = Discrete([[0.5, 0.25, 0.25]], parts=("x", "y"))
    lower, upper = d.bounds()
    assert lower.tolist() == [0.0, 0.0] and upper.tolist() == [0.0, 2.0]
    assert d.support.check(torch.tensor([0, 2])) and not d.support.check(torch.tensor([1, 2]))
    assert "parts=('x', 'y')" in repr(d)


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, -0.1, 0.6],), r"pmf must not be negative; got -0.1 at index \[1\]"),
        (([0.5, 0.4],), "pmf must sum to one .*; got 0.9: divide it by its sum"),
        (([[0.5, 0.5], [0.5, 0.6]],), r"got 1.1 in batch element \[1\]"),
        (([0.5, float("nan")],), r"pmf must be finite; got nan at index \[1\]"),
        (([],), "pmf must not be empty"),
        ((0.5,), "at least one axis"),
        (([0.5, 0.5], ("x", "y")), "one axis for each of the parts"),
        (([[0.5, 0.5]], ("x", "x")), "different names"),
        (([[0.5, 0.5]], ("x", "not a name")), "identifier"),
    ],
)
def test_bad_pmfs_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Discrete(*arguments)


def test_text_is_refused():
    with pytest.raises(TypeError, match="pmf must hold real numbers"):
        Discrete(["a", "b"])


def test_a_sum_within_rounding_is_kept_and_one_beyond_is_not():
    third = torch.tensor([1 / 3] * 3, dtype=torch.float64)
    assert torch.equal(Discrete(third).pmf, third)
    with pytest.raises(ValueError, match="sum to one"):
        Discrete(third + 1e-10)


def test_bad_conditions_are_refused():
    d = Discrete([[0.5, 0.0], [0.5, 0.0]], parts=("x", "y"))
    with pytest.raises(ValueError, match="no part 'w'; its parts are x, y"):
        d.condition(w=0)
    with pytest.raises(ValueError, match="y=1 has probability zero"):
        d.condition(y=1)
    with pytest.raises(ValueError, match="x must be an index from 0 to 1; got 2"):
        d.condition(x=2)
    with pytest.raises(ValueError, match="one index or have shape"):
        d.condition(x=torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="leave a part free"):
        d.condition(x=0, y=0)
    with pytest.raises(ValueError, match="no part 'w'"):
        d.marginal("w")
    with pytest.raises(ValueError, match=r"x must have shape \(..., 2\)"):
        d.log_prob([0, 1, 1])
    with pytest.raises(ValueError, match="values of axis 0"):
        Discrete([0.5, 0.5], values=[1.0])
    with pytest.raises(TypeError, match="names of the parts"):
        Discrete([[0.5, 0.5]], ("x", "y"), values=[1.0])
    with pytest.raises(NotImplementedError, match="no score"):
        d.score([0, 0])
