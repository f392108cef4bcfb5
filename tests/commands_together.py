"""What several processes do one after the other, because starting them is dear; not a test itself.

`torchrun ... tests/commands_together.py FOLDER COMMANDS` takes the steps of `search_steps.py`, then runs every command of
a JSON list inside FOLDER, and leaves there how each ended in `process-RANK.json`.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch

import search_steps
from command_line import run_in
from pcdarts.run.processes import joined

if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    with joined() as together:
        search_steps.save_everything(together, folder)
    ends = [asdict(run_in(folder, *command)) for command in json.loads(sys.argv[2])]
    (folder / f"process-{together.rank}.json").write_text(json.dumps(ends))
