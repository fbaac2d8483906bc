"""Conditional tasks by a second route: tables, residuals of what drives, the mean over labels."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats

from infotherm.channels import DiscreteChannel
from infotherm.distributions import Discrete, Gaussian
from infotherm.information import mutual_information
from infotherm.testing import tasks
from infotherm.testing.tasks import conditional, discrete

LARGE = 4.8
ALL = tasks.names("conditional_mutual_information")


def table_information(p):
    """I(x; y | z) of a table by its definition."""
    z, xz, yz = p.sum((0, 1), keepdims=True), p.sum(1, keepdims=True), p.sum(0, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = p * np.log(p * z / (xz * yz))
    return terms[p > 0].sum()


TABLES = {
    "conditional-parity-0.0": np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]]]) / 4,
    "conditional-parity-0.1": np.array([[[0.9, 0.1], [0.1, 0.9]], [[0.1, 0.9], [0.9, 0.1]]]) / 4,
    "conditional-discrete-chain": conditional.chain_table(0.2).numpy(),
    "conditional-discrete-chain-ends": conditional.chain_table(0.2).numpy().transpose(0, 2, 1),
    "conditional-discrete-idle-condition": discrete.SKEWED.numpy()[..., None] * np.array([0.5, 0.3, 0.2]),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(name):
    table, task = TABLES[name], tasks.get(name)
    assert table_information(table) == pytest.approx(float(task.truth), abs=1e-14)
    law = mutual_information(Discrete(table, parts=("x", "y", "z")), "x", "y", given="z")
    assert float(law) == pytest.approx(float(task.truth), abs=1e-14)
    index = tuple(a.long().numpy()[:, 0] for a in task.sample(10_000, generator=2))
    counts = np.zeros_like(table)
    np.add.at(counts, index, 1)
    assert not counts[table == 0].any()
    assert stats.chisquare(counts[table > 0], 10_000 * table[table > 0]).pvalue > 1e-6


def test_the_ends_of_a_chain_by_the_chain_rule():
    """x -> y -> z: I(x; y | z) = I(x; y) - I(x; z), from channels that follow one another."""
    step = DiscreteChannel([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    fair = Discrete([1 / 3] * 3)
    near = mutual_information(step.joint(fair), "x", "y")
    far = mutual_information((step @ step).joint(fair), "x", "y")
    assert float(near - far) == pytest.approx(float(tasks.get("conditional-discrete-chain-ends").truth), abs=1e-14)


def test_parity_shows_nothing_without_the_condition():
    x, y, _ = tasks.get("conditional-parity-0.1").sample(20_000, generator=1)
    assert abs(float((x == y).double().mean()) - 0.5) < LARGE * 0.5 / math.sqrt(20_000)


def partial_correlations(task, n=20_000, seed=3):
    """Those of x_i and y_i given z, by regression of both on z."""
    x, y, z = (a.numpy() for a in task.sample(n, generator=seed))
    basis = np.hstack([z, np.ones((n, 1))])
    rest = [a - basis @ np.linalg.lstsq(basis, a, rcond=None)[0] for a in (x, y)]
    return np.corrcoef(*(r.T for r in rest))[: x.shape[1], x.shape[1] :]


@pytest.mark.parametrize("name", [name for name in ALL if tasks.get(name).gaussian])
def test_partial_correlations(name):
    task = tasks.get(name)
    found = partial_correlations(task)
    parts = name.removeprefix("conditional-gaussian-").split("-")
    expected = {"chain": 0.0, "common": 0.0, "collider": -0.8}.get(parts[0], float(parts[-1]) if len(parts) > 2 else 0)
    wanted = expected * np.eye(len(found))
    assert np.all(np.abs(found - wanted) < LARGE * (1 - wanted**2) / math.sqrt(20_000))
    information = -len(found) * math.log(1 - expected**2) / 2
    assert information == pytest.approx(float(task.truth), abs=1e-14)


@pytest.mark.parametrize(
    ("name", "matrix"),
    [
        ("gaussian-chain", [[1, 0, 0], [0.8, 0.5, 0.4], [0.8, 0.5, 0]]),
        ("gaussian-common-driver", [[1, 0.6, 0], [1, 0, 0.6], [1, 0, 0]]),
        ("gaussian-collider", [[1, 0, 0], [0, 1, 0], [1, 1, 0.5]]),
        ("gaussian-partial-1x1x1-0.8", [[1, 0, 1], [0.8, 0.6, -1], [0, 0, 1]]),
    ],
)
def test_by_closed_form(name, matrix):
    matrix = torch.tensor(matrix, dtype=torch.float64)
    law = Gaussian.from_factor([0.0] * 3, matrix, parts={"x": 1, "y": 1, "z": 1})
    found = mutual_information(law, "x", "y", given="z")
    task = tasks.get(f"conditional-{name}")
    assert float(found) == pytest.approx(float(task.truth), abs=1e-13)
    samples = torch.cat(task.sample(20_000, generator=1), dim=1)
    cov = law.covariance
    spread = ((cov.diagonal()[:, None] * cov.diagonal() + cov**2) / 20_000).sqrt()
    assert bool(((samples.T @ samples / 20_000 - cov).abs() < LARGE * spread).all())


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_curved_drivers(correlation):
    """What is left of x and y after the known functions of z is a normal pair, independent of z."""
    x, y, z = (
        a.numpy()[:, 0] for a in tasks.get(f"conditional-curved-driver-{correlation}").sample(20_000, generator=1)
    )
    e, f = (x - z**2) / 0.5, (y - np.sin(2 * z)) / 0.5
    found = np.corrcoef([e, f, z])
    assert abs(found[0, 1] - correlation) < LARGE * (1 - correlation**2) / math.sqrt(20_000)
    assert np.all(np.abs(found[2, :2]) < LARGE / math.sqrt(20_000))
    assert all(stats.kstest(column, "norm").pvalue > 1e-6 for column in (e, f, z))


@pytest.mark.parametrize(("name", "rho"), [("sign", [0.9, -0.9]), ("strength", [0.0, 0.5, 0.95])])
def test_labels_decide(name, rho):
    task, rho = tasks.get(f"conditional-label-decides-{name}"), np.array(rho)
    x, y, z = (a.numpy()[:, 0] for a in task.sample(20_000, generator=1))
    assert stats.chisquare(np.bincount(z.astype(int))).pvalue > 1e-6
    r = rho[z.astype(int)]
    given = stats.norm.logpdf(y, r * x, np.sqrt(1 - r**2)) - stats.norm.logpdf(y)
    assert abs(given.mean() - float(task.truth)) < LARGE * given.std() / math.sqrt(20_000)
    assert special.entr(1) == 0 and np.mean(-np.log(1 - rho**2) / 2) == pytest.approx(float(task.truth), abs=1e-14)


def test_tables_are_not_rounded_to_single_precision():
    table = conditional.parity_table(0.1)
    assert table[0, 0, 0].item() == 0.9 / 4 and table[0, 0, 1].item() == 0.1 / 4
