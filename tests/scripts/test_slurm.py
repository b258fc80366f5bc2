"""The cluster's jobs run what the documentation says, with a scheduler that only writes down what it is given."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import click
import pytest

import align.cli.app
import speech2vec.cli.app

JOBS = Path(__file__).resolve().parents[2] / "scripts" / "slurm"
PROGRAMS = {"speech2vec": speech2vec.cli.app.app, "speech2vec-align": align.cli.app.app}


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """Stand-ins of Slurm's programs and ours: srun runs, sbatch and the rest write down what they were given."""
    programs = tmp_path / "bin"
    programs.mkdir()
    told = "RUN=${RUN:-} OMP=${OMP_NUM_THREADS:-} CPUS=${SRUN_CPUS_PER_TASK:-}"
    write_down = f'printf "%s\\n" "$(basename "$0") {told} $*" >> {tmp_path}/said'
    # What makes a folder whole, and the exit code of "done with failures".
    ours = (
        write_down
        + """
while [ $# -gt 0 ] && [ "$1" != -o ]; do shift; done
[ -n "${BROKEN:-}" ] || { mkdir -p "$2" && touch "$2/report.json" "$2/meta.json"; }
exit 1"""
    )
    bodies = {
        "srun": 'exec "$@"',
        "scontrol": 'printf "node1\\nnode2\\n"',
        "sbatch": f"{write_down}\nwc -l < {tmp_path}/said",
        "torchrun": write_down,
        **dict.fromkeys(("speech2vec", "speech2vec-align"), ours),
    }
    for name, body in bodies.items():
        (programs / name).write_text(f"#!/bin/bash\n{body}\n")
        (programs / name).chmod(0o755)
    return {"PATH": f"{programs}:{os.environ['PATH']}", "WORK": str(tmp_path / "work"), "CORPUS": "corpus"}


def run(cluster: dict[str, str], script: str, *options: str, **variables: str) -> list[list[str]]:
    said = Path(cluster["WORK"]).parent / "said"
    said.unlink(missing_ok=True)
    slurm = {"SLURM_JOB_ID": "7", "SLURM_NNODES": "1", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_CPUS_PER_TASK": "4"}
    array = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "16"}
    environment = {**cluster, **slurm, **array, **variables}
    subprocess.run(["bash", JOBS / script, *options], env=environment, check=True, timeout=60)
    return [shlex.split(line) for line in said.read_text().splitlines()]


def assert_known(command: list[str]) -> None:
    """Every option of one of our command lines exists."""
    group = PROGRAMS[command[0]]
    found = group.get_command(click.Context(group), command[1])
    assert found is not None
    known = {name for parameter in found.params for name in parameter.opts}
    assert {word for word in command[2:] if word.startswith("-")} <= known


@pytest.mark.parametrize("script", ["align.sbatch", "align-merge.sbatch", "features.sbatch", "features-merge.sbatch"])
def test_a_job_gives_options_that_exist(cluster: dict[str, str], script: str) -> None:
    parts = Path(cluster["WORK"]) / f"{'aligned' if 'align' in script else 'store'}-parts"
    parts.mkdir(parents=True)
    ((program, _, _, cpus, *rest),) = run(cluster, script)
    assert_known([program, *rest])
    if "merge" not in script:
        assert cpus == "CPUS=4"
        assert rest[rest.index("--shard") + 1] == "3/16"


@pytest.mark.parametrize("script", ["align.sbatch", "align-merge.sbatch", "features-merge.sbatch"])
def test_a_job_that_left_nothing_has_failed(cluster: dict[str, str], script: str) -> None:
    """Exit code 1 is that of "all but some", and that of a program that could not be started."""
    for parts in ("aligned-parts", "store-parts"):
        (Path(cluster["WORK"]) / parts).mkdir(parents=True)
    with pytest.raises(subprocess.CalledProcessError):
        run(cluster, script, BROKEN="yes")


@pytest.mark.parametrize(
    ("given", "nodes", "processes", "threads"),
    [({}, "1", "1", "4"), ({"SLURM_GPUS_ON_NODE": "2", "SLURM_NNODES": "2"}, "2", "2", "2")],
)
def test_training_starts_a_process_for_each_gpu(
    cluster: dict[str, str], given: dict[str, str], nodes: str, processes: str, threads: str
) -> None:
    ((program, _, omp, cpus, *rest),) = run(cluster, "train.sbatch", "--vector-size", "100", RUN="s2v", **given)
    assert program == "torchrun" and (omp, cpus) == (f"OMP={threads}", "CPUS=4")
    of_torchrun, ours = rest[: rest.index("-m")], rest[rest.index("-m") + 1 :]
    options = dict(zip(of_torchrun[::2], of_torchrun[1::2], strict=True))
    assert options["--nnodes"] == nodes and options["--nproc-per-node"] == processes
    assert options["--rdzv-endpoint"] == "node1:20007" and options["--rdzv-id"] == "7"
    from torch.distributed.run import get_args_parser

    known = {name for action in get_args_parser()._actions for name in action.option_strings}
    assert options.keys() <= known
    assert_known(ours)
    assert "--resume" in ours and ours[-2:] == ["--vector-size", "100"]


def test_the_chain_waits_for_what_it_needs(cluster: dict[str, str]) -> None:
    jobs = run(cluster, "chain.sh", "8", "50", "100", TRAIN_OPTIONS="--gres=gpu:4 --nodes=2", PRESET="large-batch")
    scripts = [next(Path(word).name for word in job if word.endswith(".sbatch")) for job in jobs]
    order = ["align", "align-merge", "features", "features-merge", "train", "train"]
    assert scripts == [f"{name}.sbatch" for name in order]
    for number, job in enumerate(jobs[1:], start=1):
        assert f"--dependency=afterok:{min(number, 4)}" in job
    assert "--array=1-8" in jobs[0] and "--array=1-4" in jobs[2]
    for job, size in zip(jobs[4:], ("50", "100"), strict=True):
        assert f"RUN=speech2vec-{size}" in job and job[-4:] == ["--preset", "large-batch", "--vector-size", size]
        assert "--gres=gpu:4" in job and "--nodes=2" in job
