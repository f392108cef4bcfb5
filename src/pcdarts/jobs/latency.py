"""`pcdarts latency`: measure a table of latencies on this device, for networks of some size."""

from pcdarts.cell.space import CellSpace
from pcdarts.config.latency_config import LatencyConfig
from pcdarts.errors import counted
from pcdarts.jobs.outcome.evaluation import EvaluationNetwork
from pcdarts.jobs.outcome.latency import about_table, latencies_here, latency_command
from pcdarts.run.whole_files import refuse_existing, write_text


def run_latency(config: LatencyConfig) -> None:
    """Measure what the table of this machine lacks, print how well it predicts, and write it to a file if one is named.

    Raises:
        InputError: the file exists, a library is missing, or there are no such networks.
        RunError: the file cannot be saved.
    """
    refuse_existing("--out", config.out)
    network = EvaluationNetwork(**{name: getattr(config, name) for name in EvaluationNetwork.__dataclass_fields__})
    space = CellSpace(config.num_nodes)
    network.check(space)
    table = latencies_here(network, space, config.threads, lambda line: print(line, flush=True))
    times = [whole.milliseconds for _, whole in table.of_size(network.sizes, space)]
    print(f"networks of {network}: {counted(len(times), 'random one')} took {min(times):.3g} to {max(times):.3g} ms")
    print(about_table(table, network, space))
    if config.out is not None:
        write_text(config.out, table.to_json())
        print(f"{config.out} has {counted(len(table.entries), 'part')}: copy it to where you search, and add")
        print(f"  pcdarts search --latency-table {config.out} --max-latency MILLISECONDS")
    else:
        print("kept for this machine: pcdarts search --max-latency MILLISECONDS uses it")
        print("for another device, run there and copy FILE here, for --latency-table FILE:")
        print(f"  {latency_command(network, space)}")
