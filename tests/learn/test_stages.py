"""The stages of a search: epochs that follow each other, and learning rates."""

import math
import re

import pytest

from pcdarts.config.configs import SearchConfig
from pcdarts.errors import InputError
from pcdarts.learn.stages import in_words, stages_of
from pcdarts.methods.method import Stage

CONFIG = SearchConfig(epochs=4, arch_frozen_epochs=1, learning_rate=0.8)


def test_a_search_without_stages_is_one_stage() -> None:
    (stage,) = stages_of(CONFIG, [Stage()])
    assert (stage.config, stage.first_epoch, stage.end, stage.first_arch_epoch) == (CONFIG, 0, 4, 1)
    assert [stage.learning_rate(epoch) for epoch in (0, 2)] == pytest.approx([0.8, 0.4])


def test_each_stage_has_a_schedule_of_its_own_unless_it_goes_on_with_the_one_before() -> None:
    own = stages_of(CONFIG, [Stage(), Stage(epochs=2, learning_rate=0.1)])
    assert [stage.learning_rate(stage.first_epoch) for stage in own] == pytest.approx([0.8, 0.1])
    assert own[1].learning_rate(5) == pytest.approx(0.05)
    one = stages_of(CONFIG, [Stage(), Stage(keeps_schedule=True), Stage(keeps_schedule=True)])
    found = [stage.learning_rate(epoch) for stage in one for epoch in range(stage.first_epoch, stage.end)]
    assert found == pytest.approx([0.4 * (1 + math.cos(math.pi * epoch / 12)) for epoch in range(12)])


def test_a_search_says_beforehand_that_its_stages_have_more_epochs_than_it_was_told() -> None:
    assert in_words(stages_of(CONFIG, [Stage()])) == []
    stages = stages_of(CONFIG, [Stage(), Stage(epochs=81, keeps_weights=True)])
    assert in_words(stages) == ["85 epochs in 2 stages: 4 and 81 (stages.json has cells and K)"]


def test_only_a_stage_after_another_keeps_weights_and_only_in_as_many_cells() -> None:
    kept = stages_of(CONFIG, [Stage(keeps_weights=True), Stage(k=2, keeps_weights=True)])
    assert [stage.keeps_weights for stage in kept] == [False, True]
    assert kept[1].config.k == 2
    frozen = "stage 2 of darts: arch_frozen_epochs is 9, but it must be at most epochs (4)"
    with pytest.raises(InputError, match=re.escape(frozen)):
        stages_of(CONFIG, [Stage(), Stage(arch_frozen_epochs=9)])
    with pytest.raises(InputError, match=re.escape("stage 1 of darts: k is 3, but it must divide channels (16)")):
        stages_of(CONFIG, [Stage(k=3), Stage(k=2)])
    with pytest.raises(InputError, match="has as many cells as that: num_cells"):
        stages_of(CONFIG, [Stage(), Stage(num_cells=5, keeps_weights=True)])
