"""Numbers as a person reads them: as many digits as are known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infotherm.core.estimate import Estimate

_MOST_DIGITS = 12


def with_uncertainty(value: float, uncertainty: float) -> str:
    """The value rounded to two digits of its uncertainty, and the uncertainty.

    >>> with_uncertainty(0.80692, 0.0012), with_uncertainty(2.0, 0.0), with_uncertainty(1 / 3, 1e-16)
    ('0.8069 +- 0.0012', '2', '0.333333333333 +- 1e-16')
    """
    if not math.isfinite(value):
        return f"{value}" if math.isfinite(uncertainty) or math.isnan(value) else f"{value} +- {uncertainty}"
    if not math.isfinite(uncertainty):
        return f"{value:.6g} +- {uncertainty}"
    if value == 0 and uncertainty < 1e-4:
        return f"0 +- {uncertainty:.2g}" if uncertainty else "0"
    if uncertainty == 0:
        return f"{value:.{_MOST_DIGITS}g}"
    decimals = 1 - math.floor(math.log10(uncertainty))
    shown = f"{uncertainty:.2g}"
    if value == 0 and decimals > _MOST_DIGITS:
        return f"0 +- {shown}"
    if value != 0 and decimals + math.floor(math.log10(abs(value))) + 1 > _MOST_DIGITS:
        return f"{value:.{_MOST_DIGITS}g} +- {shown}"
    if abs(value) >= 1e6 or 0 < abs(value) < 1e-4:
        digits = max(1, decimals + (math.floor(math.log10(abs(value))) if value else 0))
        return f"{value:.{min(digits, _MOST_DIGITS)}e} +- {shown}"
    return f"{value:.{max(decimals, 0)}f} +- {shown}"


def describe(e: Estimate) -> str:
    """One line: value, uncertainty, units, kind and method (a batch shows its first and last elements)."""
    method = f"{e.method}(n={int(e.info['n'])})" if "n" in e.info and _is_number(e.info["n"]) else e.method
    units = "" if e.units == "1" else f" {e.units}"
    tail = f"{units}  {e.kind}  {method}" + ("" if e.converged else "  NOT CONVERGED")
    try:
        values, margins = e.value.detach().flatten().tolist(), (e.stderr + e.error).flatten().tolist()
    except (RuntimeError, AttributeError):  # a traced tensor has no numbers to show
        return f"Estimate(shape={tuple(getattr(e.value, 'shape', ()))}){tail}"
    if e.value.ndim == 0:
        return with_uncertainty(values[0], margins[0]) + tail
    shown = [with_uncertainty(v, m) for v, m in zip(values, margins, strict=True)]
    if len(shown) > 6:
        shown = [*shown[:3], "...", *shown[-2:]]
    return f"[{', '.join(shown)}]{tail}  shape {tuple(e.shape)}"


def _is_number(n: object) -> bool:
    return isinstance(n, int | float) and math.isfinite(n)
