"""Every map is injective: inverted numerically, an image gives back the very samples of its base."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize, special, stats

from infotherm.testing import tasks
from infotherm.testing.tasks import images, transforms
from infotherm.testing.tasks.images import image
from infotherm.testing.tasks.task import normal


def by_root(f):
    """The inverse of an increasing map of single coordinates, by bracketing."""

    def inverse(y):
        forward = lambda v, t: f(torch.tensor([[v]], dtype=torch.float64)).item() - t  # noqa: E731
        found = [optimize.brentq(forward, -12, 12, args=(t,), xtol=1e-13) for t in y.flatten().tolist()]
        return torch.tensor(found, dtype=torch.float64).reshape(y.shape)

    return inverse


def turn_back(speed):
    """Angles are known from |x|, which a spiral keeps."""

    def inverse(y):
        angle = -speed * y.square().sum(1)
        first = angle.cos() * y[:, 0] - angle.sin() * y[:, 1]
        second = angle.sin() * y[:, 0] + angle.cos() * y[:, 1]
        return torch.column_stack([first, second, y[:, 2:]])

    return inverse


def unrolled(y):
    return (21 * y.norm(dim=1, keepdim=True) / (1.5 * math.pi) - 1) / 2


def from_curve(y):
    """(x, x^2, x^3) / (1 + x^2): the first and the last add up to x."""
    return y[:, :1] + y[:, 2:]


mixture = lambda x: 0.3 * special.ndtr((x + 2) / 0.5) + 0.7 * special.ndtr((x - 1.5) / 0.3)  # noqa: E731
INVERSES = {
    transforms.asinh: torch.sinh,
    transforms.half_cube: lambda y: y.sign() * y.abs() ** (2 / 3),
    transforms.normal_cdf: torch.special.ndtri,
    transforms.bimodal: lambda y: torch.from_numpy(special.ndtri(mixture(y.numpy()))),
    transforms.wiggly: by_root(transforms.wiggly),
    transforms.wiggly_other: by_root(transforms.wiggly_other),
    transforms.spiral: turn_back(0.7),
    transforms.spiral_cdf: lambda y: torch.special.ndtri((turn_back(2.0)(y) + 1) / 2),
    transforms.swiss_roll: unrolled,
    transforms.normal_swiss_roll: lambda y: torch.special.ndtri(unrolled(y)),
    transforms.rotate: lambda y: y @ transforms.rotation(y.shape[1]).T,
    transforms.embed: lambda y: y[:, :-2],
    transforms.moment_curve: from_curve,
}


@pytest.mark.parametrize("name", images._IMAGES)
def test_the_samples_of_the_base_come_back(name):
    base_name, *maps = images._IMAGES[name]
    base, task = tasks.get(base_name), tasks.get(name)
    assert task.truth is base.truth and task.data == base.data
    before, after = base.sample(60, generator=4), task.sample(60, generator=4)
    for x, y, f in zip(before, after, maps, strict=True):
        if f is None:
            assert torch.equal(x, y)
        else:
            assert not torch.equal(x, y)
            assert torch.allclose(INVERSES[f](y), x, rtol=1e-7, atol=1e-7)


def test_a_map_that_folds_would_be_seen():
    """The check above has teeth: a spiral of another speed, or a cube root of the wrong power, does not come back."""
    x = tasks.get("gaussian-2x2-1.0").sample(60, generator=4)[0]
    assert not torch.allclose(turn_back(0.7)(transforms.spiral(x, speed=0.71)), x, atol=1e-7)
    assert not torch.allclose(x.abs().sqrt() ** 2, x, atol=1e-7)


@pytest.mark.parametrize(("f", "slope"), [(transforms.wiggly, 0.161), (transforms.wiggly_other, 0.533)])
def test_wiggles_rise_everywhere(f, slope):
    x = torch.linspace(-40, 40, 400_001, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(f(x).sum(), x)
    assert float(gradient.min()) >= slope - 1e-12


def test_margins_are_those_promised():
    x, y = tasks.get("normal-cdf-gaussian-3x3").sample(4000, generator=1)
    columns = [*x.T.numpy(), *y.T.numpy()]
    columns += list(((unrolled(tasks.get("swiss-roll-gaussian-2x2").sample(4000, generator=2)[0])).T).numpy())
    assert all(stats.kstest(column, "uniform").pvalue > 1e-6 for column in columns)
    peaks = tasks.get("bimodal-gaussian-1x1").sample(4000, generator=1)
    assert all(stats.kstest(column.numpy()[:, 0], mixture).pvalue > 1e-6 for column in peaks)
    assert all(float(a.abs().max()) < 5.5 and float(a.std()) > 1 for a in peaks)


def test_rotations_turn():
    for dim in (1, 2, 3, 7):
        matrix = transforms.rotation(dim)
        assert torch.allclose(matrix @ matrix.T, torch.eye(dim, dtype=torch.float64), atol=1e-14)
        assert torch.linalg.det(matrix).item() == pytest.approx(1.0, abs=1e-14)
    assert transforms.rotation(3).abs().min() > 0.05  # every coordinate is mixed with every other


def test_spirals_keep_lengths_and_volumes():
    x = normal(torch.Generator().manual_seed(0), 20, 3)
    assert torch.allclose(transforms.spiral(x).norm(dim=1), x.norm(dim=1), rtol=1e-14)
    for point in x[:5]:
        jacobian = torch.autograd.functional.jacobian(transforms.spiral, point)
        assert torch.linalg.det(jacobian).item() == pytest.approx(1.0, abs=1e-12)


def test_float32_and_shapes():
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    for f in (transforms.bimodal, transforms.rotate, transforms.spiral, transforms.wiggly):
        assert f(x).dtype == torch.float32 and f(x).shape == x.shape
    with pytest.raises(ValueError, match="at least two coordinates"):
        transforms.spiral(x[:, :1])
    with pytest.raises(ValueError, match="one coordinate"):
        transforms.swiss_roll(x)


def test_images_of_your_own():
    base = tasks.get("gaussian-1x1-0.5")
    task = image("mine", base, torch.exp, None)
    assert task.truth is base.truth and task.dims == (1, 1) and not task.gaussian
    assert np.all(task.sample(10, generator=0)[0].numpy() > 0)
    assert image("turned", tasks.get("gaussian-3x3-1.0"), transforms.rotate, None).gaussian
    assert not image("half", tasks.get("gaussian-3x3-1.0"), transforms.rotate, transforms.spiral).gaussian
