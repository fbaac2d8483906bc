"""Channel: a Markov kernel, which turns one law into another, and the joint law that it makes with its input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from infotherm.core.tensors import Generator, as_generator, as_tensor
from infotherm.distributions import as_distribution
from infotherm.distributions.base import Distribution, Names


class Channel(ABC):
    """A Markov kernel p(y | x): `channel(x)` is the law of the output given `x`.

    Subclasses say what is exact: `output(p)` (the marginal law of y), `joint(p)` and `reverse(p)` (Bayes). What is not
    known in closed form is refused with a message; `sample` always works.

    Examples
    --------
    >>> from infotherm.channels import LinearGaussianChannel
    >>> twice = LinearGaussianChannel([[2.0]], [[0.5]]) @ LinearGaussianChannel([[1.0]], [[1.0]])
    >>> twice([3.0]).mean, twice([3.0]).covariance
    (tensor([6.], dtype=torch.float64), tensor([[4.5000]], dtype=torch.float64))
    """

    batch_shape: torch.Size = torch.Size()
    input_dim: int | None = None  # None: acts on any number of coordinates
    output_dim: int | None = None
    output_measure: str = "lebesgue"  # what the density of channel(x) is a density of

    @abstractmethod
    def __call__(self, x: Any) -> Distribution:
        """The law of the output given the input x, shape (..., D): a batch of laws."""

    def output(self, p: Any) -> Distribution:
        """The law of the output when the input has the law p.

        Raises
        ------
        TypeError
            Where that law is not known in closed form.
        """
        raise TypeError(
            f"the output law of {type(self).__name__} is not known in closed form for {type(p).__name__}: "
            f"draw from joint(p) instead"
        )

    def joint(self, p: Any, names: Sequence[str] = ("x", "y")) -> Distribution:
        """The joint law of input and output, parts named `names`; it remembers both as `.input` and `.channel`."""
        return ChannelJoint(as_distribution(p, "p"), self, names)

    def reverse(self, p: Any) -> Channel:
        """The channel from y back to x by Bayes' theorem, for an input of law p.

        Raises
        ------
        TypeError
            Where the posterior is not known in closed form.
        """
        raise TypeError(f"the posterior of {type(self).__name__} is not known in closed form for {type(p).__name__}")

    def mean(self, x: Any) -> Tensor:
        """The mean output E[y | x], shape (..., E)."""
        return self(x).mean

    def sample(self, x: Any, generator: Generator = None) -> Tensor:
        """One draw of the output for every input x, shape (..., D) -> (..., E)."""
        return self(x).sample((), generator=generator)

    def output_size(self, dim: int) -> int:
        """The number of output coordinates for an input with `dim` of them."""
        return dim if self.output_dim is None else self.output_dim

    def after(self, first: Channel) -> Channel:
        """This channel fed by `first` (the operator: `self @ first`)."""
        return ComposedChannel(first, self)

    def __matmul__(self, first: Any) -> Channel:
        if not isinstance(first, Channel):
            return NotImplemented
        if first.output_dim is not None and self.input_dim is not None and first.output_dim != self.input_dim:
            raise ValueError(
                f"the second channel takes inputs with D = {self.input_dim}; the first gives D = {first.output_dim}"
            )
        check_batches(second=self.batch_shape, first=first.batch_shape)
        return self.after(first)


class ComposedChannel(Channel):
    """One channel after another, where the pair has no closed form of its own.

    `channel(x)` and `output(p)` are exact when `second` has an exact output for the laws that `first` gives; otherwise
    they raise, and `sample` still draws.

    Parameters
    ----------
    first, second
        The channels, in the order in which they act.
    """

    def __init__(self, first: Channel, second: Channel) -> None:
        self.first = first
        self.second = second
        self.input_dim = first.input_dim
        self.output_dim = second.output_dim if second.output_dim is not None else first.output_dim
        self.output_measure = second.output_measure
        self.batch_shape = torch.broadcast_shapes(first.batch_shape, second.batch_shape)

    def __call__(self, x: Any) -> Distribution:
        return self.second.output(self.first(x))

    def output(self, p: Any) -> Distribution:
        return self.second.output(self.first.output(p))

    def output_size(self, dim: int) -> int:
        return self.second.output_size(self.first.output_size(dim))

    def sample(self, x: Any, generator: Generator = None) -> Tensor:
        x = as_tensor(x, "x")
        generator = as_generator(generator, x.device)
        return self.second.sample(self.first.sample(x, generator), generator)


class ChannelJoint(Distribution):
    """The joint law p(x) p(y | x) of a channel's input and output.

    It remembers both factors, so that I(x; y) = h(y) - h(y | x) needs no joint density: there may be none.

    Parameters
    ----------
    input
        Law of x, D coordinates.
    channel
        Law of y given x, E coordinates.
    names
        Names of the two parts.

    Examples
    --------
    >>> from infotherm.channels import LinearGaussianChannel
    >>> from infotherm.distributions import Empirical
    >>> joint = LinearGaussianChannel(1.0, 0.01).joint(Empirical([[0.0], [1.0]]))
    >>> joint.parts, joint.measure, joint.sample((3,), generator=0).shape
    ({'x': 1, 'y': 1}, 'mixed', torch.Size([3, 2]))
    """

    def __init__(self, input: Distribution, channel: Channel, names: Sequence[str] = ("x", "y")) -> None:
        names = joint_names(names)
        check_input_size(channel, input)
        size = channel.output_size(input.dim)
        super().__init__(
            torch.broadcast_shapes(input.batch_shape, channel.batch_shape),
            input.dim + size,
            dtype=input.dtype,
            device=input.device,
            parts={names[0]: input.dim, names[1]: size},
        )
        self.input = input
        self.channel = channel

    @property
    def measure(self) -> str:  # type: ignore[override]
        """What log_prob is a density of: as its factors are, "mixed" when they differ."""
        given = self.channel.output_measure
        return given if given == self.input.measure else "mixed"

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Draws carry no gradients: those of the factors do."""
        return False

    def sample(self, sample_shape: Iterable[int] = (), generator: Generator = None) -> Tensor:
        """Independent draws of (x, y), shape (*sample_shape, *batch, D + E)."""
        generator = as_generator(generator, self.device)
        with torch.no_grad():
            x = self._sample_input(tuple(sample_shape), generator)
            return torch.cat([x, self.channel.sample(x, generator)], -1)

    def _sample_input(self, lead: tuple[int, ...], generator: Generator) -> Tensor:
        """Inputs of shape (*lead, *batch, D): every member of the channel's batch has a draw of its own."""
        own = self.input.batch_shape
        own = (1,) * (len(self.batch_shape) - len(own)) + tuple(own)
        repeats = [full if size == 1 else 1 for size, full in zip(own, self.batch_shape, strict=True)]
        draws = self.input.sample((*lead, *repeats), generator=generator)
        draws = draws.reshape(*lead, *repeats, *own, self.input.dim)
        # put each repeat beside the axis of size one that it stretches, and merge the two
        n, k = len(lead), len(repeats)
        order = [*range(n), *(axis for i in range(k) for axis in (n + i, n + k + i)), n + 2 * k]
        return draws.permute(order).reshape(*lead, *self.batch_shape, self.input.dim)

    def log_prob(self, value: Any) -> Tensor:
        """log p(x) + log p(y | x) at points (x, y), shape (..., D + E) -> (...)."""
        value = self._points(value)
        x, y = value[..., : self.input.dim], value[..., self.input.dim :]
        return self.input.log_prob(x) + self.channel(x).log_prob(y)

    @property
    def mean(self) -> Tensor:  # type: ignore[override]
        """Mean of (x, y), shape (*batch, D + E), where the channel is linear."""
        return self._moments()[0]

    @property
    def covariance(self) -> Tensor:
        """Covariance of (x, y), shape (*batch, D + E, D + E), where the channel is linear."""
        return self._moments()[1]

    def _moments(self) -> tuple[Tensor, Tensor]:
        moments = getattr(self.channel, "joint_moments", None)
        if moments is None:
            raise NotImplementedError(
                f"moments of the joint law need a linear channel; got {type(self.channel).__name__}"
            )
        return moments(self.input.mean, self.input.covariance)

    def bounds(self) -> tuple[Tensor, Tensor]:
        """The box of the input times the whole space of the output."""
        lower, upper = super().bounds()
        box_lower, box_upper = self.input.bounds()
        shape = (*self.batch_shape, self.input.dim)
        rest = slice(self.input.dim, None)
        return (
            torch.cat([box_lower.expand(shape), lower[..., rest]], -1),
            torch.cat([box_upper.expand(shape), upper[..., rest]], -1),
        )

    def marginal(self, names: Names) -> Distribution:
        """The law of the input or of the output, by name; both names in order give the joint itself."""
        wanted = [names] if isinstance(names, str | int) else list(names)
        self.part_indices(wanted)
        first, second = self.parts
        if wanted == [first]:
            return self.input
        if wanted == [second]:
            return self.channel.output(self.input)
        if wanted == [first, second]:
            return self
        raise NotImplementedError(
            f"the marginal of a channel's joint law is that of {first!r} or {second!r}; got {names}"
        )

    def condition(self, **values: Any) -> Distribution:
        """The law of the output given the input, or of the input given the output where Bayes is exact."""
        self.part_indices(list(values))
        first, second = self.parts
        if list(values) == [first]:
            return self.channel(values[first])
        if list(values) == [second]:
            return self.channel.reverse(self.input)(values[second])
        raise ValueError(f"condition takes a value of one part, {first!r} or {second!r}; got {list(values)}")


def joint_names(names: Sequence[str]) -> tuple[str, str]:
    """Two different names for the parts of a joint law.

    Raises
    ------
    ValueError
        When there are not two, or they are equal.
    """
    if isinstance(names, str) or len(names) != 2 or names[0] == names[1]:
        raise ValueError(f"names must be two different names, like ('x', 'y'); got {names!r}")
    return names[0], names[1]


def check_batches(**shapes: torch.Size) -> None:
    """Refuse batches that do not broadcast.

    Raises
    ------
    ValueError
        Saying all of them.
    """
    try:
        torch.broadcast_shapes(*shapes.values())
    except RuntimeError:
        given = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
        raise ValueError(f"batch dimensions must broadcast; got {given}") from None


def check_input_size(channel: Channel, p: Distribution) -> None:
    """Refuse an input law that the channel does not take: its number of coordinates, or its batch.

    Raises
    ------
    ValueError
        Saying both.
    """
    check_batches(channel=channel.batch_shape, p=p.batch_shape)
    if channel.input_dim is not None and channel.input_dim != p.dim:
        raise ValueError(f"the channel takes inputs with D = {channel.input_dim}; p has D = {p.dim}")
