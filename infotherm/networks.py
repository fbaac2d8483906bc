"""Small torch modules: perceptrons, critics of pairs, denoisers. Made from a generator, so that a seed fixes them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from infotherm.core.tensors import Generator, as_generator


def linear(
    inputs: int,
    outputs: int,
    *,
    generator: torch.Generator | None = None,
    zero: bool = False,
    dtype: torch.dtype = torch.float32,
    device: Any = None,
) -> nn.Linear:
    """A linear layer: entries uniform in -+1/sqrt(inputs) drawn from `generator` on the CPU, or zero.

    Examples
    --------
    >>> linear(3, 2, generator=torch.Generator().manual_seed(0)).weight.shape
    torch.Size([2, 3])
    """
    layer = nn.Linear(inputs, outputs, dtype=dtype, device="meta").to_empty(device="cpu")  # no global draw
    bound = 0.0 if zero else 1 / math.sqrt(inputs)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
    return layer.to(device)


def parameter_count(module: nn.Module) -> int:
    """How many numbers a module learns.

    >>> parameter_count(MLP(2, 1, width=4, depth=1))
    17
    """
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


class MLP(nn.Module):
    """A multilayer perceptron (..., inputs) -> (..., outputs) with smooth activations (SiLU).

    Parameters
    ----------
    inputs, outputs
        Numbers of coordinates.
    width, depth
        Neurons of a hidden layer, and the number of hidden layers (at least one).
    residual
        Whether every hidden layer after the first adds to what came in: deep networks then train as shallow ones do.
    zero_output
        Whether the last layer begins at zero, so that the network begins as the function zero.
    generator
        None, a seed or a torch generator on the CPU: the initial weights are the same on every device.
    dtype, device
        Of the weights.

    Raises
    ------
    ValueError
        For sizes below one.

    Examples
    --------
    >>> network = MLP(3, 2, generator=0)
    >>> network(torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int = 64,
        depth: int = 2,
        residual: bool = False,
        zero_output: bool = False,
        generator: Generator = None,
        dtype: torch.dtype = torch.float32,
        device: Any = None,
    ) -> None:
        super().__init__()
        for name, size in (("inputs", inputs), ("outputs", outputs), ("width", width), ("depth", depth)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1; got {size}")
        made: dict[str, Any] = {"generator": as_generator(generator), "dtype": dtype, "device": device}
        self.residual = residual
        self.first = linear(inputs, width, **made)
        self.hidden = nn.ModuleList([linear(width, width, **made) for _ in range(depth - 1)])
        self.last = linear(width, outputs, zero=zero_output, **made)

    def forward(self, x: Tensor) -> Tensor:
        """The outputs for inputs of shape (..., inputs)."""
        return self.after_first(self.first(x))

    def after_first(self, h: Tensor) -> Tensor:
        """The outputs from what the first linear layer gives."""
        h = functional.silu(h)
        for layer in self.hidden:
            new = functional.silu(layer(h))
            h = h + new if self.residual else new
        return self.last(h)


class JointCritic(nn.Module):
    """A score f(x, y) of pairs by one perceptron of both: any dependence, at the price of one evaluation a pair.

    Begins as the function zero. Further arguments are those of `MLP`.

    Examples
    --------
    >>> critic = JointCritic(2, 1, generator=0)
    >>> critic(torch.zeros(5, 2), torch.zeros(5, 1)).shape, critic.pairwise(torch.zeros(5, 2), torch.zeros(7, 1)).shape
    (torch.Size([5]), torch.Size([5, 7]))
    """

    def __init__(self, dx: int, dy: int, **settings: Any) -> None:
        super().__init__()
        self.dx = dx
        self.network = MLP(dx + dy, 1, zero_output=True, **settings)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores (...) of pairs x (..., dx), y (..., dy)."""
        return self.network(torch.cat([x, y], -1))[..., 0]

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores (N, M) of every x with every y; the first layer is applied to each of them once."""
        weight, bias = self.network.first.weight, self.network.first.bias
        left = functional.linear(x, weight[:, : self.dx], bias)
        right = functional.linear(y, weight[:, self.dx :])
        return self.network.after_first(left[:, None] + right[None])[..., 0]


class SeparableCritic(nn.Module):
    """A score f(x, y) = g(x) . h(y) + a(x) + b(y): all pairs of a batch cost one matrix product.

    Begins as the function zero. Further arguments are those of `MLP`.

    Parameters
    ----------
    dx, dy
        Numbers of coordinates.
    embedding
        Length of g and h.

    Examples
    --------
    >>> SeparableCritic(2, 1, generator=0).pairwise(torch.zeros(5, 2), torch.zeros(7, 1)).shape
    torch.Size([5, 7])
    """

    def __init__(self, dx: int, dy: int, *, embedding: int = 32, generator: Generator = None, **settings: Any) -> None:
        super().__init__()
        generator = as_generator(generator)
        self.scale = 1 / math.sqrt(embedding)
        self.left = MLP(dx, embedding + 1, generator=generator, **settings)
        self.right = MLP(dy, embedding + 1, zero_output=True, generator=generator, **settings)
        with torch.no_grad():
            self.left.last.weight[-1] = 0  # a(x) begins at zero, as g . h and b(y) do
            self.left.last.bias[-1] = 0

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores (...) of pairs x (..., dx), y (..., dy)."""
        left, right = self.left(x), self.right(y)
        return (left[..., :-1] * right[..., :-1]).sum(-1) * self.scale + left[..., -1] + right[..., -1]

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores (N, M) of every x with every y."""
        left, right = self.left(x), self.right(y)
        return left[:, :-1] @ right[:, :-1].mT * self.scale + left[:, -1:] + right[:, -1]


class Denoiser(nn.Module):
    """A vector (..., dim) for a noisy vector, the logarithm of its signal-to-noise ratio, and perhaps a condition.

    Begins as the function zero. Further arguments are those of `MLP`; hidden layers are residual.

    Parameters
    ----------
    dim
        Coordinates of the noisy vector.
    condition
        Coordinates of what else is known.

    Examples
    --------
    >>> Denoiser(3, condition=2, generator=0)(torch.zeros(5, 3), torch.zeros(5), torch.zeros(5, 2)).shape
    torch.Size([5, 3])
    """

    def __init__(self, dim: int, *, condition: int = 0, **settings: Any) -> None:
        super().__init__()
        self.network = MLP(dim + condition + 5, dim, residual=True, zero_output=True, **settings)

    def forward(self, noisy: Tensor, log_snr: Tensor, condition: Tensor | None = None) -> Tensor:
        """The vectors for noisy (..., dim), log_snr (...) and condition (..., condition)."""
        level = log_snr[..., None]
        waves = [level / 4, (level / 2).sin(), (level / 2).cos(), level.sin(), level.cos()]
        return self.network(torch.cat([noisy, *waves, *([] if condition is None else [condition])], -1))
