"""Studies: files of claims, each computed by two or more routes, and the runner that turns them into results.

A study file holds one `Study`, named like the file, and its claims::

    from infotherm.core.verdict import decide
    from infotherm.studies import Study

    study = Study("gaussian", title="Gaussian cross-checks", source="Cover and Thomas (2006), chapter 8")

    @study.claim("kl-two-routes", statement="the closed form of $D(p\\|q)$ is its quadrature", source="eq. 8.47")
    def kl_two_routes(context):
        p, q = ...
        return decide(it.kl(p, q), it.kl(p, q, method="quadrature"), "=")
"""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
import importlib.util
import io
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from infotherm import results
from infotherm.core.verdict import Verdict, holm

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

LEVELS = ("quick", "full")
Progress = Callable[[int, int, str], None]


@dataclass
class Context:
    """What a claim is given: where, how thoroughly and with which randomness to compute.

    Parameters
    ----------
    name
        "study:claim".
    level
        "quick" or "full".
    device
        Where tensors are to be made.
    seed
        The claim's own seed, derived from the run's seed and the claim's name: other claims do not change it.
    generator
        A generator on `device`, seeded with `seed`.
    """

    name: str
    level: str
    device: torch.device
    seed: int
    generator: torch.Generator
    figures: list[dict[str, str]] = field(default_factory=list)

    def attach(self, figure: Figure | str, title: str) -> None:
        """Keeps a plot (a matplotlib figure, or SVG text) with the results, for the report."""
        if not isinstance(figure, str):
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", bbox_inches="tight")
            figure = buffer.getvalue()
        self.figures.append({"claim": self.name.partition(":")[2], "title": title, "svg": figure})


Returned = Verdict | Sequence[Verdict] | Mapping[str, Verdict]


@dataclass(frozen=True)
class Claim:
    """A statement and the function that decides it."""

    study: str
    name: str
    statement: str
    source: str
    level: str
    decide: Callable[[Context], Returned]
    study_title: str = ""
    study_source: str = ""

    @property
    def full_name(self) -> str:
        """study:claim, the name that `--only` and the report use."""
        return f"{self.study}:{self.name}"


class Study:
    """The claims of one source.

    Parameters
    ----------
    name
        The file's name without `.py`.
    title
        What a reader sees above the claims.
    source
        The paper or book; a claim may name its own equation.

    Examples
    --------
    >>> study = Study("tiny", title="A tiny study", source="no paper")
    >>> @study.claim("one", statement="$1 = 1$")
    ... def one(context):
    ...     return decide(exact(1.0), exact(1.0), "=")
    >>> [claim.full_name for claim in study.claims]
    ['tiny:one']
    """

    def __init__(self, name: str, *, title: str, source: str) -> None:
        self.name, self.title, self.source = name, title, source
        self.claims: list[Claim] = []

    def claim(
        self, name: str, *, statement: Any, source: str = "", level: str = "quick"
    ) -> Callable[[Callable[[Context], Returned]], Callable[[Context], Returned]]:
        """Registers a function as the decision of a claim.

        Parameters
        ----------
        name
            Unique in the study; words joined by hyphens.
        statement
            Text with formulas in `$...$`, or a sympy expression.
        source
            Paper and equation, where it differs from the study's.
        level
            "quick" (computed by every run) or "full" (only by `infotherm validate --full`).

        Raises
        ------
        ValueError
            For a name that is taken or holds a colon, or an unknown level.
        """
        if level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}; got {level!r}")
        if not name or ":" in name or any(name == claim.name for claim in self.claims):
            raise ValueError(f"a claim's name must be new in its study and without a colon; got {name!r}")
        text = statement if isinstance(statement, str) else _latex(statement)

        def register(decide: Callable[[Context], Returned]) -> Callable[[Context], Returned]:
            self.claims.append(
                Claim(self.name, name, text, source or self.source, level, decide, self.title, self.source)
            )
            return decide

        return register


def _latex(expression: Any) -> str:
    import sympy

    return f"${sympy.latex(expression)}$"


# -- finding ---------------------------------------------------------------------------------------------------------


def studies_folder() -> Path:
    """The folder with the package's own studies: inside a plain install, beside the package in a checkout.

    Raises
    ------
    FileNotFoundError
        When there is neither.
    """
    package = Path(__file__).parent
    for folder in (package / "_validation", package.parent / "validation"):
        if any(folder.glob("*.py")):
            return folder
    raise FileNotFoundError(f"no studies beside {package}: give a folder of study files")


