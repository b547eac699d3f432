"""The study as data: settings, stages, profiles, protocols, published fits, mistakes and claims."""

from cnnlab.study.claims import CLAIMS, FINAL, INCUMBENT, SELECTED, Claim
from cnnlab.study.fields import require_whole
from cnnlab.study.mistakes import ALL_MISTAKES, MISTAKES, Mistake, mistake_model, mistake_trials
from cnnlab.study.own_model import OwnModel, read_own_model
from cnnlab.study.plan import (
    PROFILES,
    PROTOCOLS,
    Profile,
    Protocol,
    StageTrial,
    find_profile,
    find_protocol,
    plan_trials,
    published_architecture,
    published_trial,
    published_trials,
    share_runs,
    skipped_trials,
    start,
)
from cnnlab.study.published import PublishedFit, published_fits, published_stages
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
from cnnlab.study.stages import PUBLISHED_RATE, STAGES, UNCHANGED, Stage, TrialSpec, check_stages, find_stage

__all__ = [
    "ALL_MISTAKES", "CLAIMS", "DEFAULT_RATES", "FINAL", "INCUMBENT", "MISTAKES", "PRECISIONS", "PROFILES",
    "PROTOCOLS", "PUBLISHED_RATE", "SELECTED", "SPARSE_LOSS", "STAGES", "UNCHANGED", "Architecture", "Claim",
    "Input", "Mistake", "OwnModel", "Profile", "Protocol", "PublishedFit", "Stage", "StageTrial", "Training", "Trial",
    "TrialSpec", "check_stages", "find_profile", "find_protocol", "find_stage", "mistake_model", "mistake_trials",
    "plan_trials", "published_architecture", "published_fits", "published_stages", "published_trial",
    "published_trials", "read_own_model", "require_settings", "require_whole", "share_runs", "skipped_trials", "start",
]  # fmt: skip
