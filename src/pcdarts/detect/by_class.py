"""How precise a detector is class by class: what `result.json` holds of it under `test_details`, and it in words."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pcdarts.errors import shown
from pcdarts.learn.by_class import LONGEST_NAME, MOST_LISTED, Number, Percent, without, worst_first


class Precision(BaseModel, frozen=True):
    """A class: its objects in the images that were measured, and its average precision in %, as COCO defines them.

    Both are None where there is no object.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    name: str = Field(alias="class")
    objects: Number
    ap: Percent | None = Field(alias="AP")
    ap50: Percent | None = Field(alias="AP50")


class PrecisionByClass(BaseModel, frozen=True):
    """Average precision by class."""

    per_class: tuple[Precision, ...] = Field(min_length=1)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, of which `read_precisions` makes the same."""
        return {"classes": [one.name for one in self.per_class], **self.model_dump()}

    @property
    def known(self) -> list[Precision]:
        """The classes that have objects, the one with the lowest precision first; of equal ones that with most."""
        known = (one for one in self.per_class if one.ap is not None)
        return sorted(known, key=lambda one: (one.ap or 0.0, -one.objects))

    def sentences(self) -> list[str]:
        """Which classes have no object."""
        return without([one.name for one in self.per_class if one.ap is None], "object to find")

    def table(self) -> list[tuple[str, ...]]:
        """Headings, then a row of text for each class that has objects; of many classes only the worst."""
        rows = [
            (shown(one.name, LONGEST_NAME), f"{one.objects:,}", f"{one.ap:.2f} %", f"{one.ap50:.2f} %")
            for one in self.known[:MOST_LISTED]
        ]
        return [("class", "objects", "AP", "AP50"), *rows]

    def lines(self) -> Iterator[str]:
        """All of this as text, the table in columns of equal width."""
        yield from self.sentences()
        yield from worst_first(self.table(), len(self.known), numbers=3)


def read_precisions(details: object) -> PrecisionByClass | None:
    """What `to_json` gave; None for results without it (of earlier versions), and for damaged ones."""
    try:
        return PrecisionByClass.model_validate(details)
    except ValidationError:
        return None
