"""The training network against a plain one of the same genotype: equality first, then time, side by side.

    python benchmarks/training_network.py --channels 16 --cells 8 --batch-sizes 32 64 96
    python benchmarks/training_network.py --channels 36 --cells 20 --batch-sizes 32 64 96

A step is forward and backward pass, gradient clipping and optimiser, on images drawn once. The steps of all variants
take turns, so that whatever else the machine does hits all of them; the figures are medians of --repeats rounds, after
one that is not counted, with the quartiles of the ratios of single rounds. Drop-path is on, as in all but the first
epoch.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CELL_KINDS, CellPlan, macro_plan
from pcdarts.cell.zoo import published
from pcdarts.network.network import Network
from pcdarts.ops.precision import has_bf16

# The yardstick: one module and one call per layer, channels first, float32. Its state dict has the keys of `Network`.


def separable(channels: int, size: int, stride: int, dilation: int = 1) -> list[nn.Module]:
    padding = dilation * (size - 1) // 2
    depthwise = nn.Conv2d(channels, channels, size, stride, padding, dilation, groups=channels, bias=False)
    return [nn.ReLU(), depthwise, nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels)]


class PlainReduce(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])], dim=1))


def plain_operation(primitive: str, channels: int, stride: int) -> nn.Module:
    if primitive == "skip_connect":
        return nn.Identity() if stride == 1 else PlainReduce(channels, channels)
    if primitive == "max_pool_3x3":
        return nn.MaxPool2d(3, stride, 1)
    if primitive == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    size = int(primitive[-1])
    if primitive.startswith("dil_conv"):
        return nn.Sequential(*separable(channels, size, stride, dilation=2))
    return nn.Sequential(*separable(channels, size, stride), *separable(channels, size, 1))


def plain_preprocess(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


class PlainCell(nn.Module):
    def __init__(self, genotype: Genotype, plan: CellPlan) -> None:
        super().__init__()
        first, second = plan.in_channels
        self.preprocess0 = (PlainReduce if plan.halve_first_input else plain_preprocess)(first, plan.channels)
        self.preprocess1 = plain_preprocess(second, plan.channels)
        self.edges, self.concat = genotype.edges(plan.kind), genotype.concat(plan.kind)
        self.ops = nn.ModuleList(
            plain_operation(primitive, plan.channels, 2 if plan.kind == "reduce" and source < 2 else 1)
            for primitive, source in self.edges
        )

    def forward(self, before_last: Tensor, last: Tensor, drop_path: float) -> Tensor:
        nodes = [self.preprocess0(before_last), self.preprocess1(last)]
        for first in range(0, len(self.ops), 2):
            nodes.append(sum(self.edge(index, nodes, drop_path) for index in (first, first + 1)))
        return torch.cat([nodes[node] for node in self.concat], dim=1)

    def edge(self, index: int, nodes: list[Tensor], drop_path: float) -> Tensor:
        op = self.ops[index]
        out = op(nodes[self.edges[index][1]])
        if drop_path and not isinstance(op, nn.Identity):
            out = out / (1 - drop_path) * out.new_empty(len(out), 1, 1, 1).bernoulli_(1 - drop_path)
        return out


class PlainHead(nn.Module):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        first = [nn.ReLU(), nn.AvgPool2d(5, 3), nn.Conv2d(channels, 128, 1, bias=False), nn.BatchNorm2d(128)]
        second = [nn.ReLU(), nn.Conv2d(128, 768, 2, bias=False), nn.BatchNorm2d(768), nn.ReLU()]
        self.features = nn.Sequential(*first, *second)
        self.classifier = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


class PlainNetwork(nn.Module):
    """`Network` for CIFAR with an auxiliary head, in training."""

    def __init__(self, genotype: Genotype, channels: int, num_cells: int, num_classes: int = 10) -> None:
        super().__init__()
        self.drop_path = 0.0
        self.stem = nn.Sequential(nn.Conv2d(3, 3 * channels, 3, padding=1, bias=False), nn.BatchNorm2d(3 * channels))
        widths = {kind: len(genotype.concat(kind)) for kind in CELL_KINDS}
        plans = list(macro_plan("cifar", channels, num_cells, widths, 3 * channels))
        self.cells = nn.ModuleList(PlainCell(genotype, plan) for plan in plans)
        self.auxiliary_position = 2 * num_cells // 3
        last = plans[-1]
        self.auxiliary_head = PlainHead(widths["reduce"] * last.channels, num_classes)
        self.classifier = nn.Linear(widths[last.kind] * last.channels, num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        before_last = last = self.stem(images)
        for position, cell in enumerate(self.cells):
            before_last, last = last, cell(before_last, last, self.drop_path)
            if position == self.auxiliary_position:
                auxiliary_logits = self.auxiliary_head(last)
        return self.classifier(last.mean(dim=(2, 3))), auxiliary_logits


# Equality, then time


def loss_of(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    logits, auxiliary_logits = network(images)
    return F.cross_entropy(logits, labels) + 0.4 * F.cross_entropy(auxiliary_logits, labels)


def largest_difference(genotype: Genotype) -> float:
    """The largest relative difference of outputs and of any gradient, in float64, with the same dropped paths."""
    torch.manual_seed(0)
    plain, ours = PlainNetwork(genotype, 4, 4).double(), Network(genotype, channels=4, num_cells=4).double()
    ours.load_state_dict(plain.state_dict())
    images, labels = torch.randn(6, 3, 32, 32, dtype=torch.float64), torch.randint(10, (6,))
    found = []
    for network in (plain, ours):
        network.drop_path = 0.2
        torch.manual_seed(1)
        outputs = network(images)
        torch.manual_seed(1)
        loss_of(network, images, labels).backward()
        named = {name: parameter.grad for name, parameter in network.named_parameters()}
        found.append(named | dict(zip(("logits", "auxiliary logits"), outputs, strict=True)))
    return max(((found[1][name] - x).norm() / x.norm()).item() for name, x in found[0].items())


Step = Callable[[], float]


def make_step(network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> Step:
    def step() -> float:
        started = time.perf_counter()
        loss = loss_of(network, images, labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        return time.perf_counter() - started

    return step


def variants(genotype: Genotype, channels: int, num_cells: int, batch_size: int, drop_path: float) -> dict[str, Step]:
    torch.manual_seed(0)
    plain = PlainNetwork(genotype, channels, num_cells)
    images, labels = torch.randn(batch_size, 3, 32, 32), torch.randint(10, (batch_size,))
    plain.drop_path = drop_path
    plain_optimizer = torch.optim.SGD(plain.parameters(), 0.025, 0.9, weight_decay=3e-4)
    steps = {"plain": make_step(plain, plain_optimizer, images, labels)}
    images = images.contiguous(memory_format=torch.channels_last)
    for name, amp in [("float32", "off")] + [("bf16", "bf16")] * has_bf16("cpu"):
        ours = Network(genotype, channels=channels, num_cells=num_cells, drop_path=drop_path, amp=amp)
        ours.load_state_dict(plain.state_dict())
        ours = ours.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(ours.parameters(), 0.025, 0.9, weight_decay=3e-4, fused=True)
        steps[name] = make_step(ours, optimizer, images, labels)
    return steps


def measure(steps: dict[str, Step], repeats: int) -> dict[str, list[float]]:
    for step in steps.values():
        step()
    rounds = [{name: step() for name, step in steps.items()} for _ in range(repeats)]
    return {name: [times[name] for times in rounds] for name in steps}


def line(name: str, times: list[float], plain: list[float]) -> str:
    ratios = [before / now for before, now in zip(plain, times, strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return f"{name:8} {statistics.median(times):8.3f} s   {ratio:5.2f}x ({low:.2f} to {high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genotype", default="pc_darts_cifar10")
    parser.add_argument("--channels", type=int, default=36)
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 64, 96])
    parser.add_argument("--drop-path", type=float, default=0.15)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    genotype = published(options.genotype)
    difference = largest_difference(genotype)
    print(f"outputs and gradients in float64: largest relative difference {difference:.1e}")
    if difference > 1e-9:
        raise SystemExit("they are not equal: no figures")
    size = f"{options.channels} channels, {options.cells} cells"
    print(f"{size}, {torch.get_num_threads()} threads, n = {options.repeats}; seconds a step, and against plain")
    for batch_size in options.batch_sizes:
        steps = variants(genotype, options.channels, options.cells, batch_size, options.drop_path)
        times = measure(steps, options.repeats)
        print(f"batch {batch_size}")
        for name, measured in times.items():
            print(f"  {line(name, measured, times['plain'])}", flush=True)


if __name__ == "__main__":
    main()