def discover(folder: str | Path | None = None, only: Iterable[str] = ()) -> tuple[list[Claim], list[BrokenStudy]]:
    """The claims of a folder's study files whose "study:claim" matches one of the patterns (all without patterns).

    A pattern is a glob on "study:claim"; without a colon it names a study or a claim. A file that cannot be loaded is
    returned beside the claims when a pattern may have meant it.

    Raises
    ------
    FileNotFoundError
        When the folder does not exist or has no study files.
    ValueError
        When a pattern matches nothing; the message names the nearest claims.
    """
    folder = studies_folder() if folder is None else Path(folder)
    files = [file for file in sorted(folder.glob("*.py")) if not file.name.startswith("_")]
    if not files:
        raise FileNotFoundError(f"no study files (*.py) in {folder}")
    patterns = list(only)
    claims: list[Claim] = []
    broken: list[BrokenStudy] = []
    for file in files:
        if patterns and not any(_may_mean(pattern, file.stem) for pattern in patterns):
            continue
        try:
            claims += _load(file).claims
        except Exception as problem:  # whatever a study file raises must not lose the other studies
            broken.append(BrokenStudy(file.stem, _described(problem)))
    chosen = [claim for claim in claims if not patterns or any(_means(p, claim) for p in patterns)]
    for pattern in patterns:
        if not any(_means(pattern, claim) for claim in claims) and not any(_may_mean(pattern, b.name) for b in broken):
            names = [file.stem for file in files] + [c.name for c in claims] + [c.full_name for c in claims]
            near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.4) or sorted(file.stem for file in files)
            raise ValueError(f"no claim matches {pattern!r}; near it: {', '.join(near)}")
    return chosen, broken


@dataclass(frozen=True)
class BrokenStudy:
    """A study file that could not be loaded, and why."""

    name: str
    reason: str


def _may_mean(pattern: str, study: str) -> bool:
    of_study, colon, _ = pattern.partition(":")
    return not colon or fnmatch.fnmatchcase(study, of_study)


def _means(pattern: str, claim: Claim) -> bool:
    if ":" in pattern:
        return fnmatch.fnmatchcase(claim.full_name, pattern)
    return fnmatch.fnmatchcase(claim.study, pattern) or fnmatch.fnmatchcase(claim.name, pattern)


def _load(file: Path) -> Study:
    # A digest keeps equally named files of different folders apart.
    module_name = f"infotherm_study_{file.stem}_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickling of functions look the module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    studies = {id(entry): entry for entry in vars(module).values() if isinstance(entry, Study)}
    if len(studies) != 1:
        raise ValueError(f"a study file holds exactly one Study; {file.name} holds {len(studies)}")
    study = next(iter(studies.values()))
    if study.name != file.stem:
        raise ValueError(f"the Study in {file.name} must be named {file.stem!r}; it is named {study.name!r}")
    return study


# -- running ---------------------------------------------------------------------------------------------------------


def run(
    folder: str | Path | None = None,
    *,
    only: Iterable[str] = (),
    level: str = "quick",
    device: str | torch.device = "cpu",
    seed: int = 0,
    alpha: float = 0.01,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> dict[str, xarray.Dataset]:
    """Computes claims and returns one Dataset a study, by name; a claim that fails is a row that says so.

    Parameters
    ----------
    folder
        Study files; the package's own by default.
    only
        Globs on "study:claim"; all claims by default.
    level
        "quick" or "full".
    device
        Where the claims make their tensors.
    seed
        Each claim draws from a generator of its own, seeded by this number and the claim's name.
    alpha
        Family-wise level: the probability that any sampled claim of the run is wrongly called violated (Holm).
    out
        Folder that gets one NetCDF file a study; nothing is written without it.
    progress
        Called as `progress(done, total, name)` before each claim and once after the last (with an empty name).

    Raises
    ------
    ValueError
        For an unknown level, a device that is not there, or a pattern that matches nothing.
    FileNotFoundError
        When there are no study files.
    """
    if level not in LEVELS:
        raise ValueError(f"level must be one of {', '.join(LEVELS)}; got {level!r}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1); got {alpha}")
    device = usable_device(device)
    claims, broken = discover(folder, only)
    claims = [claim for claim in claims if level == "full" or claim.level == "quick"]
    if not claims and not broken:
        raise ValueError(f"the chosen claims are computed at level 'full' only; got level {level!r}")
    outcomes: list[_Outcome] = []
    for i, claim in enumerate(claims):
        if progress:
            progress(i, len(claims), claim.full_name)
        outcomes.append(_compute(claim, level, device, seed))
    if progress:
        progress(len(claims), len(claims), "")
    _correct(outcomes, alpha)
    attrs = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "level": level,
        "device": str(device),
        "alpha": alpha,
    }
    datasets = _assemble(outcomes, broken, attrs)
    if out is not None:
        for name, dataset in datasets.items():
            results.save(dataset, Path(out) / f"{name}.nc")
    return datasets


