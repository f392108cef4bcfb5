"""How good a classifier is class by class: what `result.json` holds of it under `test_details`, and it in words."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from statistics import fmean
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pcdarts.errors import counted, in_short, shown
from pcdarts.run.display.columns import aligned

MOST_IN_MATRIX = 100
"""With more classes than these, of the confusion matrix only the entries are kept that are not 0."""
MOST_LISTED = 20
"""Of more classes than these only the worst are listed."""
LONGEST_NAME = 30
"""Letters of a name in a table."""
_NAMED = 3

Percent = Annotated[float, Field(ge=0, le=100)]
Number = Annotated[int, Field(ge=0, lt=10**12)]


class OfClass(BaseModel, frozen=True):
    """A class: its test images of one seed (the most, if seeds differ), and the part in % that is recognised (recall).

    There is no accuracy without images; that of several seeds is the mean over those that have some.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    name: str = Field(alias="class")
    images: Number
    accuracy: Percent | None


class ByClass(BaseModel, frozen=True):
    """Measured images by class; of several seeds, means over them, and all their images in one confusion matrix."""

    classes: tuple[str, ...] = Field(min_length=1)
    images: Number
    """Of one seed, all classes together; images that cannot be read are not among them."""
    seeds: Number
    balanced_accuracy: Percent
    """The mean accuracy of the classes that have images."""
    macro_f1: Percent
    """The mean F1 score of the classes that have images."""
    per_class: tuple[OfClass, ...]
    confusion: tuple[tuple[Number, ...], ...] | None = None
    """How many images of each class (the rows) were taken for each class (the columns)."""
    confused: tuple[tuple[Number, Number, Number], ...] | None = None
    """The same for more than `MOST_IN_MATRIX` classes: class, prediction (both as indices) and number of images."""

    @model_validator(mode="after")
    def _all_is_about_these_classes(self) -> Self:
        count = len(self.classes)
        rows = self.confusion or ()
        indices = [index for row, column, _ in self.confused or () for index in (row, column)]
        if (
            tuple(one.name for one in self.per_class) != self.classes
            or (self.confusion is None) is (self.confused is None)
            or (self.confusion is not None and {count} != {len(rows), *map(len, rows)})
            or any(index >= count for index in indices)
        ):
            raise ValueError("counts and classes do not fit each other")
        return self

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, of which `read_by_class` makes the same."""
        return self.model_dump(exclude={"confused"} if self.confused is None else {"confusion"})

    @cached_property
    def counts(self) -> Counter[tuple[int, int]]:
        """The confusion matrix: how many images of a class (first index) were taken for which class (second one)."""
        if self.confused is not None:
            return Counter({(row, column): images for row, column, images in self.confused})
        rows = enumerate(self.confusion or ())
        return Counter({(i, j): images for i, row in rows for j, images in enumerate(row) if images})

    @property
    def worst(self) -> list[int]:
        """The classes that have images, the one with the lowest accuracy first; of equal ones that with most images."""
        known = [
            (one.accuracy, -one.images, index) for index, one in enumerate(self.per_class) if one.accuracy is not None
        ]
        return [index for *_, index in sorted(known)]

    def taken_for(self, index: int) -> list[tuple[str, int]]:
        """The other classes that images of a class were taken for, most often first, with the number of images."""
        wrong = [(-images, other) for (label, other), images in self.counts.items() if label == index != other]
        return [(self.classes[other], -images) for images, other in sorted(wrong)]

    def sentences(self) -> list[str]:
        """The means, and which classes have no image."""
        over_seeds = f" (means over {self.seeds} seeds)" if self.seeds > 1 else ""
        means = f"balanced accuracy {self.balanced_accuracy:.2f} %, macro F1 {self.macro_f1:.2f} %{over_seeds}"
        return [means, *without([one.name for one in self.per_class if one.accuracy is None], "test image")]

    def summary(self) -> str:
        """One line: the means, and the worst class."""
        means, index = self.sentences()[0], self.worst[0]
        one = self.per_class[index]
        if one.accuracy == 100:
            return f"{means}; every image is recognised"
        taken = "".join(f", taken for {shown(name, LONGEST_NAME)} most often" for name, _ in self.taken_for(index)[:1])
        named = f"{shown(one.name, LONGEST_NAME)} ({one.accuracy:.1f} % of {counted(one.images, 'image')}{taken})"
        return f"{means}; worst class: {named}"

    def table(self) -> list[tuple[str, str, str, str]]:
        """Headings, then a row of text for each class that has images; of many classes only the worst."""
        rows = [("class", "images", "accuracy", "taken for" + ", in all seeds" * (self.seeds > 1))]
        for index in self.worst[:MOST_LISTED]:
            one = self.per_class[index]
            others = [f"{shown(name, LONGEST_NAME)} {images:,}" for name, images in self.taken_for(index)]
            more = f" and {counted(len(others) - _NAMED, 'other')}" if len(others) > _NAMED else ""
            said = ", ".join(others[:_NAMED]) + more
            rows.append((shown(one.name, LONGEST_NAME), f"{one.images:,}", f"{one.accuracy:.1f} %", said))
        return rows

    def lines(self) -> Iterator[str]:
        """All of this as text, the table in columns of equal width."""
        yield from self.sentences()
        yield from worst_first(self.table(), len(self.worst), numbers=2)


def without(classes: Sequence[str], what: str) -> list[str]:
    """A sentence that names the classes that have none of `what`, if there are some."""
    if not classes:
        return []
    have, are = counted(len(classes), "class has", "classes have"), "is" if len(classes) == 1 else "are"
    return [f"{have} no {what} and {are} left out: {in_short([shown(name, LONGEST_NAME) for name in classes])}"]


def worst_first(rows: Sequence[Sequence[str]], count: int, numbers: int) -> Iterator[str]:
    """The lines of a table whose rows are the worst of so many classes; after the first column come so many numbers."""
    if count > len(rows) - 1:
        yield f"the {len(rows) - 1} worst of {count:,} classes:"
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for index in range(1, 1 + numbers):
        rows = [[*row[:index], row[index].rjust(widths[index]), *row[index + 1 :]] for row in rows]
    yield from aligned(rows)


def by_class(classes: Sequence[str], labels: Sequence[int], predictions: Sequence[int]) -> ByClass:
    """What a classifier recognises of each class, from the class and the prediction of every image, as indices."""
    counts, images, predicted = Counter(zip(labels, predictions, strict=True)), Counter(labels), Counter(predictions)
    indices = range(len(classes))
    accuracies = [100 * counts[i, i] / images[i] if images[i] else None for i in indices]
    return ByClass(
        classes=tuple(classes),
        images=len(labels),
        seeds=1,
        balanced_accuracy=fmean(accuracy for accuracy in accuracies if accuracy is not None),
        macro_f1=fmean(200 * counts[i, i] / (images[i] + predicted[i]) for i in indices if images[i]),
        per_class=_per_class(classes, [images[i] for i in indices], accuracies),
        **_matrix(len(classes), counts),
    )


def mean_by_class(seeds: Sequence[ByClass]) -> ByClass:
    """Several seeds as one: means of accuracies and F1 scores, and the sum of the confusion matrices."""
    classes, columns = seeds[0].classes, list(zip(*(one.per_class for one in seeds), strict=True))
    known = [[of.accuracy for of in column if of.accuracy is not None] for column in columns]
    return ByClass(
        classes=classes,
        images=max(one.images for one in seeds),
        seeds=sum(one.seeds for one in seeds),
        balanced_accuracy=fmean(one.balanced_accuracy for one in seeds),
        macro_f1=fmean(one.macro_f1 for one in seeds),
        per_class=_per_class(
            classes,
            [max(of.images for of in column) for column in columns],
            [fmean(accuracies) if accuracies else None for accuracies in known],
        ),
        **_matrix(len(classes), sum((one.counts for one in seeds), Counter())),
    )


def read_by_class(details: object) -> ByClass | None:
    """What `to_json` gave; None for results without it (of earlier versions), and for damaged ones."""
    try:
        return ByClass.model_validate(details)
    except ValidationError:
        return None


def of_results(results: Iterable[Mapping[str, Any] | None]) -> ByClass | None:
    """What the results of one or several seeds say together; None if one says nothing, or about other classes."""
    known = [read_by_class((result or {}).get("test_details")) for result in results]
    found = [one for one in known if one is not None]
    if not found or len(found) < len(known) or len({one.classes for one in found}) > 1:
        return None
    return mean_by_class(found) if len(found) > 1 else found[0]


def _per_class(
    classes: Sequence[str], images: Sequence[int], accuracies: Sequence[float | None]
) -> tuple[OfClass, ...]:
    rows = zip(classes, images, accuracies, strict=True)
    return tuple(OfClass(**{"class": name}, images=number, accuracy=accuracy) for name, number, accuracy in rows)


def _matrix(classes: int, counts: Counter[tuple[int, int]]) -> dict[str, Any]:
    if classes > MOST_IN_MATRIX:
        return {"confused": tuple((*pair, images) for pair, images in sorted(counts.items()))}
    return {"confusion": tuple(tuple(counts[row, column] for column in range(classes)) for row in range(classes))}
