"""One step of a search on random images, in the parts that `pcdarts bench` and `pcdarts search --plan` measure."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.cell.space import CellSpace, NetworkKind
from pcdarts.config.configs import SearchConfig
from pcdarts.data.batches import Augmentation, Batches
from pcdarts.data.images import Images
from pcdarts.learn.per_edge import PerEdge
from pcdarts.ops.precision import Amp
from pcdarts.ops.sending import send
from pcdarts.run.device import choose_device
from pcdarts.supernet.arch import ArchParameters, Mixture
from pcdarts.supernet.bilevel import Batch, first_order_gradients, second_order_gradients
from pcdarts.supernet.supernet import ChannelSampling, Supernet

Kernels = Literal["auto", "native", "plain", "per edge"]
"""How a step is computed: by the supernet with these kernels, or by the yardstick."""


@dataclass(frozen=True)
class Setting:
    """All that the cost of a search step depends on; the defaults are the paper's search on CIFAR-10, batch 64."""

    kernels: Kernels = "auto"
    kind: NetworkKind = "cifar"
    channels: int = 16
    num_cells: int = 8
    num_nodes: int = 6
    k: int = 4
    batch_size: int = 64
    image_size: int = 32
    image_channels: int = 3
    num_classes: int = 10
    channel_sampling: ChannelSampling = "first"
    edge_normalization: bool = True
    amp: Amp = "off"
    second_order: bool = False
    crop_padding: int = 4
    flip: bool = True
    cutout: int = 0
    device: str = "auto"
    threads: int | None = None

    def network(self) -> Supernet | PerEdge:
        """The supernet, or the yardstick, with fresh weights."""
        if self.kernels == "per edge":
            return PerEdge(
                kind=self.kind,
                channels=self.channels,
                num_cells=self.num_cells,
                num_classes=self.num_classes,
                k=self.k,
                num_nodes=self.num_nodes,
            )
        return Supernet(
            CellSpace(self.num_nodes),
            kind=self.kind,
            channels=self.channels,
            num_cells=self.num_cells,
            num_classes=self.num_classes,
            k=self.k,
            channel_sampling=self.channel_sampling,
            image_channels=self.image_channels,
            kernels=self.kernels,
            amp=self.amp,
        )


def search_setting(
    config: SearchConfig, *, batch_size: int, image_size: int, image_channels: int, num_classes: int
) -> Setting:
    """The step of the search that `config` describes, on such images."""
    names = (
        "amp", "kind", "channels", "num_cells", "num_nodes", "k", "channel_sampling", "edge_normalization",
        "second_order", "crop_padding", "flip", "cutout", "device",
    )  # fmt: skip
    return Setting(
        **{name: getattr(config, name) for name in names},
        kernels="plain" if config.amp != "off" else config.kernels,  # as in `make_supernet`
        batch_size=batch_size,
        image_size=image_size,
        image_channels=image_channels,
        num_classes=num_classes,
        threads=torch.get_num_threads(),
    )


def one_operation(mixture: Mixture, draw: torch.Generator) -> Mixture:
    """One operation on every edge, drawn on the CPU and other than `none`, with the weight that it had."""
    active = {
        kind: F.one_hot(torch.randint(1, weights.shape[1], (len(weights),), generator=draw), weights.shape[1]).bool()
        for kind, weights in mixture.op_weights.items()
    }
    weights = {kind: weights * send(active[kind], weights.device) for kind, weights in mixture.op_weights.items()}
    return Mixture(weights, mixture.edge_weights, active)


