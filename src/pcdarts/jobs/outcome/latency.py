"""Where the latencies of a budget come from, what they predict for a network, and what it takes when it is measured."""

import hashlib
import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pcdarts
from pcdarts.cache import cache_folder, is_private, one_at_a_time, replace_file
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.errors import InputError, counted
from pcdarts.jobs.outcome.evaluation import EvaluationNetwork
from pcdarts.network.latency.measure import measured_table, whole_milliseconds
from pcdarts.network.latency.parts import parts_of
from pcdarts.network.latency.table import Device, LatencyTable, read_table
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.whole_files import write_text

Say = Callable[[str], None]


def latencies_for(
    network: EvaluationNetwork, space: CellSpace, named: Path | None, run: RunFolder | None = None, say: Say = print
) -> LatencyTable:
    """The table that predicts networks of this size: the file `named`, else the run's own, else that of this machine.

    What this machine's table lacks is measured.

    Raises:
        InputError: there is no such file, it is no table or another machine's and lacks something, or onnxruntime is
            missing.
    """
    file = run.latencies if named is None and run is not None and run.latencies.is_file() else named
    if file is None:
        return latencies_here(network, space, say=say)
    command = f"`{latency_command(network, space)}`"
    if not file.exists():
        raise InputError(f"the latency table {file} does not exist: {command} makes it, also on another device")
    table = read_table(file)
    missing = _missing(table, network, space)
    if not missing:
        return table
    if not is_here(table):
        raise InputError(
            f"the latency table {file} was measured on {table.device} and lacks {counted(len(missing), 'part')} of the "
            f"network to be trained ({network}), such as {missing[0]}: run {command} on that device, and give that file"
        )
    say(f"{file} lacks {counted(len(missing), 'part')} of this network, which is measured now; the file stays as it is")
    return measured_table(table, network.sizes, space, say)


def latencies_here(network: EvaluationNetwork, space: CellSpace, threads: int = 1, say: Say = print) -> LatencyTable:
    """The table of this machine, measured where it lacks something and kept for later starts.

    Raises:
        InputError: onnx or onnxruntime is missing, or there is no such network.
    """
    device = Device.this(threads)
    file = cache_folder() / f"latencies-{_digest(device)}.json"
    with one_at_a_time(file.parent):
        table = _kept(file, device)
        if not _missing(table, network, space):
            return table
        table = measured_table(table, network.sizes, space, say)
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(table.to_json().encode(), file)
        except OSError as error:
            say(f"the latency table is not kept for later starts: {error.strerror or error}")
    return table


def latency_command(network: EvaluationNetwork, space: CellSpace) -> str:
    """The command that measures a table for networks of this size."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(network).items()]
    return shlex.join(["pcdarts", "latency", *flags, f"--num-nodes={space.num_nodes}", "--out", "FILE"])


def about_table(table: LatencyTable, network: EvaluationNetwork, space: CellSpace) -> str:
    """One line about the device of a table, and how well it predicts networks of this size."""
    here = "this machine" if is_here(table) else "not this machine, so nothing is measured here"
    quality = table.quality(network.sizes, space)
    return f"latency: predicted for {table.device} ({here}); {quality or 'not checked on whole networks'}"


def outcome_of(table: LatencyTable, network: EvaluationNetwork, space: CellSpace, genotype: Genotype) -> dict[str, Any]:
    """The predicted and, on the machine of the table, the measured latency of a network, for `result.json`."""
    quality = table.quality(network.sizes, space)
    measured = None
    if is_here(table):
        (measured,) = whole_milliseconds([genotype], network.sizes, threads=table.device.threads)
    return {
        "predicted_ms": network.costs(space, table).of(genotype)["latency_ms"],
        "measured_ms": measured,
        "device": table.device.model_dump(),
        "prediction": quality and quality.model_dump(),
    }


def outcome_text(latency: dict[str, Any]) -> str:
    """One line about what `outcome_of` returns."""
    predicted, measured = latency["predicted_ms"], latency["measured_ms"]
    if measured is None:
        return f"latency: {predicted:.3g} ms predicted for {Device(**latency['device'])}; measure it there"
    return (
        f"latency: {predicted:.3g} ms predicted, {measured:.3g} ms measured on this machine "
        f"({100 * (predicted / measured - 1):+.1f} %)"
    )


def is_here(table: LatencyTable) -> bool:
    """Whether a table is of this machine, with this onnxruntime."""
    try:
        return table.device == Device.this(table.device.threads)
    except InputError:  # there is no onnxruntime here
        return False


def keep_in(run: RunFolder, table: LatencyTable) -> None:
    """Keep a table in the folder of a run, which may be resumed elsewhere.

    Raises:
        RunError: it cannot be saved.
    """
    write_text(run.latencies, table.to_json())


def _missing(table: LatencyTable, network: EvaluationNetwork, space: CellSpace) -> list[str]:
    return table.lacks(parts_of(space, network.sizes), network.sizes, space)


def _kept(file: Path, device: Device) -> LatencyTable:
    """The table that is kept in a file; an empty one if there is none, or others may have written it."""
    try:
        if is_private(file.parent) and is_private(file) and (table := read_table(file)).device == device:
            return table
    except (InputError, OSError):
        pass
    return LatencyTable(device=device, entries=(), networks=())


def _digest(device: Device) -> str:
    """Changes with the machine, and with the code that measures."""
    digest = hashlib.sha256(f"{pcdarts.__version__} {device.model_dump_json()}".encode())
    package = Path(pcdarts.__file__).parent
    for source in sorted((package / "network" / "latency").glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
