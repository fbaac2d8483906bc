"""What hypothesis calls when it is imported: `from_type` then knows our laws and channels, without importing them."""

from __future__ import annotations

import importlib
import sys
from typing import Any

_HOME = "infotherm.distributions"


def register() -> None:
    """Lets `hypothesis.strategies.from_type` draw infotherm's distributions and channels.

    hypothesis calls this through the entry point of its own name whenever it is imported where infotherm is installed;
    importing `infotherm.testing.strategies` calls it too. It costs nothing: neither torch nor our laws are imported.
    hypothesis keeps a table of resolvers that are asked once a module has been imported; ours is entered there. That
    table is no public interface: where there is none, types are registered when they can be, which is now if our laws
    have been imported already, and when `infotherm.testing.strategies` is imported otherwise.
    Strategies that you register for our types yourself come first.

    Examples
    --------
    >>> from hypothesis import find, settings, strategies as st
    >>> from infotherm import Gaussian
    >>> register()
    >>> find(st.from_type(Gaussian), lambda law: law.dim > 1, settings=settings(database=None)).covariance
    tensor([[1., 0.],
            [0., 1.]], dtype=torch.float64)
    """
    resolvers = _resolvers()
    if resolvers is not None:
        resolvers.setdefault(_HOME, _resolve)
    elif _HOME in sys.modules:
        importlib.import_module("infotherm.testing.strategies").register_types()


def _resolvers() -> dict[str, Any] | None:
    """hypothesis' table of resolvers by module; None where this version has none."""
    try:
        types = importlib.import_module("hypothesis.strategies._internal.types")
    except ImportError:
        return None
    table = getattr(types, "_global_extra_lookup", None)
    return table if isinstance(table, dict) else None


def _resolve(thing: Any) -> Any:
    """The strategy of one of our types; None for any other."""
    if not isinstance(thing, type) or not getattr(thing, "__module__", "").startswith("infotherm."):
        return None
    return importlib.import_module("infotherm.testing.strategies").by_type().get(thing)
