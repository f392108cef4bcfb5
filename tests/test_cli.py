"""The command line as a user meets it: help, flags, run folders, exit codes."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pcdarts
from command_line import lines_of
from pcdarts.cli import HELP, VERBS, run_command
from pcdarts.config.configs import SearchConfig, TrainConfig
from pcdarts.config.job_config import settings
from pcdarts.config.recipes import recipe
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.whole_files import write_text

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def refusal(capture: Capture, *arguments: str) -> str:
    """What the command says when it is refused, without `pcdarts: error: `."""
    assert run_command(arguments) == 2
    output = capture.readouterr()
    assert output.out == ""
    assert output.err.startswith("pcdarts: error: ")
    return output.err.removeprefix("pcdarts: error: ").rstrip("\n")


def begun(path: Path, config: SearchConfig | TrainConfig, *, finished: bool = False) -> RunFolder:
    run = RunFolder.create(path)
    write_text(run.config, config.to_yaml())
    if finished:
        run.finish({"genotype": "..."})
    return run


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Help

IMPORTS = """
import sys
from pcdarts.cli import run_command
codes = [run_command(["--help"]), run_command(["search", "--help"]), run_command(["search", "--k", "3"])]
heavy = sorted({"torch", "torchvision", "numpy", "rich", "matplotlib"} & set(sys.modules))
print(codes, heavy, file=sys.stderr)
"""


def test_help_and_wrong_flags_do_not_wait_for_heavy_imports() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[0, 0, 2] []"


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "pcdarts", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"pcdarts {pcdarts.__version__}\n", "")


def test_the_help_names_every_command(capsys: Capture) -> None:
    assert run_command(["--help"]) == 0
    assert capsys.readouterr().out == HELP
    assert all(f"pcdarts {verb}" in HELP for verb in VERBS)


def test_no_command_prints_the_help_and_is_wrong_usage(capsys: Capture) -> None:
    assert run_command([]) == 2
    assert capsys.readouterr().err == HELP


def test_the_help_of_a_command_has_every_setting(capsys: Capture) -> None:
    assert run_command(["search", "--help"]) == 0
    output = capsys.readouterr().out
    for name, field in settings(SearchConfig).items():
        assert f"--{name.replace('_', '-')}" in output
        assert str(field.description).split()[0] in output
    assert "--no-edge-normalization" in output
    assert "{fashion-mini,cifar10,cifar10-small,darts-v1,darts-v2,imagenet,nasbench201,nasbench201-small," in output


@pytest.mark.parametrize(
    ("verb", "said"),
    [("study status", "[STUDY ...]"), ("score", "[GENOTYPE ...]"), ("report", "[RUN ...]")],
)
def test_what_there_may_be_several_of_has_the_name_of_one(verb: str, said: str, capsys: Capture) -> None:
    assert run_command([*verb.split(), "--help"]) == 0
    assert said in capsys.readouterr().out


def test_the_help_shows_the_defaults_of_the_recipe(capsys: Capture) -> None:
    for arguments in (["--recipe", "darts-v1", "--help"], ["--help", "--recipe=darts-v1", "--epochs", "3"]):
        assert run_command(["search", *arguments]) == 0
        output = " ".join(capsys.readouterr().out.split())
        assert "the defaults shown are those of the recipe darts-v1" in output.lower()
        assert "alpha and beta (default: 0.0003)" in output
        assert "momenta of Adam (default: 0.5 0.999)" in output


@pytest.mark.parametrize(
    ("verb", "argument"),
    [
        ("train", "--genotype"),
        ("test", "RUN"),
        ("export", "--format"),
        ("predict", "IMAGE"),
        ("show", "GENOTYPE"),
        ("bench", "--shapes"),
    ],
)
def test_every_command_has_help(capsys: Capture, verb: str, argument: str) -> None:
    assert run_command([verb, "-h"]) == 0
    output = capsys.readouterr().out
    assert f"usage: pcdarts {verb}" in output
    assert argument in output


# Flags


def test_an_unknown_command_is_refused_with_the_right_one(capsys: Capture) -> None:
    assert refusal(capsys, "serch") == (
        f"there is no command serch: did you mean 'search'? (use one of {', '.join(VERBS)})"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epoch", "3"], "there is no flag --epoch: did you mean --epochs?"),
        (["--epoch=3"], "there is no flag --epoch: did you mean --epochs?"),
        (
            ["--no-edge-normalisation"],
            "there is no flag --no-edge-normalisation: did you mean --no-edge-normalization?",
        ),
        (["-k", "4"], "there is no flag -k: did you mean --k?"),
        (["--nodes", "5"], "there is no flag --nodes: did you mean --num-nodes?"),
        (["--no-seed"], "there is no flag --no-seed: --seed is no switch, but takes a value"),
        (
            ["--genotype", "x"],
            "there is no flag --genotype: it is a flag of `pcdarts train`, `pcdarts detect train`, `pcdarts test`, ",
        ),
        (["--unrolled"], "there is no flag --unrolled: DARTS's --unrolled is --second-order"),
        (["--init_channels", "16"], "there is no flag --init_channels: DARTS's --init_channels is --channels"),
        (["--gpu", "0"], "there is no flag --gpu: DARTS's --gpu is --device cuda:0 (with the GPU's number)"),
        (["--report_freq=50"], "there is no flag --report_freq: progress is always shown"),
        (["--arch", "DARTS"], "there is no flag --arch: DARTS's --arch is --genotype of `pcdarts train`, "),
        (["--lr", "0.1"], "there is no flag --lr: here it is --learning-rate"),
        (["--flip", "true"], "unexpected argument true: a switch takes no value, --no-... turns it off"),
        (["--amp"], "--amp needs a value: off, bf16 or fp16"),
        (["--resume"], "--resume needs a value: a run folder, such as runs/search-fashion-mini-001"),
        (
            ["--data", "../data"],
            "data is ../data, but it must be fashion-mini, fashion-mnist, cifar10, cifar100, folder, ",
        ),
        (["cifar10"], "unexpected argument cifar10: settings are flags, as in --epochs 10"),
        (["--epochs"], "--epochs needs a value"),
        (["--epochs", "--k", "1"], "--epochs needs a value"),
        (["--config"], "--config needs a value"),
        (["--epochs", "3", "4"], "--epochs takes one value, not 3 4: quote a value with spaces"),
        (["--data-root", "my", "photos"], "--data-root takes one value, not my photos: quote a value with spaces"),
        (["--run", "one", "other"], "--run takes one value, not one other: quote a value with spaces"),
        (["--epochs", "-3"], "epochs is -3, but it must be at least 1"),
        (["--threads", "0"], "threads is 0, but it must be at least 1"),
        (["--arch-adam-betas", "0.5"], "arch_adam_betas is ('0.5',), but it must be two numbers"),
        (["--recipe", "darts"], "search has no recipe darts: did you mean 'r-darts'?"),
    ],
)
def test_a_wrong_flag_is_refused_in_one_line(capsys: Capture, arguments: list[str], message: str) -> None:
    assert refusal(capsys, "search", *arguments).startswith(message)
    assert not Path("runs").exists()


def test_all_that_is_wrong_with_a_command_is_said_at_once(capsys: Capture) -> None:
    Path("some.yaml").write_text("channels: 16\nbatch_sice: 64\n")
    arguments = ["--config", "some.yaml", "--epoch", "9", "--k", "3", "--momentum", "--flip=maybe", "--seed", "x"]
    assert refusal(capsys, "search", *arguments).splitlines() == [
        "5 problems with the configuration:",
        "  --momentum needs a value",
        "  there is no flag --epoch: did you mean --epochs?",
        "  k is 3, but it must divide channels (16): use 1, 2, 4, 8 or 16 (channels comes from some.yaml)",
        "  seed is x, but it must be a whole number",
        "  there is no setting batch_sice: did you mean batch_size?",
    ]


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        ("test", "run is missing: folder of a finished train run"),
        ("show", "genotype is missing: published name, JSON or text file, log (LOG:EPOCH), genotypes.py"),
    ],
)
def test_a_missing_argument_is_named(capsys: Capture, verb: str, message: str) -> None:
    assert refusal(capsys, verb).startswith(message)


@pytest.mark.parametrize(("verb", "argument"), [("test", "run"), ("show", "genotype")])
def test_a_second_argument_is_not_passed_over(capsys: Capture, verb: str, argument: str) -> None:
    assert refusal(capsys, verb, "one", "two") == f"{argument} takes one value, not one two: quote a value with spaces"


def test_a_configuration_for_another_job_is_refused(capsys: Capture) -> None:
    Path("train.yaml").write_text(TrainConfig().to_yaml())
    assert "train.yaml configures the job train, not search" in refusal(capsys, "search", "--config", "train.yaml")


def test_what_a_command_says_is_what_it_prints(capsys: Capture) -> None:
    assert run_command(["show", "darts_v1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(pcdarts.published("darts_v1").to_json())


# Run folders


def test_a_finished_run_is_not_touched(capsys: Capture) -> None:
    run = begun(Path("done"), recipe(SearchConfig, "fashion-mini"), finished=True)
    before = contents(run.path)
    assert refusal(capsys, "search", "--run", "done") == "done already holds a finished run: choose another --run"
    assert contents(run.path) == before


def test_an_unfinished_run_is_not_begun_again(capsys: Capture) -> None:
    run = begun(Path("half"), recipe(SearchConfig, "fashion-mini"))
    before = contents(run.path)
    assert "continue it with --resume half" in refusal(capsys, "search", "--run", "half")
    assert contents(run.path) == before


def test_a_folder_that_is_no_run_is_neither_used_nor_resumed(capsys: Capture) -> None:
    Path("thesis").mkdir()
    Path("thesis/main.tex").write_text("")
    assert refusal(capsys, "search", "--run", "thesis").startswith("thesis is not empty and holds no run")
    assert refusal(capsys, "search", "--resume", "thesis") == "thesis is not a run folder: it has no config.yaml"
    assert refusal(capsys, "search", "--resume", "absent") == "absent is not a run folder: it does not exist"


def test_a_finished_run_has_nothing_to_resume(capsys: Capture) -> None:
    run = begun(Path("done"), recipe(SearchConfig, "fashion-mini"), finished=True)
    before = contents(run.path)
    assert run_command(["search", "--resume", "done"]) == 0
    said = "done is finished: there is nothing to resume; --epochs with more than 8 trains it on\n"
    assert capsys.readouterr().out == said
    assert contents(run.path) == before


def test_a_run_is_resumed_by_the_command_that_began_it(capsys: Capture) -> None:
    begun(Path("searched"), recipe(SearchConfig, "fashion-mini"))
    assert "configures the job search, not train" in refusal(capsys, "train", "--resume", "searched")


def test_a_run_is_resumed_with_its_own_configuration(capsys: Capture) -> None:
    begun(Path("half"), SearchConfig(k=2, seed=3))
    message = refusal(capsys, "search", "--resume", "half", "--seed", "3", "--k", "4")
    assert message == "half was begun with k 2, not 4: drop the flag to resume it, or start a new run"
    assert "drop --config and --run" in refusal(capsys, "search", "--resume", "half", "--run", "other")


def test_a_plan_makes_no_run(capsys: Capture) -> None:
    for flags in (["--run", "planned"], ["--resume", "planned"]):
        assert refusal(capsys, "search", "--plan", *flags) == "--plan makes no run: drop --run and --resume"
    assert refusal(capsys, "train", "--plan").startswith("there is no flag --plan")


def test_flags_that_only_repeat_the_configuration_or_say_where_to_compute_may_resume(capsys: Capture) -> None:
    begun(Path("done"), SearchConfig(k=2, seed=3), finished=True)
    flags = [
        "--k",
        "2",
        "--seed",
        "3",
        "--image-size",
        "none",
        "--device",
        "cpu",
        "--threads",
        "1",
        "--kernels",
        "plain",
        "--data-root",
        "elsewhere",
    ]
    assert run_command(["search", "--resume", "done", *flags]) == 0


def test_a_job_refused_for_its_data_leaves_no_run_behind(capsys: Capture) -> None:
    arguments = ["search", "--data", "folder", "--data-root", "nowhere"]
    assert "nowhere" in refusal(capsys, *arguments, "--run", "tried")
    assert not Path("tried").exists()
    assert "nowhere" in refusal(capsys, *arguments)
    assert list(Path("runs").iterdir()) == []


TINY = """
train_images: 60
channels: 4
num_cells: 3
num_nodes: 3
k: 4
batch_size: 10
arch_frozen_epochs: 0
epochs: 10000
threads: 1
"""


def test_an_interrupted_search_says_how_to_go_on(tmp_path: Path) -> None:
    Path("tiny.yaml").write_text(TINY)
    command = [sys.executable, "-m", "pcdarts", "search", "--config", "tiny.yaml"]
    job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run = RunFolder(Path("runs/search-fashion-mini-001"))
    while not any(line.startswith("epoch 1/") for line in lines_of(run.log)) and job.poll() is None:
        time.sleep(0.05)
    job.send_signal(signal.SIGINT)
    output, errors = job.communicate()
    assert job.returncode == 130, errors
    assert errors.startswith("pcdarts: interrupted by SIGINT after ")
    assert errors.endswith(f", and saved; continue with `pcdarts search --resume {run.path}`\n")
    assert errors.count("\n") == 1
    assert any(line.startswith("epoch 1/10000") for line in output.splitlines())
    assert json.loads(run.env.read_text())["threads"] == 1
    assert "epochs: 10000" in run.config.read_text()
    assert not run.is_finished
