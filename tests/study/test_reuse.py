"""Which cells of a study are done once and copied."""

from pathlib import Path

from pcdarts.study.grid import grid
from pcdarts.study.reuse import twins_of
from pcdarts.study.spec import StudySpec


def test_cells_with_the_settings_of_an_earlier_one_are_its_twins_unless_they_are_begun(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "train: {epochs: 1}\nmethods: {A: {cells: random}, B: {cells: random}, C: {cells: random}, D: {search: {k: 2}}}"
    )
    cells = [cell for cell in grid(StudySpec.from_file(tmp_path / "own.yaml"), tmp_path) if cell.seed == 0]
    named = {name: [twin.method for twin in twins] for name, twins in twins_of(cells).items()}
    assert named == {"A, seed 0": ["B", "C"]}
    begun = cells[1].train.config
    begun.parent.mkdir(parents=True)
    begun.touch()
    assert [twin.method for twin in twins_of(cells)["A, seed 0"]] == ["C"]
