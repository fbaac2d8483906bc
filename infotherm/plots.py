"""Figures of results, drawn on axes that are given or made; matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from infotherm.distributions import as_distribution
from infotherm.information.fits import GaussianFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_gaussian_fits(mixture: Any, fits: GaussianFit | Sequence[GaussianFit], *, ax: Axes | None = None) -> Axes:
    """The density of a scalar law with those of Gaussians fitted to it: mode-covering beside mode-seeking.

    Parameters
    ----------
    mixture
        The law, scalar and without batch.
    fits
        What `forward_kl_fit` and `reverse_kl_fit` return, one or several.
    ax
        Where to draw; new axes by default.

    Raises
    ------
    ValueError
        When the law is not scalar.

    Examples
    --------
    >>> from infotherm.distributions import GaussianMixture
    >>> from infotherm.information import forward_kl_fit, reverse_kl_fit
    >>> p = GaussianMixture([0.5, 0.5], [-3.0, 3.0], 1.0)
    >>> plot_gaussian_fits(p, [forward_kl_fit(p), reverse_kl_fit(p)]).get_xlabel()
    'x'
    """
    law = as_distribution(mixture, "mixture")
    if law.dim != 1 or law.batch_shape:
        raise ValueError(f"mixture must be one scalar law; got D = {law.dim}, batch {tuple(law.batch_shape)}")
    fits = [fits] if isinstance(fits, GaussianFit) else list(fits)
    ax = _axes(ax)
    laws = [law, *(fit.law for fit in fits)]
    reach = [(q.mean[0].item(), q.variance[0].sqrt().item()) for q in laws]
    x = torch.linspace(
        min(m - 3.5 * s for m, s in reach), max(m + 3.5 * s for m, s in reach), 801, dtype=law.dtype
    ).unsqueeze(-1)
    with torch.no_grad():
        density = law.log_prob(x).exp()
        ax.fill_between(x[:, 0].tolist(), density.tolist(), color="0.85", label="p")
        for fit in fits:
            name = "KL(p || q)" if fit.direction == "forward" else "KL(q || p)"
            style = "-" if fit.direction == "forward" else "--"
            label = f"{fit.direction}: {name} = {fit.divergence.value.item():.3g} nat"
            ax.plot(x[:, 0].tolist(), fit.law.log_prob(x).exp().tolist(), style, label=label)
    ax.set_xlabel("x")
    ax.set_ylabel("density")
    ax.set_ylim(bottom=0.0)
    ax.legend()
    return ax


def _axes(ax: Axes | None) -> Axes:
    """The given axes, or those of a new figure that no window manager holds."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(layout="constrained").subplots()
