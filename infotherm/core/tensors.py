"""Where arrays come in: conversion, checks that name the argument, seeds and streams of random numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

Generator = torch.Generator | int | None

_KEPT_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def as_tensor(
    x: Any, name: str = "x", *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Tensor:
    """The numbers of `x` as a tensor, without a copy where that is possible.

    Tensors, numpy arrays and xarray objects of a floating dtype keep it; integers, booleans, Python numbers and nested
    lists become float64. Complex numbers, text and objects are refused.

    Raises
    ------
    TypeError
        When `x` holds anything but real numbers.

    Examples
    --------
    >>> as_tensor([1, 2]).dtype, as_tensor(np.zeros(2, dtype=np.float32)).dtype
    (torch.float64, torch.float32)
    """
    if isinstance(x, Tensor):
        tensor = x
    elif isinstance(x, Sequence) and not isinstance(x, str) and any(isinstance(entry, Tensor) for entry in x):
        tensor = torch.stack([as_tensor(entry, name) for entry in x])
    else:
        try:
            array = np.asarray(x)
        except ValueError as reason:
            raise TypeError(f"{name} must be an array of numbers; got a ragged sequence ({reason})") from None
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{name} must hold real numbers; got {type(x).__name__} with dtype {array.dtype}")
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        if array.dtype == np.longdouble and np.longdouble is not np.float64:
            array = array.astype(np.float64)
        if array.dtype.kind in "iub" or not isinstance(x, np.ndarray | np.generic) and not hasattr(x, "dtype"):
            array = array.astype(np.float64)
        if any(stride < 0 for stride in array.strides) or not array.flags.writeable:
            array = array.copy()  # torch has no negative strides and warns on memory that it must not write to
        tensor = torch.from_numpy(np.asarray(array)) if array.ndim else torch.tensor(array.item(), dtype=_torch(array))
    if tensor.is_complex():
        raise TypeError(f"{name} must hold real numbers; got dtype {tensor.dtype}")
    if dtype is None and tensor.dtype not in _KEPT_DTYPES:
        dtype = torch.float64
    return tensor.to(dtype=dtype, device=device)


def _torch(array: np.ndarray) -> torch.dtype:
    return torch.from_numpy(np.zeros((), dtype=array.dtype)).dtype


def as_tensors(
    *, dtype: torch.dtype | None = None, device: torch.device | str | None = None, **named: Any
) -> tuple[Tensor, ...]:
    """All arguments as tensors of one dtype on one device, in the order given.

    The dtype is the promotion of those that came as floating arrays; Python numbers and lists adapt to it.

    Raises
    ------
    ValueError
        When two of them live on different devices (the message names both).

    Examples
    --------
    >>> mean, cov = as_tensors(mean=0.0, cov=torch.ones(1, 1, dtype=torch.float32))
    >>> mean.dtype
    torch.float32
    """
    tensors = {name: as_tensor(x, name) for name, x in named.items()}
    arrays = {name: t for name, t in tensors.items() if _has_dtype(named[name])}
    if device is None:
        devices = {t.device: name for name, t in arrays.items() if t.ndim or t.device.type != "cpu"}
        if len(devices) > 1:
            (first, name_first), (second, name_second) = list(devices.items())[:2]
            raise ValueError(
                f"{name_first} and {name_second} must be on one device; got {first} and {second}: "
                f"move one of them with .to(...)"
            )
        device = next(iter(devices), torch.device("cpu"))
    if dtype is None:
        for tensor in (arrays or tensors).values():
            dtype = tensor.dtype if dtype is None else torch.promote_types(dtype, tensor.dtype)
    return tuple(t.to(dtype=dtype, device=device) for t in tensors.values())


def _has_dtype(x: Any) -> bool:
    """Whether `x` came with a floating dtype of its own (a Python number or a list adapts to the others)."""
    dtype = getattr(x, "dtype", None)
    if isinstance(dtype, torch.dtype):
        return dtype.is_floating_point
    return dtype is not None and getattr(dtype, "kind", "") == "f" and not isinstance(x, float)


def validating(*tensors: Tensor) -> bool:
    """Whether values may be looked at: False on traced or batched tensors (torch.func, torch.compile)."""
    if torch.compiler.is_compiling():
        return False
    functorch = getattr(torch._C, "_functorch")  # noqa: B009 - torch does not declare it  # fmt: skip
    return not any(functorch.is_functorch_wrapped_tensor(t) or t.device.type == "meta" for t in tensors)


def require_finite(x: Tensor, name: str) -> Tensor:
    """`x` itself, when every entry is finite.

    Raises
    ------
    ValueError
        Naming the first entry that is not.
    """
    if validating(x) and not bool(torch.isfinite(x).all()):
        where = torch.nonzero(~torch.isfinite(x))[0].tolist()
        raise ValueError(f"{name} must be finite; got {x[tuple(where)].item()} at index {where}")
    return x


def require_shape(x: Tensor, shape: Sequence[str | int], name: str) -> dict[str, int]:
    """The sizes bound to the letters of `shape`, e.g. ("...", "D", "D"), when `x` has it.

    Raises
    ------
    ValueError
        Saying the expected and the actual shape.
    """
    pattern = [s for s in shape if s != "..."]
    sizes: dict[str, int] = {}
    matches = x.ndim >= len(pattern) if "..." in shape else x.ndim == len(pattern)
    if matches:
        for want, got in zip(pattern, x.shape[x.ndim - len(pattern) :], strict=True):
            expected = sizes.setdefault(want, got) if isinstance(want, str) else want
            matches = matches and expected == got
    if not matches:
        wanted = ", ".join(str(s) for s in shape)
        raise ValueError(f"{name} must have shape ({wanted}); got {tuple(x.shape)}")
    return sizes


def as_generator(generator: Generator, device: torch.device | str = "cpu") -> torch.Generator | None:
    """A generator on `device`: an int is a seed, a generator is itself, None is torch's default one (None).

    Raises
    ------
    TypeError, ValueError
        When it is neither, or lives on another device.
    """
    device = torch.device(device)
    if generator is None:
        return None
    if isinstance(generator, torch.Generator):
        if generator.device.type != device.type:
            raise ValueError(f"generator must be on {device}; got one on {generator.device}")
        return generator
    if isinstance(generator, bool) or not isinstance(generator, int | np.integer):
        raise TypeError(f"generator must be a torch.Generator or an integer seed; got {type(generator).__name__}")
    return torch.Generator(device=device).manual_seed(int(generator))


def stream_of(generator: torch.Generator | None, device: torch.device | str = "cpu") -> str:
    """The name of the random numbers that come next: a digest of the generator's state before the draw.

    Two draws that begin at the same state share their numbers, so that their errors must not be added as independent.
    """
    device = torch.device(device)
    if generator is not None:
        state = generator.get_state()
    elif device.type == "cuda":
        state = torch.cuda.get_rng_state(device)
    else:
        state = torch.get_rng_state()
    return hashlib.blake2b(state.numpy().tobytes() + device.type.encode(), digest_size=8).hexdigest()


@contextmanager
def rng_scope(generator: torch.Generator | None, device: torch.device | str = "cpu") -> Iterator[None]:
    """A scope in which samplers without `generator=` draw from `generator`; the global state is put back at its end."""
    if generator is None:
        yield
        return
    device = torch.device(device)
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device).item())
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def chunks(n: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover range(n)."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
