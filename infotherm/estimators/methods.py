"""Estimators under short names, each with the quantities and the sorts of columns it is for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

import numpy as np

from infotherm.core.estimate import Estimate
from infotherm.estimators.tags import QUANTITIES

ENTROPY, INFORMATION, CONDITIONAL, _ = QUANTITIES
CONTINUOUS, LABELS, BOTH = "continuous", "labels", "both"
Progress = Callable[[int, int, str], None]

_SAMPLES_PER_CELL = 10
_MOST_BINS = 50
_MOST_OF_QUADRATIC = 5000
_MOST_LABELS = 100
_SAMPLES_PER_LABEL = 10


@dataclass(frozen=True)
class Request:
    """What is to be computed from blocks of columns (N, D): x, or x and y, or x, y and given.

    `sorts` says of each block whether its columns are "continuous", "labels", or of "both" sorts.
    """

    blocks: tuple[np.ndarray, ...]
    sorts: tuple[str, ...]
    k: int = 3
    seed: int = 0
    progress: Progress | None = field(default=None, repr=False)

    @property
    def quantity(self) -> str:
        """Entropy, mutual information or conditional mutual information."""
        return (ENTROPY, INFORMATION, CONDITIONAL)[len(self.blocks) - 1]

    @property
    def n(self) -> int:
        """The number of samples."""
        return len(self.blocks[0])

    def all_are(self, sort: str) -> bool:
        """Whether every block is of this sort."""
        return set(self.sorts) == {sort}


@dataclass(frozen=True)
class Method:
    """An estimator for columns.

    Parameters
    ----------
    quantities
        That it computes.
    suits
        Whether it is for columns of these sorts; by name it is tried on any.
    compute
        Gives the Estimate; raises ValueError where it cannot.
    title
        The name of the estimator's class for this request.
    preferred
        Whether it is among the few that are computed when none is named.
    trained
        Whether it trains a network: only on demand.
    quadratic
        Whether its time grows with the square of the number of samples: for many of them only on demand.
    """

    quantities: tuple[str, ...]
    suits: Callable[[Request], bool]
    compute: Callable[[Request], Estimate]
    title: Callable[[Request], str]
    preferred: Callable[[Request], bool] = lambda request: False
    trained: bool = False
    quadratic: bool = False

    def too_slow(self, n: int, name: str) -> str:
        """Why it is left out among all methods for this many samples, or nothing."""
        if not self.quadratic or n <= _MOST_OF_QUADRATIC:
            return ""
        return f"left out: its time grows with the square of N, here {n}; --method {name} computes it"


def sort_of(block: np.ndarray) -> str:
    """Whether columns are labels (few distinct values, each of many samples), continuous, or some of each.

    Examples
    --------
    >>> sort_of(np.arange(60).reshape(60, 1) % 3), sort_of(np.arange(60.0).reshape(60, 1))
    ('labels', 'continuous')
    """
    few = {is_label(column) for column in block.T}
    return BOTH if len(few) == 2 else LABELS if few == {True} else CONTINUOUS


def is_label(column: np.ndarray) -> bool:
    """Whether at most 100 values occur, more than one, and ten samples a value."""
    return 1 < len(np.unique(column)) <= min(_MOST_LABELS, len(column) // _SAMPLES_PER_LABEL)


def chosen(methods: str | Sequence[str] | None, request: Request) -> list[str]:
    """Names of the methods to compute: those named, "all" that suit and do not train, or (None) the preferred ones.

    Raises
    ------
    ValueError
        For an unknown name (with the nearest).
    """
    if methods is None or methods == "all":
        fitting = [name for name, m in METHODS.items() if request.quantity in m.quantities and m.suits(request)]
        if methods is None:
            return [name for name in fitting if METHODS[name].preferred(request)]
        return [name for name in fitting if not METHODS[name].trained]
    names = [methods] if isinstance(methods, str) else list(methods)
    for name in names:
        if name not in METHODS:
            near = [_METHOD_OF[name.lower()]] if name.lower() in _METHOD_OF else get_close_matches(name, METHODS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(METHODS)}"
            raise ValueError(f"no method is called {name!r}; {hint}")
    return [name for name in dict.fromkeys(names) if request.quantity in METHODS[name].quantities]


def _gaussian(request: Request) -> Estimate:
    from infotherm.estimators.gaussian import GaussianPlugIn

    x, y, given = _arguments(request.blocks)
    return GaussianPlugIn().estimate(x, y, given=given)


def _neighbours(request: Request) -> Estimate:
    """On standardised columns: the choice of units shall not matter."""
    from infotherm.estimators.neighbours import KSG, KozachenkoLeonenko

    scaled, log_scales = zip(*map(_standardised, request.blocks), strict=True)
    x, y, given = _arguments(scaled)
    if y is not None:
        return KSG(request.k).estimate(x, y, given=given)
    estimate = KozachenkoLeonenko(request.k).estimate(x)
    return replace(estimate + log_scales[0], info=dict(estimate.info))


def _kernel(request: Request) -> Estimate:
    from infotherm.estimators.kernel import KernelDensity

    x, y, given = _arguments(request.blocks)
    return KernelDensity().estimate(x, y, given=given)


def _binning(request: Request) -> Estimate:
    """Labels as they are; other columns in as many bins as leave ten samples to a cell."""
    from infotherm.estimators.binning import Binning

    x, y, given = _arguments(request.blocks)
    pairs = list(zip(("x", "y", "given"), request.blocks, request.sorts, strict=False))
    n, dim = len(x), sum(block.shape[1] for _, block, sort in pairs if sort != LABELS)
    if not dim:
        return Binning("labels").estimate(x, y, given=given)
    symbols = 1
    for _, block, sort in pairs:
        symbols *= len(np.unique(block, axis=0)) if sort == LABELS else 1
    bins = min(_MOST_BINS, int((n / symbols / _SAMPLES_PER_CELL) ** (1 / dim)))
    if bins < 2:
        raise ValueError(
            f"{n} samples are too few to bin {dim} coordinates: {2**dim * symbols * _SAMPLES_PER_CELL} needed"
        )
    if y is None:
        estimator = Binning(bins, differential=True)
    else:
        specs = {name: "labels" if sort == LABELS else bins for name, _, sort in pairs}
        estimator = Binning(specs, rule="equal-mass")
    estimate = estimator.estimate(x, y, given=given)
    words = f"{bins} bins per coordinate: {estimate.info['meaning']}"
    return replace(estimate, info={**estimate.info, "meaning": words})


def _labels_beside_continuous(request: Request) -> bool:
    return set(request.sorts) == {LABELS, CONTINUOUS}


def _mixed(request: Request) -> Estimate:
    from infotherm.estimators.mixed import DiscreteContinuous, MixedKSG

    blocks = [
        block if sort == LABELS else _standardised(block)[0]
        for block, sort in zip(request.blocks, request.sorts, strict=True)
    ]
    if _labels_beside_continuous(request):
        return DiscreteContinuous(request.k).estimate(*blocks)
    return MixedKSG(request.k).estimate(*blocks)


def _trained(name: str) -> Method:
    def compute(request: Request) -> Estimate:
        from infotherm.estimators import variational

        estimator = getattr(variational, name)()
        return estimator.estimate(*request.blocks, generator=request.seed, progress=request.progress)

    return Method((INFORMATION,), lambda request: True, compute, lambda request: name, trained=True)


def _arguments(blocks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    x, y, given = (*blocks, None, None)[:3]
    assert x is not None
    return x, y, given


def _standardised(block: np.ndarray) -> tuple[np.ndarray, float]:
    """Columns of unit variance and zero mean, and the sum of the logarithms of their scales."""
    if len(block) < 2:
        raise ValueError(f"at least 2 samples are needed; got {len(block)}")
    low, high = block.min(axis=0), block.max(axis=0)
    constant = np.flatnonzero(low == high)
    if len(constant):
        raise ValueError(f"every column must vary; coordinate {constant[0]} is constant ({block[0, constant[0]]})")
    unit = block / np.maximum(abs(low), abs(high))  # squares of very small or large numbers are no numbers
    scale = unit.std(axis=0)
    log_scale = float(np.log(scale).sum() + np.log(np.maximum(abs(low), abs(high))).sum())
    return (unit - unit.mean(axis=0)) / scale, log_scale


def _without_labels(request: Request) -> bool:
    return request.all_are(CONTINUOUS)


METHODS: dict[str, Method] = {
    "gaussian": Method(
        QUANTITIES[:3], _without_labels, _gaussian, lambda request: "GaussianPlugIn", preferred=_without_labels
    ),
    "neighbours": Method(
        QUANTITIES[:3],
        lambda request: (
            request.all_are(CONTINUOUS) or (request.quantity == CONDITIONAL and not request.all_are(LABELS))
        ),
        _neighbours,
        lambda request: "KozachenkoLeonenko" if request.quantity == ENTROPY else "KSG",
        preferred=lambda request: True,
    ),
    "kernel": Method(QUANTITIES[:3], _without_labels, _kernel, lambda request: "KernelDensity", quadratic=True),
    "binning": Method(
        QUANTITIES[:3],
        lambda request: request.quantity != ENTROPY or BOTH not in request.sorts,
        _binning,
        lambda request: "Binning",
        preferred=lambda request: (
            request.all_are(LABELS) or (request.quantity == CONDITIONAL and request.sorts[2] == LABELS)
        ),
    ),
    "mixed": Method(
        (INFORMATION,),
        lambda request: not request.all_are(CONTINUOUS) and not request.all_are(LABELS),
        _mixed,
        lambda request: "DiscreteContinuous" if _labels_beside_continuous(request) else "MixedKSG",
        preferred=lambda request: True,
    ),
    "infonce": _trained("InfoNCE"),
    "nwj": _trained("NWJ"),
    "mine": _trained("MINE"),
    "donsker-varadhan": _trained("DonskerVaradhan"),
}

# names of the classes, as the results show them, are understood in hints
_METHOD_OF = {
    "gaussianplugin": "gaussian",
    "ksg": "neighbours",
    "kozachenkoleonenko": "neighbours",
    "kerneldensity": "kernel",
    "discretecontinuous": "mixed",
    "mixedksg": "mixed",
    "donskervaradhan": "donsker-varadhan",
}
