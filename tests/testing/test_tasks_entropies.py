"""Entropies and divergences by a second route: scipy's densities over the samples, scipy's entropies, quadrature."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from infotherm.distributions import GaussianMixture
from infotherm.information import entropy, kl
from infotherm.testing import tasks
from infotherm.testing.tasks.task import closed_form

LARGE = 4.8
CERTIFIED = {
    case["name"]: float(case["value"]["nats"])
    for file in ("certified.json", "tasks.json")
    for case in json.loads((Path(__file__).parents[2] / "validation" / "references" / file).read_text(encoding="utf-8"))
}


def normal(cov, mean=None):
    cov = np.atleast_2d(cov)
    return stats.multivariate_normal(mean=np.zeros(len(cov)) if mean is None else mean, cov=cov)


class Product:
    """Independent coordinates of one law."""

    def __init__(self, law, dim):
        self.law, self.dim = law, dim

    def logpdf(self, x):
        return self.law.logpdf(x).sum(1)

    def entropy(self):
        return self.dim * self.law.entropy()


class Mixture:
    """A scalar Gaussian mixture."""

    def __init__(self, weights, means, deviations):
        self.weights, self.law = np.array(weights), stats.norm(means, deviations)

    def logpdf(self, x):
        return np.log(self.law.pdf(x) @ self.weights)

    def cdf(self, x):
        return self.law.cdf(np.asarray(x)[:, None]) @ self.weights

    def entropy(self):
        f = lambda x: special.entr(self.law.pdf(x) @ self.weights)  # noqa: E731
        points = np.arange(-22, 24, 2.0)
        return math.fsum(integrate.quad(f, a, b, epsabs=1e-13)[0] for a, b in zip(points[:-1], points[1:], strict=True))


TWO, UNEVEN = Mixture([0.5, 0.5], [-2, 2], [1, 1]), Mixture([0.3, 0.7], [-1, 2], [0.5, 1.5])
DENSE = lambda d, c: c + (1 - c) * np.eye(d)  # noqa: E731
LAWS = {
    **{f"gaussian-{d}": normal(np.eye(d)) for d in (1, 2, 3, 4, 5, 6, 20)},
    "gaussian-dense-3": normal(DENSE(3, 0.5)),
    "gaussian-dense-6-strong": normal(DENSE(6, 0.95)),
    "gaussian-narrow-2": normal(1e-4 * np.eye(2)),
    "uniform-1": Product(stats.uniform(), 1),
    "uniform-3": Product(stats.uniform(0, 0.5), 3),
    "exponential": Product(stats.expon(), 1),
    "laplace": Product(stats.laplace(), 1),
    "laplace-3": Product(stats.laplace(scale=2), 3),
    "cauchy": Product(stats.cauchy(), 1),
    "student-1-dof3": Product(stats.t(3), 1),
    "student-3-dof5": stats.multivariate_t(shape=DENSE(3, 0.5), df=5),
    "lognormal": Product(stats.lognorm(0.5), 1),
    "beta-2-5": Product(stats.beta(2, 5), 1),
    "gamma-3": Product(stats.gamma(3), 1),
    "two-peaks": TWO,
    "uneven-peaks": UNEVEN,
    "three-peaks": Mixture([0.2, 0.5, 0.3], [-3, 0, 4], [1, 0.25, 2]),
}
ZIPF = 1 / np.arange(1, 21)
PMFS = {
    "uniform-labels-8": np.full(8, 1 / 8),
    "zipf-20": ZIPF / ZIPF.sum(),
    "geometric-0.3": 0.3 * 0.7 ** np.arange(200),
    "poisson-10": stats.poisson.pmf(np.arange(80), 10),
    "certain-label": np.ones(1),
}


def off(values, truth):
    """How many standard errors a mean lies from the truth."""
    spread = values.std() / math.sqrt(len(values))
    return 0.0 if spread < 1e-12 and abs(values.mean() - truth) < 1e-9 else abs(values.mean() - truth) / spread


def test_every_entropy_and_divergence_is_checked():
    assert {f"entropy-{name}" for name in (*LAWS, *PMFS)} == set(tasks.names("entropy"))
    assert {f"kl-{name}" for name in PAIRS} | {"kl-labels"} == set(tasks.names("kl"))


@pytest.mark.parametrize("name", LAWS)
def test_entropies_of_densities(name):
    law, task = LAWS[name], tasks.get(f"entropy-{name}")
    assert float(law.entropy()) == pytest.approx(float(task.truth), abs=2e-9)
    (x,) = task.sample(20_000, generator=5)
    assert off(-law.logpdf(x.numpy()), float(task.truth)) < LARGE
    # a second moment of the samples that the mean surprisal may not see
    if name.startswith(("gaussian", "laplace", "uniform", "gamma", "two")):
        y = law.rvs((20_000,), random_state=1) if hasattr(law, "rvs") else None
        if y is not None:
            assert np.allclose(np.cov(x.numpy().T), np.cov(y.T), atol=0.1 * np.cov(y.T).max())


@pytest.mark.parametrize("name", PMFS)
def test_entropies_of_labels(name):
    pmf, task = PMFS[name], tasks.get(f"entropy-{name}")
    assert special.entr(pmf).sum() == pytest.approx(float(task.truth), abs=1e-13)
    counts = np.bincount(task.sample(20_000, generator=5)[0].long().numpy()[:, 0], minlength=len(pmf))
    frequent = 20_000 * pmf > 5
    rest = [max(counts[~frequent].sum(), 0)] if not frequent.all() else []
    expected = [*pmf[frequent], *([1 - pmf[frequent].sum()] if rest else [])]
    if len(expected) > 1:
        assert stats.chisquare([*counts[frequent], *rest], 20_000 * np.array(expected)).pvalue > 1e-6


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("entropy-two-peaks", "gm2-entropy-sym"),
        ("entropy-three-peaks", "gm3-entropy"),
        ("entropy-uneven-peaks", "gm2-entropy-uneven"),
        ("entropy-poisson-10", "poisson-entropy-10"),
        ("kl-laplace-gaussian", "kl-laplace1-gauss-sqrt2ish"),
    ],
)
def test_certified_values(name, reference):
    task = tasks.get(name)
    assert task.truth.method == "certified"
    assert abs(float(task.truth) - CERTIFIED[reference]) <= float(task.truth.error)


def test_a_wrong_digit_would_be_seen():
    task = tasks.get("entropy-laplace")
    wrong = dataclasses.replace(task, find=lambda: closed_form(float(task.truth) + 0.05))
    values = -LAWS["laplace"].logpdf(task.sample(20_000, generator=5)[0].numpy())
    assert off(values, float(task.truth)) < LARGE < off(values, float(wrong.truth)) / 1.2


# -- divergences -------------------------------------------------------------------------------------------------------

PAIRS = {
    "gaussian-shift": (normal(1, [1]), normal(1)),
    "gaussian-narrower": (normal(1), normal(4)),
    "gaussian-wider": (normal(4), normal(1)),
    "gaussian-equal-2": (normal(np.eye(2)), normal(np.eye(2))),
    "gaussian-3": (normal(DENSE(3, 0.5), [0.5, 0, -0.5]), normal(np.eye(3))),
    "gaussian-5": (normal(np.eye(5)), normal(DENSE(5, 0.5))),
    "gaussian-shift-10": (normal(np.eye(10), [0.3] * 10), normal(np.eye(10))),
    "laplace-gaussian": (Product(stats.laplace(), 1), Product(stats.norm(0, 1.4), 1)),
    "exponential": (Product(stats.expon(scale=0.5), 1), Product(stats.expon(), 1)),
    "exponential-slower": (Product(stats.expon(), 1), Product(stats.expon(scale=0.5), 1)),
    "uniform-within": (Product(stats.uniform(), 2), Product(stats.uniform(0, 2), 2)),
    "two-peaks-gaussian": (TWO, Product(stats.norm(0, math.sqrt(5)), 1)),
    "mixtures": (UNEVEN, TWO),
    "equal-mixtures": (TWO, TWO),
}


@pytest.mark.parametrize("name", PAIRS)
def test_divergences(name):
    """The mean log ratio over p's samples; q's samples have the mean surprisal of q."""
    (p, q), task = PAIRS[name], tasks.get(f"kl-{name}")
    x, y = (a.numpy() for a in task.sample((20_000, 15_000), generator=5))
    assert off(p.logpdf(x) - q.logpdf(x), float(task.truth)) < LARGE
    assert off(-q.logpdf(y), float(q.entropy())) < LARGE
    # the mean of q / p over p is the part of q where p is not zero
    ratio = np.exp(p.logpdf(y) - q.logpdf(y))
    if name not in ("gaussian-wider", "exponential-slower"):  # there the variance of the ratio is infinite
        assert off(ratio, 1.0) < LARGE


def test_divergences_by_quadrature():
    uneven = GaussianMixture([0.3, 0.7], [-1.0, 2.0], [0.25, 2.25])
    two = GaussianMixture([0.5, 0.5], [-2.0, 2.0], [1.0, 1.0])
    five = GaussianMixture([1.0], [0.0], [5.0])
    for found, name in ((kl(uneven, two), "kl-mixtures"), (kl(two, five), "kl-two-peaks-gaussian"),
                        (entropy(uneven), "entropy-uneven-peaks")):  # fmt: skip
        truth = tasks.get(name).truth
        assert abs(float(found) - float(truth)) <= float(found.error) + float(truth.error)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("gaussian-shift", 0.5),
        ("gaussian-narrower", (1 / 4 - 1 + math.log(4)) / 2),
        ("gaussian-wider", (4 - 1 - math.log(4)) / 2),
        ("gaussian-shift-10", 10 * 0.09 / 2),
        ("gaussian-5", (np.trace(np.linalg.inv(DENSE(5, 0.5))) - 5 + math.log(np.linalg.det(DENSE(5, 0.5)))) / 2),
        ("gaussian-3", (0.5 + 3 - 3 - math.log(0.5)) / 2),
        ("laplace-gaussian", -1 - math.log(2) + math.log(2 * math.pi * 1.96) / 2 + 1 / 1.96),
    ],
)
def test_divergences_by_formula(name, formula):
    assert formula == pytest.approx(float(tasks.get(f"kl-{name}").truth), abs=1e-14)


def test_divergence_of_labels():
    task = tasks.get("kl-labels")
    p, q = np.array([0.5, 0.3, 0.2, 0]), np.full(4, 0.25)
    assert special.rel_entr(p, q).sum() == pytest.approx(float(task.truth), abs=1e-15)
    for sample, pmf in zip(task.sample((8000, 5000), generator=1), (p, q), strict=True):
        counts = np.bincount(sample.long().numpy()[:, 0], minlength=4)
        assert not counts[pmf == 0].any()
        assert stats.chisquare(counts[pmf > 0], len(sample) * pmf[pmf > 0]).pvalue > 1e-6


def test_one_dimensional_samples_follow_their_law():
    for name, law in (("laplace", stats.laplace()), ("cauchy", stats.cauchy()), ("gamma-3", stats.gamma(3)),
                      ("beta-2-5", stats.beta(2, 5)), ("lognormal", stats.lognorm(0.5)), ("two-peaks", TWO),
                      ("student-1-dof3", stats.t(3)), ("exponential", stats.expon())):  # fmt: skip
        x = tasks.get(f"entropy-{name}").sample(5000, generator=9)[0][:, 0]
        assert stats.kstest(x.numpy(), law.cdf).pvalue > 1e-6, name
    assert torch.equal(tasks.get("entropy-certain-label").sample(4)[0], torch.zeros(4, 1, dtype=torch.float64))
