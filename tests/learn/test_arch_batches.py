"""The batches of the arch split, which a search takes one by one."""

from collections.abc import Iterator
from typing import Any

from pcdarts.learn.task import ArchBatches


class Read:
    """Two batches, read by something that must be ended."""

    ended = 0

    def __len__(self) -> int:
        return 2

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[str, int]]:
        try:
            yield from [("images", 0), ("images", 1)][start:]
        finally:
            self.ended += 1


def test_what_reads_ahead_ends_with_the_search_in_the_middle_of_an_epoch() -> None:
    read: Any = Read()
    batches = ArchBatches(read, 3)
    batches.take(0)
    assert read.ended == 0
    batches.close()
    assert read.ended == 1
    batches.close()
    assert read.ended == 1
