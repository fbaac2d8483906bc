"""Closed forms of torch.distributions, KL of registered pairs and entropies, with the rounding that they have."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.distributions as td
import torch.distributions.kl as registry
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from infotherm.core.quantity import NotApplicable
from infotherm.core.tensors import validating
from infotherm.distributions.adapters import as_torch
from infotherm.distributions.base import Distribution

# Both test the supports the wrong way round and return +inf on [0, 1], where the divergence is finite.
_WRONG = {"_kl_continuous_bernoulli_uniform", "_kl_uniform_continuous_bernoulli"}
_DETACHING = "torch's rule for exponential families drops the gradient of its first argument"


def torch_kl(p: Distribution, q: Distribution) -> Callable[[], Tensor]:
    """A function that computes KL(p || q) by the rule registered for this pair in torch (`register_kl`).

    Pairs that users register count too; so do independent products and transforms of such pairs.

    Raises
    ------
    NotApplicable
        When no rule is registered, or the registered one detaches gradients, is known to be wrong, or declines.
    """
    first, second = _as_torch(p), _as_torch(q)
    _require_sound(first, second)
    if first.batch_shape != second.batch_shape:
        batch = torch.broadcast_shapes(first.batch_shape, second.batch_shape)
        try:
            first, second = first.expand(batch), second.expand(batch)
        except NotImplementedError:
            raise NotApplicable("torch cannot broadcast the batches of this pair") from None
    compute = lambda: registry.kl_divergence(first, second)  # noqa: E731
    _require_working(compute)
    return compute


def torch_entropy(p: Distribution) -> Callable[[], Tensor]:
    """A function that computes the entropy of p by the method that its torch class defines.

    Raises
    ------
    NotApplicable
        When the class defines none, or only inherits the one that detaches gradients.
    """
    law = _as_torch(p)
    _require_own_entropy(law)
    _require_working(law.entropy)
    return law.entropy


def _as_torch(p: Distribution) -> td.Distribution:
    if not validating(*(t for t in vars(p).values() if isinstance(t, Tensor))):
        raise NotApplicable("values cannot be looked at inside a transform")
    return as_torch(p) or p


def _require_sound(p: td.Distribution, q: td.Distribution) -> None:
    if isinstance(p, Distribution) != isinstance(q, Distribution):
        raise NotApplicable(f"torch has no KL rule for {type(p).__name__} and {type(q).__name__}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an ambiguous pair warns where it is computed
        rule = registry._dispatch_kl(type(p), type(q))
    if rule is NotImplemented:
        raise NotApplicable(f"torch has no KL rule for {type(p).__name__} and {type(q).__name__}")
    if rule is registry._kl_expfamily_expfamily:
        raise NotApplicable(_DETACHING)
    if rule.__module__ == registry.__name__ and rule.__name__ in _WRONG:
        raise NotApplicable(f"torch's rule for {type(p).__name__} and {type(q).__name__} is wrong")
    if rule is registry._kl_independent_independent:
        _require_sound(p.base_dist, q.base_dist)  # type: ignore[attr-defined]
    if rule is registry._kl_transformed_transformed:
        _require_bijective(p)
        _require_sound(p.base_dist, q.base_dist)  # type: ignore[attr-defined]


def _require_bijective(p: Any) -> None:
    """KL is kept by invertible maps only; of the others the absolute value of a symmetric law is harmless."""
    if not all(t.bijective for t in p.transforms) and not isinstance(p, td.HalfCauchy | td.HalfNormal):
        raise NotApplicable(f"{type(p).__name__} has a transform that is not invertible")


def _require_own_entropy(law: Any) -> None:
    if isinstance(law, td.Independent):
        return _require_own_entropy(law.base_dist)
    inherited = (td.Distribution.entropy, Distribution.entropy)
    entropy = type(law).entropy
    if entropy in inherited:
        raise NotApplicable(f"{type(law).__name__} defines no entropy")
    if entropy is td.ExponentialFamily.entropy:
        raise NotApplicable("torch's entropy of exponential families drops the gradient")


def _require_working(compute: Callable[[], Tensor]) -> None:
    try:
        with torch.no_grad():
            compute()
    except NotImplementedError as reason:
        raise NotApplicable(str(reason).strip() or "torch's rule declines this pair") from None


# -- rounding ---------------------------------------------------------------------------------------------------------


class _Recorder(TorchFunctionMode):
    """Keeps every floating-point tensor that a computation takes in or puts out, as part of one graph."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Tensor] = []
        self._known: dict[int, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _SILENT:
            return func(*args, **(kwargs or {}))
        args, kwargs = pytree.tree_map(self._entering, (args, kwargs or {}))
        result = func(*args, **kwargs)
        for leaf in pytree.tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.requires_grad:
                self._keep(leaf)
        return result

    def _entering(self, x: Any) -> Any:
        if not isinstance(x, Tensor) or not x.is_floating_point():
            return x
        known = self._known.get(id(x))
        if known is not None:
            return known
        copy = x.detach().clone().requires_grad_()
        self._known[id(x)] = copy
        self._keep(copy)
        self.kept.append(x)  # only so that its id stays taken
        return copy

    def _keep(self, x: Tensor) -> None:
        if id(x) not in self._known or self._known[id(x)] is not x:
            self._known[id(x)] = x
            self.kept.append(x)


_SILENT = {
    getattr(Tensor, name).__get__
    for name in ("requires_grad", "grad_fn", "is_leaf", "device", "dtype", "shape", "layout", "ndim")
} | {torch.broadcast_tensors, torch.Tensor.expand, torch.broadcast_shapes}


def running_error(compute: Callable[[], Tensor]) -> Tensor:
    """How far rounding can move what `compute` returns, to first order: 4 eps sum_i |dv/dz_i| |z_i|.

    The sum runs over all inputs and all intermediate results z_i, each of which carries a rounding of its own: a
    cancellation inside a formula (log-gamma functions of large arguments) is seen where the size of the result alone
    would hide it. Shape of the result, elementwise; conservative where intermediates are shared by the batch.

    References
    ----------
    Bauer, Computational graphs and rounding error, SIAM J. Numer. Anal. 11 (1974) 87.

    Examples
    --------
    >>> x = torch.tensor(1e8, dtype=torch.float64)
    >>> running_error(lambda: (x + 1) - x).item() > 1e-9
    True
    """
    recorder = _Recorder()
    with torch.enable_grad(), recorder:
        value = compute()
    with torch.no_grad():
        finite = torch.isfinite(value)
        eps, tiny = torch.finfo(value.dtype).eps, torch.finfo(value.dtype).tiny
    error = torch.zeros_like(value.detach())
    if value.requires_grad:
        kept = [z for z in recorder.kept if z.requires_grad and z is not value]
        slopes = torch.autograd.grad(torch.where(finite, value, 0.0).sum(), kept, allow_unused=True)
        for z, slope in zip(kept, slopes, strict=True):
            if slope is not None:
                error = error + _to_shape((slope * z.detach()).abs().nan_to_num(posinf=0.0), value.shape)
    error = 4 * eps * (error + value.detach().abs()) + tiny
    return torch.where(finite, error, tiny)


def _to_shape(x: Tensor, shape: torch.Size) -> Tensor:
    """Contributions summed over axes that the result lacks; handed to all elements where axes do not line up."""
    extra = x.ndim - len(shape)
    for leading in (True, False):
        axes = tuple(range(extra)) if leading else tuple(range(len(shape), x.ndim))
        rest = x.sum(axes) if extra > 0 else x
        aligned = rest.shape[-len(shape) :] if len(shape) else rest.shape
        if all(a in (1, b) for a, b in zip(reversed(aligned), reversed(shape), strict=False)):
            return rest
        if extra <= 0:
            break
    return x.sum()
