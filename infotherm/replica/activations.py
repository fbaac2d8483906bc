"""What a layer does to each of its pre-activations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from infotherm.channels import LinearGaussianChannel


class Activation:
    """A function applied to every unit of a layer, after the noise of the layer has been added.

    Subclasses are final. `channel(noise)` is the scalar Markov kernel from a pre-activation to a unit.
    """

    def __call__(self, pre_activation: Tensor) -> Tensor:
        """The unit's value, elementwise."""
        raise NotImplementedError

    def channel(self, noise: Tensor) -> object:
        """The law of a unit given its pre-activation, when Gaussian noise of variance `noise` enters the activation."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Linear(Activation):
    """The identity: t = z + sqrt(noise) xi.

    Examples
    --------
    >>> Linear()
    Linear()
    """

    def __call__(self, pre_activation: Tensor) -> Tensor:
        return pre_activation

    def channel(self, noise: Tensor) -> LinearGaussianChannel:
        """The additive-noise channel z -> N(z, noise), with the batch shape of `noise`."""
        from infotherm.channels import LinearGaussianChannel

        variance = noise[..., None, None]
        return LinearGaussianChannel(variance.new_ones(variance.shape), variance)
