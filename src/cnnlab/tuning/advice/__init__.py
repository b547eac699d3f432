"""What the results of a study are worth within its budget."""

from cnnlab.tuning.advice.enough import BudgetNote, NoteKind, budget_notes, has_not_learned

__all__ = [
    "BudgetNote",
    "NoteKind",
    "budget_notes",
    "has_not_learned",
]
