"""What the results of a study are worth within its budget, and what to do next."""

from cnnlab.tuning.advice.basis import distinct_records
from cnnlab.tuning.advice.command import make_command
from cnnlab.tuning.advice.enough import (
    BudgetNote,
    NoteKind,
    budget_notes,
    chance_accuracy,
    has_not_learned,
    is_at_chance,
    val_accuracy,
)
from cnnlab.tuning.advice.learning_curve import measure_curve
from cnnlab.tuning.advice.next_steps import NextStep, next_lines, next_steps, notes_by_stage

__all__ = [
    "BudgetNote", "NextStep", "NoteKind", "budget_notes", "chance_accuracy", "distinct_records", "has_not_learned",
    "is_at_chance", "make_command", "measure_curve", "next_lines", "next_steps", "notes_by_stage", "val_accuracy",
]  # fmt: skip
