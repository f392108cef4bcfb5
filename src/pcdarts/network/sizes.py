"""The sizes of an evaluation network: what decides about it, except its genotype."""

from dataclasses import dataclass, fields
from typing import Any

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import NetworkKind
from pcdarts.network.network import Network, network_without_data


@dataclass(frozen=True)
class NetworkSizes:
    """Everything that decides about a network, except its genotype and the size of its images."""

    kind: NetworkKind
    channels: int
    num_cells: int
    num_classes: int
    image_channels: int

    @property
    def arguments(self) -> dict[str, Any]:
        """These sizes, as arguments of `Network`."""
        return {field.name: getattr(self, field.name) for field in fields(NetworkSizes)}

    def network(self, genotype: Genotype) -> Network:
        """The network with this genotype, without data (on the `meta` device) and without an auxiliary head.

        Raises:
            InputError: such a network is impossible.
        """
        return network_without_data(genotype, **self.arguments)
