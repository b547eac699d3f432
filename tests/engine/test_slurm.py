"""A real SLURM, where there is one (docs/cluster.md says how to set one up on a single machine)."""

import shutil
import subprocess
import sys

import pytest

from cnnlab.records import RunStore
from cnnlab.tuning import Callback, Tuning, tables
from same_runs import assert_same_runs


def is_there():
    return shutil.which("sinfo") is not None and subprocess.run(["sinfo"], capture_output=True).returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_there(), reason="there is no SLURM: `sinfo` is missing or gets no answer"),
]

QUEUED_SECONDS = 15
"""How long the jobs wait in the queue at least."""


@pytest.fixture
def cluster(tmp_path):
    from dask_jobqueue import SLURMCluster

    with SLURMCluster(
        cores=1,
        memory="4GB",
        walltime="00:30:00",
        interface="lo",
        python=sys.executable,
        job_extra_directives=[f"--begin=now+{QUEUED_SECONDS}"],
        log_directory=str(tmp_path / "logs"),
        scheduler_options={"dashboard_address": "127.0.0.1:0"},
    ) as made:
        made.scale(jobs=2)
        yield made


class Watch(Callback):
    """Notes that workers are missing, and kills a job after the third run."""

    def __init__(self, cluster):
        self._cluster = cluster
        self.reported, self.runs, self.killed = [], 0, ""

    def on_no_workers(self, address):
        self.reported.append(address)

    def on_run_end(self, trial, record, cached):
        self.runs += 1
        if self.runs == 3:
            self.killed = next(iter(self._cluster.workers.values())).job_id
            subprocess.run(["scancel", "--signal=KILL", "--full", self.killed], check=True)


def test_records_are_those_of_a_local_run_although_jobs_wait_and_one_is_killed(cluster, folder, tmp_path):
    watch, frames = Watch(cluster), {}
    for place, scheduler in (("slurm", cluster.scheduler_address), ("here", None)):
        with Tuning(
            folder, tmp_path / place, "smoke", scheduler=scheduler, budget={"stages": "base,optimizer"}
        ) as tuning:
            if scheduler:
                tuning.callback = watch
            frames[place] = tables.decisions_table(tuning, tuning.results())
    assert watch.reported == [cluster.scheduler_address]
    state = subprocess.run(["squeue", "-h", "-j", watch.killed, "-o", "%T"], capture_output=True, text=True).stdout
    assert "RUNNING" not in state
    assert watch.runs > 3
    assert frames["slurm"].equals(frames["here"])
    assert_same_runs(RunStore(tmp_path / "here"), RunStore(tmp_path / "slurm"))
