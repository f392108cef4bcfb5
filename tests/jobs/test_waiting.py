"""What a GPU is given is handed over without waiting for it: seen on the `meta` device, which has no data.

It cannot be read, and what is sent to it is seen. Whether a real GPU is kept busy is measured there.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import device_steps
from pcdarts.cell.space import CellSpace
from pcdarts.config.configs import TrainConfig
from pcdarts.learn.few_images.average_weights import AverageWeights
from pcdarts.learn.few_images.balance import cross_entropy
from pcdarts.learn.few_images.mixing import Mixing
from pcdarts.learn.measure import Average
from pcdarts.learn.steps import Setting, one_operation
from pcdarts.ops.sending import send
from pcdarts.supernet.arch import ArchParameters
from pcdarts.supernet.supernet import ChannelSampling

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
        several = [x for arg in args if isinstance(arg, list | tuple) for x in arg]
        devices = {x.device.type for x in (*args, *several, *kwargs.values()) if isinstance(x, Tensor)}
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


class Descent(torch.optim.Optimizer):
    """In the place of the fused optimisers, which know no such device; those of real ones are PyTorch's."""

    def __init__(self, parameters: Iterator[nn.Parameter]) -> None:
        super().__init__(parameters, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0, "nesterov": False})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for parameter in self.param_groups[0]["params"]:
            if parameter.grad is not None:
                parameter.sub_(0.1 * parameter.grad * (1 - self.found_inf))  # type: ignore[attr-defined]


def descent(module: nn.Module) -> Any:
    return Descent(module.parameters())


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_nothing_waits_to_mix_images_to_weigh_classes_and_to_average_weights(kind: str) -> None:
    images, labels = torch.empty(4, 3, 8, 8, device=DEVICE), torch.empty(4, dtype=torch.int64, device=DEVICE)
    network = nn.Sequential(nn.Conv2d(3, 10, 8), nn.BatchNorm2d(10), nn.Flatten()).to(DEVICE)
    mixing, average = Mixing(TrainConfig(**{kind: 1}), 10), AverageWeights(network, 0.9)
    weights = torch.empty(10, device=DEVICE)
    with waits() as found:
        images, shares = mixing(images, labels, 0, 0)
        logits = network(images)
        loss = cross_entropy(logits, shares, 0.1, weights)
        loss.backward()
        Average("train").add(loss.detach(), logits.detach(), shares)
        average.update(network, 1)
    assert found == []
    assert shares.shape == logits.shape


@pytest.mark.parametrize(
    ("second_order", "sampling", "parts", "nodes"), [(False, "first", 2, 4), (True, "random", 1, 3)]
)
def test_nothing_waits_in_a_step_of_a_search(
    tmp_path: Path, second_order: bool, sampling: str, parts: int, nodes: int
) -> None:
    found: list[list[str]] = []
    with ExitStack() as stack:  # from the second step on: the first is not over until data and state are there
        steps = device_steps.search(
            tmp_path,
            DEVICE,
            lambda: found.append(stack.enter_context(waits())),
            second_order=second_order,
            sampling=sampling,
            parts=parts,
            nodes=nodes,
            sgd=descent,
            adam=descent,
        )
    assert found == [[]]
    assert steps == 2


@pytest.mark.parametrize("sampling", ["first", "random"])
def test_nothing_waits_where_every_edge_has_one_operation(sampling: ChannelSampling) -> None:
    setting = Setting(kernels="plain", channels=4, k=2, num_cells=3, num_nodes=4, channel_sampling=sampling)
    supernet, arch = setting.network().to(DEVICE), ArchParameters(CellSpace(4)).to(DEVICE)
    images = torch.zeros(2, 3, 8, 8, device=DEVICE)
    with waits() as found:
        mixture = one_operation(arch.mixture(), torch.Generator().manual_seed(0))
        supernet(images, mixture).sum().backward()
    assert found == []
    assert arch.alpha["normal"].grad is not None


def test_nothing_waits_in_a_step_of_a_training(tmp_path: Path) -> None:
    found: list[list[str]] = []
    with ExitStack() as stack:
        steps = device_steps.train(tmp_path, DEVICE, lambda: found.append(stack.enter_context(waits())), sgd=descent)
    assert found == [[]]
    assert steps == 2


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
