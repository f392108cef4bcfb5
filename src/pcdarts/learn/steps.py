"""One step of a search on random images, in the parts that `pcdarts bench` and `pcdarts search --plan` measure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F

from pcdarts.cell.space import CellSpace, Macro, NetworkKind, space_of
from pcdarts.config.configs import SearchConfig
from pcdarts.config.groups.method_settings import settings_of_method
from pcdarts.data.batches import Augmentation, Batches
from pcdarts.data.images import Images
from pcdarts.learn.learning import make_scaler
from pcdarts.learn.networks import method_with
from pcdarts.learn.per_edge import PerEdge
from pcdarts.learn.task import SupernetTask
from pcdarts.methods.method import At, Batch, Seen
from pcdarts.ops.precision import Amp
from pcdarts.ops.sending import send
from pcdarts.run.device import choose_device, seconds_of
from pcdarts.run.finite import FiniteCheck, asked_every
from pcdarts.run.processes import ALONE
from pcdarts.supernet.arch import Mixture
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
    space: Macro = "darts"
    k: int = 4
    batch_size: int = 64
    image_size: int = 32
    image_channels: int = 3
    num_classes: int = 10
    channel_sampling: ChannelSampling = "first"
    edge_normalization: bool = True
    amp: Amp = "off"
    method: str = "darts"
    method_settings: Mapping[str, Any] = field(default_factory=dict)
    gradient_clip: float = 5.0
    gradient_accumulation_steps: int = 1
    crop_padding: int = 4
    flip: bool = True
    cutout: int = 0
    device: str = "auto"
    threads: int | None = None

    @property
    def cell_space(self) -> CellSpace:
        """The cells that are searched."""
        return space_of(self.space, self.num_nodes)

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
            self.cell_space,
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
        "amp", "kind", "channels", "num_cells", "num_nodes", "space", "k", "channel_sampling", "edge_normalization",
        "method", "gradient_clip", "gradient_accumulation_steps", "crop_padding", "flip", "cutout", "device",
    )  # fmt: skip
    return Setting(
        **{name: getattr(config, name) for name in names},
        method_settings=settings_of_method(config),
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


Pair = tuple[Batch, Batch]
"""A weight batch and an arch batch."""
AT = At(epoch=0, step=0, stage=0, stage_epoch=0, stage_epochs=1)
"""The place of the step that is measured."""


class SearchStep:
    """The step of a search, on augmented batches of random images: the method's, and that of the weights.

    `network` is taken instead of the one that the setting describes.
    """

    def __init__(self, setting: Setting, network: Supernet | PerEdge | None = None) -> None:
        self.setting = setting
        self.device = choose_device(setting.device, setting.threads)
        torch.manual_seed(0)
        self.method = method_with(
            setting.method,
            setting.cell_space,
            setting.edge_normalization,
            self.device,
            setting.method_settings,
        )
        self.network = (network or setting.network()).to(self.device)
        # Fused as in `make_sgd`; the authors' script has the plain optimiser.
        fused = setting.kernels != "per edge"
        self.weight_optimizer = torch.optim.SGD(self.network.parameters(), 0.025, 0.9, weight_decay=3e-4, fused=fused)
        self.task = SupernetTask(
            self.network,
            self.weight_optimizer,
            gradient_clip=setting.gradient_clip,
            parts=setting.gradient_accumulation_steps,
            scaler=make_scaler(setting.amp, self.device),
            processes=ALONE,
            finite=FiniteCheck(0, [self.network, self.method.arch], ALONE, asked_every(self.device)),
            arch_batch=lambda: self._arch_batch,
        )
        self._weight_batches = self._endless_batches("weight")
        self._arch_batches = self._endless_batches("arch")
        self._kept = self.data()
        self._operations = torch.Generator().manual_seed(0)

    def forward_backward(self) -> None:
        """Logits, loss, and the gradients of all weights and of α and β."""
        self._pass(self.method.mixture())

    def one_operation(self) -> None:
        """The same where every edge has one operation, another one each time."""
        self._pass(one_operation(self.method.mixture(), self._operations))

    def _pass(self, mixture: Mixture) -> None:
        images, labels, masks, _ = self._kept[0]
        F.cross_entropy(self.network(images, mixture, masks), labels).backward()
        self.network.zero_grad()
        self.method.arch.zero_grad()

    def data(self) -> Pair:
        """Draw and augment the weight batch and the arch batch of one step."""
        return next(self._weight_batches), next(self._arch_batches)

    def weight_step(self, batches: Pair | None = None) -> Seen | None:
        """Move the weights, by default on a batch drawn long ago, if the method draws anything for it."""
        weight_batch, _ = batches or self._kept
        with self.task.finite.guarded(None, 1, 1, 0.025):
            draws = self.method.draws(AT, self.task, weight_batch)
            return self.task.learn(weight_batch, draws) if draws else None

    def arch_step(self, batches: Pair | None = None) -> Seen | None:
        """Let the method take its step."""
        weight_batch, self._arch_batch = batches or self._kept
        with self.task.finite.guarded(None, 1, 1, 0.025):
            return self.method.step(AT, self.task, weight_batch)

    def search_step(self) -> None:
        """All that `jobs/search.py` does between two batches, their making included."""
        self.both_steps(self.data())

    def both_steps(self, batches: Pair | None = None) -> None:
        """Let the method take its step, then the weights theirs."""
        self.arch_step(batches)
        self.weight_step(batches)

    def seconds(self, part: Callable[[], object]) -> float:
        """How long one call takes, on a GPU until its last kernel has ended."""
        return seconds_of(part, self.device)

    def _endless_batches(self, stream: str) -> Iterator[Batch]:
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
            for number, batch in enumerate(batches.epoch(epoch)):
                yield self.task.batch(stream, epoch, number, *batch)
            epoch += 1
