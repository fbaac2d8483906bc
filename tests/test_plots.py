"""Figures are drawn on the axes given, or on new ones that no window manager holds."""

import pytest
import torch

from infotherm.distributions import Gaussian, GaussianMixture
from infotherm.information import forward_kl_fit, reverse_kl_fit
from infotherm.plots import plot_gaussian_fits

LAW = GaussianMixture([0.5, 0.5], [-3.0, 3.0], 1.0)


def test_fits_are_drawn_with_their_divergences():
    fits = [forward_kl_fit(LAW), reverse_kl_fit(LAW)]
    ax = plot_gaussian_fits(LAW, fits)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[0] == "p" and "KL(p || q)" in labels[1] and "KL(q || p)" in labels[2]
    assert len(ax.get_lines()) == 2
    assert plot_gaussian_fits(LAW, fits[0], ax=ax) is ax


def test_only_scalar_laws_are_drawn():
    law = Gaussian([0.0, 0.0], torch.eye(2, dtype=torch.float64))
    with pytest.raises(ValueError, match="scalar"):
        plot_gaussian_fits(law, forward_kl_fit(law))
