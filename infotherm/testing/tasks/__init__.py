"""Tasks: laws with samplers and exactly known numbers, the ground truth of every statistical check.

`names()` lists them, `get(name)` returns a `Task` with `truth` (an Estimate in nats) and `sample(n, generator)`.
"""

from infotherm.testing.tasks.catalogue import get, names
from infotherm.testing.tasks.task import Task

__all__ = ["Task", "get", "names"]
