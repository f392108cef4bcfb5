"""What `gpu_steps.py` reads off a step besides its time: kernels, host synchronisations, and the device's ceilings."""

import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from pcdarts.learn.steps import SearchStep, Setting
from pcdarts.ops.depthwise import PlainKernelGradients, convolve_phases

NEEDS_CUDA = "needs cuda"
LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch")


def seconds_of(part: Callable[[], object], device: torch.device) -> float:
    """How long the device works on a call: by its own events on a GPU."""
    if device.type != "cuda":
        started = time.perf_counter()
        part()
        return time.perf_counter() - started
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    first.record()
    part()
    last.record()
    last.synchronize()
    return first.elapsed_time(last) / 1e3


def memory_of(build: Callable[[], Any], device: torch.device) -> tuple[Any, dict[str, Any]]:
    """What `build` returns, which has a `search_step`, and the bytes that it holds and that its step needs besides."""
    if device.type != "cuda":
        made = build()
        made.search_step()
        return made, {"held": NEEDS_CUDA, "step": NEEDS_CUDA}
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before, reserved = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
    made = build()  # a CUDA graph's memory is taken here, once for all
    built = torch.cuda.max_memory_allocated(device)
    made.search_step()
    held = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    made.search_step()
    return made, {
        "held": held - before,
        "step": torch.cuda.max_memory_allocated(device) - held,
        "peak": max(built, torch.cuda.max_memory_allocated(device)) - before,
        "reserved": torch.cuda.memory_reserved(device) - reserved,
    }


def synchronisations(part: Callable[[], object], device: torch.device) -> dict[str, Any] | str:
    """How often one call makes the host wait for the device, as PyTorch sees it, and from which lines."""
    if device.type != "cuda":
        return NEEDS_CUDA
    places: Counter[str] = Counter()

    def note(message: Warning | str, *_: Any, **__: Any) -> None:
        if "called a synchronizing" in str(message):
            places[place_in_code()] += 1

    torch.cuda.synchronize(device)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        torch.cuda.set_sync_debug_mode("warn")
        try:
            part()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return {"count": sum(places.values()), "places": dict(places.most_common())}


def place_in_code() -> str:
    """The innermost line of this project on the stack, this file aside; else the innermost of all."""
    frames = [frame for frame in traceback.extract_stack() if frame.filename != __file__]
    ours = [frame for frame in frames if {"pcdarts", "benchmarks"} & set(Path(frame.filename).parts[-4:-1])]
    frame = (ours or frames)[-1]
    return f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno}"


def kernels(part: Callable[[], object], device: torch.device, steps: int) -> dict[str, Any]:
    """The kernels of a call (on a CPU, PyTorch's operations): the ten that take longest, their number, busy time."""
    on_gpu = device.type == "cuda"  # where operations of the host are left out: to record them slows it down
    activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(Warning: )?Profiler clears events")  # of earlier cycles: there are none
        with profile(activities=[activity]) as found:
            for _ in range(steps):
                part()
            if on_gpu:
                torch.cuda.synchronize(device)
    wanted = DeviceType.CUDA if on_gpu else DeviceType.CPU
    # As they were recorded: `found.events()` makes a tree of them, which takes seconds.
    events = found.profiler.kineto_results.events()
    named = [
        (event.name(), event.start_ns() / 1e3, (event.start_ns() + event.duration_ns()) / 1e3)
        for event in events
        if event.device_type() == wanted and not is_annotation(event)
    ]
    spent: dict[str, float] = defaultdict(float)
    calls: Counter[str] = Counter()
    for name, start, end in named:
        spent[name] += end - start
        calls[name] += 1
    total = sum(spent.values())
    moving = sum(calls[name] for name in calls if name.startswith(("Memcpy", "Memset")))
    launched = Counter(event.name() for event in events if event.name().startswith(LAUNCHES))
    return {
        "of": "kernels of the GPU" if on_gpu else "operations of the CPU, those within others counted twice",
        "per_step": (len(named) - moving) / steps,
        "copies_and_fills_per_step": moving / steps,
        "distinct": len(calls),
        "launches_by_host_per_step": {name: count / steps for name, count in launched.items()},
        "busy_us_per_step": union([(start, end) for _, start, end in named]) / steps,
        "most_expensive": [
            {
                "name": name[:160],
                "calls_per_step": calls[name] / steps,
                "us_per_step": spent[name] / steps,
                "share": spent[name] / total,
            }
            for name in sorted(spent, key=lambda name: -spent[name])[:10]
        ],
    }


def is_annotation(event: Any) -> bool:
    """A span that somebody named, such as an optimiser's step: no kernel."""
    return event.is_user_annotation() or event.name().startswith(("Optimizer.", "ProfilerStep"))


def union(spans: list[tuple[float, float]]) -> float:
    """The length of what spans cover together."""
    covered, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def ceilings(device: torch.device, tiny: bool) -> dict[str, Any]:
    """Bytes per second of a copy, read and written counted, and FLOP/s of square products, on random data."""
    side, numbers = (128, 2**16) if tiny else (8192, 2**29)
    rates: dict[str, Any] = {"side": side, "copied_bytes": 4 * numbers}
    rates["copy_bytes_per_second"] = 8 * numbers / _copy_seconds(numbers, device)
    draw = torch.Generator(device).manual_seed(0)  # not the device's own, which a capture that fails leaves unusable
    a, b = (torch.randn(side, side, device=device, generator=draw) for _ in range(2))
    before = torch.get_float32_matmul_precision()
    try:
        for name, precision in (("float32", "highest"), ("tf32", "high")):
            torch.set_float32_matmul_precision(precision)
            rates[name] = 2 * side**3 / _median(lambda: torch.mm(a, b), device)
    finally:
        torch.set_float32_matmul_precision(before)
    a, b = a.bfloat16(), b.bfloat16()
    rates["bf16"] = 2 * side**3 / _median(lambda: torch.mm(a, b), device)
    return rates


