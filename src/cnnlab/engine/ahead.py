"""Runs that will be asked for later: workers that would wait make some of them now."""

from collections.abc import Sequence

from distributed import Future

from cnnlab.data import Dataset, Split
from cnnlab.records import Run, RunStore

Work = tuple[Run, Dataset, Split]


class Ahead:
    """Runs that will be asked for later, whatever the results are until then.

    Args:
        work: These runs, with their images.

    Attributes:
        work: Those that are to be made, by digest. One that fails is removed: it is tried again when it is asked for.
        sent: Those that were sent to a worker and have not been collected: digest, and the worker's address.
        made: Digests of those that have been made, and not been asked for since.
    """

    def __init__(self, work: Sequence[Work] = ()) -> None:
        self.work = {item[0].digest: item for item in work}
        self.sent: dict[Future, tuple[str, str | None]] = {}
        self.made: set[str] = set()

    def without_stored(self, store: RunStore) -> "Ahead":
        """Remove the runs that are stored, and return this object."""
        self.work = {digest: item for digest, item in self.work.items() if store.get(digest) is None}
        return self
