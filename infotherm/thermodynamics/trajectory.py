"""Trajectories: what every path of a simulation did: work, heat, entropies and currents, without the path itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from infotherm.core.estimate import Estimate
from infotherm.core.sample_means import from_samples

if TYPE_CHECKING:
    import xarray

_LONG_NAMES = {
    "work": ("work done on the system", "energy"),
    "heat": ("heat given to the bath", "energy"),
    "medium_entropy": ("entropy given to the medium", "nat"),
    "system_entropy": ("change of the surprisal -log p", "nat"),
    "entropy_production": ("total entropy production", "nat"),
    "log_path_ratio": ("log probability of the path over that of its reversal", "nat"),
    "housekeeping": ("entropy that keeping up the currents costs", "nat"),
    "hatano_sasa": ("functional of Hatano and Sasa", "nat"),
    "first_passage": ("first time in the target set", "time"),
}


@dataclass(frozen=True, eq=False)
class Trajectories:
    """The ledger of simulated paths: one entry a path, shape (n_paths,).

    Attributes
    ----------
    initial, final
        States at both ends, shape (n_paths, D).
    duration
        The time that passed.
    method
        The integrator, or "exact".
    ledger
        The entries by name: work, heat, medium_entropy, system_entropy, entropy_production, log_path_ratio,
        first_passage (infinite where the target was not met). Each is also an attribute.
    missing
        Why an entry is not there, by name.
    currents
        The currents that were asked for, by name, shape (n_paths,).
    states, saved_times
        States (n_saved, n_paths, D) at the saved times (n_saved,), None unless asked for.
    streams
        Names of the random streams, for `mean`.
    step_errors
        How far the mean of each entry may be off because of the step, by name; worked out when it is asked for. None
        for paths that are exact.
    info
        Seed, number of steps and the like.
    """

    initial: Tensor
    final: Tensor
    duration: float
    method: str
    ledger: Mapping[str, Tensor]
    missing: Mapping[str, str] = field(default_factory=dict)
    currents: Mapping[str, Tensor] = field(default_factory=dict)
    states: Tensor | None = None
    saved_times: Tensor | None = None
    streams: tuple[str, ...] = ()
    step_errors: Callable[[], Mapping[str, float]] | None = None
    info: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.final.shape[0]

    def __repr__(self) -> str:
        entries = ", ".join(name for name in _LONG_NAMES if name in self.ledger)
        return f"<{len(self)} trajectories over {self.duration:g} by {self.method}: {entries or 'no ledger'}>"

    def entry(self, name: str) -> Tensor:
        """An entry of the ledger, shape (n_paths,).

        Raises
        ------
        ValueError
            When it was not kept; the message says why.
        """
        if name in self.ledger:
            return self.ledger[name]
        if name in self.currents:
            return self.currents[name]
        reason = self.missing.get(name, "it was not asked for")
        raise ValueError(f"these trajectories have no {name}: {reason}")

    @property
    def work(self) -> Tensor:
        """Work done on the system, W = integral of dV/dt at fixed state plus that of the non-gradient force."""
        return self.entry("work")

    @property
    def heat(self) -> Tensor:
        """Heat given to the bath, Q = W - (change of energy)."""
        return self.entry("heat")

    @property
    def medium_entropy(self) -> Tensor:
        """Entropy given to the medium, in nats: heat over temperature, the integral of D^-1 (b - div D) o dx."""
        return self.entry("medium_entropy")

    @property
    def system_entropy(self) -> Tensor:
        """log p_0(x_0) - log p_T(x_T), in nats."""
        return self.entry("system_entropy")

    @property
    def entropy_production(self) -> Tensor:
        """Total entropy production, system plus medium, in nats; its mean is S_tot, that of exp(-it) is 1."""
        return self.entry("entropy_production")

    @property
    def log_path_ratio(self) -> Tensor:
        """log of the probability of the simulated steps over that of their reversal, ends included, in nats.

        That of the discrete steps: the mean of exp(-it) is 1 at any step size, and what it differs from
        `entropy_production` by is the error of the step.
        """
        return self.entry("log_path_ratio")

    @property
    def housekeeping(self) -> Tensor:
        """Housekeeping entropy, in nats: the mean of exp(-it) is 1 from any start (Speck and Seifert)."""
        return self.entry("housekeeping")

    @property
    def hatano_sasa(self) -> Tensor:
        """The functional of Hatano and Sasa, in nats: the mean of exp(-it) is 1 from the frozen process's law."""
        return self.entry("hatano_sasa")

    @property
    def first_passage(self) -> Tensor:
        """Time at which the path first was in the target set, infinite where it never was."""
        return self.entry("first_passage")

    def mean(self, name: str) -> Estimate:
        """The mean of an entry over the paths, with its standard error, and the error of the step as `error`.

        Raises
        ------
        ValueError
            When the entry is not there, or not finite for some path.
        """
        step = {} if self.step_errors is None else self.step_errors()
        return from_samples(self.entry(name), streams=self.streams, units=units_of(name), error=step.get(name, 0.0))

    def to_dataset(self) -> xarray.Dataset:
        """The ledger as a labelled Dataset: dimension `path`, and `time` and `coordinate` where states were kept."""
        import xarray

        from infotherm._version import __version__

        columns: dict[str, Any] = {}
        for name, values in {**self.ledger, **self.currents}.items():
            long_name, units = _LONG_NAMES.get(name, (f"current {name}", "1"))
            columns[name] = ("path", _numpy(values), {"units": units, "long_name": long_name})
        for name, values in (("initial", self.initial), ("final", self.final)):
            columns[name] = (("path", "coordinate"), _numpy(values), {"units": "1", "long_name": f"{name} state"})
        coords: dict[str, Any] = {}
        if self.states is not None and self.saved_times is not None:
            columns["state"] = (
                ("time", "path", "coordinate"),
                _numpy(self.states),
                {"units": "1", "long_name": "state"},
            )
            coords["time"] = ("time", _numpy(self.saved_times), {"units": "time", "long_name": "time"})
        attrs = {"duration": self.duration, "method": self.method, "infotherm_version": __version__}
        attrs |= {key: entry for key, entry in self.info.items() if isinstance(entry, str | int | float)}
        attrs |= {f"missing_{name}": reason for name, reason in self.missing.items()}
        return xarray.Dataset(columns, coords=coords, attrs=attrs)


def units_of(name: str) -> str:
    """The units of an entry of the ledger, "1" for a current."""
    return _LONG_NAMES.get(name, ("", "1"))[1]


def _numpy(x: Tensor) -> Any:
    return x.detach().to("cpu", torch.float64 if x.is_floating_point() else None).numpy()
