"""Counting statistics of the displacement on a driven ring, by the tilted Fokker-Planck operator in Fourier modes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from infotherm.core.estimate import Estimate
from infotherm.core.tensors import as_tensor, require_finite
from infotherm.processes import Langevin
from infotherm.processes.ring import ring_period, scalar_fields

_FIRST, _MOST = 32, 512  # Fourier modes on either side


def ring_cumulant_generating_function(process: Langevin, q: Any, t: Any = None) -> Estimate:
    r"""The scaled cumulant generating function lambda(q) = lim log E exp(q X_t) / t of the displacement on a ring.

    The largest eigenvalue of the tilted operator L_q p = -(d/dx - q) (b p) + (d/dx - q)^2 (D p) on functions of period
    L, in Fourier modes. lambda'(0) is the mean velocity, lambda''(0) / 2 the effective diffusion coefficient, and
    lambda(q) = lambda(-q - A / L) with the affinity A, f / D times L for a constant drive (Gallavotti and Cohen).

    Parameters
    ----------
    process
        A Langevin process of one coordinate with a period.
    q
        Any shape.
    t
        The time at which a driven process is frozen; its first time unless given.

    Returns
    -------
    Estimate
        Of the shape of q, units "1/time"; exact up to the truncation of modes and the rounding of the eigenvalue, which
        grows with the exponential of the barrier (the operator is not symmetric): its error says so.

    Raises
    ------
    ValueError
        When the process is no ring, or q is not finite.

    References
    ----------
    Lebowitz and Spohn, J. Stat. Phys. 95 (1999) 333; Gallavotti and Cohen, Phys. Rev. Lett. 74 (1995) 2694.

    Examples
    --------
    >>> ring = Langevin(force=2.0, sigma=2**0.5, periodic=2 * torch.pi)
    >>> ring_cumulant_generating_function(ring, 0.5).value  # q v + q^2 D
    tensor(1.2500, dtype=torch.float64)
    """
    period = ring_period(process)
    q = require_finite(as_tensor(q, "q").to(torch.float64), "q")
    time = (process.start or 0.0) if t is None else t
    values, errors = [], []
    for tilt in q.reshape(-1).tolist():
        modes, before = _FIRST, math.inf
        while True:
            now, rounding = _largest(process, time, period, tilt, modes)
            change = abs(now - before)
            if change <= rounding or modes >= _MOST:
                break
            modes, before = 2 * modes, now
        values.append(now)
        errors.append(change + rounding)
    value = torch.tensor(values, dtype=torch.float64).reshape(q.shape)
    error = torch.tensor(errors, dtype=torch.float64).reshape(q.shape)
    converged = bool((error <= 1e-6 * (1 + value.abs())).all())
    info = {} if converged else {"converged": False}
    return Estimate(value, error=error, method="quadrature", units="1/time", info=info)


def _largest(process: Langevin, t: Any, period: float, q: float, modes: int) -> tuple[float, float]:
    """The eigenvalue of largest real part and the rounding error of it."""
    from scipy.linalg import eig

    x = torch.arange(4 * modes, dtype=torch.float64) * period / (4 * modes)
    drift, diffusion = scalar_fields(process, x, t)
    index = np.arange(-modes, modes + 1)
    difference = (index[:, None] - index[None, :]) % (4 * modes)
    drift_modes, diffusion_modes = (np.fft.fft(f.numpy())[difference] / (4 * modes) for f in (drift, diffusion))
    slope = 2j * math.pi / period * index[:, None] - q
    found: Any = eig(-slope * drift_modes + slope**2 * diffusion_modes, left=True)
    values, left, right = found
    top = int(values.real.argmax())
    # first-order perturbation: the norm of what is rounded over the angle of the two eigenvectors
    condition = 1 / abs(np.vdot(left[:, top], right[:, top]))
    size = float(
        np.abs(drift_modes).max() * (np.abs(slope).max()) + np.abs(diffusion_modes).max() * np.abs(slope).max() ** 2
    )
    return float(values[top].real), 8 * np.finfo(float).eps * condition * size
