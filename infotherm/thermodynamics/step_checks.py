"""Is the step small enough? Stability before a run, lost paths during it, the fluctuation theorem after it."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from infotherm.processes import AffineProcess, DiffusionProcess, UnderdampedLangevin
from infotherm.processes.integrators import Exact, Integrator
from infotherm.processes.plans import State
from infotherm.thermodynamics.reweighting import weight_diagnostics

_SUSPICION = 5.0  # standard errors between the mean of exp(-S) and 1: by chance in one of 1.7 million runs


def refuse_unstable_step(process: DiffusionProcess, integrator: Integrator, x: Tensor, times: Tensor) -> None:
    """Refuse a step for which the scheme amplifies what the drift contracts.

    The fastest contraction is looked for at the states x, (n, D), at three times: explicit steps need h rate <= 2,
    BAOAB h omega <= 2. The step is refused where that fails at half of the states.

    Raises
    ------
    ValueError
        Naming the step, the rate and the largest stable step.
    """
    if isinstance(integrator, Exact):
        return
    h = float(times.diff().max())
    for t in (times[0] + times[1]) / 2, times[len(times) // 2 - 1 : len(times) // 2 + 1].mean(), times[-2:].mean():
        rate = float(_contraction(process, x, float(t)).median())
        if h * rate > 2:
            raise ValueError(
                f"the step {h:.4g} is too large for {integrator.name}: the drift pulls back at rate {rate:.4g} at time "
                f"{float(t):.4g}, and the scheme is stable below {2 / rate:.4g}; take more steps (n_steps)"
            )


def _contraction(process: DiffusionProcess, x: Tensor, t: float) -> Tensor:
    """The fastest rate of contraction of the drift at each state (frequency of the force for underdamped), (n,)."""
    x = x.double()
    if isinstance(process, AffineProcess):
        rates = torch.linalg.eigvals(process.drift_matrix(t, x.shape[-1]))
        return (-rates.real).amax(-1).expand(len(x))
    if isinstance(process, UnderdampedLangevin):
        x = x[..., : x.shape[-1] // 2]
        control = process.control(t)

        def pull(q: Tensor) -> Tensor:
            return process.total_force_at(q, control) / process.mass.to(q)
    else:

        def pull(q: Tensor) -> Tensor:
            return process.drift(q, t)

    columns = []
    width = 1e-5 * (1 + x.abs().amax())
    for i in range(x.shape[-1]):
        ahead, behind = x.clone(), x.clone()
        ahead[:, i] += width
        behind[:, i] -= width
        columns.append((pull(ahead) - pull(behind)) / (2 * width))
    jacobian = torch.stack(columns, -1)
    if not bool(torch.isfinite(jacobian).all()):
        return torch.zeros(len(x), dtype=x.dtype)
    rates = (-torch.linalg.eigvals(jacobian).real).amax(-1)
    return rates.clamp(min=0).sqrt() if isinstance(process, UnderdampedLangevin) else rates


def refuse_lost_paths(state: State, integrator: Integrator) -> None:
    """Refuse to go on when paths are no longer finite.

    Raises
    ------
    ValueError
        Naming how many there are, when, and what to do.
    """
    lost = ~torch.isfinite(state.x).all(-1)
    if bool(lost.any()):
        time = float(state.plan.times[state.index])
        h = max(state.plan.lengths)
        raise ValueError(
            f"{int(lost.sum())} of {lost.numel()} paths left every bound before time {time:.4g}: the step {h:.4g} is "
            f"too large for {integrator.name} (take more steps), or the drift runs away by itself"
        )


def warn_of_coarse_step(entropy: Tensor, step: float, name: str) -> None:
    """Warn when the mean of exp(-S) is not 1 although its samples can be trusted.

    The average is judged only where the weights pass the checks of `weight_diagnostics`: broad laws of S leave it
    unknown, whatever the step.
    """
    weights = torch.exp(-entropy.double())
    if len(weights) < 100 or not weight_diagnostics(-entropy.double()).trusted:
        return
    mean, stderr = weights.mean(), weights.std() / len(weights) ** 0.5
    if float((mean - 1).abs()) > _SUSPICION * float(stderr):
        warnings.warn(
            f"the mean of exp(-S) is {float(mean):.4g} +- {float(stderr):.2g}, not 1: the step {step:.4g} is too "
            f"coarse for {name}, or the law at the end is not the true one",
            RuntimeWarning,
            stacklevel=3,
        )
