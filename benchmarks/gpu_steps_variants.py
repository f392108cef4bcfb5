"""The search step in the forms that `gpu_steps.py` times: the yardstick's, ours as it is, and ours in CUDA graphs.

Each form has `arch_step` and `weight_step`, which take both batches and return the loss, `data`, which draws them, and
`search_step`, which is all three.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from pcdarts.learn.measure import Average
from pcdarts.learn.steps import SearchStep, Setting
from pcdarts.methods.darts import first_order_gradients
from pcdarts.methods.method import Batch
from pcdarts.ops.precision import Amp, mixed_precision
from pcdarts.supernet.arch import Mixture

Precision = Literal["float32", "tf32", "bf16"]
Batches = tuple[Batch, Batch]
WARM_UP = 2
"""Steps before the capture: libraries load, optimisers make their state."""
CHECKED_STEPS = 3
"""After which the captured steps must have done what eager ones do."""


@contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Whether products and convolutions of float32 may be rounded to TF32; as before afterwards."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


class Yardstick(nn.Module):
    """The per-edge network as `SearchStep` calls it, in mixed precision or channels-last where that is asked for."""

    def __init__(self, per_edge: nn.Module, amp: Amp, channels_last: bool) -> None:
        super().__init__()
        self.network: nn.Module = per_edge.network  # type: ignore[assignment]
        self.amp: Amp = amp
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.network.to(memory_format=self.layout)

    def forward(self, images: Tensor, mixture: Mixture, masks: list[Tensor] | None = None) -> Tensor:
        images = images.contiguous(memory_format=self.layout)
        with mixed_precision(self.amp, images.device.type):
            logits = self.network(images, mixture.op_weights, mixture.edge_weights)
        return logits.float()


class EagerStep:
    """Our step with the very functions that `jobs/search.py` calls for a batch, sums for its report included."""

    def __init__(self, setting: Setting, network: Any = None) -> None:
        self.step = SearchStep(setting if network else replace(setting, kernels="plain"), network)
        self.device = self.step.device
        self.averages = Average("weight"), Average("arch")

    def data(self) -> Batches:
        return self.step.data()

    def arch_step(self, batches: Batches) -> Tensor:
        return self._taken(0, self.step.arch_step, batches)

    def weight_step(self, batches: Batches) -> Tensor:
        return self._taken(1, self.step.weight_step, batches)

    def search_step(self) -> None:
        batches = self.data()
        self.arch_step(batches)
        self.weight_step(batches)

    def _taken(self, which: int, half: Any, batches: Batches) -> Tensor:
        seen = half(batches)
        self.averages[which].add(*seen, self.step.task.finite.bad)
        return seen.loss


class PerEdgeStep(EagerStep):
    """The same of the yardstick."""

    def __init__(self, setting: Setting, channels_last: bool = False) -> None:
        setting = replace(setting, kernels="per edge")
        network = Yardstick(setting.network(), setting.amp, channels_last)
        super().__init__(replace(setting, amp="off"), network)


class GraphedStep:
    """Our step with its two halves captured in CUDA graphs, which replay on batches copied to fixed places.

    A prototype: without the check for finite finite and without random masks. Where `captured` is False (a CPU), the
    same functions run on the same fixed places instead of a replay.
    """

    def __init__(self, setting: Setting, captured: bool) -> None:
        self.step = step = SearchStep(replace(setting, kernels="plain"))
        self.device = step.device
        rate = torch.tensor(0.025, device=step.device)  # a tensor: a graph reads it anew in every replay
        self.weight_optimizer = torch.optim.SGD(step.network.parameters(), rate, 0.9, weight_decay=3e-4, fused=True)
        self.arch_optimizer = torch.optim.Adam(
            step.method.arch.parameters(), 6e-4, (0.5, 0.999), weight_decay=1e-3, capturable=captured
        )
        # Kept in the layout in which `Batches` gives them.
        self.places = tuple((images.clone(), labels.clone()) for images, labels, *_ in step.data())
        self._arch_graph: torch.cuda.CUDAGraph | None = None
        self._weight_graph: torch.cuda.CUDAGraph | None = None
        self._losses: dict[str, Tensor] = {}
        if captured:
            self._capture()

    def data(self) -> Batches:
        return self.step.data()

    def arch_step(self, batches: Batches) -> Tensor:
        self._fill(1, batches)
        return self._run(self._arch_graph, self._arch_step, "arch")

    def weight_step(self, batches: Batches) -> Tensor:
        self._fill(0, batches)
        return self._run(self._weight_graph, self._weight_step, "weight")

    def search_step(self) -> None:
        batches = self.data()
        self.arch_step(batches)
        self.weight_step(batches)

    def _fill(self, which: int, batches: Batches) -> None:
        images, labels, *_ = batches[which]
        self.places[which][0].copy_(images)
        self.places[which][1].copy_(labels)

    def _run(self, graph: torch.cuda.CUDAGraph | None, function: Any, name: str) -> Tensor:
        if graph is None:
            return function()
        graph.replay()
        return self._losses[name]

    def _arch_step(self) -> Tensor:
        arch: Any = self.step.method.arch
        gradients, (loss, _, _) = first_order_gradients(self.step.task, arch, Batch(*self.places[1]))
        for parameter, gradient in zip(arch.parameters(), gradients, strict=True):
            parameter.grad = gradient
        self.arch_optimizer.step()
        return loss

    def _weight_step(self) -> Tensor:
        images, labels = self.places[0]
        network, mixture = self.step.network, self.step.method.mixture().detach()
        # Leaves of this pass alone: what autograd keeps of a parameter belongs to the stream on which it was first
        # used, and a wait for that stream ends a capture.
        weights = {name: weight.detach().requires_grad_() for name, weight in network.named_parameters()}
        loss = F.cross_entropy(functional_call(network, weights, (images, mixture, None)), labels)
        gradients = torch.autograd.grad(loss, list(weights.values()))
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.grad = gradient.contiguous()  # as `backward` gives it: the fused SGD takes it for laid out alike
        nn.utils.clip_grad_norm_(self.step.network.parameters(), 5.0)
        self.weight_optimizer.step()
        return loss.detach()

    def _capture(self) -> None:
        """Capture both halves; weights, running statistics, α, β and the optimisers are as before afterwards."""
        before = copies_of(self.step)
        ours, stream = torch.cuda.current_stream(self.device), torch.cuda.Stream(self.device)
        stream.wait_stream(ours)
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._arch_step()
                self._weight_step()
        ours.wait_stream(stream)
        torch.cuda.synchronize(self.device)
        self.weight_optimizer.zero_grad()
        self.arch_optimizer.zero_grad()
        with torch.no_grad():
            for tensor, earlier in zip(state_of(self.step), before, strict=True):
                tensor.copy_(earlier)
            for optimizer in (self.weight_optimizer, self.arch_optimizer):
                for state in optimizer.state.values():  # zeros are what both start from
                    for tensor in state.values():
                        tensor.zero_()
        try:
            self._weight_graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._weight_graph, capture_error_mode="thread_local"):
                self._losses["weight"] = self._weight_step()
            self._arch_graph = torch.cuda.CUDAGraph()
            pool = self._weight_graph.pool()
            with torch.cuda.graph(self._arch_graph, pool=pool, capture_error_mode="thread_local"):
                self._losses["arch"] = self._arch_step()
        finally:
            torch.cuda.set_stream(ours)  # which a capture that fails does not do


def state_of(step: SearchStep) -> list[Tensor]:
    """Weights, running statistics, α and β."""
    return [*step.network.parameters(), *step.network.buffers(), *step.method.arch.parameters()]


def copies_of(step: SearchStep) -> list[Tensor]:
    """Of `state_of`, without a history, which would keep autograd's nodes of the parameters alive."""
    return [tensor.detach().clone() for tensor in state_of(step)]


