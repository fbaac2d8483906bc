"""Every bound of the catalogue at a case that saturates it: as tight as its errors allow to say, and never violated."""

from __future__ import annotations

import infotherm as it
from infotherm.core.verdict import Verdict
from infotherm.studies import Context, Study

study = Study("bounds", title="The catalogue of bounds where it is tight", source="each bound names its own")


def _claim(name: str) -> None:
    bound = it.bounds.get(name)

    @study.claim(name, statement=bound.statement, source=bound.source)
    def saturated(context: Context) -> Verdict:
        return it.bounds.check(name, **bound.saturated_by())


for _name in it.bounds.names():
    _claim(_name)
