"""Settings in YAML files, read safely."""

from pathlib import Path
from typing import Any

import yaml

from pcdarts.config.job_config import JobConfig
from pcdarts.errors import InputError, shown


def read_yaml(path: Path, config_class: type[JobConfig]) -> dict[str, Any]:
    """Read a configuration file of the job of `config_class`: some or all of its fields, not yet checked.

    Raises:
        InputError: no such file, too large, not YAML, not a mapping, a key twice, or written for another job.
    """
    fields = load_mapping(path)
    job = config_class.job_name()
    if fields.get("job", job) != job:
        raise InputError(
            f"{path} configures the job {shown(fields['job'])}, not {job}: "
            f"use it with `pcdarts {shown(fields['job'])}`, or give that of a {job} run"
        )
    return fields


MAX_YAML_BYTES = 64 * 1024


class _FlatLoader(yaml.SafeLoader):
    """Safe YAML in which a key stands once and nothing refers to something else (so nothing can blow up)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="an alias (*) is not accepted")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="the name of a setting is one word", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_mapping(path: Path, what: str = "configuration") -> dict[str, Any]:
    """What a YAML file holds, not yet checked; `what` it is meant to be.

    Raises:
        InputError: no such file, too large, not YAML, not a mapping, or a key twice.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_YAML_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read the {what} {path}: {error.strerror}") from None
    if len(content) > MAX_YAML_BYTES:
        raise InputError(f"{path} is too large for a {what} (over {MAX_YAML_BYTES // 1024} KiB)")
    try:
        fields = yaml.load(content.decode("utf-8"), _FlatLoader)
    except yaml.MarkedYAMLError as error:
        where = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path} is not a {what}: {error.problem}{where}") from None
    except Exception:  # what PyYAML makes of odd values may fail in any way
        raise InputError(f"{path} is not a {what}: not readable as YAML") from None
    if fields is None:
        return {}
    if not isinstance(fields, dict):
        raise InputError(f"{path} is not a {what}: expected lines such as `epochs: 50`")
    return {str(key): value for key, value in fields.items()}
