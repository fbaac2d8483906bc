"""How loops over samples are compiled. Needs numba: imported only where compiled loops are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def kernel(**options: Any) -> Callable[[Callable], Any]:
    """A decorator like `numba.njit(cache=True)` that also works where there is no folder to keep compiled code in."""

    def compiled(function: Callable) -> Any:
        try:
            return njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:  # the code is compiled anew in every session
            return njit(nogil=True, **options)(function)

    return compiled
