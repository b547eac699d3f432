"""The command that makes a report, with other numbers if wanted."""

import shlex
from typing import TYPE_CHECKING

from cnnlab import surroundings
from cnnlab.study import name_or_file

if TYPE_CHECKING:
    from cnnlab.tuning.tuning import Tuning


def make_command(tuning: "Tuning", study: str, **changes: object) -> str:
    """Return the command that makes a study's report; it names what differs from the defaults.

    Args:
        tuning: The study.
        study: Its file; a study with which cnnlab comes is named instead.
        changes: Values of make's variables in place of those of the study, as `SEEDS=5`.
    """
    numbers = {name.upper(): value for name, value in tuning.changes.items()}
    variables = {
        "STUDY": name_or_file(tuning.study, study),
        "PROFILE": tuning.budget.profile,
        "PROTOCOL": tuning.protocol.name,
        "DATA": surroundings.relative_path(tuning.images.path),
        "SIZE": tuning.images.size or "",
        **{name: "1" if value is True else value for name, value in numbers.items() if value is not False},
        "STAGES": ",".join(sorted(tuning.scope.asked)),
        "SKIP": ",".join(sorted(tuning.scope.not_wanted)),
        "ACCEPT": ",".join(sorted(tuning.images.accepted)),
        "TRUST": "1" if tuning.trust else "",
        **changes,
    }
    return " ".join(
        ["make report", *(f"{name}={shlex.quote(str(value))}" for name, value in variables.items() if value)]
    )
