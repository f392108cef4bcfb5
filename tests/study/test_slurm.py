"""`pcdarts study run --slurm` with commands that do what SLURM's do, on this machine: jobs are processes."""

import os
import stat

from command_line import end_of, error_line
from small_study import figures, study

SUBMIT = """#!/bin/sh
cp "$1" {folder}/job.sh
setsid sh {folder}/job.sh > {folder}/job.log 2>&1 < /dev/null &
echo "Submitted batch job $!"
"""
CANCEL = """#!/bin/sh
echo "$@" >> {folder}/cancelled.txt
for job in "$@"; do kill -TERM -- "-$job"; done
"""
SETTINGS = """jobqueue:
  slurm: {cores: 2, memory: 4GB, walltime: '00:10:00', queue: short, interface: lo}
"""


def test_runs_are_done_by_slurm_jobs_which_are_given_back(tmp_path, monkeypatch):
    for name, text in (("sbatch", SUBMIT), ("scancel", CANCEL)):
        script = tmp_path / "bin" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(text.format(folder=tmp_path))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "dask").mkdir()
    (tmp_path / "dask" / "jobqueue.yaml").write_text(SETTINGS)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("DASK_CONFIG", str(tmp_path / "dask"))
    ended = end_of(study(tmp_path, "--slurm"))
    assert (ended.code, ended.err) == (0, "")
    assert "by 1 SLURM job;" in ended.out
    assert len(figures(tmp_path)) == 2
    script = (tmp_path / "job.sh").read_text()
    assert "#SBATCH -p short" in script
    assert "#SBATCH --cpus-per-task=2" in script
    assert "--nthreads 1 " in script
    assert len((tmp_path / "cancelled.txt").read_text().split()) == 1


def test_without_its_settings_slurm_is_refused_in_a_line(tmp_path):
    ended = end_of(study(tmp_path, "--slurm"))
    assert ended.code == 2
    assert "cannot make SLURM jobs" in error_line(ended)
    assert error_line(ended).endswith("below jobqueue.slurm in ~/.config/dask/jobqueue.yaml")
