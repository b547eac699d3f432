"""Runs that will be asked for later: workers that would wait make some of them now."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnnlab.data import Dataset, Split
from cnnlab.records import Run, RunStore

if TYPE_CHECKING:
    from distributed import Future

Work = tuple[Run, Dataset, Split]


class Ahead:
    """Runs that will be asked for later, whatever the results are until then.

    Args:
        work: These runs, with their images.
        store: Where they are to be stored; None if there are none.

    Attributes:
        work: Those that are to be made, by digest. One that fails is removed: it is tried again when it is asked for.
        sent: Those that were sent to a worker and have not been collected: digest, and the worker's address.
        made: Digests of those that have been made, and not been asked for since.
    """

    def __init__(self, work: Sequence[Work] = (), store: RunStore | None = None) -> None:
        self.store = store
        self.work = {item[0].digest: item for item in work}
        self.sent: dict[Future, tuple[str, str | None]] = {}
        self.made: set[str] = set()

    def for_store(self, store: RunStore) -> "Ahead":
        """Return this object, without the runs that are stored by now; none of its runs for another store.

        Those that are in progress stay, for they may have to be sent again, although another command has stored them.
        """
        if store is not self.store:
            return Ahead()
        sent = {digest for digest, _ in self.sent.values()}
        self.work = {digest: item for digest, item in self.work.items() if digest in sent or store.get(digest) is None}
        return self
