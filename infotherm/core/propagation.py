"""How errors, streams, units and signs go through arithmetic with Estimates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from infotherm.core.rounding import rounding_error
from infotherm.core.tensors import validating

if TYPE_CHECKING:
    from infotherm.core.estimate import Estimate

DIMENSIONLESS = ("nat", "1")
UNNAMED = "unnamed"


def joined_stderr(a: Tensor, b: Tensor, first: Estimate, second: Estimate) -> Tensor:
    """Random errors of a sum: in quadrature for different streams, linear when one is shared or has no name.

    What was measured, or drawn from nobody knows where, may be correlated with anything.
    """
    mine, theirs = streams_of(first), streams_of(second)
    apart = mine and theirs and UNNAMED not in (*mine, *theirs) and not set(mine) & set(theirs)
    return torch.hypot(a, b) if apart else a + b


def streams_of(e: Estimate) -> tuple[str, ...]:
    """The streams of an Estimate; a random error that comes from none has one without a name."""
    if e.streams or e.kind == "exact" or not validating(e.stderr) or not bool((e.stderr > 0).any()):
        return e.streams
    return (UNNAMED,)


def carried_rounding(value: Tensor, *operands: Tensor) -> Tensor:
    """The rounding of a value, and nothing for an infinity that came in as one (an overflow has an infinite error)."""
    carried = torch.zeros_like(value, dtype=torch.bool)
    for operand in operands:
        carried = carried | operand.detach().isinf()
    error = rounding_error([value])
    return torch.where(carried & value.detach().isinf(), torch.finfo(value.dtype).tiny, error)


def size_product(a: Tensor, b: Tensor) -> Tensor:
    """The product of two error sizes, where zero times infinity is zero."""
    return torch.where((a == 0) | (b == 0), 0.0, a * b)


def shared_info(members: Sequence[Estimate]) -> dict[str, Any]:
    """What a combination keeps: the smallest number of samples, and whether all converged."""
    info: dict[str, Any] = {}
    sizes = [
        n.min().item() if isinstance(n, Tensor) else n for n in (e.info.get("n") for e in members) if n is not None
    ]
    if sizes:
        info["n"] = min(sizes)
    if not all(e.converged for e in members):
        info["converged"] = False
    return info


def common_units(first: Estimate, second: Estimate) -> str:
    """The units of a sum; nats and pure numbers go together.

    Raises
    ------
    ValueError
        When the units differ otherwise.
    """
    if first.units == second.units:
        return first.units
    if first.units in DIMENSIONLESS and second.units in DIMENSIONLESS:
        return "nat"
    raise ValueError(f"units must agree in a sum; got {first.units!r} and {second.units!r}: convert with .to(...)")


def product_units(first: str, second: str) -> str:
    """The units of a product; a pure number leaves the other's.

    >>> product_units("1", "nat"), product_units("nat", "1/time")
    ('nat', 'nat*1/time')
    """
    if first == "1":
        return second
    return first if second == "1" else f"{first}*{second}"


def certified_sign(e: Estimate) -> int:
    """+1 or -1 when the truth certainly has that sign, else 0. A random error certifies nothing."""
    if not validating(e.value, e.stderr, e.error) or bool((e.stderr > 0).any()):
        return 0
    value = e.value.detach()
    if e.kind in ("exact", "estimate", "lower") and bool((value - e.error > 0).all()):
        return 1
    if e.kind in ("exact", "estimate", "upper") and bool((value + e.error < 0).all()):
        return -1
    return 0
