"""Tables and sentences, made from results. Each name says what its function returns."""

from cnnlab.report.words.images import (
    class_counts_intro,
    class_counts_table,
    data_summary,
    image_warnings,
    pixel_table,
    sample_images,
    study_settings,
)
from cnnlab.report.words.mistakes import (
    mistake_effects_plot,
    mistake_effects_table,
    mistake_heading,
    mistake_trials_table,
    mistake_verdicts,
    mistakes_intro,
    mistakes_without_effect,
    scrambled_images,
)
from cnnlab.report.words.next_steps import learning_curve_summary, learning_curve_table, next_steps_list
from cnnlab.report.words.notes import budget_notes, verdict_text
from cnnlab.report.words.predictions import (
    calibration_plot,
    classification_report,
    confused_pairs_table,
    misclassified_images,
)
from cnnlab.report.words.published import (
    agreement_report,
    our_noise_summary,
    published_choices_report,
    published_intro,
    published_noise_summary,
    replicates_table,
    selection_noise,
)
from cnnlab.report.words.stage import (
    comparisons,
    decision_summary,
    layers_table,
    model_drawing,
    overfitting_summary,
    published_differences,
    stage_intro,
    trials_table,
)
from cnnlab.report.words.study import (
    KeyFigure,
    claim_table,
    findings,
    gray_and_colour_scores,
    inconclusive_choices,
    key_figures,
    leaderboard,
    stages_table,
    study_table,
    terminal_summary,
)

__all__ = [
    "KeyFigure", "agreement_report", "budget_notes", "calibration_plot", "claim_table", "class_counts_intro",
    "class_counts_table", "classification_report", "comparisons", "confused_pairs_table", "data_summary",
    "decision_summary", "findings", "gray_and_colour_scores", "image_warnings", "inconclusive_choices", "key_figures",
    "layers_table", "leaderboard", "learning_curve_summary", "learning_curve_table", "misclassified_images",
    "mistake_effects_plot", "mistake_effects_table", "mistake_heading", "mistake_trials_table", "mistake_verdicts",
    "mistakes_intro", "mistakes_without_effect", "model_drawing", "next_steps_list", "our_noise_summary",
    "overfitting_summary", "pixel_table", "published_choices_report", "published_differences", "published_intro",
    "published_noise_summary", "replicates_table", "sample_images", "scrambled_images", "selection_noise",
    "stage_intro", "stages_table", "study_settings", "study_table", "terminal_summary", "trials_table", "verdict_text",
]  # fmt: skip
