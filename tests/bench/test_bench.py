"""`pcdarts bench`: equality first, then figures by turns, beside their targets."""

import io
import json
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from command_line import Ended, done, error_line, refused, run_in
from pcdarts.bench import timing
from pcdarts.bench.bench import OTHER, SHAPES, check_kernels, shape_row
from pcdarts.bench.bench_tables import BenchTables
from pcdarts.bench.equality import check_network
from pcdarts.bench.other_checkout import cuda_means_here, serve
from pcdarts.bench.targets import Verdict, verdicts
from pcdarts.bench.timing import by_turns, forward_backward_flops
from pcdarts.cell.space import CellSpace, NetworkKind
from pcdarts.errors import InputError
from pcdarts.learn.steps import SearchStep, Setting, one_operation
from pcdarts.run.environment import describe_environment
from pcdarts.supernet.arch import ArchParameters, Mixture
from pcdarts.supernet.native import build
from pcdarts.supernet.native.cells import available, images_per_block
from pcdarts.supernet.native.target import VARIABLE, targets
from pcdarts.supernet.plain import per_source as plain
from pcdarts.supernet.supernet import Supernet

TINY = Setting(kernels="plain", channels=4, num_cells=3, num_nodes=3, batch_size=2, image_size=8, threads=1)
BENCH = shlex.split(
    "bench --kernels plain --channels 4 --num-cells 3 --num-nodes 3 --batch-size 2 --image-size 8 --repeats 2 "
    "--threads 1"
)

GENOTYPES = "PRIMITIVES = ['none', 'skip_connect']\n"
MODEL_SEARCH = """
import torch
from torch import nn
from torch.autograd import Variable
from genotypes import PRIMITIVES

print("a line that is no answer")


class Network(nn.Module):
    def __init__(self, C, num_classes, layers, criterion, steps=4, multiplier=4, stem_multiplier=3):
        super().__init__()
        self.stem = nn.Conv2d(3, C, 3, padding=1)
        self.classifier = nn.Linear(C, num_classes)
        self.alphas = Variable(1e-3 * torch.randn(steps, len(PRIMITIVES)).cuda(), requires_grad=True)

    def forward(self, input):
        return self.classifier(self.stem(input).mean((2, 3))) * self.alphas.softmax(-1).sum()
"""


@pytest.fixture
def other_checkout(tmp_path: Path) -> Path:
    """A folder with the interface of the DARTS scripts."""
    folder = tmp_path / "other checkout"
    folder.mkdir()
    (folder / "genotypes.py").write_text(GENOTYPES)
    (folder / "model_search.py").write_text(MODEL_SEARCH)
    return folder


