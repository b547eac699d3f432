"""Is the budget enough for a stage's question? Each note names one reason why it may not be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from cnnlab.tuning.results import StageResult

if TYPE_CHECKING:
    from cnnlab.tuning.tuning import Tuning


class NoteKind(StrEnum):
    """Why a budget may not be enough."""

    EDGE = "edge"
    LAST_EPOCH = "last epoch"
    CHANCE = "chance"
    DIVERGED = "diverged"
    CEILING = "ceiling"
    FEW_IMAGES = "few images"


@dataclass(frozen=True)
class BudgetNote:
    """One reason why the budget of a stage may not be enough for its question."""

    kind: NoteKind
    text: str
    trials: tuple[str, ...]
    detail: Mapping[str, Any] = field(default_factory=dict)


def budget_notes(tuning: "Tuning", result: StageResult) -> tuple[BudgetNote, ...]:  # noqa: ARG001
    """Return why the budget may not be enough for a stage's question; nothing where it is enough."""
    return ()
