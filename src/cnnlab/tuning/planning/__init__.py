"""What a study will take before it is run, and the largest budget that fits a time."""

from cnnlab.tuning.planning.estimate import TimeLeft
from cnnlab.tuning.planning.limits import fit_time, plan_lines

__all__ = ["TimeLeft", "fit_time", "plan_lines"]
