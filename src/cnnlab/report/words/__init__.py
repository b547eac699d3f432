"""Tables and sentences, made from results. Each name says what its function returns."""

from cnnlab.report.words.copies import copied_images
from cnnlab.report.words.decision import decision_details, stage_intro
from cnnlab.report.words.doubtful import doubtful_labels_summary
from cnnlab.report.words.images import (
    class_counts_intro,
    class_counts_table,
    data_summary,
    image_warnings,
    part_notes,
    pixel_table,
    sample_images,
    study_settings,
)
from cnnlab.report.words.importance import importance_summary
from cnnlab.report.words.mistakes import (
    mistake_effects_plot,
    mistake_trials_table,
    mistakes_intro,
    mistakes_table,
    scrambled_images,
)
from cnnlab.report.words.next_steps import learning_curve_summary, next_steps_list
from cnnlab.report.words.notes import budget_notes, stage_title
from cnnlab.report.words.opening import (
    choice_table,
    evidence_summary,
    headline,
    images_summary,
    model_settings,
    score_rows,
    thumbnails,
)
from cnnlab.report.words.own import own_curves, own_verdicts
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
from cnnlab.report.words.runs import runs_table
from cnnlab.report.words.search import search_ledger, search_optimism, search_settings, search_summary
from cnnlab.report.words.settings import (
    augmentation_text,
    optimizer_text,
    settings_options,
    settings_table,
    trial_settings,
)
from cnnlab.report.words.stage import (
    code_change,
    layers_table,
    model_drawing,
    overfitting_summary,
    published_differences,
    trials_table,
    unchanged,
    unchanged_layers,
)
from cnnlab.report.words.study import (
    claim_table,
    gray_and_colour_scores,
    stages_table,
    study_table,
    terminal_summary,
)

__all__ = [
    "agreement_report", "augmentation_text", "budget_notes", "calibration_plot", "choice_table", "claim_table",
    "class_counts_intro", "class_counts_table", "classification_report", "code_change", "confused_pairs_table",
    "copied_images", "data_summary", "decision_details", "doubtful_labels_summary", "evidence_summary",
    "gray_and_colour_scores", "headline", "image_warnings", "images_summary", "importance_summary", "layers_table",
    "learning_curve_summary", "misclassified_images", "mistake_effects_plot", "mistake_trials_table", "mistakes_intro",
    "mistakes_table", "model_drawing", "model_settings", "next_steps_list", "optimizer_text", "our_noise_summary",
    "overfitting_summary", "own_curves", "own_verdicts", "part_notes", "pixel_table", "published_choices_report",
    "published_differences", "published_intro", "published_noise_summary", "replicates_table", "runs_table",
    "sample_images", "score_rows", "scrambled_images", "search_ledger", "search_optimism", "search_settings",
    "search_summary", "selection_noise", "settings_options", "settings_table", "stage_intro", "stage_title",
    "stages_table", "study_settings", "study_table", "terminal_summary", "thumbnails", "trial_settings", "trials_table",
    "unchanged", "unchanged_layers",
]  # fmt: skip
