"""Conditions that several bounds share: each returns None when it is met and otherwise says why not."""

from __future__ import annotations

from typing import Any

import torch

from infotherm.channels import DiscreteChannel
from infotherm.channels.base import Channel
from infotherm.core.tensors import as_tensor
from infotherm.distributions import Discrete, Gaussian, as_distribution
from infotherm.processes import Process


def one_space(p: Any, q: Any) -> str | None:
    """Whether two laws live on one space, so that one has a density against the other."""
    p, q = as_distribution(p, "p"), as_distribution(q, "q")
    if p.dim != q.dim:
        return f"p has D = {p.dim} and q has D = {q.dim}"
    if (p.measure == "lebesgue") != (q.measure == "lebesgue"):
        return f"the density of p is {p.measure}, that of q is {q.measure}"
    if isinstance(p, Discrete) and isinstance(q, Discrete) and p.alphabet != q.alphabet:
        return f"the alphabets have {p.alphabet} and {q.alphabet} letters"
    return None


def density(p: Any) -> str | None:
    """Whether a law has a density against the Lebesgue measure."""
    p = as_distribution(p, "p")
    if p.measure != "lebesgue":
        return f"p is a {type(p).__name__}, with {p.measure} measure"
    if isinstance(p, Gaussian) and bool(p.degenerate.any()):
        return "the covariance of p is singular"
    return None


def smooth_density(p: Any) -> str | None:
    """Whether a law has a density that does not jump to zero anywhere: its support is the whole space."""
    reason = density(p)
    if reason is not None:
        return reason
    lower, upper = as_distribution(p, "p").bounds()
    if bool(torch.isfinite(lower).any()) or bool(torch.isfinite(upper).any()):
        return "the support of p has an end, where its density may jump"
    return None


def finite_covariance(p: Any) -> str | None:
    """Whether a law has a finite covariance that is known."""
    try:
        covariance = as_distribution(p, "p").covariance
    except (NotImplementedError, RuntimeError) as reason:
        return f"the covariance of p is not known ({reason})"
    if not bool(torch.isfinite(covariance).all()):
        return "the variance of p is not finite"
    return None


def parts(joint: Any, *names: str) -> str | None:
    """Whether a joint law has these parts."""
    joint = as_distribution(joint, "joint")
    missing = [name for name in names if name not in joint.parts]
    if missing:
        return f"the law has no part {', '.join(map(repr, missing))}; its parts are {', '.join(joint.parts) or 'none'}"
    return None


def takes(channel: Channel, p: Any, name: str = "p") -> str | None:
    """Whether a channel takes inputs of this law."""
    law = as_distribution(p, name)
    if not isinstance(channel, Channel):
        raise TypeError(f"a channel must be a Channel; got {type(channel).__name__}")
    if channel.input_dim is not None and channel.input_dim != law.dim:
        return f"the channel takes inputs with D = {channel.input_dim}; {name} has D = {law.dim}"
    if isinstance(channel, DiscreteChannel):
        letters = (channel.matrix.shape[-2],)
        if not isinstance(law, Discrete) or law.alphabet != letters:
            shown = f"{law.alphabet} letters" if isinstance(law, Discrete) else f"the law {type(law).__name__}"
            return f"the channel takes {letters} letters; {name} has {shown}"
    return None


def output_known(channel: Channel, p: Any) -> str | None:
    """Whether the law of a channel's output is known for inputs of this law."""
    try:
        channel.output(as_distribution(p, "p"))
    except (TypeError, NotImplementedError) as reason:
        return str(reason)
    return None


def gaussian_reference(p: Any, reference: Any) -> str | None:
    """Whether the reference is a Gaussian of full rank on the space of p: then its curvature is known."""
    p, reference = as_distribution(p, "p"), as_distribution(reference, "reference")
    if not isinstance(reference, Gaussian):
        return f"the curvature of a {type(reference).__name__} is not known: the reference must be a Gaussian"
    if p.dim != reference.dim:
        return f"p has D = {p.dim} and the reference has D = {reference.dim}"
    if bool(reference.degenerate.any()):
        return "the covariance of the reference is singular"
    return None


def is_process(process: Any) -> str | None:
    """Whether it is a process at all: every one of them is Markov."""
    if isinstance(process, Process):
        return None
    return f"process must be a Process; got {type(process).__name__}"


def law_at_the_end(process: Any, initial: Any, duration: float) -> str | None:
    """Whether the law is known after this time, which must be positive."""
    times = as_tensor(duration, "duration")
    if not bool((times > 0).all()):
        return f"duration must be > 0; got {times.tolist()}"
    try:
        process.marginal(as_distribution(initial, "initial"), times)
    except (TypeError, ValueError, NotImplementedError) as reason:
        return str(reason)
    return None


def density_everywhere(initial: Any) -> str | None:
    """Whether the law at the start has a density that does not jump to zero anywhere."""
    reason = smooth_density(initial)
    return None if reason is None else f"at the start, {reason}"
