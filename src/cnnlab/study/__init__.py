"""The study as data: its file, settings, stages, budgets, protocols, published fits, mistakes and claims."""

from cnnlab.study.checks import notes, require_depth, require_size
from cnnlab.study.fields import require_whole
from cnnlab.study.options import Option, options
from cnnlab.study.own import OwnModel, read_own_function, read_own_model
from cnnlab.study.plan import (
    NUMBERS,
    PROFILES,
    PROTOCOLS,
    STUDY_PARTS,
    Budget,
    Protocol,
    StageTrial,
    find_protocol,
    has_trials,
    limit_epochs,
    make_budget,
    mistake_model,
    mistake_trials,
    plan_trials,
    published_trial,
    published_trials,
    share_runs,
    skipped_trials,
    start,
)
from cnnlab.study.published import (
    CIFAR10_NAMES,
    CIFAR10_SIDE,
    PUBLISHED_RATE,
    PublishedFit,
    cnn_number,
    published_architecture,
    published_choice,
    published_fits,
    published_settings,
    published_stages,
    stage_fits,
)
from cnnlab.study.reader import BUNDLED, STAGES, built_in, bundled, is_bundled, name_or_file, new_text, parse, read
from cnnlab.study.search import MOST_TRIALS, SEARCH, Dimension, OracleKind, Search
from cnnlab.study.settings import (
    DEFAULT_RATES,
    PRECISIONS,
    SPARSE_LOSS,
    Architecture,
    Input,
    Training,
    Trial,
    require_settings,
)
from cnnlab.study.stages import (
    ALL_MISTAKES,
    FINAL,
    INCUMBENT,
    LEARNING_CURVE,
    SELECTED,
    UNCHANGED,
    Claim,
    Mistake,
    Stage,
    Study,
    TrialSpec,
)

__all__ = [
    "ALL_MISTAKES", "BUNDLED", "CIFAR10_NAMES", "CIFAR10_SIDE", "DEFAULT_RATES", "FINAL", "INCUMBENT", "LEARNING_CURVE",
    "MOST_TRIALS", "NUMBERS", "PRECISIONS", "PROFILES", "PROTOCOLS", "PUBLISHED_RATE", "SEARCH", "SELECTED",
    "SPARSE_LOSS", "STAGES", "STUDY_PARTS", "UNCHANGED", "Architecture", "Budget", "Claim", "Dimension", "Input",
    "Mistake", "Option", "OracleKind", "OwnModel", "Protocol", "PublishedFit", "Search", "Stage", "StageTrial", "Study",
    "Training", "Trial", "TrialSpec", "built_in", "bundled", "cnn_number", "find_protocol", "has_trials", "is_bundled",
    "limit_epochs", "make_budget", "mistake_model", "mistake_trials", "name_or_file", "new_text", "notes", "options",
    "parse", "plan_trials", "published_architecture", "published_choice", "published_fits", "published_settings",
    "published_stages", "published_trial", "published_trials", "read", "read_own_function", "read_own_model",
    "require_depth", "require_settings", "require_size", "require_whole", "share_runs", "skipped_trials", "stage_fits",
    "start",
]  # fmt: skip
