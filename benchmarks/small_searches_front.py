"""The front of a study, percentile against minutes, with minutes that were measured apart from its runs.

    python benchmarks/small_searches_front.py studies/small-searches --minutes minutes.json --svg small_searches.svg

Where many searches share a machine, their times say little. The file of minutes is a JSON object of methods and the
processor time of one of their searches, in minutes of one core.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from pcdarts.report.drawing.front import FrontPoint, front, front_picture
from pcdarts.report.scored.score_view import scored_points
from pcdarts.report.subject import row_name
from pcdarts.study.study_outcome import read_study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--minutes", type=Path, required=True, help="JSON: minutes of a search by method")
    parser.add_argument("--svg", type=Path, required=True, help="picture to write")
    options = parser.parse_args()
    outcome = read_study(options.study)
    points = timed(scored_points(outcome), json.loads(options.minutes.read_text("utf-8")))
    options.svg.write_text(front_picture(points), "utf-8")
    seeds = {row_name(row): len(row.percentiles) for row in outcome.rows}
    best = {point.name for point in front(points)}
    print("| search | percentile | minutes | on the front |\n|---|---|---|---|")
    for point in points:
        interval = "" if point.low is None else f" ({point.low:.0f} to {point.high:.0f}; n = {seeds[point.name]})"
        minutes = "none" if point.minutes is None else f"{point.minutes:.1f}"
        print(f"| {point.name} | {point.mean:.0f}{interval} | {minutes} | {'yes' * (point.name in best)} |")


def timed(points: list[FrontPoint], minutes: dict[str, float]) -> list[FrontPoint]:
    """The points with these minutes; a search without any stays away."""
    return [
        point if point.minutes is None else replace(point, minutes=minutes[point.name])
        for point in points
        if point.minutes is None or point.name in minutes
    ]


if __name__ == "__main__":
    main()
