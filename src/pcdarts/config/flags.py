"""Flags: made of the settings of a job, read, and what is wrong with them put in words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, TypedDict, get_args, get_origin

import tyro
from pydantic.fields import FieldInfo
from tyro.constructors import PrimitiveConstructorSpec

from pcdarts.config.foreign_flags import meant
from pcdarts.config.groups.method_settings import METHOD_SETTINGS
from pcdarts.config.groups.values import DATA_NAMES
from pcdarts.config.job_config import FolderConfig, JobConfig, every_setting, settings
from pcdarts.config.methods.recipes import PUBLISHED
from pcdarts.config.recipes import RECIPES, chosen_recipe, resolve
from pcdarts.config.verbs import JOBS
from pcdarts.errors import listed, shown

_make_typed_dict: Any = TypedDict  # mypy wants the fields of a TypedDict written out; ours are computed
_positional: Any = tyro.conf.Positional

RUN_FLAGS = {
    "config": ("FILE", "YAML file of settings, such as a run's config.yaml: stronger than the recipe"),
    "run": (
        "FOLDER",
        "folder to make for the run (none: the next free runs/JOB-DATA-NNN); torchrun wants `-m -- pcdarts` then",
    ),
    "resume": ("RUN", "continue the unfinished run in this folder, with its own configuration"),
}
"""What can be said to a job with a run folder besides its settings: name, metavar, help."""

PLAN_FLAGS = {
    "search": ("", "only measure what memory and hours it would take here: by K, batch size and stem (--kind)"),
    "fit": ("", "only look at the images, measure steps and print the plan"),
}
"""The flag `--plan` of the jobs that have one; without a metavar it is a switch."""


_FOR_A_SWITCH = ("true", "false", "yes", "no")
"""What some write after a switch, which takes no value."""


def read_flags(config_class: type[JobConfig], arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """What the arguments say, by name and as text (it is checked later), and the problems in reading them.

    `--help` among the arguments prints the help and exits.
    """
    fields, prog = every_setting(config_class), f"pcdarts {config_class.job_name()}"
    as_type = _as_type(config_class, fields)
    wanted = [argument for argument in arguments if argument not in ("-h", "--help")]
    read, unread = tyro.cli(as_type, prog=prog, args=wanted, return_unknown_args=True)
    given = {name: value for name, value in read.items() if value not in ("", ())}
    _share_out_arguments(given, unread, wanted, fields)
    if len(wanted) < len(arguments):
        _print_help(config_class, prog, given)
    empty = [name for name in read if name not in given and not (name in fields and fields[name].is_required())]
    problems = [f"{_dashed(name)} needs a value{_values(name, fields)}" for name in empty]
    for name, value in given.items():
        if isinstance(value, tuple) and not (name in fields and _takes_several(fields[name])):
            argument = name if name in fields and fields[name].is_required() else _dashed(name)
            problems.append(f"{argument} takes one value, not {shown(' '.join(value))}: quote a value with spaces")
            given[name] = value[0]
    return given, problems + _problems_in(unread, config_class)


def _as_type(config_class: type[JobConfig], fields: Mapping[str, FieldInfo]) -> Any:
    """What tyro makes flags of: those of these settings, and what else can be said to the job."""
    flags = {
        name: _flag(metavar, description) if metavar else Annotated[bool, tyro.conf.arg(help=description)]
        for name, (metavar, description) in flags_besides(config_class).items()
    }
    flags |= {name: _flag_of(name, field, config_class) for name, field in fields.items()}
    return _make_typed_dict("flags", flags, total=False)  # a flag not given stays absent


def flags_besides(config_class: type[JobConfig]) -> dict[str, tuple[str, str]]:
    """What can be said to a job besides its settings: name, metavar and help; without a metavar it is a switch."""
    if not issubclass(config_class, FolderConfig):
        return {}
    plan = PLAN_FLAGS.get(config_class.job_name())
    return RUN_FLAGS | {"plan": plan} if plan else RUN_FLAGS


def known_flags(config_class: type[JobConfig]) -> dict[str, bool]:
    """All that can be typed after a job, as it is typed (`--epochs`, `RUN`): whether it is a switch."""
    fields = every_setting(config_class)
    besides = {_dashed(name): not metavar for name, (metavar, _) in flags_besides(config_class).items()}
    return besides | {_typed(name, fields): _plain_type(field.annotation)[0] is bool for name, field in fields.items()}


def _typed(name: str, fields: Mapping[str, FieldInfo]) -> str:
    """A setting without a default is an argument without a flag."""
    return name.upper() if name in fields and fields[name].is_required() else _dashed(name)


def _values(name: str, fields: Mapping[str, FieldInfo]) -> str:
    """What a flag may be given, if that can be said in a few words."""
    if choices := _choices(name, fields[name].annotation) if name in fields else ():
        return f": {listed(choices)}"
    example = {
        "cutout": "the side in pixels, such as 16",
        "resume": "a run folder, such as runs/search-fashion-mini-001",
    }
    return f": {example[name]}" if name in example else ""


def _share_out_arguments(
    given: dict[str, Any], unread: list[str], typed: Sequence[str], fields: Mapping[str, FieldInfo]
) -> None:
    """Where the last argument may be several, as in `RUN IMAGE...` or `RUN...`: give each argument its own.

    argparse gives all to the first, those after the value of a flag to that flag, and those after a switch to nobody.
    """
    required = [name for name, field in fields.items() if field.is_required()]
    if not required or not _takes_several(fields[required[-1]]):
        return
    words = [word for name in required for word in _as_tuple(given.pop(name, ()))]
    for name, value in given.items():
        own = 2 if name in fields and _takes_several(fields[name]) else 1  # the values of this flag itself
        words += _as_tuple(value)[own:]
        given[name] = _as_tuple(value)[0] if own == 1 else _as_tuple(value)[:own]
    while unread and not unread[0].startswith("-") and unread[0].lower() not in _FOR_A_SWITCH:
        words.append(unread.pop(0))
    words.sort(key=typed.index)  # flags come in the order of the settings
    *first, last = required
    given.update(dict(zip(first, words, strict=False)))
    if rest := tuple(words[len(first) :]):
        given[last] = rest


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _print_help(config_class: type[JobConfig], prog: str, given: Mapping[str, Any]) -> None:
    """Print the flags with the defaults that the chosen recipe, file and method give them, and exit."""
    if config_class.job_name() in RECIPES:
        file = Path(given["config"]) if "config" in given else None
        chosen = {name: given[name] for name in ("recipe", "method") if name in given}
        if file is None:
            chosen["recipe"] = chosen_recipe(config_class.job_name(), given)
        config = resolve(config_class, file=file, flags=chosen)
        fields = settings(type(config))
        defaults = config.model_dump(exclude={"job"})
        description = f"Recipe < YAML file < flags. The defaults shown are those of the recipe {defaults['recipe']}."
    else:
        fields = settings(config_class)
        defaults = {name: field.default for name, field in fields.items() if not field.is_required()}
        description = str(config_class.__doc__)
    defaults |= {name: None if metavar else False for name, (metavar, _) in flags_besides(config_class).items()}
    flags = _as_type(config_class, fields)
    unset = {name for name, field in fields.items() if _plain_type(field.annotation) == (bool, True)}
    defaults = {name: value for name, value in defaults.items() if value is not None or name not in unset}
    tyro.cli(flags, prog=prog, args=["--help"], description=description, default=defaults)


def _problems_in(unread: Sequence[str], config_class: type[JobConfig]) -> list[str]:
    """What the arguments that no flag took were meant to be; those after an unknown flag are taken for its values."""
    known, own = known_flags(config_class), config_class.job_name()
    problems: list[str] = []
    for token in unread:
        flag = token.partition("=")[0]
        if flag.startswith("-") and not flag[1:2].isdigit():
            elsewhere = {name: known_flags(job.config) for name, job in JOBS.items() if name != own}
            problems.append(f"there is no flag {shown(flag)}{meant(flag, known, elsewhere)}")
        elif not problems and token.lower() in _FOR_A_SWITCH:
            problems.append(f"unexpected argument {shown(token)}: a switch takes no value, --no-... turns it off")
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
        names = [name for name in RECIPES[config_class.job_name()] if name.removesuffix("-small") not in PUBLISHED]
        of_methods = ["METHOD", "METHOD-small"] if config_class.job_name() == "search" and PUBLISHED else []
        metavar = f"{{{','.join(names + of_methods)}}}"
    elif choices := _choices(name, kind):
        metavar = f"{{{','.join(choices)}}}"
    elif field.is_required():
        metavar = name.upper()
    else:
        metavar = {int: "INT", float: "FLOAT", Path: "PATH"}.get(kind, "TEXT")
    if _takes_several(field):
        if get_args(kind)[-1] is not Ellipsis:
            return _flag("FLOAT FLOAT", description, values=2, optional=optional)
        if get_args(kind)[0] is str and not field.is_required():
            return _flag("TEXT ...", description, values=None)
        return _positional[_flag(f"{_one_of(name).upper()} ...", description, values=None)]
    flag = _flag(metavar, description, optional=optional)
    return _positional[flag] if field.is_required() else flag


def _choices(name: str, annotation: Any) -> Sequence[str]:
    """All that a setting may be, if these are names; a recipe's depend on the job."""
    if name in ("method", "data"):
        return [*METHOD_SETTINGS] if name == "method" else DATA_NAMES
    kind, _ = _plain_type(annotation)
    return get_args(kind) if get_origin(kind) is Literal else ()


def _one_of(names: str) -> str:
    """`run` of `runs`, `study` of `studies`."""
    return f"{names[:-3]}y" if names.endswith("ies") else names.removesuffix("s")


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
        if optional and texts == ["none"]:
            return None
        if values is None or max(values, len(texts)) > 1:
            return tuple(texts)
        return texts[0] if texts else ""

    def write(value: Any) -> list[str]:
        return [
            str(item).lower() if item is None else str(item)
            for item in ([value] if values == 1 or value is None else value)
        ]

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
