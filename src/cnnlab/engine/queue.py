"""In which order runs are sent to workers."""

from collections.abc import Collection, Hashable


class RunQueue:
    """The digests of runs that wait, by trace key."""

    def __init__(self) -> None:
        self._digests: dict[Hashable, list[str]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._digests.values()))

    def add(self, trace_key: Hashable, digest: str) -> None:
        """Add a run, after those that wait."""
        self._digests.setdefault(trace_key, []).append(digest)

    def take(self, own: Hashable, others: Collection[Hashable]) -> str:
        """Return the next run for a worker; there must be one.

        Tracing a model takes seconds, so it is a run with the worker's own trace key, else one with a key that no
        other worker has, else the first.
        """
        first = next(iter(self._digests))
        key = own if own in self._digests else next((key for key in self._digests if key not in others), first)
        digest = self._digests[key].pop(0)
        if not self._digests[key]:
            del self._digests[key]
        return digest