class SearchStep:
    """The step of a search: network, α and β, their optimisers, and augmented batches of random images."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.device = choose_device(setting.device, setting.threads)
        torch.manual_seed(0)
        self.arch = ArchParameters(CellSpace(setting.num_nodes), setting.edge_normalization).to(self.device)
        self.network = setting.network().to(self.device)
        # Fused as in jobs/search.py; the authors' script has the plain optimiser.
        fused = setting.kernels != "per edge"
        self.weight_optimizer = torch.optim.SGD(self.network.parameters(), 0.025, 0.9, weight_decay=3e-4, fused=fused)
        self.arch_optimizer = torch.optim.Adam(self.arch.parameters(), 6e-4, (0.5, 0.999), weight_decay=1e-3)
        self._weight_batches = self._endless_batches("weight")
        self._arch_batches = self._endless_batches("arch")
        self._kept = self._draw(self._weight_batches), self._draw(self._arch_batches)
        self._operations = torch.Generator().manual_seed(0)

    def forward_backward(self) -> None:
        """Logits, loss, and the gradients of all weights and of α and β."""
        self._pass(self.arch.mixture())

    def one_operation(self) -> None:
        """The same where every edge has one operation, another one each time."""
        self._pass(one_operation(self.arch.mixture(), self._operations))

    def _pass(self, mixture: Mixture) -> None:
        images, labels, masks = self._kept[0]
        F.cross_entropy(self.network(images, mixture, masks), labels).backward()
        self.network.zero_grad()
        self.arch.zero_grad()

    def data(self) -> tuple[Batch, Batch]:
        """Draw and augment the weight batch and the arch batch of one step."""
        return self._draw(self._weight_batches), self._draw(self._arch_batches)

    def weight_step(self, batch: Batch | None = None) -> None:
        """Move the weights, by default on a batch drawn long ago."""
        images, labels, masks = batch or self._kept[0]
        loss = F.cross_entropy(self.network(images, self.arch.mixture().detach(), masks), labels)
        self.weight_optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.weight_optimizer.step()

    def arch_step(self, batches: tuple[Batch, Batch] | None = None) -> None:
        """Move α and β, by a gradient of the setting's order."""
        weight_batch, arch_batch = batches or self._kept
        # The yardstick takes the same arguments as the supernet, which is all that these two functions ask.
        network: Supernet = self.network  # type: ignore[assignment]
        if self.setting.second_order:
            gradients, _, _ = second_order_gradients(
                network, self.arch, weight_batch, arch_batch, self.weight_optimizer
            )
        else:
            gradients, _, _ = first_order_gradients(network, self.arch, arch_batch)
        for parameter, gradient in zip(self.arch.parameters(), gradients, strict=True):
            parameter.grad = gradient
        self.arch_optimizer.step()

    def search_step(self) -> None:
        """All that `jobs/search.py` does between two batches, their making included."""
        self.both_steps(self.data())

    def both_steps(self, batches: tuple[Batch, Batch] | None = None) -> None:
        """Move α and β, then the weights."""
        self.arch_step(batches)
        self.weight_step(batches[0] if batches else None)

    def seconds(self, part: Callable[[], object]) -> float:
        """How long one call takes, on a GPU until its last kernel has ended."""
        self._wait()
        started = time.perf_counter()
        part()
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _draw(self, batches: Iterator[tuple[Tensor, Tensor]]) -> Batch:
        images, labels = next(batches)
        network = self.network
        return images, labels, network.draw_masks() if network.samples_randomly else None

    def _endless_batches(self, stream: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of two batches' worth of random images, in new orders without end."""
        setting = self.setting
        count, side = 2 * setting.batch_size, setting.image_size
        draw = torch.Generator().manual_seed(0)
        images = Images(
            torch.randint(256, (count, setting.image_channels, side, side), dtype=torch.uint8, generator=draw),
            torch.randint(setting.num_classes, (count,), generator=draw),
        )
        batches = Batches(
            images,
            batch_size=setting.batch_size,
            mean=(0.5,) * setting.image_channels,
            std=(0.25,) * setting.image_channels,
            augmentation=Augmentation(setting.crop_padding, setting.flip, setting.cutout),
            shuffle=True,
            drop_last=True,
            seed=0,
            stream=stream,
            device=self.device,
        )
        epoch = 0
        while True:
            yield from batches.epoch(epoch)
            epoch += 1
