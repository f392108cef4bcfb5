"""A group of settings: fields that are checked together and never change, and the words of what is wrong with them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pcdarts.config.foreign_flags import meant_setting
from pcdarts.errors import InputError, closest, listed, shown

Number = TypeVar("Number", int, float)


class ConfigError(InputError):
    """Everything that is wrong with a configuration: a single problem as it is, several under one heading."""

    def __init__(self, problems: list[str]) -> None:
        heading = [f"{len(problems)} problems with the configuration:"] if len(problems) > 1 else []
        super().__init__(*heading, *problems)
        self.problems = problems


def with_origin(problem: str, untyped: Mapping[str, tuple[Any, str]]) -> str:
    """The problem, and where the values in it come from that nobody has typed: of each the value, and from where."""
    told = []
    for name, (value, source) in untyped.items():
        if value is not None and name in problem:
            mention = rf"\b{re.escape(name)} (is )?\(?{re.escape(shown(value))}(?![\w.])"
            told += [f"{name} comes from {source}"] if re.search(mention, problem) else []
    return f"{problem} ({'; '.join(told)})" if told else problem


def setting(default: Any, description: str, *, after: str | tuple[str, ...] = (), **limits: Any) -> Any:
    """A field of a group, with its help and its limits.

    In help and YAML it comes `after` another one, of several names the first that is there. Those that follow it in its
    class go with it.
    """
    return _field(description, after, default=default, **limits)


def argument(description: str, *, after: str = "job", **limits: Any) -> Any:
    """The same without a default: on the command line it is an argument without a flag, and comes before the flags."""
    return _field(description, after, **limits)


def _field(description: str, after: str | tuple[str, ...], **options: Any) -> Any:
    extra: dict[str, Any] = {"after": [after] if isinstance(after, str) else [*after]}
    return Field(description=description, json_schema_extra=extra, **options)


def at_most(number: Number, info: ValidationInfo, other: str) -> Number:
    """The number of the setting that is checked, if it is not larger than that of the setting `other`.

    Nothing is said where `other` has no number, or a wrong one, which is said of itself.

    Raises:
        ValueError: it is larger.
    """
    limit = info.data.get(other)
    if limit is not None and number > limit:
        is_, most = (f"{each:g}" if isinstance(each, float) else each for each in (number, limit))
        raise ValueError(f"{info.field_name} is {is_}, but it must be at most {other} ({most})")
    return number


class Group(BaseModel):
    """Settings that belong together. The configuration of a job is made of groups, which are its base classes.

    The fields of a class come in the order of its base classes, then its own; where several of these have a field, it
    comes with the last one, unless it says what it comes `after`. A check sees the fields that come before its own.

    Raises:
        ConfigError: lists everything that is wrong, one line each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, defer_build=True)

    defaults: ClassVar[Mapping[str, Any]] = {}
    """Defaults of this class that are not those of its groups, by name."""

    changeable: ClassVar[frozenset[str]] = frozenset()
    """Settings of this class that say where, how fast and how carefully, not what: a run may be resumed with others."""

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise ConfigError(self._in_words(error.errors(include_url=False))) from None

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        cls.__pydantic_fields__ = _arranged(cls)

    @classmethod
    def _in_words(cls, problems: Sequence[ErrorDetails]) -> list[str]:
        return [_in_words(problem, cls.model_fields) for problem in problems]

    @field_validator("*", mode="before")
    @classmethod
    def _a_truth_value_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and bool not in (annotation, *get_args(annotation)):
            raise ValueError(f"{info.field_name} is {str(value).lower()}, but it is not a switch")
        return value

    @field_validator("*")
    @classmethod
    def _a_number_can_be_counted_to(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, int) and value >= 2**63:
            raise ValueError(f"{info.field_name} is {shown(value)}, but it must be less than 2**63")
        return value


def _after(field: FieldInfo) -> list[str]:
    extra = field.json_schema_extra
    names: Any = extra.get("after", []) if isinstance(extra, dict) else []
    return list(names)


def _arranged(group: type[Group]) -> dict[str, FieldInfo]:
    """The fields of a group in their order, with its own defaults."""
    fields = group.model_fields
    parts = [[*base.model_fields] for base in group.__bases__ if issubclass(base, Group)]
    names = [*reversed(dict.fromkeys(reversed([name for part in parts for name in part])))]
    own = [name for name in fields if name not in names]
    names += own
    for part in [*parts, own]:
        before = None
        for name in part:
            found = next((other for other in _after(fields[name]) if other in fields), None)
            if found is not None:
                before = found if part is own or found not in part else None  # else it is there already
            if before is not None:
                names.remove(name)
                names.insert(names.index(before) + 1, name)
                before = name
    for name, default in group.__dict__.get("defaults", {}).items():
        fields[name].default = default
    return {name: fields[name] for name in names}


_EXPECTATIONS = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "dict_type": "a mapping",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_type": "a whole number",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "missing": "{numbers}",
    "path_type": "a path",
    "string_too_short": "a name",
    "string_type": "a text",
    "too_long": "{numbers}",
    "tuple_type": "{numbers}",
}


def _numbers(field: FieldInfo | None) -> str:
    """How many numbers a field of a fixed number of them takes."""
    return "three numbers" if field and len(get_args(field.annotation)) == 3 else "two numbers"


def _in_words(problem: ErrorDetails, fields: Mapping[str, FieldInfo]) -> str:
    known = {field.alias or name: field for name, field in fields.items() if name != "job"}
    value, context = problem["input"], problem.get("ctx", {})
    name = str(problem["loc"][0]) if problem["loc"] else "the name of a setting"  # it may be no Unicode text
    if problem["type"] == "value_error":
        return str(context["error"])
    if problem["type"] == "extra_forbidden":
        return f"there is no setting {name}{meant_setting(name, known)}"
    if problem["type"] == "missing" and len(problem["loc"]) == 1:
        return f"{name} is missing: {known[name].description}"
    if problem["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        return f"{name} is {shown(value)}, but it must be {listed(choices)}{closest(str(value), choices)}"
    if problem["type"] in _EXPECTATIONS:
        context = {**context, "numbers": _numbers(fields.get(name))}
        return f"{name} is {shown(value)}, but it must be {_EXPECTATIONS[problem['type']].format(**context)}"
    return f"{name} is {shown(value)}: {problem['msg']}"
