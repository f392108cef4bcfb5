"""The picture of `benchmarks/figure3_cost.py` shows its figures."""

import re
from typing import Any
from xml.etree import ElementTree

from figure3_cost import draw, table


def figures() -> dict[str, Any]:
    """Made up, and easily recognised: twice the K, half the cost; the memory of K = 1 was too much."""
    step = {"median": 2.0, "min": 1.5, "max": 2.5, "n": 3}
    memory = {1: None, 2: 4e9, 4: 2e9, 8: 1e9}
    rows = [
        {"k": k, "search_step_seconds": step, "extrapolated_hours": 80 / k, "peak_memory_bytes": memory[k]}
        for k in (1, 2, 4, 8)
    ]
    machine = {"cpu": "A & B <1>", "threads": 2, "torch": "2.9"}
    setting = {"num_cells": 8, "channels": 16, "batch_size": 64}
    return {"machine": machine, "kernels": "native", "setting": setting, "rows": rows}


def test_the_bars_are_as_high_as_the_figures_and_say_them() -> None:
    picture = ElementTree.fromstring(draw(figures()))
    bars: dict[str, list[float]] = {"cost": [], "memory": []}
    for bar in picture.iter("{http://www.w3.org/2000/svg}rect"):
        bars[bar.attrib["class"]].append(float(bar.attrib["height"]))
    assert bars["cost"] == [bars["cost"][0] / k for k in (1, 2, 4, 8)]
    assert bars["memory"] == [bars["memory"][0] / k for k in (1, 2, 4)]
    words = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"80.00 h", "10.00 h", "4.00 GB", "1.00 GB", "K = 8"} <= set(words)
    assert words[1] == "A & B <1>, 2 threads, PyTorch 2.9"


def test_the_table_has_a_row_for_every_k() -> None:
    rows = table(figures()).splitlines()
    assert rows[2] == "| 1 | 2.00 s (1.50 to 2.50), n = 3 | 80.0 h | too much |"
    assert [re.match(r"\| (\d) ", row)[1] for row in rows[2:]] == ["1", "2", "4", "8"]  # type: ignore[index]
