"""Groups of settings: their order, their defaults, and what a run may be resumed with."""

from typing import ClassVar

from pcdarts.config.configs import SearchConfig
from pcdarts.config.detect_config import DetectTrainConfig
from pcdarts.config.groups.group import Group, setting
from pcdarts.config.recipes import RECIPES
from pcdarts.config.verbs import JOBS, imported


class Colour(Group):
    hue: int = setting(1, "hue")
    shade: int = setting(2, "shade")


class Shape(Group):
    sides: int = setting(3, "number of sides")


class Varnish(Group):
    gloss: int = setting(4, "gloss", after=("polish", "hue"))
    layers: int = setting(5, "number of layers")


class Toy(Colour, Shape, Varnish):
    defaults: ClassVar = {"sides": 8}

    name: str = setting("toy", "what it is called", after="sides")
    hue: int = setting(0, "hue of the toy")


class Box(Colour, Shape):
    defaults: ClassVar = {"sides": 6}


class ColouredLast(Box, Colour):
    """A box, but what is said of its colour comes last."""


def test_settings_come_in_the_order_of_their_groups_but_where_they_say_otherwise() -> None:
    assert list(Toy.model_fields) == ["hue", "gloss", "layers", "shade", "sides", "name"]


def test_a_setting_of_several_groups_comes_with_the_last_of_them() -> None:
    assert list(Box.model_fields) == ["hue", "shade", "sides"]
    assert list(ColouredLast.model_fields) == ["sides", "hue", "shade"]


def test_a_class_has_defaults_of_its_own_which_its_groups_keep() -> None:
    assert (Toy().sides, Shape().sides, ColouredLast().sides) == (8, 3, 6)
    assert (Toy().hue, Colour().hue) == (0, 1)


def test_what_a_run_may_be_resumed_with_is_what_its_groups_say() -> None:
    search, detection = SearchConfig().fingerprint(), DetectTrainConfig().fingerprint()
    assert not {"kernels", "data_root", "test_set", "threads", "max_skips", "workers"} & search.keys()
    assert {"k", "seed", "data", "weight_fraction"} <= search.keys()
    assert "data_root" not in detection
    assert "test_set" in detection  # other images give another average precision


def test_every_job_of_the_table_has_its_own_name_and_code_and_its_recipes_if_it_makes_a_run() -> None:
    for name, job in JOBS.items():
        assert job.config.job_name() == name
        assert all(callable(imported(place)) for place in (job.does, job.pins, job.plans) if place)
        assert job.has_run_folder == (name in RECIPES or name in ("fit", "compare", "rank"))
