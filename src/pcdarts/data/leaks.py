"""Images that are in two of the sets: counted and named, because an error on them says too little."""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import combinations
from pathlib import Path

import torch

from pcdarts.data.disk.image_files import ImageFile, ImageSources
from pcdarts.data.disk.streaming import StreamedImages
from pcdarts.data.images import DataSet, Images
from pcdarts.data.leak_words import Leaks, leaked
from pcdarts.errors import listed, shown

NAMED = 5
MOST_FILES = 200_000
"""Of more streamed files than these none are compared: each may have to be opened."""
TAIL = 4096
"""Bytes at the end of files, which are compared before whole files are."""

Keys = Sequence[Hashable]
"""What identical images of sets have in common; None of an image that is in no other set, or cannot be read."""


@dataclass(frozen=True)
class Leak:
    """Images of a set that are in another one, `one`, too."""

    one: str
    other: str
    count: int
    of: int
    """All images of the `other` set."""
    copies: tuple[str, ...]
    """The first ones, in words."""

    @property
    def note(self) -> str:
        """A warning: how many, and the first of them."""
        more = [f"{self.count - NAMED:,} more"] if self.count > NAMED else []
        names = listed([*self.copies, *more], "and")
        return f"warning: {leaked(self.count, self.one, self.other, self.of)}: {names}"


@dataclass(frozen=True)
class Found:
    """What a look for images that are in two sets has shown."""

    leaks: tuple[Leak, ...]
    looked: bool = True
    """False where there are too many files."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines to print."""
        if not self.looked:
            return (f"not looked for: images that are in two sets, because there are more than {MOST_FILES:,} files",)
        return tuple(leak.note for leak in self.leaks)

    @property
    def counts(self) -> Leaks | None:
        """What a result holds; None where nobody looked."""
        return {f"{leak.other} in {leak.one}": leak.count for leak in self.leaks} if self.looked else None


def with_leaks(data: DataSet) -> DataSet:
    """The data, with the images that are in two of its sets counted and spoken of in its notes.

    Images in memory are compared by their pixels, streamed ones by the content of files of the same size in bytes.
    """
    sets = {"training": data.train, "validation": data.validation, "test": data.test}
    files = {"training": data.train_sources, "validation": data.validation_sources, "test": data.test_sources}
    used = {which: images for which, images in sets.items() if images is not None}
    streamed = {which: images.files.sources for which, images in used.items() if isinstance(images, StreamedImages)}
    if streamed:
        found = leaks_of_files(streamed)
    else:
        keys = {which: _of_pixels(images) for which, images in used.items() if isinstance(images, Images)}
        found = Found(_leaks_by(keys, files))
    return replace(data, notes=(*data.notes, *found.notes), leaks=found.counts)


def leaks_of_files(sets: Mapping[str, ImageSources]) -> Found:
    """The images that are in two of these sets of files (`training`, `validation`, `test`), by the files' content."""
    if sum(map(len, sets.values())) > MOST_FILES:
        return Found((), looked=False)
    keys = dict(zip(sets, _of_files(list(sets.values())), strict=True))
    return Found(_leaks_by(keys, sets))


def _leaks_by(keys: Mapping[str, Keys], files: Mapping[str, ImageSources | None]) -> tuple[Leak, ...]:
    leaks = []
    for one, other in combinations(keys, 2):
        places = {key: index for index, key in reversed([*enumerate(keys[one])]) if key is not None}
        pairs = [(places[key], index) for index, key in enumerate(keys[other]) if key in places]
        if pairs:
            copies = [
                f"{_name(other, files[other], theirs)} is {_name(one, files[one], ours)}"
                for ours, theirs in pairs[:NAMED]
            ]
            leaks.append(Leak(one, other, len(pairs), len(keys[other]), tuple(copies)))
    return tuple(leaks)


def _name(which: str, sources: ImageSources | None, index: int) -> str:
    """An image in words: its file, or its place in the set, counted from 0."""
    if sources is None:
        return f"{which} image {index}"
    (name,) = sources.subset(torch.tensor([index])).names()
    return f"'{shown(name)}'"


def _of_pixels(images: Images) -> Keys:
    return [blake2b(pixels.contiguous().numpy(), digest_size=16).digest() for pixels in images.pixels]


def _of_files(sets: Sequence[ImageSources]) -> list[Keys]:
    """The keys of the files of each set, of which few are opened, and fewer read to their end."""
    keys: list[Keys] = [[size if size > 0 else None for _, size in sources.identities()] for sources in sets]
    for read in (_tail, _whole):
        in_sets = Counter(key for of_set in keys for key in set(of_set) - {None})
        keys = [
            [_refined(key, read, sources[index]) if in_sets[key] > 1 else None for index, key in enumerate(of_set)]
            for sources, of_set in zip(sets, keys, strict=True)
        ]
    return keys


def _refined(key: Hashable, read: Callable[[ImageFile], bytes], file: ImageFile) -> Hashable:
    try:
        return key, blake2b(read(file), digest_size=16).digest()
    except OSError:  # it is bad, or gone: the job that decodes it says so
        return None


def _whole(file: ImageFile) -> bytes:
    return file.read_bytes()


def _tail(file: ImageFile) -> bytes:
    if not isinstance(file, Path):
        return file.read_bytes()[-TAIL:]
    with open(file, "rb", buffering=0) as opened:
        opened.seek(max(0, file.stat().st_size - TAIL))
        return opened.read(TAIL)
