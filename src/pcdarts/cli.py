"""The command line: verbs, flags (the settings of a job's configuration), run folders and exit codes."""

import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, TypedDict, TypeVar, get_args, get_origin

import tyro
from pydantic.fields import FieldInfo
from tyro.constructors import PrimitiveConstructorSpec

import pcdarts
from pcdarts.config import (
    BenchConfig,
    DataSplitConfig,
    ExportConfig,
    PredictConfig,
    SearchConfig,
    ShowConfig,
    StatusConfig,
    TablesConfig,
    TestConfig,
    TrainConfig,
)
from pcdarts.detect_config import DetectTestConfig, DetectTrainConfig
from pcdarts.errors import InputError, RunError, closest, did_you_mean, listed, shown
from pcdarts.job_config import JobConfig, settings
from pcdarts.random_search_config import RandomSearchConfig
from pcdarts.recipes import RECIPES, resolve
from pcdarts.run.folder import RunFolder
from pcdarts.run.interruption import ending_afterwards
from pcdarts.study_config import ReportConfig, StudyRunConfig, StudyStatusConfig

HELP = """\
usage: pcdarts COMMAND [flags]

PC-DARTS: differentiable architecture search with partial channel connections and edge normalisation.

  pcdarts search          search a cell; without flags in minutes, on the data set inside the package;
                          with --plan only say what memory and time it would take on this machine
  pcdarts random search   draw random cells, train each briefly and keep the best: what a search has to beat
  pcdarts train           train the network of the last cell found, and report its test error
  pcdarts test RUN        measure the test error of a trained run again, on its own data or on other data
  pcdarts detect train    train a detector (SSD) on images in COCO's format, and report its average precision
  pcdarts detect test RUN measure it again, write its detections as COCO's server wants them, or draw them
  pcdarts export RUN      export its network: safetensors, ONNX or an exported program, with a model card
  pcdarts predict RUN IMAGE...  print the most probable classes of images
  pcdarts show GENOTYPE   print and draw a genotype (a published name, a file or a run) with its counts;
                          with --budget list the best cells of a search that keep to limits
  pcdarts tables          count what Tables 1, 2 and 5 of the paper count, beside its figures
  pcdarts status [RUN...] say how runs stand: running, interrupted, failed or done, their error and the time left
  pcdarts study run NAME  run a study of the paper (table3, figure3, table4-...) or of a YAML file, or go on with it
  pcdarts study status    say how studies stand: what is done, running or failed, and the time left
  pcdarts report RUN...   write a page about runs and studies: tables, learning curves, cells and how they came about
  pcdarts data split      draw the weight and the arch split of an image folder once, for many searches
  pcdarts bench           time the supernet against a plain one that computes edge by edge, on this machine

  --help                  print this or, after a command, its flags and their defaults (those of --recipe NAME)
  --version               print the version
"""

RunConfig = SearchConfig | RandomSearchConfig | TrainConfig | DetectTrainConfig
RUN_JOBS: dict[str, type[RunConfig]] = {
    "search": SearchConfig,
    "random search": RandomSearchConfig,
    "train": TrainConfig,
    "detect train": DetectTrainConfig,
}
"""What has a run folder and can be resumed, by name."""

JOBS: dict[str, tuple[type[JobConfig], str, str]] = {
    "test": (TestConfig, "pcdarts.jobs.test", "run_test"),
    "detect test": (DetectTestConfig, "pcdarts.jobs.detect_test", "run_detect_test"),
    "export": (ExportConfig, "pcdarts.jobs.export", "run_export"),
    "predict": (PredictConfig, "pcdarts.jobs.predict", "run_predict"),
    "show": (ShowConfig, "pcdarts.jobs.show", "run_show"),
    "tables": (TablesConfig, "pcdarts.jobs.tables", "run_tables"),
    "status": (StatusConfig, "pcdarts.jobs.status", "run_status"),
    "study run": (StudyRunConfig, "pcdarts.study.run", "run_study"),
    "study status": (StudyStatusConfig, "pcdarts.study.status", "run_study_status"),
    "report": (ReportConfig, "pcdarts.report.page", "run_report"),
    "bench": (BenchConfig, "pcdarts.jobs.bench", "run_bench"),
    "data split": (DataSplitConfig, "pcdarts.jobs.splits", "run_data_split"),
}
"""All other jobs, by name: configuration, module and function."""

NAMES = (*RUN_JOBS, *JOBS)
VERBS = tuple(dict.fromkeys(name.split()[0] for name in NAMES))
Config = TypeVar("Config", bound=JobConfig)


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
    except SystemExit as done:  # the help has been printed
        return int(done.code or 0)
    except KeyboardInterrupt as interrupt:
        code = getattr(interrupt, "exit_code", 130)
        return _say(str(interrupt) or "interrupted", code) if _is_first_process() else code
    except BrokenPipeError:  # whoever read our output (`| head`) has gone
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
        if name in RUN_JOBS:
            _work(RUN_JOBS[name], rest)
        else:
            config_class, module, function = JOBS[name]
            config = _settle(config_class, rest)
            getattr(import_module(module), function)(config)
    return 0