def broken(logits_of: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A forward pass of the supernet whose logits are changed."""
    whole = Supernet.forward

    def forward(self: Supernet, images: torch.Tensor, mixture: Mixture, masks: Any = None) -> torch.Tensor:
        return logits_of(whole(self, images, mixture, masks))

    return forward


# The run


def test_a_bench_prints_its_figures_and_writes_them(
    tmp_path: Path, other_checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "PRODUCT_SIDE", 64)
    monkeypatch.setattr(timing, "COPY_BYTES", 2**16)
    output = done(tmp_path, *BENCH, "--json", "figures.json", "--compare-with", str(other_checkout))
    for words in (
        "K = 4",
        "equal: 8 small networks",
        "forward + backward",
        "with one operation per edge",
        "second-order step",
        "peak memory",
        "GFLOP/s",
    ):
        assert words in output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["machine"]["threads"] == 1
    assert figures["setting"]["num_nodes"] == 3
    assert figures["native_kernels"] is None
    passes = figures["seconds"]["forward_backward"]
    assert list(passes) == ["per edge", "plain", OTHER]
    for times in passes.values():
        assert len(times["seconds"]) == times["n"] == 2
        assert times["min"] <= times["median"] <= times["max"]
    assert passes["plain"]["ratio"] == pytest.approx(passes["per edge"]["median"] / passes["plain"]["median"])
    assert list(figures["seconds"]["search_step"]) == ["per edge", "plain"]
    few = figures["seconds"]["one_operation"]["plain"]["median"]
    assert figures["one_operation_against_all"]["plain"] == pytest.approx(passes["plain"]["median"] / few)
    assert figures["peak_memory_bytes"].keys() == passes.keys()
    assert [(target["measure"], target["target"]) for target in figures["targets"]] == [("forward_backward", 2.5)]


@pytest.mark.skipif(not available(), reason="no C++ compiler here")
@pytest.mark.parametrize("name", targets())
def test_a_bench_says_what_processor_its_native_kernels_were_made_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setenv(VARIABLE, name)
    build.load.cache_clear()
    BenchTables(describe_environment("cpu", 1), TINY, ["native", "plain"]).header()
    lanes = images_per_block()
    build.load.cache_clear()
    line = " ".join(capsys.readouterr().out.split("native kernels made for ")[1].split())
    assert re.fullmatch(rf".+, {lanes} images to a vector, tiles of \dx\d vectors in \d+ registers", line)
    assert ("AVX2" in line) == (lanes == 8)


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_timed(tmp_path: Path) -> None:
    message = refused(tmp_path, *BENCH, "--json", "nowhere/figures.json")
    assert message == "cannot write nowhere/figures.json: there is no folder nowhere"


# Equality


def test_the_supernet_equals_the_yardstick_and_the_equations() -> None:
    check_network(replace(TINY, num_nodes=5))
    check_network(replace(TINY, num_nodes=4, channels=3, k=1))
    check_network(replace(TINY, channels=64, k=8))


@pytest.mark.parametrize("kind", ["stride2", "stride4"])
def test_with_a_stem_between_it_does_too(kind: NetworkKind) -> None:
    check_network(replace(TINY, kind=kind, k=2))


def test_a_supernet_that_is_off_by_a_little_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Supernet, "forward", broken(lambda logits: logits + 0.001))
    ended: Ended = run_in(tmp_path, *BENCH)
    assert ended.code == 1
    message = error_line(ended)
    assert message.startswith("the supernet differs from the per-edge supernet (plain kernels, K = 1, 8 channels, ")
    assert "3 nodes, cifar stem): logits by " in message
    assert "where rounding explains 1e-08" in message
    assert message.endswith("nothing was timed")
    assert "forward + backward" not in ended.out


def test_a_supernet_with_a_wrong_gradient_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scaled_gradient(logits: torch.Tensor) -> torch.Tensor:
        return logits.detach() + 1.01 * (logits - logits.detach())

    monkeypatch.setattr(Supernet, "forward", broken(scaled_gradient))
    message = error_line(run_in(tmp_path, *BENCH))
    assert ": the gradient of " in message
    assert "more tensors)" in message


def test_a_supernet_that_computes_what_weighs_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = plain.logits

    def all_computed(network: Supernet, images: torch.Tensor, mixture: Mixture, masks: Any) -> torch.Tensor:
        active = {kind: torch.ones_like(weights, dtype=torch.bool) for kind, weights in mixture.op_weights.items()}
        return logits(network, images, Mixture(mixture.op_weights, mixture.edge_weights, active), masks)

    monkeypatch.setattr(plain, "logits", all_computed)
    with pytest.raises(RuntimeError, match=r"with one operation on every edge, .*: the gradient of op weights"):
        check_network(TINY)


def test_one_operation_is_drawn_for_every_edge_anew_and_none_never() -> None:
    mixture = ArchParameters(CellSpace()).mixture()
    draw = torch.Generator().manual_seed(0)
    first, second = one_operation(mixture, draw), one_operation(mixture, draw)
    for drawn in (first, second):
        assert drawn.active is not None
        for kind, active in drawn.active.items():
            assert active.sum(dim=1).eq(1).all()
            assert not active[:, 0].any()
            assert torch.equal(drawn.op_weights[kind], mixture.op_weights[kind] * active)
    assert first.active is not None
    assert second.active is not None
    assert not torch.equal(first.active["normal"], second.active["normal"])


def test_a_supernet_that_forgets_the_edges_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Supernet.forward

    def forgetful(self: Supernet, images: torch.Tensor, mixture: Mixture, masks: Any = None) -> torch.Tensor:
        constant = {kind: weights.detach() for kind, weights in mixture.edge_weights.items()}
        return whole(self, images, Mixture(mixture.op_weights, constant), masks)

    monkeypatch.setattr(Supernet, "forward", forgetful)
    with pytest.raises(RuntimeError, match=r"the gradient of edge weights \(\w+\) by"):
        check_network(TINY)


# Another checkout


def answers(orders: str = "") -> list[dict[str, Any]]:
    """What the process for another checkout says, here in this process."""
    said: list[dict[str, Any]] = []
    serve(TINY, io.StringIO(orders), said.append)
    return said


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("class Net: pass\n", "AttributeError: module 'model_search' has no attribute 'Network'"),
        ("import a_module_that_is_not_there\n", "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
        ("class Network:\n    def __init__(self, genotype): pass\n", "TypeError: "),
    ],
)
def test_a_search_network_without_the_interface_is_an_error_in_one_line(
    other_checkout: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    (other_checkout / "model_search.py").write_text(code)
    monkeypatch.syspath_prepend(other_checkout)
    monkeypatch.delitem(sys.modules, "model_search", raising=False)
    (answer,) = answers()
    sys.modules.pop("model_search", None)
    assert answer["error"].startswith(f"its search network failed ({reason}")


def test_calls_of_cuda_stay_on_a_cpu_and_only_there() -> None:
    original = torch.Tensor.cuda
    with cuda_means_here(torch.device("cpu")):
        assert torch.zeros(2).cuda().device.type == "cpu"
        assert torch.nn.Linear(2, 2).cuda().weight.device.type == "cpu"
    assert torch.Tensor.cuda is original


def test_a_folder_that_is_no_checkout_is_refused_at_once(tmp_path: Path) -> None:
    ended = run_in(tmp_path, *BENCH, "--compare-with", "nowhere")
    assert ended.code == 2
    assert (
        error_line(ended) == "cannot compare with nowhere: there is no model_search.py in it, as DARTS checkouts have"
    )
    ended = run_in(tmp_path, *BENCH, "--kind", "imagenet", "--compare-with", "nowhere")
    assert ended.code == 2


# The parts


def test_the_other_shapes_are_possible_and_have_rows() -> None:
    for changes in SHAPES.values():
        replace(Setting(), **changes).network()
    row = shape_row("two channels", replace(TINY, channels=2, k=2), {"plain": TINY}, repeats=1)
    assert row["setting"]["channels"] == 2
    assert row["seconds"]["per edge"]["ratio"] == 1
    assert row["seconds"]["plain"]["ratio"] > 0


def test_parts_take_turns_after_a_warm_up() -> None:
    calls: list[str] = []

    def part(name: str) -> Callable[[], float]:
        def call() -> float:
            calls.append(name)
            return float(len(calls))

        return call

    times = by_turns({"a": part("a"), "b": part("b")}, repeats=3)
    assert calls == ["a", "b"] * 4
    assert (times["a"].seconds, times["b"].seconds) == ((3, 5, 7), (4, 6, 8))
    assert times["a"].named() == {"median": 5, "min": 3, "max": 7, "n": 3, "seconds": [3, 5, 7]}


def test_a_search_step_moves_weights_alpha_and_beta() -> None:
    for kernels in ("plain", "per edge"):
        for second_order in (False, True):
            step = SearchStep(replace(TINY, kernels=kernels, method_settings={"second_order": second_order}))
            learnt = [*step.network.parameters(), *step.method.arch.parameters()]
            before = [parameter.clone() for parameter in learnt]
            step.search_step()
            assert not any(torch.equal(parameter, old) for parameter, old in zip(learnt, before, strict=True))


def test_a_pass_has_three_times_the_arithmetic_of_a_forward_pass() -> None:
    """0.1132 GFLOP an image for the network of Sec. 4.2."""
    assert forward_backward_flops(Setting(batch_size=10, threads=1)) == pytest.approx(10 * 3 * 0.1132e9, rel=1e-3)


def test_targets_are_set_for_the_search_on_cifar_10_and_a_lower_one_for_other_shapes() -> None:
    seconds = {"plain": {"ratio": 4.5}, "native": {"ratio": 4.5}}
    figures: dict[str, Any] = {
        "setting": {name: value for name, value in vars(Setting(threads=2, device="cpu")).items() if name != "kernels"},
        "seconds": {"forward_backward": seconds, "search_step": seconds},
        "peak_memory_bytes": {"per edge": 100, "native": 30, "plain": 50},
        "one_operation_against_all": {"native": 1.8, "plain": 2.0},
        "data_share": {"native": 0.02, "plain": 0.03},
        "second_order_step_in_weight_steps": {"native": 5.5, "plain": 5.0},
    }
    found = {(each.measure, each.supernet): each.words for each in verdicts(figures, ["native", "plain"])}
    assert found["forward_backward", "native"] == found["search_step", "native"] == "not met, by 10 %"
    assert found["forward_backward", "plain"] == found["search_step", "plain"] == "met"
    assert (found["peak_memory", "native"], found["peak_memory", "plain"]) == ("met", "not met, by 25 %")
    assert (found["data", "plain"], found["second_order_step", "native"]) == ("met", "not met, by 10 %")
    assert (found["one_operation", "native"], found["one_operation", "plain"]) == ("not met, by 10 %", "met")
    figures["setting"]["k"] = 2
    assert verdicts(figures, ["native"]) == [Verdict("forward_backward", "native", 4.5, 2.5, True)]


def test_native_kernels_are_refused_on_a_gpu_before_anything_is_computed() -> None:
    for kernels in ("native", "both"):
        with pytest.raises(InputError, match=f"kernels is {kernels}, but .* not on cuda: use --kernels plain"):
            check_kernels(kernels, torch.device("cuda"))
    check_kernels("plain", torch.device("cuda"))
    check_kernels("both", torch.device("cpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="the refusal of a GPU that is not there")
def test_a_gpu_that_is_not_there_is_refused_in_a_line(tmp_path: Path) -> None:
    words = "device is cuda, but this machine has 0 GPUs: use --device cpu"
    assert refused(tmp_path, *BENCH, "--device", "cuda") == words
