"""What all tests share: Hypothesis profiles, and study files small enough to read at a glance."""

import os
import textwrap

import pytest
import torch
from hypothesis import settings

# Tests run in one process a core: threads of each would only wait for those of the others.
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)

# Fixed examples by default, so that a failure is found again; `HYPOTHESIS_PROFILE=search` draws new and more ones.
settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

_HEAD = """
import torch
from infotherm.core.estimate import Estimate
from infotherm.core.sample_means import from_samples
from infotherm.core.verdict import decide
from infotherm.studies import Study
"""


@pytest.fixture
def write_study(tmp_path):
    """Writes `studies/NAME.py` from the bodies of its claims and returns the folder."""

    def write(name="tiny", claims="", *, title="A tiny study", source="Nobody (2026)"):
        folder = tmp_path / "studies"
        folder.mkdir(exist_ok=True)
        study = f"study = Study({name!r}, title={title!r}, source={source!r})\n"
        (folder / f"{name}.py").write_text(_HEAD + study + textwrap.dedent(claims), encoding="utf-8")
        return folder

    return write


@pytest.fixture
def good_study(write_study):
    """A study whose claims hold: an inequality, a batch of identities, a sampled inequality with two cases."""
    return write_study(
        claims=r"""
        @study.claim("one", statement=r"$1 \le 2$", source="eq. 1")
        def one(context):
            return decide(Estimate(1.0), Estimate(2.0), "<=")

        @study.claim("batch", statement="three identities")
        def batch(context):
            return decide(Estimate([1.0, 2.0, 3.0], error=1e-12), Estimate([1.0, 2.0, 3.0 + 1e-13]), "==")

        @study.claim("sampled", statement="$E[x^2] = 1$ lies above two numbers")
        def sampled(context):
            x = torch.randn(4000, generator=context.generator, device=context.device, dtype=torch.float64)
            square = from_samples(x**2, streams=["x"])
            return {"far": decide(square, 0.1), "near": decide(square, 0.5)}

        @study.claim("thorough", statement="only in full runs", level="full")
        def thorough(context):
            return decide(Estimate(1.0), 1.0, "==")
        """
    )
