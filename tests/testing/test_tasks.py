"""All tasks: names, sizes, seeds, dtypes, devices; Gaussian ones against the plug-in estimator."""

import dataclasses

import numpy as np
import pytest
import torch

from infotherm.core.estimate import Estimate
from infotherm.estimators import GaussianPlugIn
from infotherm.estimators.tags import DATA, QUANTITIES
from infotherm.testing import tasks
from infotherm.testing.tasks.task import closed_form

ALL = tasks.names()
ARGUMENTS = {"entropy": 1, "mutual_information": 2, "conditional_mutual_information": 3, "kl": 2}
LARGE = 4.8  # standard errors; exceeded by chance once in 600 000


def test_there_are_enough_of_every_sort():
    assert len(set(ALL)) == len(ALL)
    assert len(tasks.names("mutual_information")) >= 100
    assert all(tasks.names(quantity, "continuous") and tasks.names(quantity, "discrete") for quantity in QUANTITIES)
    assert len(tasks.names("mutual_information", "mixed")) >= 12
    assert sum(len(tasks.names(quantity, data)) for quantity in QUANTITIES for data in DATA) == len(ALL)


@pytest.mark.parametrize("name", ALL)
def test_a_task_says_what_it_is_and_draws_it(name):
    task = tasks.get(name)
    assert task.name == name and task.description and task.source
    assert len(task.dims) == ARGUMENTS[task.quantity]
    truth = task.truth
    assert isinstance(truth, Estimate) and truth.kind == "exact" and truth.units == "nat"
    assert float(truth.stderr) == 0 and 0 <= float(truth.error) <= 2e-12
    assert truth is task.truth  # found once
    before = torch.get_rng_state()
    arrays = task.sample(50, generator=7)
    assert [tuple(a.shape) for a in arrays] == [(50, dim) for dim in task.dims]
    assert all(a.dtype == torch.float64 and bool(a.isfinite().all()) for a in arrays)
    again = task.sample(50, generator=torch.Generator().manual_seed(7))
    assert all(map(torch.equal, arrays, again))
    task.sample(3)
    assert torch.equal(before, torch.get_rng_state())
    if name not in ("entropy-certain-label",):
        assert not all(map(torch.equal, arrays, task.sample(50, generator=8)))
    if task.data == "discrete":
        assert all(torch.equal(a, a.round()) for a in arrays)
    if task.data == "continuous":
        assert all(len(a.unique(dim=0)) == len(a) for a in arrays)


def test_without_a_seed_every_draw_is_new():
    task = tasks.get("gaussian-1x1-1.0")
    assert not torch.equal(task.sample(5)[0], task.sample(5)[0])


def test_sizes_and_dtypes():
    pair = tasks.get("kl-gaussian-3").sample((4, 9), generator=0, dtype=torch.float32)
    assert [tuple(a.shape) for a in pair] == [(4, 3), (9, 3)] and pair[0].dtype == torch.float32
    assert [len(a) for a in tasks.get("kl-labels").sample(6, generator=0)] == [6, 6]
    for bad in (0, -1, 2.5, True, (3, 4)):
        with pytest.raises(ValueError, match="n must be"):
            tasks.get("gaussian-1x1-1.0").sample(bad)
    with pytest.raises(ValueError, match="a number or a pair"):
        tasks.get("kl-labels").sample((1, 2, 3))
    with pytest.raises(TypeError, match="generator"):
        tasks.get("kl-labels").sample(3, generator="seed")


@pytest.mark.gpu
def test_on_an_accelerator():
    if not torch.cuda.is_available():
        pytest.skip("needs an accelerator")
    for name in ALL:
        arrays = tasks.get(name).sample(20, generator=0, device="cuda")
        assert all(a.device.type == "cuda" and bool(a.isfinite().all()) for a in arrays), name
        again = tasks.get(name).sample(20, generator=torch.Generator("cuda").manual_seed(0))
        assert all(map(torch.equal, arrays, again)), name


def test_unknown_names_and_sorts_are_refused():
    with pytest.raises(KeyError, match="gaussian-1x1-1.0"):
        tasks.get("gaussian-1x1")
    with pytest.raises(ValueError, match="quantity must be one of"):
        tasks.names("mi")
    with pytest.raises(ValueError, match="data must be one of"):
        tasks.names(data="binary")
    base = tasks.get("gaussian-1x1-1.0")
    with pytest.raises(ValueError, match="quantity must be of"):
        dataclasses.replace(base, quantity="mi")
    with pytest.raises(ValueError, match="dims must have 2 entries"):
        dataclasses.replace(base, dims=(1, 1, 1))


GAUSSIAN = [name for name in ALL if tasks.get(name).gaussian and tasks.get(name).quantity != "kl"]


def deviation(task, n=1000, seed=11):
    """How many standard errors the Gaussian plug-in estimate is off."""
    arrays = task.sample(n, generator=seed)
    if task.quantity == "conditional_mutual_information":
        found = GaussianPlugIn().estimate(arrays[0], arrays[1], given=arrays[2])
    else:
        found = GaussianPlugIn().estimate(*arrays)
    # at independence the plug-in has a standard error that vanishes with 1/n
    return abs(float(found) - float(task.truth)) / (float(found.stderr) + 2 / n)


def _wide_ones_slow(name):
    return pytest.param(name, marks=pytest.mark.slow) if sum(tasks.get(name).dims) > 20 else name


@pytest.mark.parametrize("name", [_wide_ones_slow(name) for name in GAUSSIAN if "embedded" not in name])
def test_the_plug_in_estimator_finds_the_truth_of_gaussian_tasks(name):
    assert deviation(tasks.get(name)) < LARGE


@pytest.mark.parametrize("wrong", [1.1, 0.9])
def test_a_wrong_constant_would_be_seen(wrong):
    task = tasks.get("gaussian-1x1-1.0")
    planted = dataclasses.replace(task, find=lambda: closed_form(wrong))
    assert deviation(planted, n=20_000) > 2 * LARGE


def test_the_flag_says_gaussian_where_it_is():
    """Standardised fourth moments: 3 for normal columns, far from it for most others."""
    for name in GAUSSIAN:
        if sum(tasks.get(name).dims) > 20:
            continue
        columns = np.concatenate([a.numpy() for a in tasks.get(name).sample(2000, generator=3)], axis=1)
        scaled = (columns - columns.mean(0)) / columns.std(0)
        assert np.all(np.abs((scaled**4).mean(0) - 3) < LARGE * (96 / 2000) ** 0.5), name


@pytest.mark.parametrize("n", [0, 2.5, True, "a", None])
def test_sizes_are_named(n):
    with pytest.raises(ValueError, match="n must be a whole number of at least 1; got"):
        tasks.get("gaussian-1x1-0.5").sample(n)
