"""The jobs from Python: names of flags, run objects, exceptions, and a process that is left as it was."""

import contextlib
import random
import shutil
import signal
import threading
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

import pcdarts
from command_line import GENOTYPE, SEARCH, TRAIN, differences, metrics_of, refused, result_of, run_in, snapshot
from made_runs import save_images


def settings_of(command: list[str]) -> dict[str, str]:
    """What flags say, as a call in Python says it."""
    names = [flag.removeprefix("--").replace("-", "_") for flag in command[1::2]]
    return dict(zip(names, command[2::2], strict=True))


def test_a_search_and_a_training_are_those_of_the_command_line(
    tmp_path: Path, finished_search: Path, finished_train: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.chdir(tmp_path):
        found = pcdarts.search(**settings_of(SEARCH), run="found")
        trained = pcdarts.train(**settings_of(TRAIN) | {"genotype": GENOTYPE, "epochs": 5, "run": Path("trained")})
    assert (str(found.path), str(trained.path)) == ("found", "trained")
    assert differences(finished_search, tmp_path / "found") == []
    assert differences(finished_train, tmp_path / "trained") == []
    assert "epoch 5/5  learning rate" in capsys.readouterr().out


def test_a_run_shows_what_is_in_its_folder(finished_train: Path) -> None:
    run = pcdarts.Run(finished_train)
    assert (run.config.job, run.genotype) == ("train", GENOTYPE)
    assert run.result == result_of(finished_train)
    assert [one["test_top1_error"] for one in run.metrics if "test_top1_error" in one][-1] == run.result[
        "test_top1_error"
    ]
    assert len(run.metrics) == len(metrics_of(finished_train))
    pixels = torch.rand(2, 1, 8, 8)
    normalized = (pixels - run.classifier.mean) / run.classifier.std
    torch.testing.assert_close(run.network(normalized), run.classifier(pixels))
    assert run.classifier.blueprint.classes[1] == "Trouser"
    assert repr(run) == f"Run({str(finished_train)!r})"


def test_a_notebook_gets_figures_and_both_cells(tmp_path: Path, finished_train: Path) -> None:
    run = pcdarts.Run(finished_train)
    page = run._repr_html_()
    error = run.result["test_top1_error"]
    assert f"<th>top-1 test error</th><td>{error:.2f} %</td>" in page
    drawn = ElementTree.fromstring(str(run._repr_svg_()))
    titles = [title.text for title in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["Normal cell", "Reduction cell"]
    assert ElementTree.fromstring(page) is not None
    odd = tmp_path / "<b>&"
    odd.symlink_to(finished_train)
    assert "&lt;b&gt;&amp;" in pcdarts.Run(odd)._repr_html_()


def test_the_runs_inside_a_run_are_found_by_name(two_seeds: Path) -> None:
    run = pcdarts.Run(two_seeds)
    assert [*run.runs] == ["seed-0", "seed-1"]
    assert run.runs["seed-1"].config.seed == 1  # type: ignore[attr-defined]
    first = run.runs["seed-0"].network.state_dict()
    assert all(torch.equal(weight, first[name]) for name, weight in run.network.state_dict().items())


def test_a_report_is_written_where_it_is_wanted(tmp_path: Path, finished_search: Path) -> None:
    page = pcdarts.Run(finished_search).report(tmp_path / "page")
    assert page == tmp_path / "page" / "report.html"
    assert "<svg" in page.read_text()


def test_predictions_are_those_of_the_command_line(tmp_path: Path, finished_train: Path, grey_images: Path) -> None:
    found = pcdarts.predict(pcdarts.Run(finished_train), [grey_images / "ant", grey_images / "bee" / "0.png"], top=2)
    printed = run_in(
        tmp_path,
        "predict",
        str(finished_train),
        str(grey_images / "ant"),
        str(grey_images / "bee" / "0.png"),
        "--top",
        "2",
    ).out
    assert [str(prediction) for prediction in found] == printed.splitlines()
    (one,) = pcdarts.predict(finished_train, grey_images / "ant" / "0.png")
    assert one.path == grey_images / "ant" / "0.png"
    assert sum(probability for _, probability in one.classes) < 1
    (tmp_path / "torn.png").write_bytes(b"\x89PNG")
    with pytest.raises(pcdarts.InputError, match=r"^cannot use .*torn\.png"):
        pcdarts.predict(finished_train, tmp_path / "torn.png")
    with pytest.raises(pcdarts.InputError, match="images must be the path of an image or a folder, or a list"):
        pcdarts.predict(finished_train, 5)  # type: ignore[arg-type]


def test_what_cannot_be_is_an_exception_with_the_line_of_the_command_line(
    tmp_path: Path, finished_search: Path
) -> None:
    with contextlib.chdir(tmp_path):
        for call, message in (
            (lambda: pcdarts.search(epocs=2), "there is no setting epocs: did you mean epochs?"),
            (lambda: pcdarts.train(genotype="nothing.json"), refused(tmp_path, "train", "--genotype", "nothing.json")),
            (lambda: pcdarts.fit("nowhere"), refused(tmp_path, "fit", "nowhere")),
            (lambda: pcdarts.search(plan=True), "plan makes no run: use `pcdarts search --plan` at the command line"),
            (lambda: pcdarts.Run("nowhere"), "nowhere is not a run folder: it does not exist"),
            (
                lambda: pcdarts.Run(finished_search).network,
                f"{finished_search} is a search and has no trained network: pcdarts.train(genotype=run) makes one",
            ),
        ):
            with pytest.raises(pcdarts.InputError) as refusal:
                call()
            assert str(refusal.value) == message
    assert snapshot(tmp_path) == {}


def test_a_job_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    torch.manual_seed(5)
    random.seed(5)
    before = torch.get_rng_state(), random.getstate(), torch.get_num_threads(), Path.cwd()
    settings = settings_of(TRAIN) | {"epochs": 1, "threads": 2, "deterministic": True}
    pcdarts.train(**settings, run=tmp_path / "run")
    after = torch.get_rng_state(), random.getstate(), torch.get_num_threads(), Path.cwd()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert not torch.are_deterministic_algorithms_enabled()
    assert {number: signal.getsignal(number) for number in handlers} == handlers


def test_a_job_may_run_in_a_thread_and_with_reading_workers(tmp_path: Path) -> None:
    """Signals are handled in a main thread alone; whoever needs them elsewhere gets an error from Python."""
    (tmp_path / "images").mkdir()
    save_images(tmp_path / "images", channels=3)
    settings = settings_of(TRAIN) | {"data": "folder", "data_root": tmp_path / "images", "loading": "streaming"}
    settings |= {"workers": 1, "epochs": 1, "batch_size": 4, "run": tmp_path / "run", "train_images": None}
    ended: list[pcdarts.Run] = []
    thread = threading.Thread(target=lambda: ended.append(pcdarts.train(**settings)))
    thread.start()
    thread.join()
    assert ended[0].result["test_images"] > 0


def test_a_finished_run_is_trained_on_from_python(tmp_path: Path, finished_train: Path) -> None:
    shutil.copytree(finished_train, tmp_path / "run")
    run = pcdarts.train(resume=tmp_path / "run", epochs=6)
    assert (run.path, run.metrics[-1]["epoch"]) == (tmp_path / "run", 6)