# What rounding explains after `CHECKED_STEPS` steps, relative to how far the values have moved; a graph that read an
# old batch, or left something out, is off by about 1. Losses relative to themselves. α and β move by Adam, which makes
# steps of the same length of the tiniest gradients.
TOLERANCES: dict[Precision, dict[str, float]] = {
    "float32": {"losses": 1e-4, "weights": 1e-2, "running statistics": 1e-2, "alpha and beta": 5e-2},
    "tf32": {"losses": 1e-3, "weights": 3e-2, "running statistics": 3e-2, "alpha and beta": 1e-1},
    "bf16": {"losses": 1e-2, "weights": 1e-1, "running statistics": 1e-1, "alpha and beta": 2e-1},
}
SPREADS = 5
"""Differences may also be this many times as large as those between two eager runs, whose sums have no fixed order."""


def check_graph(
    setting: Setting, graphed: GraphedStep, precision: Precision, steps: int = CHECKED_STEPS
) -> dict[str, Any]:
    """Whether some search steps of `graphed`, which must be fresh, end where eager ones do."""
    batches = [graphed.data() for _ in range(steps)]
    start = _groups(graphed.step)
    ours = _after(graphed, batches)
    eager, again = (_after(EagerStep(setting), batches) for _ in range(2))
    difference, spread = _differences(ours, eager, start), _differences(again, eager, start)
    allowed = {name: max(tolerance, SPREADS * spread[name]) for name, tolerance in TOLERANCES[precision].items()}
    equal = all(difference[name] <= allowed[name] for name in allowed)  # false for NaN
    return {
        "steps": steps,
        "equal": equal,
        "difference": difference,
        "between_two_eager_runs": spread,
        "allowed": allowed,
    }


def _after(form: EagerStep | GraphedStep, batches: list[Batches]) -> dict[str, Tensor]:
    losses = []
    for pair in batches:
        losses += [form.arch_step(pair).clone(), form.weight_step(pair).clone()]
    return {**_groups(form.step), "losses": torch.stack(losses).double()}


def _groups(step: SearchStep) -> dict[str, Tensor]:
    parts = {
        "weights": step.network.parameters(),
        "running statistics": [each for each in step.network.buffers() if each.is_floating_point()],
        "alpha and beta": step.method.arch.parameters(),
    }
    return {name: torch.cat([each.detach().double().flatten() for each in some]) for name, some in parts.items()}


def _differences(a: dict[str, Tensor], b: dict[str, Tensor], start: dict[str, Tensor]) -> dict[str, float]:
    moved = {name: float((a[name] - b[name]).norm() / (b[name] - before).norm()) for name, before in start.items()}
    return {**moved, "losses": float(((a["losses"] - b["losses"]) / b["losses"]).abs().max())}
