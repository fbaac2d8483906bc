"""A multi-layer network with random weights: prior, layers, and the sizes between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infotherm.core.tensors import as_tensor, require_finite, validating
from infotherm.distributions import as_distribution
from infotherm.distributions.base import Distribution
from infotherm.replica.activations import Activation
from infotherm.replica.spectra import GaussianWeights


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer: t_l = f(W t_(l-1) + sqrt(noise) xi), the noise entering inside the activation f.

    Parameters
    ----------
    weights
        The ensemble of W.
    activation
        The function f.
    noise
        The variance of the noise, >= 0; a tensor makes a batch.

    Raises
    ------
    TypeError, ValueError
        For weights or an activation of another type, or a negative noise.

    Examples
    --------
    >>> from infotherm.replica import GaussianWeights, Linear
    >>> Layer(GaussianWeights(0.5), Linear(), noise=0.1).noise.item()
    0.1
    """

    weights: GaussianWeights
    activation: Activation
    noise: Any = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.weights, GaussianWeights):
            raise TypeError(f"weights must be an ensemble such as GaussianWeights; got {type(self.weights).__name__}")
        if not isinstance(self.activation, Activation):
            raise TypeError(f"activation must be an Activation such as Linear(); got {type(self.activation).__name__}")
        noise = require_finite(as_tensor(self.noise, "noise"), "noise")
        if validating(noise) and not bool((noise >= 0).all()):
            raise ValueError(f"noise is a variance and must be >= 0; got {noise.min().item()}")
        object.__setattr__(self, "noise", noise)

    @property
    def channel(self) -> object:
        """The scalar channel from a pre-activation to a unit."""
        return self.activation.channel(self.noise)


@dataclass(frozen=True, eq=False)
class Network:
    """A prior on the input units and the layers after it.

    The inputs are independent draws from `prior` (a scalar law); layer l has n_l = alpha_l n_(l-1) units. Entropies
    of the network are per input unit, in the limit n_0 -> infinity.

    Parameters
    ----------
    prior
        Anything `as_distribution` takes, with D = 1.
    layers
        At least one Layer.

    Raises
    ------
    ValueError
        When the prior is not scalar or there is no layer.

    Examples
    --------
    >>> import infotherm as it
    >>> rp = it.replica
    >>> net = rp.Network(it.Gaussian(0.0, 1.0), [rp.Layer(rp.GaussianWeights(2.0), rp.Linear(), noise=0.1)] * 3)
    >>> net.widths[-1].item()
    8.0
    """

    prior: Distribution
    layers: Sequence[Layer]

    def __post_init__(self) -> None:
        prior = as_distribution(self.prior, "prior")
        if prior.dim != 1:
            raise ValueError(f"prior must be the law of one input unit (D = 1); got D = {prior.dim}")
        if isinstance(self.layers, Layer):
            raise ValueError("layers must be a sequence of Layer; got a single Layer: write [layer]")
        layers = tuple(self.layers)
        if not layers:
            raise ValueError("layers must hold at least one Layer; got none")
        for number, layer in enumerate(layers, 1):
            if not isinstance(layer, Layer):
                raise TypeError(f"layers must hold Layers; entry {number} is a {type(layer).__name__}")
        object.__setattr__(self, "prior", prior)
        object.__setattr__(self, "layers", layers)

    @property
    def batch_shape(self) -> torch.Size:
        """The common batch shape of the prior and of every parameter of the layers."""
        shapes = [layer.weights.batch_shape for layer in self.layers] + [layer.noise.shape for layer in self.layers]
        return torch.broadcast_shapes(self.prior.batch_shape, *shapes)

    @property
    def widths(self) -> tuple[Tensor, ...]:
        """n_l / n_0 for l = 0, ..., L."""
        widths = [torch.ones_like(self.layers[0].weights.alpha)]
        for layer in self.layers:
            widths.append(widths[-1] * layer.weights.alpha)
        return tuple(widths)
