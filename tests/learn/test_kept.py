"""Which weights of a training are its result."""

import pytest
import torch
from torch import nn

from pcdarts.config.configs import TrainConfig
from pcdarts.learn.kept import Best, weights_to_use, when


def network_of(value: float) -> nn.Module:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, value)
    return network


def value_of(network: nn.Module) -> float:
    return next(network.parameters()).item()


def offered(*errors: float) -> Best:
    best = Best()
    for epoch, error in enumerate(errors, 1):
        best.offer(epoch, {"top1_error": error}, network_of(epoch))
    return best


@pytest.mark.parametrize(("errors", "epoch"), [((5, 3, 4), 2), ((3, 4, 5), 1), ((5, 3, 3, 4), 3), ((2,), 1)], ids=str)
def test_the_best_epoch_has_the_lowest_error_and_is_the_latest_of_equals(errors, epoch):
    best = offered(*errors)
    assert best.result() == {"validation_top1_error": min(errors), "best_epoch": epoch}
    assert value_of(best.copy_into(network_of(0))) == epoch


def test_patience_counts_from_the_last_lower_error_and_not_from_an_equal_one():
    best = offered(5, 3, 3, 4)
    assert [best.has_waited(epochs, 2) for epochs in (3, 4, 5)] == [False, True, True]
    assert not best.has_waited(100, None)
    assert "stopped after epoch 4: no validation error was lower in the 2 epochs since epoch 2" in best.stop_line(4)


def test_what_the_best_weights_were_is_not_changed_by_further_steps():
    network, best = network_of(1), Best()
    best.offer(1, {"top1_error": 3.0}, network)
    nn.init.constant_(network.weight, 7)
    assert value_of(best.copy_into(network)) == 1
    again = Best()
    again.load_state_dict(best.state_dict())
    assert value_of(again.copy_into(network)) == 1
    assert value_of(network) == 7


def test_the_weights_of_a_run_are_the_last_ones_or_the_best():
    last, best = {"w": torch.tensor(1.0)}, {"w": torch.tensor(2.0)}
    state = {"network": last, "best": {"weights": best}}
    assert weights_to_use(state, TrainConfig()) == last
    choosing = TrainConfig(select="best", validation_fraction=0.1)
    assert weights_to_use(state, choosing) == best
    assert weights_to_use({"network": last, "best": {"weights": None}}, choosing) == last  # before the first epoch
    with pytest.raises(LookupError):
        weights_to_use({"network": last}, choosing)


def test_a_result_says_whose_weights_it_is_of():
    assert when({}, 9) == "after the last epoch"
    validated = {"validation_top1_error": 12.345}
    assert when(validated, 9) == "after the last epoch"
    assert when({**validated, "test_top1_error": 10.0}, 9) == "after the last epoch (validation error 12.35 %)"
    chosen = {"validation_top1_error": 2.0, "best_epoch": 4, "test_top1_error": 3.0}
    assert when(chosen, 9) == "after epoch 4 of 9 (validation error 2.00 %)"
