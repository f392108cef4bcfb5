"""The network that is trained while searching: a function of the images and the mixture, computed per source node."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.cell.authors import load_translated
from pcdarts.cell.primitives import FactorizedReduce, ReluConvBN
from pcdarts.cell.space import STEM_MULTIPLIER, CellPlan, CellSpace, NetworkKind, macro_plan
from pcdarts.cell.stem import check_images, make_stem, smallest_image_side
from pcdarts.errors import InputError
from pcdarts.supernet.arch import Mixture
from pcdarts.supernet.authors import from_authors_state_dict
from pcdarts.supernet.edges import CandidateOperations

ChannelSampling = Literal["first", "random"]


class SupernetCell(nn.Module):
    """One cell with all its candidate operations, computed source by source.

    What leaves one node is computed for all its edges together; then each node gathers, over its incoming edges, the
    mixed operations of the sampled channels and the other channels as they are (Eqs. 1 and 2).
    """

    def __init__(self, space: CellSpace, plan: CellPlan, k: int) -> None:
        super().__init__()
        self.space, self.plan, self.k = space, plan, k
        preprocess0 = FactorizedReduce if plan.halve_first_input else ReluConvBN
        self.preprocess0 = preprocess0(plan.in_channels[0], plan.channels, affine=False)
        self.preprocess1 = ReluConvBN(plan.in_channels[1], plan.channels, affine=False)
        self.strided_edges = [i for i, edge in enumerate(space.edges) if plan.kind == "reduce" and edge.source < 2]
        self.operations = CandidateOperations(space.num_edges, self.strided_edges, plan.channels // k)
        for source in range(space.num_nodes - 1):
            self.register_buffer(f"edges_from_{source}", torch.tensor(space.edges_from(source)), persistent=False)

    def forward(
        self, before_last: Tensor, last: Tensor, op_weights: Tensor, edge_weights: Tensor, mask: Tensor | None
    ) -> Tensor:
        """Compute the cell's output [B, intermediate nodes · C, H', W'] from the outputs of the two cells before.

        `op_weights` [edges, primitives] and `edge_weights` [edges] are those of the cell's kind; `mask` is the boolean
        S of Eq. (1), [edges, C] with C/k channels of each edge selected, or None for the first C/k and a shuffle.
        """
        nodes: list[Tensor] = [self.preprocess0(before_last), self.preprocess1(last)]
        selected = None if mask is None else mask.nonzero()[:, 1].view(self.space.num_edges, -1)
        weights = op_weights * edge_weights.unsqueeze(1)
        mixed: list[Tensor] = []
        bypassed: list[Tensor] = []
        for source in range(self.space.num_nodes - 1):
            if source >= 2:
                nodes.append(self._gather(source, mixed, bypassed, edge_weights, selected))
            x = nodes[source]
            stride = 2 if self.plan.kind == "reduce" and source < 2 else 1
            edges: Tensor = getattr(self, f"edges_from_{source}")
            if selected is None:
                sampled, bypass = x.split([self.operations.channels, x.shape[1] - self.operations.channels], dim=1)
            else:
                sampled, bypass = x[:, selected[edges].flatten()], x
            mixed.append(self.operations(sampled, edges, weights[edges], stride))
            bypassed.append(_halve(bypass) if stride == 2 else bypass)
        nodes.append(self._gather(self.space.num_nodes - 1, mixed, bypassed, edge_weights, selected))
        return torch.cat(nodes[2:], dim=1)

    def _gather(
        self, target: int, mixed: list[Tensor], bypassed: list[Tensor], edge_weights: Tensor, selected: Tensor | None
    ) -> Tensor:
        """Eq. (2): the node `target` [B, C, H, W] from what its sources sent (`mixed` is weighted by β already)."""
        edges = self.space.edges_into(target)
        arrived = [mixed[source][:, target - max(2, source + 1)] for source in range(target)]
        if self.k == 1:
            return sum(arrived[1:], start=arrived[0])
        if selected is None:
            passed = bypassed[0] * edge_weights[edges[0]]
            for source, edge in enumerate(edges[1:], start=1):
                passed = torch.addcmul(passed, bypassed[source], edge_weights[edge])
            return concat_and_shuffle(sum(arrived[1:], start=arrived[0]), passed, self.k)
        whole = [
            (bypassed[source] * edge_weights[edge]).index_copy(1, selected[edge], arrived[source])
            for source, edge in enumerate(edges)
        ]
        return sum(whole[1:], start=whole[0])


def concat_and_shuffle(mixed: Tensor, passed: Tensor, k: int) -> Tensor:
    """Concatenate mixed [B, C/k, H, W] and passed [B, C - C/k, H, W], then shuffle the channels in k groups (Sec. 4.1).

    The shuffle turns [k, C/k] into [C/k, k], as in ShuffleNet. A shuffle of the node equals one on each edge (authors'
    code): a permutation commutes with the weighted sum.
    """
    groups = passed.unflatten(1, (k - 1, -1))
    return torch.cat([mixed.unsqueeze(1), groups], dim=1).transpose(1, 2).flatten(1, 2)


def _halve(x: Tensor) -> Tensor:
    """How bypassed channels cross a stride-2 edge (authors' code); an odd side is rounded up, as the operations do."""
    return F.max_pool2d(x, 2, ceil_mode=True) if x.shape[1] > 0 else x


class Supernet(nn.Module):
    """The over-parameterised network of Sec. 4.2 (CIFAR) or 4.3 (ImageNet), a function of images and mixture.

    Args:
        space: the cell searched.
        kind: "cifar" (one 3x3 stem convolution) or "imagenet" (three of stride 2).
        channels: channels of the nodes of the first cell; a multiple of k.
        num_cells: cells, of which those at 1/3 and 2/3 of the depth are reduction cells.
        num_classes: number of logits.
        k: the paper's K: 1/k of the channels go through the operations, the others bypass them.
        channel_sampling: "first" takes the first 1/k of the channels and shuffles each node (Sec. 4.1); "random"
            draws a fresh mask for every edge of every cell at each call (Eq. 1 to the letter).
        image_channels: 3 for colour, 1 for greyscale.

    Raises:
        InputError: k does not divide the channels, or another argument is out of range.
    """

    def __init__(
        self,
        space: CellSpace,
        *,
        kind: NetworkKind = "cifar",
        channels: int = 16,
        num_cells: int = 8,
        num_classes: int = 10,
        k: int = 4,
        channel_sampling: ChannelSampling = "first",
        image_channels: int = 3,
    ) -> None:
        super().__init__()
        if k < 1 or channels < 1 or channels % k:
            raise InputError(f"k is {k}, but it must divide channels ({channels}): use 1, 2, 4 or another divisor")
        if num_cells < 1 or num_classes < 2:
            raise InputError(f"a supernet needs a cell and two classes, but num_cells={num_cells}, {num_classes=}")
        if channel_sampling not in ("first", "random"):
            raise InputError(f'channel_sampling is "{channel_sampling}", but must be "first" or "random"')
        self.space, self.k, self.channel_sampling = space, k, channel_sampling
        self.image_channels = image_channels
        self.smallest_side = smallest_image_side(kind, num_cells)
        self.stem = make_stem(kind, STEM_MULTIPLIER * channels, image_channels)
        width = space.num_intermediate
        plans = list(
            macro_plan(kind, channels, num_cells, {"normal": width, "reduce": width}, STEM_MULTIPLIER * channels)
        )
        self.cells: list[SupernetCell] = nn.ModuleList(  # type: ignore[assignment]  # a list that registers its items
            SupernetCell(space, plan, k) for plan in plans
        )
        self.classifier = nn.Linear(width * plans[-1].channels, num_classes)

    def forward(self, images: Tensor, mixture: Mixture, masks: list[Tensor] | None = None) -> Tensor:
        """Return logits [B, num_classes] for images [B, image_channels, H, W].

        `masks` fixes the channel sampling: per cell a boolean [edges, C] with C/k channels selected on each edge (see
        `draw_masks`). When absent, "random" draws new ones and "first" needs none.

        Raises:
            InputError: images of another shape or type, or too small for the network.
        """
        check_images(images, self.image_channels, self.smallest_side)
        if masks is None and self.samples_randomly:
            masks = self.draw_masks()
        before_last, last = self.stem(images.contiguous(memory_format=torch.channels_last))
        for position, cell in enumerate(self.cells):
            kind = cell.plan.kind
            mask = None if masks is None else masks[position]
            output = cell(before_last, last, mixture.op_weights[kind], mixture.edge_weights[kind], mask)
            before_last, last = last, output
        logits: Tensor = self.classifier(last.mean(dim=(2, 3)))
        return logits

    @property
    def samples_randomly(self) -> bool:
        """Whether masks matter: random sampling, and not of all channels."""
        return self.channel_sampling == "random" and self.k > 1

    def draw_masks(self, generator: torch.Generator | None = None) -> list[Tensor]:
        """Draw the channel masks S of Eq. (1): per cell a boolean [edges, C], C/k channels of every edge, uniformly.

        Drawn on the CPU (from its global generator when none is given), so that every device samples the same.
        """
        masks = []
        for cell in self.cells:
            noise = torch.rand(self.space.num_edges, cell.plan.channels, generator=generator)
            ranks = noise.argsort(dim=1).argsort(dim=1)
            masks.append((ranks < cell.plan.channels // self.k).to(self.classifier.weight.device))
        return masks

    def load_authors_state_dict(self, state: dict[str, Tensor]) -> None:
        """Load what the DARTS and PC-DARTS search scripts save (`cells.0._ops.3._ops.4.op.1.weight`, ...).

        Raises:
            InputError: keys are missing, unexpected or of another shape; nothing is loaded then.
        """
        load_translated(self, from_authors_state_dict(state, self.state_dict(), self.cells))
