"""What is asked: settings, stages, profiles, protocols, mistakes and claims. Data, no computing."""

from cnnlab.study.claims import CHOSEN, CLAIMS, FINAL, INCUMBENT, Claim
from cnnlab.study.mistakes import DEFECTS, MISTAKES, Defect, arms, model
from cnnlab.study.plan import (
    PROFILES,
    PROTOCOLS,
    Candidate,
    Profile,
    Protocol,
    candidates,
    find_profile,
    find_protocol,
    left_out,
    published_architecture,
    published_trial,
    start,
)
from cnnlab.study.published import PublishedFit, published_fits
from cnnlab.study.settings import (
    DEFAULT_RATES,
    PRECISIONS,
    SPARSE_LOSS,
    Architecture,
    Input,
    Training,
    Trial,
    require_whole,
)
from cnnlab.study.stages import STAGES, UNCHANGED, Stage, find_stage

__all__ = [
    "CHOSEN",
    "CLAIMS",
    "DEFAULT_RATES",
    "DEFECTS",
    "FINAL",
    "INCUMBENT",
    "MISTAKES",
    "PRECISIONS",
    "PROFILES",
    "PROTOCOLS",
    "SPARSE_LOSS",
    "STAGES",
    "UNCHANGED",
    "Architecture",
    "Candidate",
    "Claim",
    "Defect",
    "Input",
    "Profile",
    "Protocol",
    "PublishedFit",
    "Stage",
    "Training",
    "Trial",
    "arms",
    "candidates",
    "find_profile",
    "find_protocol",
    "find_stage",
    "left_out",
    "model",
    "published_architecture",
    "published_fits",
    "published_trial",
    "require_whole",
    "start",
]
