"""Stochastic matrices as channels."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infotherm.channels import DiscreteChannel, DiscreteChannelJoint
from infotherm.distributions import Discrete, Gaussian, Rademacher

F64 = torch.float64


def stochastic(generator, *shape, zeros=True):
    rows = torch.rand(*shape, generator=generator, dtype=F64)
    if zeros:
        rows = rows * (rows > 0.3)
        rows[..., 0] += 0.1
    return rows / rows.sum(-1, keepdim=True)


@st.composite
def chains(draw):
    """A law and two channels that follow one another."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    k, m, n = (draw(st.integers(1, 5)) for _ in range(3))
    first, second = stochastic(generator, k, m), stochastic(generator, m, n)
    return Discrete(stochastic(generator, k)), DiscreteChannel(first), DiscreteChannel(second)


@given(chains())
def test_output_is_the_marginal_of_the_joint(chain):
    p, channel, _ = chain
    joint = channel.joint(p)
    assert isinstance(joint, DiscreteChannelJoint) and joint.input is p and joint.channel is channel
    assert torch.allclose(joint.pmf, p.pmf[:, None] * channel.matrix)
    assert torch.allclose(joint.marginal("y").pmf, channel.output(p).pmf)
    assert torch.allclose(joint.marginal("x").pmf, p.pmf)


@given(chains())
def test_composition(chain):
    p, first, second = chain
    assert torch.allclose((second @ first).output(p).pmf, second.output(first.output(p)).pmf)


@given(chains())
def test_what_is_processed_further_tells_less(chain):
    p, first, second = chain

    def information(channel):
        joint = channel.joint(p)
        return p.entropy() + channel.output(p).entropy() - joint.entropy()

    assert information(second @ first) <= information(first) + 1e-12


@given(chains())
def test_bayes(chain):
    p, channel, _ = chain
    backwards = channel.reverse(p)
    assert torch.allclose(backwards.joint(channel.output(p)).pmf.mT, channel.joint(p).pmf)
    assert torch.allclose(backwards.output(channel.output(p)).pmf, p.pmf)


def test_a_batch_is_its_members():
    generator = torch.Generator().manual_seed(0)
    matrix, pmf = stochastic(generator, 3, 1, 2, 4), stochastic(generator, 5, 2)
    output = DiscreteChannel(matrix).output(Discrete(pmf))
    assert output.batch_shape == (3, 5)
    assert torch.allclose(output.pmf[2, 4], pmf[4] @ matrix[2, 0])
    assert DiscreteChannel(matrix).joint(Discrete(pmf)).batch_shape == (3, 5)


def test_rows_by_index():
    channel = DiscreteChannel([[0.9, 0.1], [0.2, 0.8]])
    assert channel(1).pmf.tolist() == [0.2, 0.8]
    assert channel([[0], [1], [0]]).pmf[:, 0].tolist() == [0.9, 0.2, 0.9]
    times = DiscreteChannel(torch.stack([torch.eye(2), torch.ones(2, 2) / 2]))
    assert times(0).pmf.tolist() == [[1.0, 0.0], [0.5, 0.5]]
    assert channel.sample([[0], [1]], generator=0).shape == (2, 1)


def test_values_travel():
    channel = DiscreteChannel([[0.5, 0.5], [0.0, 1.0]], values=[-1.0, 3.0])
    assert channel.output(Discrete([1.0, 0.0])).mean.item() == 1.0
    joint = channel.joint(Discrete([0.5, 0.5], values=[10.0, 20.0]))
    assert joint.mean.tolist() == [15.0, 2.0]
    assert channel.joint(Rademacher()).mean.tolist() == [0.0, 2.0]  # signs are a discrete law too


def test_an_input_of_probability_zero_keeps_its_row():
    joint = DiscreteChannel([[0.9, 0.1], [0.2, 0.8]]).joint(Discrete([1.0, 0.0]))
    assert joint.condition(x=1).pmf.tolist() == [0.2, 0.8]
    assert joint.condition(y=0).pmf.tolist() == [1.0, 0.0]


def test_dtype_follows_the_numbers():
    single = DiscreteChannel(torch.eye(2))
    assert single.output(Discrete(torch.tensor([0.5, 0.5]))).pmf.dtype == torch.float32
    assert single.output(Discrete([0.5, 0.5])).pmf.dtype == F64


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DiscreteChannel([[0.5, 0.4]]), r"rows that sum to one .*row \[0\] sums to 0.9"),
        (lambda: DiscreteChannel([[1.5, -0.5]]), r"negative entries; got -0.5 at index \[0, 1\]"),
        (lambda: DiscreteChannel([[float("nan"), 1.0]]), "matrix must be finite"),
        (lambda: DiscreteChannel([0.5, 0.5]), r"matrix must have shape \(..., K, L\)"),
        (lambda: DiscreteChannel(torch.zeros(0, 2)), "must not be empty"),
        (lambda: DiscreteChannel([[1.0]], values=[1.0, 2.0]), r"values must have shape \(1,\)"),
        (lambda: DiscreteChannel([[1.0]])(1), "x must be an index from 0 to 0; got 1"),
        (
            lambda: DiscreteChannel([[1.0]]).output(Discrete([0.5, 0.5])),
            "must have 1 outcomes, one for each row; got 2",
        ),
        (lambda: DiscreteChannel([[1.0]]).output(Discrete([[1.0]], parts=("a", "b"))), "p must have one part"),
        (lambda: DiscreteChannel([[1.0]]) @ DiscreteChannel([[0.5, 0.5]]), "takes 1 inputs; the first gives 2"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_continuous_law_is_refused():
    with pytest.raises(TypeError, match="takes a Discrete law; got Gaussian"):
        DiscreteChannel([[1.0]]).output(Gaussian(0.0, 1.0))


def test_dtypes_may_differ():
    """Rows that sum to one in float32 do so in float64 only after they have been divided by their sum."""
    narrow = torch.tensor([[0.9, 0.1], [0.2, 0.8]], dtype=torch.float32)
    channel, wide = DiscreteChannel(narrow), DiscreteChannel([[0.7, 0.3], [0.4, 0.6]])
    assert channel.output(Discrete([0.3, 0.7])).pmf.dtype == torch.float64
    assert wide.output(Discrete(torch.tensor([0.3, 0.7]))).pmf.dtype == torch.float64
    assert channel.reverse(Discrete([0.3, 0.7])).matrix.dtype == (wide @ channel).matrix.dtype == torch.float64
    assert torch.allclose((wide @ channel).matrix, narrow.double() @ wide.matrix, atol=1e-7)
    assert channel.output(Discrete(torch.tensor([0.3, 0.7]))).pmf.dtype == torch.float32


def test_batches_that_do_not_fit_are_named():
    two = DiscreteChannel(torch.eye(2, dtype=torch.float64).expand(2, 2, 2))
    three = Discrete(torch.full((3, 2), 0.5, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"batch dimensions must broadcast; got channel \(2,\), p \(3,\)"):
        two.output(three)
