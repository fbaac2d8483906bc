"""What an estimator says of itself: which numbers it computes, from which data, and which laws it claims to obey."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

QUANTITIES = ("entropy", "mutual_information", "conditional_mutual_information", "kl")
DATA = ("continuous", "discrete", "mixed")
INVARIANCES = ("shift", "reflection", "common-scale", "coordinate-scale", "rotation", "linear", "monotone")


@dataclass(frozen=True, kw_only=True)
class Tags:
    """Capabilities of an estimator; the conformance suite asks for no more than these, and no less.

    Parameters
    ----------
    quantities
        Of "entropy" (samples x), "mutual_information" (paired x, y), "conditional_mutual_information" (paired x, y
        and z as `given`) and "kl" (x from p, y from q, not paired, of any two sizes).
    data
        Of "continuous", "discrete" (labels: the numbers only name symbols) and "mixed" (one side of each sort, or
        coordinates with atoms).
    kind
        "estimate" when the number aims at the truth, "lower" or "upper" when it is a bound of it.
    consistent_for
        "any" law of such data, "gaussian" when the number tends to the truth for Gaussian data only, "none" for a
        bound that need not become tight.
    invariances
        Under which transformations of the data the number changes exactly as the quantity does, up to rounding:
        "shift" (of each coordinate), "reflection" (sign of each coordinate), "common-scale" (one factor for all
        coordinates), "coordinate-scale" (a factor for each), "rotation" (an orthogonal matrix for each argument),
        "linear" (an invertible matrix for each argument), "monotone" (an increasing map of each coordinate).
    symmetric
        Whether x and y may be exchanged exactly (mutual information only).
    states_error
        Whether results carry a standard error or an error bound that an interval can be made of.
    stochastic
        Whether random numbers are drawn; `estimate` then takes `generator=`.
    trains
        Whether a call costs seconds: statistical laws then make do with fewer replications.
    least_samples
        From how many samples on the number means anything.
    most_dimensions
        Of one argument; None when there is no limit.
    clips_at_zero
        Whether negative estimates are reported as zero.
    ceiling
        The largest number that N samples can give, as a function of N; None when there is none.
    """

    quantities: tuple[str, ...]
    data: tuple[str, ...] = ("continuous",)
    kind: str = "estimate"
    consistent_for: str = "any"
    invariances: frozenset[str] = field(default=frozenset({"shift", "reflection", "common-scale"}))
    symmetric: bool = True
    states_error: bool = True
    stochastic: bool = False
    trains: bool = False
    least_samples: int = 50
    most_dimensions: int | None = None
    clips_at_zero: bool = False
    ceiling: Callable[[int], float] | None = None

    def __post_init__(self) -> None:
        for name, given, known in (
            ("quantities", self.quantities, QUANTITIES),
            ("data", self.data, DATA),
            ("invariances", self.invariances, INVARIANCES),
            ("kind", (self.kind,), ("estimate", "lower", "upper")),
            ("consistent_for", (self.consistent_for,), ("any", "gaussian", "none")),
        ):
            if isinstance(given, str):
                raise TypeError(f"{name} must be a sequence of names; got the string {given!r}")
            strange = [entry for entry in given if entry not in known]
            if strange or not given and name != "invariances":
                raise ValueError(f"{name} must be of {', '.join(known)}; got {', '.join(map(str, given)) or 'none'}")
