"""What the results of a study are worth within its budget."""

from cnnlab.tuning.advice.enough import (
    BudgetNote,
    NoteKind,
    budget_notes,
    chance_accuracy,
    has_not_learned,
    val_accuracy,
)

__all__ = [
    "BudgetNote",
    "NoteKind",
    "budget_notes",
    "chance_accuracy",
    "has_not_learned",
    "val_accuracy",
]
