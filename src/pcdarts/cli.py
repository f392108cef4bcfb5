"""The command line: verbs, flags (the settings of a job's configuration), run folders and exit codes."""

import os
import sys
import time
from collections.abc import Sequence

import pcdarts
from pcdarts.config.flags import read_flags
from pcdarts.config.recipes import resolve
from pcdarts.config.verbs import JOBS, imported
from pcdarts.errors import InputError, RunError, did_you_mean, listed, shown
from pcdarts.extras import without_collection
from pcdarts.work import work

HELP = """\
usage: pcdarts COMMAND [flags]

PC-DARTS: differentiable architecture search with partial channel connections and edge normalisation.

  pcdarts fit FOLDER      from a folder of images to a network to ship, in --minutes: looks, plans, searches where that
                          pays, trains, tests and exports
  pcdarts search          search a cell; without flags in minutes, on the data set inside the package;
                          with --plan only say what memory and time it would take on this machine
  pcdarts methods         list the methods by which it can search
  pcdarts random search   train random or evolving cells briefly and keep the best: what a search has to beat
  pcdarts train           train the network of the last cell found, and report its test error
  pcdarts compare RUN     train stock networks and random cells as a run was trained, and say which is the best
  pcdarts test RUN        measure the test error of a trained run again, on its own data or on other data, and say
                          class by class what it is bad at
  pcdarts detect train    train a detector (SSD, or SSDLite on a --backbone of timm) on images in COCO's format
  pcdarts detect test RUN measure it again, write its detections as COCO's server wants them, or draw them
  pcdarts export RUN      export its network: safetensors, ONNX or an exported program, with a model card
  pcdarts predict RUN IMAGE...  print the most probable classes of images
  pcdarts show GENOTYPE   print and draw a genotype (a published name, a file or a run) with its counts;
                          with --budget list the best cells of a search that keep to limits
  pcdarts score GENOTYPE... say how good cells are, by a table of cells with known accuracy (--table FILE)
  pcdarts rank RUN        say how well a search of NAS-Bench-201 ranks random cells, by a table of true accuracies
  pcdarts tables          count what Tables 1, 2 and 5 of the paper count, beside its figures
  pcdarts latency         time the operations of a network on this device, for --max-latency and --latency-table
  pcdarts status [RUN...] say how runs stand: running, interrupted, failed or done, their error and the time left
  pcdarts study run NAME  run a study of the paper (table3, figure3, table4-...) or of a YAML file, or continue it
  pcdarts study status    say how studies stand: what is done, running or failed, and the time left
  pcdarts report RUN...   write a page about runs and studies: tables, learning curves, cells and how they came about
  pcdarts data split      draw the weight and the arch split of an image folder once, for many searches
  pcdarts bench           time the supernet against a plain one that computes edge by edge, on this machine

  --help                  print this or, after a command, its flags and their defaults (those of --recipe NAME)
  --version               print the version
"""

VERBS = tuple(dict.fromkeys(name.split()[0] for name in JOBS))


def run_command(arguments: Sequence[str]) -> int:
    """Do what the arguments (those after the program's name) say.

    Returns the exit code: 0 done, 1 the run failed, 2 wrong usage, configuration or input; 130 and 143 interrupted by
    SIGINT and SIGTERM.
    """
    try:
        return _dispatch(arguments)
    except InputError as error:
        return _say(f"error: {error}", 2)
    except RunError as error:
        return _say(f"error: {error}", 1)
    except (MemoryError, RuntimeError) as error:  # elsewhere than in a step, which says what would fit
        from pcdarts.run.out_of_memory import is_lack_of_memory

        if not is_lack_of_memory(error):
            raise
        remedy = "use a smaller network, fewer or smaller images at a time, or another --device"
        return _say(f"error: out of memory: {remedy}", 1)
    except SystemExit as done:  # the help has been printed
        return int(done.code or 0)
    except KeyboardInterrupt as interrupt:
        code = getattr(interrupt, "exit_code", 130)
        return _say(str(interrupt) or "interrupted", code) if _is_first_process() else code
    except BrokenPipeError:  # the program that read our output (`| head`) has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _say(message: str, code: int) -> int:
    if not _is_first_process():  # most often that says the same, and torchrun then ends this one
        time.sleep(2)
        message = f"process {os.environ['RANK']}: {message}"
    print(f"pcdarts: {message}", file=sys.stderr)
    return code


def _is_first_process() -> bool:
    """Whether torchrun started this process first, or did not start it."""
    return os.environ.get("RANK", "0") == "0"


def _dispatch(arguments: Sequence[str]) -> int:
    if not arguments:
        print(HELP, end="", file=sys.stderr)
        return 2
    verb, *rest = arguments
    if verb in ("-h", "--help"):
        print(HELP, end="")
    elif verb == "--version":
        print(f"pcdarts {pcdarts.__version__}")
    else:
        name, rest = _job_named(verb, rest)
        if not name:
            return 0
        job = JOBS[name]
        flags, problems = read_flags(job.config, rest)
        if job.has_run_folder:
            work(job, flags, problems)
        else:
            config = resolve(job.config, flags=flags, problems=problems)
            with without_collection():
                do = imported(job.does)
            do(config)
    return 0


def _job_named(verb: str, rest: list[str]) -> tuple[str, list[str]]:
    """The job that the first words of a command name, and the words after them; no job if only help was asked for.

    Raises:
        InputError: there is no such job.
    """
    if verb in JOBS:
        return verb, rest
    if verb not in VERBS:
        raise InputError(f"there is no command {shown(verb)}: {did_you_mean(verb, VERBS)}")
    seconds = [name.split()[1] for name in JOBS if name.startswith(f"{verb} ")]
    if rest and rest[0] in seconds:
        return f"{verb} {rest[0]}", rest[1:]
    if rest and rest[0] in ("-h", "--help"):
        print("".join(line for line in HELP.splitlines(keepends=True) if line.startswith(f"  pcdarts {verb} ")), end="")
        return "", []
    if not rest:
        raise InputError(f"{verb} what? use {listed([f'pcdarts {verb} {second}' for second in seconds])}")
    raise InputError(f"there is no command {verb} {shown(rest[0])}: {did_you_mean(rest[0], seconds)}")
