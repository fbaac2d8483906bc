"""Is this installation sound? Versions, devices, optional packages, and small computations with known answers."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from infotherm import results

OPTIONAL = {
    "python-flint": "certified reference values (extra: certified)",
    "pyarrow": "Parquet files (extra: parquet)",
    "dask": "sweeps on a cluster (extra: distributed)",
    "zarr": "resumable stores of sweeps (extra: distributed)",
    "hypothesis": "infotherm.testing strategies (extra: test)",
}


@dataclass(frozen=True)
class Check:
    """One thing that was tried."""

    name: str
    passed: bool
    detail: str


def checkup() -> list[Check]:
    """Tries the parts that every result passes through; nothing is raised, a failure is an entry.

    Returns
    -------
    list of Check
        A KL divergence by closed form and by quadrature, the same by Monte Carlo on every device, a result file
        written and reloaded, and a report drawn from it.

    Examples
    --------
    >>> all(check.passed for check in checkup())
    True
    """
    checks = [_tried("kl: closed form = quadrature", _two_routes)]
    checks += [_tried(f"kl: Monte Carlo on {device}", lambda d=device: _monte_carlo(d)) for device in devices()]
    checks.append(_tried("results: written and reloaded", _stored))
    return checks


def devices() -> list[str]:
    """Devices that torch can compute on here in float64."""
    return ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]


def device_name(device: str) -> str:
    """What the device is called: threads of the processor, or the accelerator's model."""
    if device == "cpu":
        return f"{torch.get_num_threads()} threads"
    return torch.cuda.get_device_name(device)


def _tried(name: str, attempt: Callable[[], str]) -> Check:
    try:
        return Check(name, True, attempt())
    except Exception as problem:  # a broken installation can fail in any way; the reader needs all the findings
        return Check(name, False, f"{type(problem).__name__}: {problem}")


def _gaussians(device: str = "cpu"):
    from infotherm.distributions import Gaussian

    def numbers(*values: float) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64, device=device)

    return Gaussian(numbers(0.0), numbers(1.0).diag()), Gaussian(numbers(1.0), numbers(4.0).diag())


_KL = math.log(2.0) - 0.25  # log 2 + (1 + 1) / (2 * 4) - 1 / 2


def _two_routes() -> str:
    from infotherm.core.verdict import decide
    from infotherm.information import kl

    p, q = _gaussians()
    closed, quadrature = kl(p, q, method="closed-form"), kl(p, q, method="quadrature")
    for verdict in (decide(closed, quadrature, "=="), decide(closed, _KL, "==")):
        if verdict.outcome != "holds":
            raise ArithmeticError(repr(verdict))
    return repr(closed)


def _monte_carlo(device: str) -> str:
    from infotherm.core.verdict import decide
    from infotherm.information import kl

    generator = torch.Generator(device).manual_seed(0)
    sampled = kl(*_gaussians(device), method="monte-carlo", n_samples=10_000, generator=generator)
    if decide(sampled, _KL, "==", tolerance=0.1).outcome == "violated":
        raise ArithmeticError(f"{sampled!r}, but the answer is {_KL:.6f}")
    return repr(sampled)


def _stored() -> str:
    dataset = results.build("checkup", [{"claim": "stored", "outcome": "holds"}], [], {})
    with tempfile.TemporaryDirectory() as folder:
        if not results.load(results.save(dataset, Path(folder) / "checkup.nc")).identical(dataset):
            raise OSError("a result file came back changed")
    return "NetCDF by h5netcdf"
