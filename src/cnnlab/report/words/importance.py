"""Which settings matter, as a sentence."""

from cnnlab.evidence import MIN_CONFIGURATIONS, Importance
from cnnlab.report.tables import count


def importance_summary(made: Importance | None) -> str:
    """Return which settings matter as plain text, with the forest's R2 and n, or why nothing can be said."""
    if made is None:
        return f"Which settings matter: too few configurations to say; {MIN_CONFIGURATIONS} are needed."
    fit = f"R2 {made.r2:.2f} on configurations that the forest has not seen, n = {count(made.n, 'configuration')}"
    if made.r2 <= 0:
        return (
            "Which settings matter: no importance shown, because the forest predicts val_f1 no better than its mean "
            f"({fit})."
        )
    names = [one.setting for one in made.settings if one.is_shown]
    rest = len(made.settings) - len(names)
    if not names:
        return f"Which settings matter: no importance shown for any of {count(rest, 'setting')} ({fit})."
    shown = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    others = f"; no importance shown for {count(rest, 'other')}" if rest else ""
    return f"Which settings matter: {shown}{others} ({fit})."
