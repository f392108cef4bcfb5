"""What people type who come from other tools, and the flag that they are told."""

import re
from pathlib import Path

import pytest

from pcdarts.config.flags import known_flags
from pcdarts.config.foreign_flags import FOREIGN, meant, meant_setting, nearest
from pcdarts.config.verbs import JOBS

KNOWN = {name: known_flags(job.config) for name, job in JOBS.items()}
COMMANDS = Path(__file__).parents[2] / "docs" / "commands.md"


def test_every_flag_that_is_named_instead_of_a_foreign_one_exists() -> None:
    everywhere = set().union(*KNOWN.values())
    named = {ours.split()[0] for foreign in FOREIGN.values() for ours in foreign.ours}
    assert named - everywhere == set()
    explained = {name for foreign in FOREIGN.values() for name in re.findall(r"--[a-z-]+", foreign.how)}
    assert explained - everywhere == {"--nproc-per-node"}  # of torchrun


def test_no_foreign_flag_is_ours_in_all_jobs_that_could_have_it() -> None:
    """An entry that every job takes literally would never be read."""
    for name, foreign in FOREIGN.items():
        could = [known for known in KNOWN.values() if any(ours.split()[0] in known for ours in foreign.ours)]
        assert not could or any(f"--{name}" not in known for known in could), name


def test_the_table_of_the_commands_page_is_what_the_command_says() -> None:
    text = COMMANDS.read_text("utf-8").partition("## From the authors' flags to ours")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| ")]
    checked = []
    for theirs, ours in rows:
        for flag in re.findall(r"--([a-z_]+)", theirs):
            name = flag.replace("_", "-")
            if name in re.findall(r"--([a-z-]+)", ours) or "the same" in ours or name not in FOREIGN:
                assert any(f"--{name}" in known for known in KNOWN.values()), flag
                continue
            checked.append(name)
            answers = [answer.split()[0] for answer in FOREIGN[name].ours]
            assert not answers or any(answer in ours for answer in answers), (flag, ours)
    assert len(checked) > 12


@pytest.mark.parametrize("flag", ["--foo", "--bar", "--x", "--objective", "--no-such-thing", "--gpux", "--dry"])
def test_a_flag_that_is_like_no_other_is_answered_with_none(flag: str) -> None:
    for job, known in KNOWN.items():
        assert meant(flag, known, {}) == "", job


def test_the_negated_form_is_offered_of_switches_alone() -> None:
    for job, known in KNOWN.items():
        for name, is_switch in known.items():
            if name.startswith("--"):
                offered = meant(f"--no-{name[2:]}s", known, {})
                assert is_switch or f"--no-{name[2:]}?" not in offered, (job, name)
    assert meant("--no-flips", KNOWN["search"], {}) == ": did you mean --no-flip?"


def test_the_answer_depends_on_the_job() -> None:
    others = {job: known for job, known in KNOWN.items() if job != "search"}
    assert meant("--model_path", KNOWN["train"], {}) == ": DARTS's --model_path is --resume (a run folder)"
    assert meant("--model_path", KNOWN["test"], {}) == ": DARTS's --model_path is the argument RUN (a run folder)"
    assert meant("--save", KNOWN["search"], others) == ": DARTS's --save is --run (the folder to make)"


def test_a_setting_in_a_file_is_answered_in_the_words_of_files() -> None:
    assert meant_setting("unrolled", ["second_order", "k"]) == ": here it is second_order"
    assert meant_setting("fp16", ["amp"]) == ": here it is amp: fp16"
    assert meant_setting("batch_sice", ["batch_size", "amp"]) == ": did you mean batch_size?"
    assert meant_setting("gpu", ["run"]) == ""
    assert meant_setting("arch", ["arch_fraction"]) == ""  # that is no genotype
    assert meant_setting("report_freq", ["recipe"]) == ": progress is always shown"
    assert meant_setting("--layers", ["num_cells"]) == ": here it is num_cells"


def test_a_name_is_near_by_its_letters_or_its_words() -> None:
    names = ["num-nodes", "arch-frozen-epochs", "epochs"]
    assert nearest("nodes", names) == "num-nodes"
    assert nearest("frozen-epochs", names) == "arch-frozen-epochs"
    assert nearest("epoch", names) == "epochs"
    assert nearest("gpu", ["run", "seed"]) is None
