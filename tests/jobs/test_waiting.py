"""What a GPU is given is handed over without waiting for it: seen on the `meta` device, which has no data.

It cannot be read, and what is sent to it is seen. Whether a real GPU is kept busy is measured there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from command_line import GENOTYPE
from pcdarts.cell.sending import send
from pcdarts.cell.space import CellSpace
from pcdarts.data.batches import Augmentation, Batches
from pcdarts.data.images import Images
from pcdarts.jobs.learning import ArchStep, WeightStep, loss_scale, make_scaler
from pcdarts.jobs.measure import Average
from pcdarts.jobs.numbers import Numbers
from pcdarts.network.network import Network
from pcdarts.run.folder import RunFolder
from pcdarts.run.processes import ALONE
from pcdarts.run.progress import Progress
from pcdarts.supernet.arch import ArchParameters
from pcdarts.supernet.bilevel import Passes, first_order_gradients, second_order_gradients
from pcdarts.supernet.supernet import Supernet

DEVICE = torch.device("meta")
READS = ("local_scalar", "nonzero", "masked_select", "unique")
TAKES_NUMBERS = ("aten::mul", "aten::add", "aten::div", "aten::sub")
"""What takes a number that is on the CPU along with its order."""


class Copies(TorchDispatchMode):
    """Collects reads of values and copies between devices that are waited for."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.name()
        devices = {x.device.type for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        if DEVICE.type in devices and any(read in name for read in READS):
            self.found.append(name)
        if kwargs.get("device") is not None:
            devices.add(torch.device(kwargs["device"]).type)
        if len(devices) > 1 and not (kwargs.get("non_blocking") or name.split(".")[0] in TAKES_NUMBERS):
            self.found.append(f"{name} between devices")
        return func(*args, **kwargs)


class Lists(TorchFunctionMode):
    """Collects what PyTorch makes a tensor of and sends, or reads, before it is dispatched: lists, numbers, masks."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in ("__getitem__", "__setitem__") and args[0].device == DEVICE:
            for place in args[1] if isinstance(args[1], tuple) else (args[1],):
                if isinstance(place, list) or (isinstance(place, Tensor) and place.dtype == torch.bool):
                    self.found.append(f"{name} of a list or a mask")
        result = func(*args, **(kwargs or {}))
        is_there = isinstance(result, Tensor) and result.device == DEVICE
        if is_there and name in ("tensor", "as_tensor", "new_tensor") and not isinstance(args[-1], Tensor):
            self.found.append(f"{name} of numbers")
        if is_there and name == "where" and not all(isinstance(arg, Tensor) for arg in args):
            self.found.append("where of a number")
        return result


@contextmanager
def waits() -> Iterator[list[str]]:
    """What the CPU waits for, in order."""
    found: list[str] = []
    with Copies(found), Lists(found):
        yield found


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x[x > 0],
        lambda x: x[[0, 1]],
        lambda x: x.__setitem__([0, 1], x[:2]),
        lambda x: torch.where(x > 0, 0.0, x),
        lambda x: torch.tensor([0, 1], device=x.device),
        lambda x: x.new_tensor([0.5]),
        lambda x: torch.ones(2).to(x.device),
    ],
)
def test_whatever_waits_is_noticed(wait: Callable[[Tensor], object]) -> None:
    x = torch.ones(3, 4, device=DEVICE)
    with waits() as found, suppress(RuntimeError, NotImplementedError):  # there is no data to read
        wait(x)
    assert found


def batches(stream: str) -> Batches:
    images = Images(torch.zeros(16, 3, 8, 8, dtype=torch.uint8), torch.zeros(16, dtype=torch.int64))
    return Batches(
        images,
        batch_size=8,
        mean=(0.5,) * 3,
        std=(0.2,) * 3,
        augmentation=Augmentation(2, True, 3),
        shuffle=True,
        drop_last=True,
        seed=0,
        stream=stream,
        device=DEVICE,
    )


class Descent(torch.optim.Optimizer):
    """In the place of the fused optimisers, which know no such device; those of real ones are PyTorch's."""

    def __init__(self, parameters: Iterator[nn.Parameter]) -> None:
        super().__init__(parameters, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for parameter in self.param_groups[0]["params"]:
            if parameter.grad is not None:
                parameter.sub_(0.1 * parameter.grad * (1 - self.found_inf))  # type: ignore[attr-defined]


def learn(network: nn.Module, numbers: Numbers, parts: int) -> tuple[WeightStep, Any]:
    optimizer: Any = Descent(network.parameters())
    scaler = make_scaler("off", DEVICE)
    step = WeightStep(
        network, optimizer, gradient_clip=5.0, parts=parts, scaler=scaler, processes=ALONE, numbers=numbers
    )
    return step, optimizer


@pytest.mark.parametrize(("second_order", "sampling", "parts"), [(False, "first", 2), (True, "random", 1)])
def test_nothing_waits_in_a_step_of_a_search(tmp_path: Path, second_order: bool, sampling: Any, parts: int) -> None:
    with DEVICE:
        arch = ArchParameters(CellSpace(4))
        supernet = Supernet(arch.space, channels=4, k=2, num_cells=3, num_classes=5, channel_sampling=sampling)
    numbers, progress = Numbers(1, [supernet, arch], ALONE, every=100), Progress(RunFolder(tmp_path), 1, 9, quiet=True)
    weight_step, weight_optimizer = learn(supernet, numbers, parts)
    scaler = make_scaler("off", DEVICE)
    arch_optimizer: Any = Descent(arch.parameters())
    arch_step = ArchStep(arch, arch_optimizer, scaler, numbers)
    average = Average()

    def loss_of(network: nn.Module, images: Tensor, labels: Tensor, masks: Any) -> tuple[Tensor, Tensor, Tensor]:
        logits = network(images, arch.mixture().detach(), masks)
        loss = F.cross_entropy(logits, labels)
        return loss, loss, logits

    with waits() as found:
        for step, (weight_batch, arch_batch) in enumerate(
            zip(batches("weight").epoch(0), batches("arch").epoch(0), strict=True)
        ):
            if step == 1:
                found.clear()  # the first one is not over until data and state are there
            masks = supernet.draw_masks() if supernet.samples_randomly else None
            with numbers.guarded(progress, 1, step + 1, 0.1):
                passes = Passes(parts, loss_scale(scaler, DEVICE), ALONE.average)
                if second_order:
                    gradients, loss, logits = second_order_gradients(
                        supernet, arch, (*weight_batch, masks), (*arch_batch, masks), weight_optimizer, passes=passes
                    )
                else:
                    gradients, loss, logits = first_order_gradients(supernet, arch, (*arch_batch, masks), passes)
                arch_step(gradients, loss)
                average.add(loss, logits, arch_batch[1], numbers.bad)
            with numbers.guarded(progress, 1, step + 1, 0.1):
                loss, logits = weight_step(*weight_batch, partial(loss_of, masks=masks))
                average.add(loss, logits, weight_batch[1], numbers.bad)
            average.so_far("weight")
    assert found == []
    assert step == 1


def test_nothing_waits_in_a_step_of_a_training(tmp_path: Path) -> None:
    with DEVICE:
        network = Network(GENOTYPE, channels=4, num_cells=3, num_classes=5, auxiliary=True, drop_path=0.3)
    numbers, progress = Numbers(1, [network], ALONE, every=100), Progress(RunFolder(tmp_path), 1, 9, quiet=True)
    step_of, _ = learn(network, numbers, 1)
    average = Average()

    def loss_of(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, auxiliary_logits = network(images)
        loss = F.cross_entropy(logits, labels)
        return loss + 0.4 * F.cross_entropy(auxiliary_logits, labels), loss, logits

    with waits() as found:
        for step, (images, labels) in enumerate(batches("train").epoch(0)):
            if step == 1:
                found.clear()
            with numbers.guarded(progress, 1, step + 1, 0.1):
                loss, logits = step_of(images, labels, loss_of)
                average.add(loss, logits, labels, numbers.bad)
            average.so_far("train")
    assert found == []
    assert step == 1


class Pinning(TorchDispatchMode):
    """Notes what is put into page-locked memory, of which tensors that only say they are on a GPU know nothing."""

    pinned: Tensor | None = None
    sent_from: Tensor | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.name() == "aten::_pin_memory":
            self.pinned = args[0].clone()
            return self.pinned
        if func.name() == "aten::_to_copy" and kwargs["non_blocking"]:
            self.sent_from = args[0]
        return func(*args, **kwargs)


def test_what_is_sent_to_a_gpu_comes_from_page_locked_memory_and_is_not_waited_for() -> None:
    with FakeTensorMode(), Pinning() as pinning:
        sent = send(torch.arange(3), torch.device("cuda", 0))
    assert sent.device.type == "cuda"
    assert pinning.pinned is not None
    assert pinning.sent_from is pinning.pinned


def test_on_a_cpu_nothing_is_sent() -> None:
    values = torch.arange(3)
    assert send(values, torch.device("cpu")) is values
