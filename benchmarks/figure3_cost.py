"""What a search costs at K = 1, 2, 4, 8: the cost axis of Figure 3, on this machine.

    python benchmarks/figure3_cost.py --json figure3_cost.json --svg docs/pictures/figure3_cost.svg

Measures the weight step and the α step of the search on CIFAR-10 (Sec. 4.2: 16 channels, 8 cells), all K by turns,
and the peak memory of each in a process of its own. The hours of the paper's search (50 epochs of 25,000 weight images,
the first 15 with α and β frozen) are extrapolated from the medians, and labelled so.
"""

import argparse
import json
from dataclasses import asdict, replace
from html import escape
from pathlib import Path
from typing import Any

from pcdarts.bench.plan import prepare
from pcdarts.bench.timing import by_turns
from pcdarts.config.configs import SearchConfig
from pcdarts.config.recipes import recipe
from pcdarts.learn.child import measure_in_child
from pcdarts.learn.steps import SearchStep
from pcdarts.run.environment import describe_environment

KS = (1, 2, 4, 8)


def main() -> None:
    options = parse()
    figures = measure(options)
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    options.svg.write_text(draw(figures))
    print(table(figures))
    print(f"written: {options.json}, {options.svg}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=64, help="images per step (64; the paper takes 256)")
    parser.add_argument("--repeats", type=int, default=5, help="times that each step is measured (5)")
    parser.add_argument("--threads", type=int, help="CPU threads (as many as PyTorch likes)")
    parser.add_argument("--kernels", choices=("auto", "native", "plain"), default="auto")
    parser.add_argument("--json", type=Path, default=Path("figure3_cost.json"))
    parser.add_argument("--svg", type=Path, default=Path("figure3_cost.svg"))
    return parser.parse_args()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds, extrapolated hours and peak memory for every K."""
    environment = describe_environment("cpu", options.threads)
    paper = recipe(SearchConfig, "cifar10").model_dump()
    changes = {"batch_size": options.batch_size, "kernels": options.kernels, "device": "cpu"}
    setting, work = prepare(SearchConfig(**{**paper, **changes}))
    setting = replace(setting, threads=environment["threads"])
    memory = {k: measure_in_child(replace(setting, k=k), timed=False) for k in KS}
    calls = {}
    for k in KS:
        step = SearchStep(replace(setting, k=k))
        kernels = step.network.kernels
        calls["weight", k] = lambda step=step: step.seconds(step.weight_step)
        calls["search", k] = lambda step=step: step.seconds(step.search_step)
    times = by_turns(calls, options.repeats)

    rows = []
    for k in KS:
        weight, search = times["weight", k], times["search", k]
        steps = work.steps(setting.batch_size)
        frozen = work.epochs - work.arch_epochs
        rows.append(
            {
                "k": k,
                "weight_step_seconds": weight.named(),
                "search_step_seconds": search.named(),
                "extrapolated_hours": steps * (frozen * weight.median + work.arch_epochs * search.median) / 3600,
                "peak_memory_bytes": memory[k].step_bytes if memory[k] else None,
            }
        )
    machine = {name: value for name, value in environment.items() if name != "command"}
    return {"machine": machine, "kernels": kernels, "setting": asdict(setting), "rows": rows}


def table(figures: dict[str, Any]) -> str:
    """Rows to paste into docs/results.md."""
    lines = [
        "| K | search step: median (min to max), n | paper's search, extrapolated | peak memory of a step |",
        "|---|---|---|---|",
    ]
    for row in figures["rows"]:
        step = row["search_step_seconds"]
        spread = f"{step['median']:.2f} s ({step['min']:.2f} to {step['max']:.2f}), n = {step['n']}"
        amount = f"{row['peak_memory_bytes'] / 1e9:.2f} GB" if row["peak_memory_bytes"] else "too much"
        lines.append(f"| {row['k']} | {spread} | {row['extrapolated_hours']:.1f} h | {amount} |")
    return "\n".join(lines)


WIDTH, HEIGHT, TOP, BOTTOM, BAR = 640, 310, 64, 236, 46

STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.small{font-size:11px;fill:#57606a}.title{font-weight:600}"
    ".axis{stroke:#8c959f}.cost{fill:#2f6fbd}.memory{fill:#b35900}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9da7b3}.axis{stroke:#6e7681}"
    ".cost{fill:#6cb0ff}.memory{fill:#f0a355}}"
)


def draw(figures: dict[str, Any]) -> str:
    """Two bar charts side by side, as SVG: hours and peak memory against K."""
    rows, machine, setting = figures["rows"], figures["machine"], figures["setting"]
    hours = {row["k"]: row["extrapolated_hours"] for row in rows}
    memory = {row["k"]: row["peak_memory_bytes"] / 1e9 for row in rows if row["peak_memory_bytes"]}
    threads = f"{machine['threads']} thread{'s' if machine['threads'] > 1 else ''}"
    notes = (
        f"{setting['num_cells']} cells of {setting['channels']} channels, batches of {setting['batch_size']}, "
        f"50 epochs, {figures['kernels']} kernels; from medians of {rows[0]['search_step_seconds']['n']}",
        f"{machine['cpu'] or 'CPU'}, {threads}, PyTorch {machine['torch']}",
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" aria-label="Hours and peak memory of a search against K">',
        f"<style>{STYLE}</style>",
        *(
            f'<text class="small" x="20" y="{HEIGHT - 26 + 16 * line}">{escape(note)}</text>'
            for line, note in enumerate(notes)
        ),
        *bars(20, "Hours of a search, extrapolated", "cost", hours, "h"),
        *bars(340, "Peak memory of a search step", "memory", memory, "GB"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def bars(left: int, title: str, style: str, values: dict[int, float], unit: str) -> list[str]:
    """One chart 280 units wide, from zero up, with its values written above the bars."""
    step, most = 280 / len(KS), max(values.values())
    parts = [f'<text class="title" x="{left}" y="28">{title}</text>']
    for position, k in enumerate(KS):
        middle = left + step * (position + 0.5)
        parts.append(f'<text x="{middle:.0f}" y="{BOTTOM + 20}" text-anchor="middle">K = {k}</text>')
        if k not in values:
            continue
        height = (BOTTOM - TOP) * values[k] / most
        top = BOTTOM - height
        parts.append(
            f'<rect class="{style}" x="{middle - BAR / 2:.1f}" y="{top:.1f}" width="{BAR}" height="{height:.1f}"/>'
            f'<text x="{middle:.0f}" y="{top - 6:.1f}" text-anchor="middle">{values[k]:.2f} {unit}</text>'
        )
    parts.append(f'<path class="axis" d="M{left} {BOTTOM}H{left + 280}"/>')
    return parts


if __name__ == "__main__":
    main()