def _copy_seconds(numbers: int, device: torch.device) -> float:
    source = torch.ones(numbers, device=device)
    target = torch.empty_like(source)
    return _median(lambda: target.copy_(source), device)


def _median(part: Callable[[], object], device: torch.device, repeats: int = 7) -> float:
    for _ in range(2):
        part()
    return median(seconds_of(part, device) for _ in range(repeats))


def _without_launch(part: Callable[[], object], device: torch.device, calls: int = 10) -> float:
    """Seconds of a call among many, which on a GPU are launched together."""
    if device.type != "cuda":
        return _median(part, device)
    part()
    torch.cuda.synchronize(device)
    graph, ours = torch.cuda.CUDAGraph(), torch.cuda.current_stream(device)
    try:
        with torch.cuda.graph(graph):
            for _ in range(calls):
                part()
    finally:
        torch.cuda.set_stream(ours)
    return _median(graph.replay, device) / calls


def written_bytes(setting: Setting, bytes_each: int) -> int:
    """Of all outputs of convolutions and poolings in the per-edge network's forward pass."""
    count, numbers = 2, 0
    step = SearchStep(replace(setting, kernels="per edge", amp="off", batch_size=count, device="cpu"))

    def add(module: nn.Module, inputs: Any, output: Tensor) -> None:
        nonlocal numbers
        numbers += output.numel()

    for module in step.network.modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            module.register_forward_hook(add)
    with torch.no_grad():
        step.network(torch.zeros(count, 3, setting.image_size, setting.image_size), step.method.mixture())
    return bytes_each * numbers * setting.batch_size // count


def layouts(device: torch.device, tiny: bool) -> list[dict[str, Any]]:
    """The convolutions of one source node with five edges in both layouts and precisions, in microseconds a call.

    On 1,024 images, so that no map fits into a GPU's cache: a quarter of a figure is what a step of 256 images pays.

    The 1x1 convolutions of five edges with four channels each: as one product with zeros beside the blocks, as a
    grouped convolution, and as a batch of small products. Dilated ones also as convolutions of phases.
    """
    batch, side, edges, width = (4, 8, 5, 4) if tiny else (1024, 32, 5, 4)
    channels, rows = edges * width, []

    def random(*shape: int) -> Tensor:
        # Drawn on the CPU: a capture that failed leaves the generator of a GPU unusable.
        return torch.randn(*shape).to(device, dtype)

    for dtype in (torch.float32, torch.bfloat16):
        for layout in (torch.channels_last, torch.contiguous_format):
            x, grad = (random(batch, channels, side, side).contiguous(memory_format=layout) for _ in range(2))
            named = {"dtype": str(dtype), "layout": str(layout)}
            for size, dilation in ((3, 1), (5, 1), (3, 2), (5, 2)):
                weight = random(channels, 1, size, size)
                what = f"depthwise {size}x{size}, dilation {dilation}"
                rows.append({"what": what, **named, **_convolution(x, weight, grad, dilation, channels, device)})
                if dilation == 2 and layout == torch.channels_last:
                    rows.append({"what": f"{what}, by phases", **named, **_by_phases(x, weight, grad, device)})
            weight = random(channels, width, 1, 1)
            rows.append({"what": "1x1, grouped", **named, **_convolution(x, weight, grad, 1, edges, device)})
            dense = random(channels, channels, 1, 1)
            rows.append({"what": "1x1, one dense", **named, **_convolution(x, dense, grad, 1, 1, device)})
        matrix = random(batch * side * side, channels)
        weight, small = random(channels, channels), random(edges, width, width)
        parts = matrix.view(-1, edges, width).transpose(0, 1)
        products: dict[str, Callable[[], object]] = {
            "1x1, product with zeros": lambda a=matrix, b=weight: torch.mm(a, b.t()),
            "its gradient of weights": lambda a=matrix: torch.mm(a.t(), a),
            "1x1, batch of products": lambda a=parts, b=small: torch.bmm(a, b),
            "their gradient of weights": lambda a=parts: torch.bmm(a.mT, a),
        }
        for what, part in products.items():
            rows.append({"what": what, "dtype": str(dtype), "us": 1e6 * _without_launch(part, device)})
    return rows


def _by_phases(x: Tensor, weight: Tensor, grad: Tensor, device: torch.device) -> dict[str, float]:
    parts: dict[str, Callable[[], object]] = {
        "us": lambda: convolve_phases(x, weight),
        "us_gradient_of_input": lambda: convolve_phases(grad, weight),
        "us_gradient_of_weight": lambda: PlainKernelGradients(x, 2)(grad, weight.shape[-1]),
    }
    return {name: 1e6 * _without_launch(part, device) for name, part in parts.items()}


def _convolution(
    x: Tensor, weight: Tensor, grad: Tensor, dilation: int, groups: int, device: torch.device
) -> dict[str, float]:
    padding = dilation * (weight.shape[-1] - 1) // 2

    def backward(of_input: bool) -> object:
        mask = [of_input, not of_input, False]
        return torch.ops.aten.convolution_backward(
            grad, x, weight, None, [1, 1], [padding] * 2, [dilation] * 2, False, [0, 0], groups, mask
        )

    parts: dict[str, Callable[[], object]] = {
        "us": lambda: F.conv2d(x, weight, None, 1, padding, dilation, groups),
        "us_gradient_of_input": lambda: backward(True),
        "us_gradient_of_weight": lambda: backward(False),
    }
    return {name: 1e6 * _without_launch(part, device) for name, part in parts.items()}
