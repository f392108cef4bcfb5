"""What the supernet is meant to reach against the per-edge one, and whether the measured figures do."""

from dataclasses import asdict, dataclass
from typing import Any

from pcdarts.learn.steps import Setting
from pcdarts.run.device import choose_device

MAIN_SETTING = Setting()
"""The search on CIFAR-10 with 64 images a step, for which the targets are set; two CPU threads are meant."""


@dataclass(frozen=True)
class Verdict:
    """A figure of one supernet beside its target."""

    measure: str
    supernet: str
    measured: float
    target: float
    is_least: bool
    """Whether the figure should be at least the target (times faster), or at most (a share, a cost)."""

    @property
    def met(self) -> bool:
        return self.measured >= self.target if self.is_least else self.measured <= self.target

    @property
    def words(self) -> str:
        """`met`, or by how much it is not."""
        if self.met:
            return "met"
        return f"not met, by {100 * abs(self.measured - self.target) / self.target:.0f} %"

    def named(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "met": self.met}


def has_targets(setting: dict[str, Any]) -> bool:
    """Whether it computes on a CPU: for a GPU none are set."""
    return choose_device(setting["device"], None).type == "cpu"


def speed_target(supernet: str, is_main: bool) -> float:
    """Times faster than the per-edge supernet: without compiled kernels 4, on other shapes 2.5."""
    if not is_main:
        return 2.5
    return 5.0 if supernet == "native" else 4.0


def is_main(setting: dict[str, Any]) -> bool:
    """Whether the sizes are those that the targets are set for, on whatever device and threads."""
    free = ("kernels", "device", "threads")
    return all(setting[name] == value for name, value in asdict(MAIN_SETTING).items() if name not in free)


def verdicts(figures: dict[str, Any], supernets: list[str]) -> list[Verdict]:
    """The targets that are set for these figures: all at the main setting, the speed of a pass at any other.

    None for a GPU.
    """
    if not has_targets(figures["setting"]):
        return []
    main = is_main(figures["setting"])
    found: list[Verdict] = []
    for name in supernets:
        speeds = {part: figures["seconds"][part][name]["ratio"] for part in ("forward_backward", "search_step")}
        goal = speed_target(name, main)
        found.append(Verdict("forward_backward", name, speeds["forward_backward"], goal, True))
        if not main:
            continue
        found.append(Verdict("one_operation", name, figures["one_operation_against_all"][name], 2.0, True))
        found.append(Verdict("search_step", name, speeds["search_step"], goal, True))
        memory = figures["peak_memory_bytes"]
        if memory[name] and memory["per edge"]:
            found.append(Verdict("peak_memory", name, memory[name] / memory["per edge"], 0.4, False))
        found.append(Verdict("data", name, figures["data_share"][name], 0.03, False))
        second_order = figures["second_order_step_in_weight_steps"][name]
        found.append(Verdict("second_order_step", name, second_order, 5.0, False))
    return found
