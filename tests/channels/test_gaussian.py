"""Linear-Gaussian channels: outputs, joints and compositions against what the laws themselves say."""

import math

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infotherm.channels import ChannelJoint, GaussianChannelJoint, LinearGaussianChannel
from infotherm.distributions import Empirical, Gaussian, GaussianMixture, LogDensity, Rademacher, SpikeSlab
from infotherm.information import entropy, mutual_information

F64 = torch.float64


def random_matrix(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=F64)


def random_covariance(generator, *shape):
    root = random_matrix(generator, *shape, shape[-1] + 1)
    return root @ root.mT / shape[-1]


@st.composite
def settings(draw):
    """A generator, sizes D and E, and a scale between 1e-3 and 1e3."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    return generator, draw(st.integers(1, 4)), draw(st.integers(1, 4)), 10.0 ** draw(st.integers(-3, 3))


def random_channel(generator, dim, size, scale=1.0, batch=()):
    return LinearGaussianChannel(
        scale * random_matrix(generator, *batch, size, dim),
        scale**2 * random_covariance(generator, *batch, size),
        random_matrix(generator, *batch, size),
    )


def close(a, b, rtol=1e-12):
    return torch.allclose(a, b, rtol=rtol, atol=rtol * float(b.abs().max()))


# -- laws -----------------------------------------------------------------------------------------------------------


@given(settings())
def test_output_is_the_marginal_of_the_joint(setting):
    generator, dim, size, scale = setting
    p = Gaussian(random_matrix(generator, dim), random_covariance(generator, dim))
    channel = random_channel(generator, dim, size, scale)
    joint, output = channel.joint(p), channel.output(p)
    matrix, noise = channel.matrix(), channel.noise_covariance()
    assert close(output.covariance, matrix @ p.covariance @ matrix.mT + noise)
    assert close(joint.marginal("y").covariance, output.covariance)
    assert close(joint.marginal("y").mean, output.mean)
    assert close(joint.marginal("x").covariance, p.covariance)
    assert joint.input is p and joint.channel is channel


@given(settings())
def test_chain_rule_and_bayes(setting):
    generator, dim, size, scale = setting
    p = Gaussian(random_matrix(generator, dim), random_covariance(generator, dim))
    channel = random_channel(generator, dim, size, scale)
    point = channel.joint(p).sample((5,), generator=generator)
    x, y = point[:, :dim], point[:, dim:]
    forwards = p.log_prob(x) + channel(x).log_prob(y)
    backwards = channel.output(p).log_prob(y) + channel.reverse(p)(y).log_prob(x)
    assert close(channel.joint(p).log_prob(point), forwards, 1e-9)
    assert close(backwards, forwards, 1e-9)
    conditional = channel.joint(p).condition(y=y)
    assert close(conditional.mean, channel.reverse(p).mean(y), 1e-9)


@given(settings())
def test_composition_is_one_channel_after_the_other(setting):
    generator, dim, size, scale = setting
    first, second = random_channel(generator, dim, size, scale), random_channel(generator, size, 2)
    p = Gaussian(random_matrix(generator, dim), random_covariance(generator, dim))
    at_once, in_turn = (second @ first).output(p), second.output(first.output(p))
    assert close(at_once.mean, in_turn.mean) and close(at_once.covariance, in_turn.covariance)


@given(settings())
def test_what_is_processed_further_tells_less(setting):
    generator, dim, size, scale = setting
    p = Gaussian(random_matrix(generator, dim), random_covariance(generator, dim))
    first, second = random_channel(generator, dim, size, scale), random_channel(generator, size, 2)
    before, after = (torch.log1p(c.signal_to_noise(p)).sum() / 2 for c in (first, second @ first))
    assert after <= before * (1 + 1e-12)


@given(settings())
def test_a_batch_is_its_members(setting):
    generator, dim, size, scale = setting
    channels = random_channel(generator, dim, size, scale, batch=(3, 1))
    laws = Gaussian(random_matrix(generator, 2, dim), random_covariance(generator, 2, dim))
    output = channels.output(laws)
    assert output.batch_shape == (3, 2)
    for i in range(3):
        for j in range(2):
            one = LinearGaussianChannel(channels.matrix()[i, 0], channels.noise_covariance()[i, 0], channels.bias[i, 0])
            own = one.output(Gaussian(laws.mean[j], laws.covariance[j]))
            assert close(output.mean[i, j], own.mean) and close(output.covariance[i, j], own.covariance)


# -- information of a channel ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [-12, -8, 0, 8, 12])
def test_signal_to_noise_does_not_cancel(exponent):
    snr = torch.tensor([10.0**exponent, 2 * 10.0**exponent], dtype=F64)
    channel = LinearGaussianChannel(torch.diag(snr.sqrt()), torch.eye(2, dtype=F64))
    p = Gaussian(torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64))
    found = channel.joint(p).signal_to_noise()
    assert torch.allclose(found, snr.flip(0), rtol=1e-14)
    # the naive difference of log-determinants has lost everything at the weak end
    naive = torch.logdet(channel.output(p).covariance) - torch.logdet(channel.noise_covariance())
    exact = torch.log1p(snr).sum()
    assert abs(torch.log1p(found).sum() - exact) < 1e-15 * exact
    if exponent == -12:
        assert abs(naive - exact) > 1e-6 * exact


def test_signal_without_noise_is_infinite_and_noise_without_signal_is_nothing():
    p = Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 4.0]])
    quiet = LinearGaussianChannel([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]])
    assert quiet.signal_to_noise(p).tolist() == [math.inf, 1.0]
    deaf = LinearGaussianChannel([[1.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]])
    assert deaf.signal_to_noise(p).tolist() == [1.0, 0.0]


# -- laws that are not Gaussian -------------------------------------------------------------------------------------


def atoms_and_mixtures():
    yield Rademacher(0.3)
    yield SpikeSlab(0.4, 1.0, 2.0)
    yield Empirical([[0.0], [1.0], [4.0]], [0.2, 0.5, 0.3])
    yield GaussianMixture([0.3, 0.7], [-1.0, 2.0], [0.5, 1.5])


@pytest.mark.parametrize("p", list(atoms_and_mixtures()), ids=lambda p: type(p).__name__)
def test_output_of_mixtures_has_the_right_density_and_moments(p):
    channel = LinearGaussianChannel(1.5, 0.4, 0.7)
    output = channel.output(p)
    assert close(output.mean, 1.5 * p.mean + 0.7)
    assert close(output.covariance, 2.25 * p.covariance + 0.4)
    mixture = p if isinstance(p, GaussianMixture) else p.as_gaussian_mixture()
    y = torch.linspace(-4, 8, 7, dtype=F64)[:, None]
    means, variances = 1.5 * mixture.means[:, 0] + 0.7, 2.25 * mixture.covariances[:, 0, 0] + 0.4
    density = (
        mixture.weights * torch.exp(-((y - means) ** 2) / (2 * variances)) / (2 * math.pi * variances).sqrt()
    ).sum(-1)
    assert close(output.log_prob(y).exp(), density)


@pytest.mark.parametrize("p", list(atoms_and_mixtures()), ids=lambda p: type(p).__name__)
def test_joint_of_mixtures(p):
    channel = LinearGaussianChannel(1.5, 0.4)
    joint = channel.joint(p, names=("clean", "noisy"))
    assert isinstance(joint, ChannelJoint) and joint.parts == {"clean": 1, "noisy": 1}
    assert joint.marginal("clean") is p and joint.marginal(["clean", "noisy"]) is joint
    assert joint.measure == ("lebesgue" if p.measure == "lebesgue" else "mixed")
    draws = joint.sample((4000,), generator=0)
    assert torch.allclose(draws.mean(0), joint.mean, atol=0.15)
    assert torch.allclose(draws.T.cov(), joint.covariance, atol=0.4)
    x, y = draws[:3, :1], draws[:3, 1:]
    assert torch.equal(joint.log_prob(draws[:3]), p.log_prob(x) + channel(x).log_prob(y))
    assert close(joint.condition(clean=[2.0]).mean, torch.tensor([3.0], dtype=F64))


def test_shared_and_round_components_stay_so():
    samples = Empirical(torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=F64))
    output = LinearGaussianChannel(0.5, 0.1).output(samples)
    assert output.covariances.stride(-3) == 0
    full = LinearGaussianChannel(torch.eye(3, dtype=F64) * 0.5, 0.1 * torch.eye(3, dtype=F64)).output(samples)
    points = output.sample((10,), generator=1)
    assert close(output.log_prob(points), full.log_prob(points))
    round_ones = GaussianMixture([0.5, 0.5], torch.zeros(2, 3, dtype=F64), [1.0, 4.0])
    assert close(LinearGaussianChannel(2.0, 1.0).output(round_ones).covariances[1], 17 * torch.eye(3, dtype=F64))


def test_batched_channel_on_a_mixture():
    times = LinearGaussianChannel.isotropic([[1.0], [0.5]], [[0.0], [0.75]])
    output = times.output(GaussianMixture([0.3, 0.7], [-1.0, 2.0], [0.5, 1.5]))
    assert output.batch_shape == (2, 1) and close(output.means[1, 0, :, 0], torch.tensor([-0.5, 1.0], dtype=F64))
    joint = times.joint(GaussianMixture([0.3, 0.7], [-1.0, 2.0], [0.5, 1.5]))
    draws = joint.sample((2000,), generator=0)
    assert draws.shape == (2000, 2, 1, 2)
    assert torch.equal(draws[:, 0, 0, 0], draws[:, 0, 0, 1])  # no noise in the first channel
    assert abs(torch.corrcoef(torch.stack([draws[:, 0, 0, 0], draws[:, 1, 0, 0]]))[0, 1]) < 0.1  # inputs of their own


# -- edges ----------------------------------------------------------------------------------------------------------


def test_a_channel_without_noise_is_a_map():
    copy = LinearGaussianChannel([[1.0, 1.0]], 0.0)
    p = Gaussian([1.0, 2.0], [[1.0, 0.0], [0.0, 1.0]])
    assert copy([3.0, 4.0]).degenerate and copy.sample([3.0, 4.0]).tolist() == [7.0]
    assert copy.output(p).covariance.tolist() == [[pytest.approx(2.0, rel=1e-15)]]
    assert copy.joint(p).degenerate
    identity = LinearGaussianChannel(1.0, 0.0)
    assert close(identity.output(p).covariance, p.covariance)


def test_follows_the_dtype_of_its_input():
    channel = LinearGaussianChannel([[1.0, 2.0]], [[0.5]], [1.0])
    p = Gaussian(torch.zeros(2), torch.eye(2))
    laws = (channel(torch.zeros(2)), channel.output(p), channel.joint(p), channel.reverse(p)(torch.zeros(1)))
    assert {law.mean.dtype for law in laws} == {torch.float32}
    assert channel.output(p).covariance.item() == pytest.approx(5.5, rel=1e-6)
    double = LinearGaussianChannel(torch.ones(1, 1), torch.ones(1, 1)) @ LinearGaussianChannel(2.0, 1.0)
    assert double.matrix().dtype == F64


def test_gradients_reach_channel_and_input():
    def spread(matrix, noise, covariance):
        channel = LinearGaussianChannel(matrix, noise @ noise.mT)
        p = Gaussian(torch.zeros(2, dtype=F64), covariance @ covariance.mT + torch.eye(2, dtype=F64))
        return channel.output(p).entropy() + torch.log1p(channel.signal_to_noise(p)).sum()

    generator = torch.Generator().manual_seed(3)
    leaves = [random_matrix(generator, 2, 2) for _ in range(3)]
    assert torch.autograd.gradcheck(spread, tuple(leaf.requires_grad_() for leaf in leaves), atol=1e-6)


def test_joint_of_a_gaussian_is_gaussian():
    joint = LinearGaussianChannel(2.0, 1.0).joint(Gaussian([0.0, 0.0], torch.eye(2, dtype=F64)), names=("a", "b"))
    assert isinstance(joint, GaussianChannelJoint) and isinstance(joint, Gaussian)
    assert joint.parts == {"a": 2, "b": 2} and joint.condition(a=[1.0, 1.0]).mean.tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearGaussianChannel([1.0, 2.0], 1.0), r"A must have shape .*got \(2,\)"),
        (lambda: LinearGaussianChannel([[1.0]], -1.0), "noise_cov must be >= 0; got -1"),
        (lambda: LinearGaussianChannel(1.0, -1.0), "noise_variance must be >= 0; got -1"),
        (lambda: LinearGaussianChannel([[1.0]], [[1.0, 0.0], [0.0, 1.0]]), r"noise_cov must have shape \(..., 1, 1\)"),
        (
            lambda: LinearGaussianChannel([[1.0], [1.0]], [[1.0, 2.0], [2.0, 1.0]]),
            "noise_cov must be positive semi-def",
        ),
        (lambda: LinearGaussianChannel(math.nan, 1.0), "A must be finite"),
        (lambda: LinearGaussianChannel([[1.0]], [[1.0]], [1.0, 2.0]), "bias must have shape"),
        (lambda: LinearGaussianChannel(torch.ones(2, 1, 1), torch.ones(3, 1, 1)), "batch dimensions must broadcast"),
        (lambda: LinearGaussianChannel([[1.0, 1.0]], 1.0)([1.0]), r"x must have shape \(..., 2\); got \(1,\)"),
        (lambda: LinearGaussianChannel([[1.0, 1.0]], 1.0).output(Gaussian(0.0, 1.0)), "inputs with D = 2; p has D = 1"),
        (lambda: LinearGaussianChannel(1.0, 1.0).joint(Gaussian(0.0, 1.0), names=("x", "x")), "two different names"),
        (
            lambda: LinearGaussianChannel([[1.0, 1.0]], 1.0) @ LinearGaussianChannel([[1.0]], 1.0),
            "the first gives D = 1",
        ),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_law_without_closed_form_is_refused():
    bump = LogDensity(lambda x: -0.5 * x[..., 0] ** 2 - 0.5 * math.log(2 * math.pi))
    channel = LinearGaussianChannel(1.0, 1.0)
    with pytest.raises(TypeError, match="output law of a linear-Gaussian channel is known for .*got LogDensity"):
        channel.output(bump)
    with pytest.raises(TypeError, match="posterior of a linear-Gaussian channel is known for"):
        channel.reverse(bump)
    assert channel.joint(bump).log_prob([0.0, 0.0]).item() == pytest.approx(-math.log(2 * math.pi))


def test_batches_that_do_not_fit_are_named():
    two, three = (LinearGaussianChannel(torch.ones(n, 1, 1), torch.ones(n, 1, 1)) for n in (2, 3))
    with pytest.raises(ValueError, match=r"batch dimensions must broadcast; got channel \(2,\), p \(3,\)"):
        two.output(Gaussian(torch.zeros(3, 1), torch.ones(3, 1, 1)))
    with pytest.raises(ValueError, match=r"got second \(2,\), first \(3,\)"):
        two @ three


def test_an_empty_matrix_is_refused():
    with pytest.raises(ValueError, match=r"A must not be empty; got shape \(0, 0\)"):
        LinearGaussianChannel(torch.empty(0, 0), torch.empty(0, 0))


def _nearly_singular_noise(seed):
    root = torch.randn(2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    root[1] = root[0] + 1e-4 * root[1]
    return root @ root.T


def _half_logdet(matrix):
    return mpmath.log(mpmath.det(matrix)) / 2


@pytest.mark.parametrize("seed", range(8))
def test_numbers_of_outputs_know_how_far_the_noise_covariance_is_known(seed):
    """The noise is given by its covariance: a factor of a nearly singular one has few digits, not sixteen."""
    noise, gain = _nearly_singular_noise(seed), [[0.3], [0.7]]
    channel, p = LinearGaussianChannel(gain, noise), Gaussian(0.0, 2.0)
    with mpmath.workdps(50):
        N, A = mpmath.matrix(noise.tolist()), mpmath.matrix(gain)
        total = A * A.T * 2 + N
        constant = mpmath.log(2 * mpmath.pi * mpmath.e)
        for found, truth in (
            (mutual_information(channel.joint(p), "x", "y"), _half_logdet(total) - _half_logdet(N)),
            (entropy(channel([1.0])), _half_logdet(N) + constant),
            (entropy(channel.output(p)), _half_logdet(total) + constant),
            (entropy(LinearGaussianChannel([[0.0], [0.0]], noise).output(p)), _half_logdet(N) + constant),
        ):
            assert abs(mpmath.mpf(float(found.value)) - truth) <= float(found.error) < 1e-2


@pytest.mark.parametrize("noise", [1e-24, 1.0, 1e24])
def test_isotropic_channels_keep_all_digits(noise):
    found = mutual_information(LinearGaussianChannel(1.0, noise).joint(Gaussian(0.0, 1.0)), "x", "y")
    assert float(found.error) < 1e-14 * (1 + float(found.value)) and float(found.value) == pytest.approx(
        0.5 * math.log1p(1 / noise), rel=1e-13
    )
