"""Strategies: what they promise, what they shrink to, the laws of information on what they draw."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from infotherm.channels import DiscreteChannel, LinearGaussianChannel
from infotherm.distributions import Discrete, Distribution, Empirical, Gaussian, GaussianMixture, Rademacher, SpikeSlab
from infotherm.information import conditional_entropy, entropy, mutual_information
from infotherm.testing import hypothesis_entry
from infotherm.testing import strategies as its

ROOT = Path(__file__).parents[2]
FEW = settings(max_examples=12)
QUIET = settings(
    database=None, max_examples=1000, derandomize=True, deadline=None, phases=(Phase.generate, Phase.shrink)
)
F64 = torch.float64


def simplest(strategy, condition=lambda _: True):
    return find(strategy, condition, settings=QUIET)


# -- what is drawn is what was promised --------------------------------------------------------------------------------


@FEW
@given(its.spd_matrices(st.integers(1, 5), condition=50.0))
def test_matrices_are_positive_definite_and_well_conditioned(c):
    values = torch.linalg.eigvalsh(c)
    assert torch.equal(c, c.mT) and float(values[0]) > 0
    assert float(values[-1] / values[0]) <= 50 * (1 + 1e-12)


@FEW
@given(its.spd_matrices(st.integers(1, 4), singular=True, condition=1e4, scale=(1e-6, 1e6)))
def test_singular_matrices_are_covariances_all_the_same(c):
    """Also where a rotation by a tiny angle leaves entries far below the rounding of the others."""
    law = Gaussian(torch.zeros(len(c), dtype=F64), c)
    assert 0 <= int(law.rank) <= len(c)


@FEW
@given(its.spd_matrices(3, scale=(1e-6, 1e6), batch=(2, 1)))
def test_scales_and_batches(c):
    assert c.shape == (2, 1, 3, 3)
    assert 0.999e-13 < float(c.diagonal(dim1=-2, dim2=-1).min()) <= float(c.max()) < 1.001e13


@FEW
@given(its.pmfs(zeros=True))
def test_probabilities_sum_to_one(p):
    assert float(p.sum()) == pytest.approx(1, abs=1e-15) and float(p.min()) >= 0


@FEW
@given(its.gaussians(parts={"x": 2, "y": 1}, batch=(2,), scale=(1e-3, 1e3)), its.gaussian_mixtures(zeros=True))
def test_laws(p, m):
    assert p.parts == {"x": 2, "y": 1} and p.batch_shape == (2,) and not bool(p.degenerate.any())
    assert bool(torch.isfinite(m.log_prob(m.sample((3,), generator=0))).all())


@FEW
@given(
    its.discrete_channels(zeros=True), its.linear_gaussian_channels(singular=True), its.scalar_laws(), its.empiricals()
)
def test_channels_and_scalar_laws(channel, linear, law, points):
    assert torch.allclose(channel.matrix.sum(1), torch.ones(len(channel.matrix), dtype=F64), atol=1e-15)
    standard = Gaussian(torch.zeros(linear.input_dim, dtype=F64), torch.eye(linear.input_dim, dtype=F64))
    assert linear.output(standard).dim == linear.output_dim
    assert float(law.variance) >= 0 and 1 <= points.dim <= 3


@FEW
@given(
    its.samples(st.integers(1, 3), n=20, scale=(1e-12, 1e6), offset=1e3),
    its.paired_samples((2, 1), ties=True, duplicates=True),
)
def test_samples_are_finite_arrays(x, pair):
    assert x.dtype == np.float64 and x.shape[0] == 20 and np.isfinite(x).all()
    first, second = pair
    assert first.shape == (len(second), 2) and second.shape[1] == 1 and first.flags.c_contiguous


# -- corners come on request, and only then ----------------------------------------------------------------------------


def test_corners_are_reached():
    assert not simplest(its.spd_matrices(2, singular=True), lambda c: not c.any()).any()
    assert simplest(its.gaussians(2, singular=True), lambda p: int(p.rank) == 1).covariance.shape == (2, 2)
    assert simplest(its.pmfs(3, zeros=True), lambda p: float(p.max()) == 1).tolist().count(0.0) == 2
    assert simplest(its.discrete_joints(zeros=True), lambda d: bool((d.pmf == 0).any())).pmf.numel() >= 2
    (x,) = simplest(its.paired_samples((1,), ties=True), lambda a: len(np.unique(a[0])) < len(a[0]) // 2)
    assert len(x) >= 8
    assert len(simplest(its.samples(2, duplicates=True), lambda a: len(np.unique(a, axis=0)) < len(a))) >= 8
    with pytest.raises(NoSuchExample):
        find(its.pmfs(3), lambda p: bool((p == 0).any()), settings=settings(QUIET, max_examples=200))
    with pytest.raises(NoSuchExample):
        find(its.samples(1), lambda a: len(np.unique(a)) < len(a), settings=settings(QUIET, max_examples=200))


def test_scales_reach_their_ends():
    assert float(simplest(its.spd_matrices(1, scale=(1e-6, 1e6)), lambda c: float(c) < 1e-8)) < 1e-8
    assert float(simplest(its.spd_matrices(1, scale=(10.0, 100.0)))) == pytest.approx(100.0, rel=1e-12)
    for strategy in (its.spd_matrices(1, scale=(2.0, 1.0)), its.samples(1, scale=(0.0, 1.0))):
        with pytest.raises(ValueError, match="scale must be"):
            simplest(strategy)
    with pytest.raises(ValueError, match="condition must be"):
        simplest(its.spd_matrices(1, condition=0.5))
    for strategy in (its.joints_with_mutual_information, its.markov_chains):
        with pytest.raises(ValueError, match="sorts must be of"):
            simplest(strategy(sorts=("binary",)))


# -- the simplest case -------------------------------------------------------------------------------------------------


def test_everything_shrinks_to_the_simplest_case():
    one = torch.eye(3, dtype=F64)
    assert torch.equal(simplest(its.spd_matrices(3)), one)
    assert torch.equal(simplest(its.spd_matrices(3, singular=True, scale=(1e-3, 1e3))), one)
    law = simplest(its.gaussians(3))
    assert torch.equal(law.covariance, one) and not law.mean.any()
    mixture = simplest(its.gaussian_mixtures())
    assert mixture.weights.tolist() == [1.0] and mixture.means.tolist() == [[0.0]]
    assert simplest(its.pmfs(4, zeros=True)).tolist() == [0.25] * 4
    assert simplest(its.discrete_joints((2, 2))).pmf.tolist() == [[0.25, 0.25], [0.25, 0.25]]
    joint = simplest(its.gaussian_joints(2, 1))
    assert torch.equal(joint.covariance, one) and joint.parts == {"x": 2, "y": 1}
    assert simplest(its.discrete_channels(2, 2)).matrix.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    channel = simplest(its.linear_gaussian_channels(1, 1))
    assert channel.matrix().tolist() == [[0.0]] and channel.noise_covariance().tolist() == [[1.0]]
    chain = simplest(its.markov_chains(sorts=("gaussian",)))
    assert torch.equal(chain.covariance, one) and list(chain.parts) == ["x", "y", "z"]
    assert float(simplest(its.joints_with_mutual_information())[1].value) == 0.0


def test_a_failure_shrinks_to_what_it_needs():
    """A claim that fails for correlated parts only: what is left is a correlation, and nothing else."""
    joint = simplest(its.gaussian_joints(st.integers(1, 3), 1), lambda p: float(p.covariance[0, -1].abs()) > 0.5)
    assert joint.parts == {"x": 1, "y": 1} and not joint.mean.any()
    assert torch.allclose(joint.covariance.diagonal(), torch.ones(2, dtype=F64))


# -- laws of information -----------------------------------------------------------------------------------------------


@FEW
@given(its.joints_with_mutual_information())
def test_information_is_what_the_joint_was_made_with(pair):
    joint, known = pair
    found = mutual_information(joint, "x", "y")
    assert abs(found.value - known.value) <= found.error + known.error
    assert known.kind == "exact" and float(known.error) < 1e-9


def test_a_wrong_constant_is_caught():
    """The error that comes with a joint is small enough that half a per mille too much is seen."""
    joint, known = simplest(
        its.joints_with_mutual_information(sorts=("gaussian",)), lambda pair: float(pair[1].value) > 0.5
    )
    found = mutual_information(joint, "x", "y")
    assert abs(1.0005 * found.value - known.value) > found.error + known.error


@FEW
@given(st.one_of(its.gaussian_joints(), its.discrete_joints(zeros=True)))
def test_information_is_not_negative_and_symmetric(joint):
    found, back = mutual_information(joint, "x", "y"), mutual_information(joint, "y", "x")
    assert float(found.value) >= -float(found.error)
    assert abs(found.value - back.value) <= found.error + back.error


@FEW
@given(its.markov_chains(zeros=True))
def test_data_processing(chain):
    near, far = mutual_information(chain, "x", "y"), mutual_information(chain, "x", "z")
    assert far.value <= near.value + near.error + far.error
    rest = mutual_information(chain, "x", "z", given="y")
    assert float(rest.value) <= float(rest.error) + 1e-12


@FEW
@given(its.markov_chains(zeros=True))
def test_chain_rule(chain):
    both = mutual_information(chain, "y", ("x", "z"))
    first, second = mutual_information(chain, "y", "x"), mutual_information(chain, "y", "z", given="x")
    assert abs(both.value - first.value - second.value) <= both.error + first.error + second.error + 1e-12


@FEW
@given(its.discrete_joints(zeros=True), its.gaussian_joints())
def test_chain_rule_of_entropy(table, joint):
    for law in (table, joint):
        whole, rest, part = entropy(law), conditional_entropy(law, "y", given="x"), entropy(law.marginal("x"))
        assert abs(whole.value - rest.value - part.value) <= whole.error + rest.error + part.error


# -- from types --------------------------------------------------------------------------------------------------------

TYPES = [Gaussian, GaussianMixture, Discrete, Empirical, SpikeSlab, Rademacher, DiscreteChannel, LinearGaussianChannel]


@pytest.mark.parametrize("kind", TYPES)
def test_from_type(kind):
    assert isinstance(simplest(st.from_type(kind)), kind)


def test_from_type_of_the_base_draws_every_family():
    for kind in (Gaussian, Discrete, SpikeSlab):
        assert isinstance(simplest(st.from_type(Distribution), lambda p, kind=kind: isinstance(p, kind)), kind)


def test_annotations_are_enough():
    @settings(max_examples=3, database=None)
    @given(...)
    def holds(p: Gaussian, w: DiscreteChannel):
        assert isinstance(p, Gaussian) and isinstance(w, DiscreteChannel)

    holds()


def test_registering_is_done_once_and_leaves_other_types_alone():
    hypothesis_entry.register()
    hypothesis_entry.register()
    assert hypothesis_entry._resolve(int) is None and hypothesis_entry._resolve(Path) is None
    assert hypothesis_entry._resolve("Gaussian") is None


def test_without_the_table_types_are_registered_one_by_one(monkeypatch):
    seen = {}
    monkeypatch.setattr(hypothesis_entry, "_resolvers", lambda: None)
    monkeypatch.setattr(st, "register_type_strategy", lambda kind, strategy: seen.setdefault(kind, strategy))
    hypothesis_entry.register()
    assert set(seen) == {*TYPES, Distribution}


def fresh(code, tmp_path):
    """Runs code in an interpreter in which infotherm is installed with its entry point."""
    info = tmp_path / "infotherm_entry-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: infotherm-entry\nVersion: 0\n")
    entry = next(line for line in (ROOT / "pyproject.toml").read_text().splitlines() if "hypothesis_entry" in line)
    (info / "entry_points.txt").write_text("[hypothesis]\n" + entry.replace('"', "") + "\n")
    path = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path)!r}]\n"
    done = subprocess.run(
        [sys.executable, "-c", path + textwrap.dedent(code)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_hypothesis_imports_neither_torch_nor_our_laws(tmp_path):
    out = fresh(
        """
        import hypothesis
        heavy = [name for name in ("torch", "numpy", "infotherm.distributions") if name in sys.modules]
        print("infotherm.testing.hypothesis_entry" in sys.modules, heavy)
        from hypothesis import find, strategies as st, settings
        print(find(st.from_type(int), lambda i: i > 3, settings=settings(database=None)))
        """,
        tmp_path,
    )
    assert out.splitlines() == ["True []", "4"]


@pytest.mark.slow
def test_types_are_known_where_infotherm_is_installed(tmp_path):
    out = fresh(
        """
        import hypothesis, infotherm.testing, infotherm as it
        from hypothesis import find, strategies as st, settings
        print(type(find(st.from_type(it.Gaussian), lambda p: True, settings=settings(database=None))).__name__)
        """,
        tmp_path,
    )
    assert out.splitlines() == ["Gaussian"]