def _job_named(verb: str, rest: list[str]) -> tuple[str, list[str]]:
    """The job that the first words of a command name, and the words after them; no job if only help was asked for.

    Raises:
        InputError: there is no such job.
    """
    if verb in NAMES:
        return verb, rest
    if verb not in VERBS:
        raise InputError(f"there is no command {shown(verb)}: {did_you_mean(verb, VERBS)}")
    seconds = [name.split()[1] for name in NAMES if name.startswith(f"{verb} ")]
    if rest and rest[0] in seconds:
        return f"{verb} {rest[0]}", rest[1:]
    if rest and rest[0] in ("-h", "--help"):
        print("".join(line for line in HELP.splitlines(keepends=True) if line.startswith(f"  pcdarts {verb} ")), end="")
        return "", []
    if not rest:
        raise InputError(f"{verb} what? use {listed([f'pcdarts {verb} {second}' for second in seconds])}")
    raise InputError(f"there is no command {verb} {shown(rest[0])}: {did_you_mean(rest[0], seconds)}")


def _work(config_class: type[RunConfig], arguments: Sequence[str]) -> None:
    """Start or continue a job that has a run folder, or plan one."""
    more = RUN_FLAGS | PLAN_FLAG if config_class is SearchConfig else RUN_FLAGS
    flags, problems = _read_flags(config_class, arguments, more)
    plans = flags.pop("plan", False)
    file, place, resumed = (Path(flags.pop(name)) if name in flags else None for name in RUN_FLAGS)
    if plans:
        if place or resumed:
            raise InputError("--plan makes no run: drop --run and --resume")
        planned = resolve(SearchConfig, file=file, flags=flags, problems=problems)
        from pcdarts.jobs.plan import run_plan

        return run_plan(planned)
    if resumed and (file or place):
        raise InputError("--resume takes configuration and folder from the run: drop --config and --run")
    config: Any  # of that class
    if resumed:
        config = _config_of(RunFolder.open(resumed), config_class, flags, problems)
    else:
        config = resolve(config_class, file=file, flags=flags, problems=problems)
    with ending_afterwards():  # half an import is worse than a moment's wait
        from pcdarts.jobs.launch import begin, go_on
    return go_on(config, resumed) if resumed else begin(config, place)


def _config_of(run: RunFolder, config_class: type[Config], flags: Mapping[str, Any], problems: list[str]) -> Config:
    """The configuration that a run began with; flags may only repeat it, or say where and how fast to compute."""
    begun = resolve(config_class, file=run.config)
    config = resolve(config_class, file=run.config, flags=flags, problems=problems)
    for name, value in config.fingerprint().items():
        if value != (before := begun.fingerprint()[name]):
            raise InputError(
                f"{run.path} was begun with {name} {shown(before)}, not {shown(value)}: "
                "drop the flag to resume it, or start a new run"
            )
    return config


def _settle(config_class: type[Config], arguments: Sequence[str]) -> Config:
    flags, problems = _read_flags(config_class, arguments)
    return resolve(config_class, flags=flags, problems=problems)


_make_typed_dict: Any = TypedDict  # mypy wants the fields of a TypedDict written out; ours are computed
_positional: Any = tyro.conf.Positional

RUN_FLAGS = {
    "config": ("FILE", "YAML file of settings, such as a run's config.yaml: stronger than the recipe"),
    "run": (
        "FOLDER",
        "folder to make for the run (none: the next free runs/JOB-RECIPE-NNN); torchrun wants `-m -- pcdarts` then",
    ),
    "resume": ("RUN", "continue the unfinished run in this folder, with its own configuration"),
}
"""What can be said to a job with a run folder besides its settings: name, metavar, help."""

PLAN_FLAG = {"plan": ("", "only measure what memory and hours it would take here, for several K and batch sizes")}
"""The same for a search alone; without a metavar it is a switch."""