def usable_device(device: str | torch.device) -> torch.device:
    """A device that tensors can be made on here.

    Raises
    ------
    ValueError
        When there is no such device.
    """
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()
        torch.Generator(found)
    except (RuntimeError, AssertionError, NotImplementedError) as problem:
        first = str(problem).partition("\n")[0]
        raise ValueError(f"device {str(device)!r} cannot be used here: {first}") from None
    return found


def claim_seed(seed: int, name: str) -> int:
    """The seed of one claim: a digest of the run's seed and the claim's name.

    Examples
    --------
    >>> claim_seed(0, "gaussian:kl") == claim_seed(0, "gaussian:kl") != claim_seed(1, "gaussian:kl")
    True
    """
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big") >> 1


@dataclass
class _Outcome:
    claim: Claim
    seed: int
    duration: float = 0.0
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    figures: list[dict[str, str]] = field(default_factory=list)
    warnings: str = ""
    problem: str = ""


def _compute(claim: Claim, level: str, device: torch.device, seed: int) -> _Outcome:
    own_seed = claim_seed(seed, claim.full_name)
    generator = torch.Generator(device).manual_seed(own_seed)
    context = Context(claim.full_name, level, device, own_seed, generator)
    outcome = _Outcome(claim, own_seed, figures=context.figures)
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught, torch.random.fork_rng(devices=_accelerators(device)):
        warnings.simplefilter("always")
        torch.manual_seed(own_seed)  # a claim that draws from the global stream is as reproducible as the others
        try:
            outcome.verdicts = _named(claim.decide(context))
        except Exception as problem:  # one claim's failure must not lose the others: it becomes a row
            outcome.problem = _described(problem)
    outcome.duration = time.perf_counter() - start
    outcome.warnings = "\n".join(dict.fromkeys(f"{w.category.__name__}: {w.message}" for w in caught))
    return outcome


def _accelerators(device: torch.device) -> list[int]:
    return [device.index or 0] if device.type == "cuda" else []


def _described(problem: BaseException) -> str:
    """Type, message and the last line of the traceback outside of the interpreter's own files."""
    frames = traceback.extract_tb(problem.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(problem).__name__}: {problem}{place}"


def _named(returned: Returned) -> dict[str, Verdict]:
    if isinstance(returned, Verdict):
        returned = {"": returned}
    elif not isinstance(returned, Mapping):
        returned = _numbered(list(returned))
    for verdict in returned.values():
        if not isinstance(verdict, Verdict):
            raise TypeError(f"a claim returns a Verdict, a list or a dict of them; got {type(verdict).__name__}")
    if not returned:
        raise ValueError("the claim returned no verdict")
    return dict(returned)


def _numbered(verdicts: list[Verdict]) -> dict[str, Verdict]:
    """Verdicts by the name of their bound, where that tells them apart, else by their number."""
    names = [getattr(verdict, "name", None) or "" for verdict in verdicts]
    return {
        name if name and names.count(name) == 1 else f"{name} {i}".strip(): verdict
        for i, (name, verdict) in enumerate(zip(names, verdicts, strict=True), start=1)
    }


def _correct(outcomes: list[_Outcome], alpha: float) -> None:
    """Decides all verdicts of the run anew at one family-wise level."""
    places = [(outcome, name) for outcome in outcomes for name in outcome.verdicts]
    decided = holm([outcome.verdicts[name] for outcome, name in places], alpha)
    for (outcome, name), verdict in zip(places, decided, strict=True):
        outcome.verdicts[name] = verdict


def _assemble(
    outcomes: list[_Outcome], broken: list[BrokenStudy], attrs: Mapping[str, Any]
) -> dict[str, xarray.Dataset]:
    rows: dict[str, list[dict[str, Any]]] = {}
    figures: dict[str, list[dict[str, str]]] = {}
    titles: dict[str, dict[str, str]] = {}
    for outcome in outcomes:
        study = outcome.claim.study
        rows.setdefault(study, []).extend(_rows(outcome))
        figures.setdefault(study, []).extend(outcome.figures)
        titles.setdefault(study, {"title": outcome.claim.study_title, "source": outcome.claim.study_source})
    for file in broken:
        reason = f"the study file cannot be loaded: {file.reason}"
        rows[file.name] = [{"claim": "*", "outcome": "error", "reason": reason}]
    return {
        study: results.build(study, rows[study], figures.get(study, []), {**titles.get(study, {}), **attrs})
        for study in sorted(rows)
    }


def _rows(outcome: _Outcome) -> list[dict[str, Any]]:
    claim = outcome.claim
    common = {
        "claim": claim.name,
        "level": claim.level,
        "statement": claim.statement,
        "source": claim.source,
        "seed": outcome.seed,
        "duration": outcome.duration,
        "warnings": outcome.warnings,
    }
    if outcome.problem:
        return [{**common, "outcome": "error", "reason": outcome.problem}]
    return [
        {**common, **row} for case, verdict in outcome.verdicts.items() for row in results.rows_of(verdict, case=case)
    ]
