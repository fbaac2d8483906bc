"""Figures are drawn on the axes given, or on new ones that no window manager holds."""

import pytest
import torch

from infotherm.core.verdict import decide
from infotherm.distributions import Gaussian, GaussianMixture
from infotherm.information import forward_kl_fit, reverse_kl_fit
from infotherm.plots import (
    plot_fluctuation_theorem,
    plot_gaussian_fits,
    plot_orders,
    plot_schedules,
    plot_tightness,
)
from infotherm.processes import StraightLine, VariancePreserving
from infotherm.transport.schedules import compare_schedules

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


def test_orders_are_drawn_as_guides_through_the_finest_point():
    steps = [0.2, 0.1, 0.05]
    ax = plot_orders(
        {"first": (steps, [0.5, 0.2, 0.1]), "second": (steps, [0.04, 0.01, 0.0025])}, dict(first=1, second=2)
    )
    drawn, guide, _, second = ax.get_lines()
    assert guide.get_ydata()[-1] == drawn.get_ydata()[-1] and guide.get_ydata()[0] == pytest.approx(0.4)
    assert list(second.get_ydata()) == pytest.approx([0.04, 0.01, 0.0025])
    with pytest.raises(ValueError, match="'first' is missing"):
        plot_orders({"first": (steps, steps)}, {})
    with pytest.raises(ValueError, match="one error a step"):
        plot_orders({"first": (steps, [1.0])}, {"first": 1})


def test_the_fluctuation_theorem_is_a_line_that_its_samples_follow():
    generator = torch.Generator().manual_seed(0)
    s = 1 + 2**0.5 * torch.randn(100_000, generator=generator, dtype=torch.float64)
    container = plot_fluctuation_theorem(s, bins=20).containers[0]
    (points, _, (bars,)) = container.lines
    middle, logs = points.get_data()
    spreads = [abs(end[1] - start[1]) / 2 for start, end in bars.get_segments()]
    # bars are two standard errors: four of them leave room for the width of the bins
    assert len(middle) > 5 and all(
        abs(log - m) < 2 * half + 0.05 for m, log, half in zip(middle, logs, spreads, strict=True)
    )
    with pytest.raises(ValueError, match="both signs"):
        plot_fluctuation_theorem(s.abs())
    with pytest.raises(ValueError, match=r"shape \(n,\)"):
        plot_fluctuation_theorem(s[:, None])


def test_schedules_are_drawn_in_units_of_the_geodesic():
    # at the width that both keep, only the mean moves: the straight line is the geodesic at constant speed
    processes = {"VP": VariancePreserving(), "straight": StraightLine(1.0)}
    found = compare_schedules(processes, Gaussian(3.0, 1.0), until={"straight": 0.5}, points=5)
    vp, straight, level = plot_schedules(found).get_lines()
    assert list(straight.get_ydata()) == pytest.approx([1.0] * 5)
    assert "straight: 1 x" in straight.get_label() and set(level.get_ydata()) == {1.0}
    assert max(vp.get_ydata()) > 1.2 > 1 > min(vp.get_ydata())
    with pytest.raises(ValueError, match="lacks speed"):
        plot_schedules(found.drop_vars("speed"))


def test_tightness_is_the_length_of_a_bar():
    ax = plot_tightness({"half": decide(2.0, 1.0), "broken": decide(1.0, 4.0), "tight": decide(1.0, 1.0)})
    assert [bar.get_width() for bar in ax.patches] == [0.5, 0.25, 1.0]
    colours = [bar.get_facecolor() for bar in ax.patches]
    assert colours[0] == colours[2] != colours[1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["half", "broken", "tight"]
    with pytest.raises(ValueError, match="at least one"):
        plot_tightness({})
    with pytest.raises(ValueError, match="one number each"):
        plot_tightness({"batch": decide([1.0, 2.0], 0.5)})
