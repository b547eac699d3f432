"""Tables and sentences about a joint search."""

from collections.abc import Sequence
from statistics import fmean

from IPython.display import HTML, Markdown
from markupsafe import Markup

from cnnlab.records import Record
from cnnlab.report.tables import count, table, text
from cnnlab.report.words.settings import setting_text
from cnnlab.report.words.stage import own_images
from cnnlab.study import OracleKind
from cnnlab.study.fields import show_value
from cnnlab.tuning import Tuning
from cnnlab.tuning.advice.edges import named_settings
from cnnlab.tuning.search import QUASI_RANDOM, Proposal, SearchResult, Status


def search_summary(result: SearchResult) -> Markdown:
    """Return how many trials a search proposed, what became of them, and what they cost beside the stages before."""
    proposals = [row for row in result.ledger if row.status != Status.STOPPED]
    first, oracle = sum(row.part == QUASI_RANDOM for row in proposals), _oracle_name(result)
    counts = ", ".join(f"{result.count(status)} {status}" for status in Status if status != Status.STOPPED)
    lines = [
        f"{count(len(proposals), 'proposal')}, {first} quasi-random and {len(proposals) - first} of the {oracle}: "
        f"{counts}; {_cost(result)}."
    ]
    lines += [f"The search stopped early: {row.reason}." for row in result.ledger if row.status == Status.STOPPED]
    lines.append("The **ledger** (below, and in `search.csv`) lists every proposal and what became of it.")
    return Markdown(" ".join(lines))


def _oracle_name(result: SearchResult) -> str:
    """Return what to call the oracle of a search."""
    return f"{'Bayesian' if result.search.oracle == OracleKind.BAYESIAN else result.search.oracle} oracle"


def _cost(result: SearchResult) -> str:
    runs = sum(len(row.records) for row in result.proposals_run)
    cost = f"{count(runs, 'run')} that cost {_number(result.cost)} {result.unit} of training"
    if not result.path_cost:
        return cost
    share = result.cost / result.path_cost
    times = f"{100 * share:.0f} % of" if share < 2 else f"{_number(share)} times"
    return (
        f"{cost}, {times} what the {count(result.path_runs, 'run')} of the stages before have cost "
        f"({_number(result.path_cost)} {result.unit})"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def search_optimism(tuning: Tuning, result: SearchResult) -> Markdown:
    """Return the winner's score in the search, its mean with fresh seeds, and the difference; "" without a winner."""
    winner, fresh = result.winner, _winner_records(result)
    if winner is None or winner.val_f1 is None or not fresh:
        return Markdown("")
    mean = fmean(record.scores["val_f1"] for record in fresh)
    difference = winner.val_f1 - mean
    if "validation" in own_images(tuning, [*winner.records, *fresh]):
        others = "Part of this difference is that other seeds have other validation images."
    else:
        others = "The validation images are the same, so some of the luck may remain."
    beside = f"{abs(difference):.3f} {'above' if difference > 0 else 'below'} it"
    return Markdown(
        f"The best of {count(len(result.proposals_run), 'score')} is partly luck, so it is often **optimistic**: too "
        f"high. The winner, {winner.name}, had a `val_f1` of {winner.val_f1:.3f} in the search "
        f"({count(len(winner.records), 'run')}). Its mean with fresh seeds is {mean:.3f} ({count(len(fresh), 'run')}); "
        f"the score in the search was {'equal to it' if round(difference, 3) == 0 else beside}. {others}"
    )


def _winner_records(result: SearchResult) -> list[Record]:
    return [record for trial in result.trials if not trial.incumbent for record in result.records(trial.name)]


def search_settings(result: SearchResult) -> Markdown:
    """Return the settings with an effect in which the winner differs from the incumbent."""
    winners = [trial.settings for trial in result.trials if not trial.incumbent]
    if not winners or not result.incumbent:
        return Markdown("There is no winner: no proposal was run.")
    old, new = (dict(named_settings(trial.effective())) for trial in (result.incumbent.settings, winners[0]))
    changed = [
        text(f"{name} {setting_text(value)} ({setting_text(old[name]) if name in old else 'not set'})")
        for name, value in new.items()
        if name not in old or value != old[name]
    ]
    if not changed:
        return Markdown("The winner has the settings of the incumbent.")
    return Markdown(f"What the winner changes (in brackets: the incumbent): {', '.join(changed)}.")


def search_ledger(result: SearchResult) -> HTML:
    """Return all proposals of a search, one row a proposal: what became of it, its score, its cost, its settings."""
    return table([_row(result, row) for row in result.ledger], {"params": ",d", "val_f1": ".3f", "epochs": ".1f"})


def _row(result: SearchResult, proposal: Proposal) -> dict[str, object]:
    records, notes = proposal.records, ["winner"] if proposal is result.winner else []
    row: dict[str, object] = {
        "trial": Markup("{}").format(proposal.number) + _small(notes),
        "part": proposal.part,
        "status": Markup("{}").format(proposal.status.value) + _small([proposal.reason] if proposal.reason else []),
        "val_f1": proposal.val_f1,
        "params": records[0].params if records else None,
        "epochs": fmean(record.epochs for record in records) if records else None,
        result.unit: _number(proposal.cost) if proposal.cost else "",
    }
    for dimension in result.search.space:  # a setting may have the name of a column, as `epochs`
        name = f"setting {dimension.setting}" if dimension.setting in row else dimension.setting
        row[name] = show_value(proposal.settings[dimension.setting]) if proposal.settings else ""
    return row


def _small(notes: Sequence[str]) -> Markup:
    return Markup(" <small>{}</small>").format(", ".join(notes)) if notes else Markup("")