def _read_flags(
    config_class: type[JobConfig], arguments: Sequence[str], more: Mapping[str, tuple[str, str]] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """What the arguments say, by name and as text (it is checked later), and the problems in reading them.

    `--help` among the arguments prints the help and exits.
    """
    fields = settings(config_class)
    flags = {
        name: _flag(metavar, description) if metavar else Annotated[bool, tyro.conf.arg(help=description)]
        for name, (metavar, description) in (more or {}).items()
    }
    flags |= {name: _flag_of(name, field, config_class) for name, field in fields.items()}
    as_type = _make_typed_dict("flags", flags, total=False)  # a flag not given stays absent
    prog = f"pcdarts {config_class.model_fields['job'].default}"
    wanted = [argument for argument in arguments if argument not in ("-h", "--help")]
    read, unread = tyro.cli(as_type, prog=prog, args=wanted, return_unknown_args=True)
    given = {name: value for name, value in read.items() if value not in ("", ())}
    _share_out_arguments(given, fields)
    if len(wanted) < len(arguments):
        _print_help(config_class, as_type, prog, given)
    empty = [name for name in read if name not in given and not (name in fields and fields[name].is_required())]
    problems = [f"{_dashed(name)} needs a value" for name in empty]
    for name, value in given.items():
        if isinstance(value, tuple) and not (name in fields and _takes_several(fields[name])):
            argument = name if name in fields and fields[name].is_required() else _dashed(name)
            problems.append(f"{argument} takes one value, not {shown(' '.join(value))}: quote a value with spaces")
            given[name] = value[0]
    return given, problems + _problems_in(unread, flags)


def _share_out_arguments(given: dict[str, Any], fields: Mapping[str, FieldInfo]) -> None:
    """Where one argument and then several are wanted, as in `RUN IMAGE...`: give each its own.

    argparse gives all to the first, and those after the value of a flag to that flag.
    """
    match [name for name, field in fields.items() if field.is_required()]:
        case [first, others]:
            words = [*_as_tuple(given.pop(first, ())), *given.pop(others, ())]
            for name, value in given.items():
                words += _as_tuple(value)[1:]
                given[name] = _as_tuple(value)[0]
            given.update({first: words[0]} if words else {}, **({others: tuple(words[1:])} if words[1:] else {}))


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _print_help(config_class: type[JobConfig], flags: Any, prog: str, given: Mapping[str, Any]) -> None:
    """Print the flags with the defaults that the chosen recipe and file give them, and exit."""
    if config_class in RECIPES:
        file = Path(given["config"]) if "config" in given else None
        config = resolve(config_class, file=file, flags={name: given[name] for name in ("recipe",) if name in given})
        defaults = config.model_dump(exclude={"job"}) | dict.fromkeys(RUN_FLAGS) | dict.fromkeys(PLAN_FLAG, False)
        description = f"Recipe < YAML file < flags. The defaults shown are those of the recipe {defaults['recipe']}."
    else:
        fields = settings(config_class)
        defaults = {name: field.default for name, field in fields.items() if not field.is_required()}
        description = str(config_class.__doc__)
    tyro.cli(flags, prog=prog, args=["--help"], description=description, default=defaults)


def _problems_in(unread: Sequence[str], names: Iterable[str]) -> list[str]:
    """What the arguments that no flag took were meant to be; those after an unknown flag are taken for its values."""
    known = [_dashed(name) for name in names]
    negated = [f"--no-{name[2:]}" for name in known]
    problems: list[str] = []
    for token in unread:
        flag = token.partition("=")[0].replace("_", "-")
        if flag.startswith("-") and not flag[1:2].isdigit():
            problems.append(f"there is no flag {shown(flag)}{closest(flag, known + negated)}")
        elif not problems:
            problems.append(f"unexpected argument {shown(token)}: settings are flags, as in --epochs 10")
    return problems


def _flag_of(name: str, field: FieldInfo, config_class: type[JobConfig]) -> Any:
    """The flag of a setting; a setting without a default is an argument without a flag."""
    kind, optional = _plain_type(field.annotation)
    description = str(field.description)
    if kind is bool:
        return Annotated[bool, tyro.conf.arg(help=description)]
    if name == "recipe":
        metavar = f"{{{','.join(RECIPES[config_class])}}}"
    elif get_origin(kind) is Literal:
        metavar = f"{{{','.join(get_args(kind))}}}"
    elif field.is_required():
        metavar = name.upper()
    else:
        metavar = {int: "INT", float: "FLOAT", Path: "PATH"}.get(kind, "TEXT")
    if _takes_several(field):
        if get_args(kind)[-1] is not Ellipsis:
            return _flag("FLOAT FLOAT", description, values=2)
        if get_args(kind)[0] is str:
            return _flag("TEXT ...", description, values=None)
        return _positional[_flag(f"{name.upper().removesuffix('S')} ...", description, values=None)]
    flag = _flag(metavar, description, optional=optional)
    return _positional[flag] if field.is_required() else flag


def _takes_several(field: FieldInfo) -> bool:
    return get_origin(_plain_type(field.annotation)[0]) is tuple


def _plain_type(annotation: Any) -> tuple[Any, bool]:
    """The type without its constraints, and whether it may be None."""
    alternatives = [kind for kind in get_args(annotation) if kind is not NoneType]
    optional = NoneType in get_args(annotation)
    kind = alternatives[0] if optional else annotation
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind, optional


def _flag(metavar: str, description: str, values: int | None = 1, optional: bool = False) -> Any:
    """A flag that takes its values as text, a tuple if there are several; what is wrong with them is said later.

    With None it takes any number of them.
    """

    def read(texts: list[str]) -> Any:
        if values is None or max(values, len(texts)) > 1:
            return tuple(texts)
        text = texts[0] if texts else ""
        return None if optional and text == "none" else text

    def write(value: Any) -> list[str]:
        return [str(item).lower() if item is None else str(item) for item in ([value] if values == 1 else value)]

    spec = PrimitiveConstructorSpec(
        nargs="*" if values is None else tuple(range(values + 1)),
        metavar=metavar,
        instance_from_str=read,
        is_instance=lambda value: True,
        str_from_instance=write,
    )
    return Annotated[Any, spec, tyro.conf.arg(help=description)]


def _dashed(name: str) -> str:
    return f"--{name.replace('_', '-')}"
