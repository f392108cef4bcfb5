"""A search takes the settings of its own method, and no other's."""

from pathlib import Path

import pytest
from pydantic import Field

from command_line import done, refused
from pcdarts.config.configs import SearchConfig
from pcdarts.config.groups.group import ConfigError
from pcdarts.config.groups.method_settings import METHOD_SETTINGS, DartsSettings, MethodSettings
from pcdarts.config.recipes import recipe, resolve


class DiceSettings(MethodSettings):
    """A method made up here, with a setting of its own and one that DARTS has too."""

    sides: int = Field(default=6, ge=2, description="sides of the dice")
    arch_learning_rate: float = Field(default=0.5, description="how fast the dice learn")


@pytest.fixture(autouse=True)
def dice(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are two methods, DARTS and this one."""
    for name in [*METHOD_SETTINGS][:0:-1]:  # what is undone comes back in its order
        monkeypatch.delitem(METHOD_SETTINGS, name)
    monkeypatch.setitem(METHOD_SETTINGS, "dice", DiceSettings)


def test_a_configuration_has_the_settings_of_its_method_alone() -> None:
    darts, dice = SearchConfig(), SearchConfig(method="dice")
    assert isinstance(darts, DartsSettings)
    assert not hasattr(darts, "sides")
    assert isinstance(dice, DiceSettings)
    assert not hasattr(dice, "second_order")
    assert (dice.sides, dice.arch_learning_rate, darts.arch_learning_rate) == (6, 0.5, 6e-4)
    assert dice.model_copy(update={"sides": 4}) == SearchConfig(method="dice", sides=4)
    assert "second_order" not in dice.to_yaml()
    assert "sides" not in darts.fingerprint()


def test_a_configuration_of_any_method_survives_its_file(tmp_path: Path) -> None:
    for config in (SearchConfig(method="dice", sides=8), SearchConfig(second_order=True)):
        (tmp_path / "config.yaml").write_text(config.to_yaml())
        assert resolve(SearchConfig, file=tmp_path / "config.yaml") == config
        assert resolve(type(config), file=tmp_path / "config.yaml") == config


def test_a_file_of_a_version_without_methods_is_one_of_darts(tmp_path: Path) -> None:
    config = recipe(SearchConfig, "darts-v2")
    (tmp_path / "config.yaml").write_text(config.to_yaml().replace("method: darts\n", ""))
    assert resolve(SearchConfig, file=tmp_path / "config.yaml") == config


def test_what_a_recipe_says_of_its_own_method_holds_for_no_other() -> None:
    config = resolve(SearchConfig, flags={"recipe": "darts-v2", "method": "dice"})
    assert isinstance(config, DiceSettings)
    assert (config.arch_learning_rate, config.k, config.recipe) == (0.5, 1, "darts-v2")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"method": "dise"},
            "method is dise, but it must be darts or dice: did you mean dice?",
        ),
        (
            {"method": "beta-darts-small"},
            "method is beta-darts-small, but that is a recipe, of the method darts: use --recipe beta-darts-small",
        ),
        (
            {"method": "pc-darts"},  # which looks like p-darts
            "method is pc-darts, but PC-DARTS is darts with k and edge_normalization: use method darts",
        ),
        (
            {"sides": "4"},
            "sides is for the method dice, not for darts: drop it, or use method dice",
        ),
        (
            {"method": "dice", "second_order": "true", "arch_weight_decay": "1", "arch_learning_rate": "0.1"},
            "second_order and arch_weight_decay are for the method darts, not for dice: drop them, or use method darts",
        ),
        ({"method": "dise", "sides": "4"}, "method is dise, but it must be darts or dice: did you mean dice?"),
        ({"method": "dice", "sides": "1"}, "sides is 1, but it must be at least 2"),
        ({"method": "dice", "side": "8"}, "there is no setting side: did you mean sides?"),
    ],
)
def test_the_settings_of_another_method_are_refused_in_one_line(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        resolve(SearchConfig, flags=settings)
    assert refusal.value.problems == [message]


def test_the_flags_of_another_method_are_refused_and_shown_with_it_alone(tmp_path: Path) -> None:
    line = refused(tmp_path, "search", "--sides", "4")
    assert line == "sides is for the method dice, not for darts: drop it, or use method dice"
    assert refused(tmp_path, "search", "--method", "dice", "--side", "4") == (
        "there is no flag --side: did you mean --sides?"
    )
    ours, theirs = (done(tmp_path, "search", "--method", name, "--help") for name in ("darts", "dice"))
    assert "--second-order" in ours
    assert "--sides" not in ours
    assert "--sides" in theirs
    assert "--second-order" not in theirs
    assert "(default: 0.5)" in theirs
    assert "--method {darts,dice}" in ours
