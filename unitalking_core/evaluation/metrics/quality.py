"""How good the speech sounds: DNSMOS, which predicts listeners' opinions from 1 to 5."""

from __future__ import annotations

from dataclasses import dataclass

from ...tasks import Task
from ..tools import Tool
from . import Column, Columns, Figure, Read, Test, both, makes_sound


@dataclass(frozen=True)
class Opinion:
    scorer: Tool

    figures = (
        Figure("speech_quality", "opinion 1-5", "higher", "DNSMOS overall; no floor, a mismatched clip sounds as good"),
        Figure("speech_quality_p808", "opinion 1-5", "higher", "DNSMOS after ITU-T P.808"),
    )

    @property
    def needs(self) -> tuple[Tool, ...]:
        return (self.scorer,)

    def applies(self, task: Task) -> bool:
        return makes_sound(task)

    def measure(self, test: Test, read: Read) -> dict[str, Columns]:
        ceiling, model = both(read, self.scorer, test)
        keys = zip(self.figures, ("overall", "p808"), strict=True)
        return {
            figure.name: Columns(*(Column([None if r is None else r[key] for r in column]) for column in (ceiling, model)))
            for figure, key in keys
        }
