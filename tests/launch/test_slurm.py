"""Workers on Slurm: the script, and an array on a real cluster."""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpo.config.errors import InputError
from hpo.launch.slurm import time_limit
from tests.support import machine
from tests.support.command_line import Outcome, hpo
from tests.support.faults.setting import Setting, make_setting
from tests.support.slurm_cluster import Cluster, slurm_cluster
from tests.support.waiting import wait_until

POSTGRESQL = "postgresql://me:geheim@db.example/hpo"
LONG = 1000


def dry_run(*options: str) -> Outcome:
    given = ["--storage", POSTGRESQL, "--artifacts", "s3://key:versteckt@bucket/hpo"]
    return hpo("launch", "slurm", "adult", "census", "--dry-run", *given, *options)


def test_the_script_is_bash_that_asks_for_what_was_asked() -> None:
    done = dry_run(
        *("--workers", "8", "--partition", "gpu", "--time", "90m", "--gres", "gpu:1"),
        *("--setup", "module load cuda", "--sbatch", "--account=lab", "--cpus-per-worker", "3"),
        *("--slots", "16", "--lease", "30s"),
    )
    assert done.code == 0
    asked = re.findall(r"^#SBATCH (.*)$", done.out, re.MULTILINE)
    wanted = "--array=0-7 --partition=gpu --time=1:30:00 --gres=gpu:1 --cpus-per-task=3 --requeue"
    assert {*wanted.split(), "--signal=TERM@120", "--account=lab"} <= set(asked)
    assert "\nmodule load cuda\n" in done.out
    assert "hpo worker adult census --workers 1 --gpus auto --slots 16 --lease 30s" in done.out
    subprocess.run(["bash", "-n"], input=done.out, text=True, check=True)


def test_the_script_holds_no_password_and_no_address() -> None:
    done = dry_run()
    for secret in ("geheim", "versteckt", "db.example", "bucket"):
        assert secret not in done.out + done.err
    assert "--gpus none" in done.out  # no GPU was requested


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--time", "2"], "--time must be longer than the --notice of 120 s, but got 2"),
        (["--time", "soon"], "--time must be a limit such as 4h, 4:00:00 or 1-12:00:00"),
        (["--partition", "a b"], "--partition must be one word without quotes, but got 'a b'"),
        (["--sbatch", "--array=1"], "--sbatch --array=1: hpo sets this option itself"),
        (["--sbatch", "-a 1"], "--sbatch -a 1: hpo sets this option itself"),
        (["--sbatch", "account"], "--sbatch must be an option such as --account=lab"),
        (["--lease", "x"], "--lease must be a duration"),
        (
            ["--storage", "sqlite:///hpo.db"],
            "SQLite serves the workers of one machine; for several",
        ),
    ],
)
def test_what_would_not_work_is_refused(options: list[str], said: str) -> None:
    done = dry_run(*options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_without_sbatch_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = hpo(
        "launch", "slurm", "adult", "--storage", POSTGRESQL, "--artifacts", "s3://bucket/hpo"
    )
    assert done.code == 2
    assert done.err.startswith("hpo: sbatch is not on the PATH: run hpo launch slurm on a machine")


def test_a_folder_of_artifacts_is_warned_of() -> None:
    done = dry_run("--artifacts", "/scratch/hpo")
    assert done.code == 0
    assert "artifacts /scratch/hpo: a folder; every machine must see the same folder" in done.err


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),
        ("1:30", 90),
        ("1:00:30", 3630),
        ("1-2", 93600),
        ("1-0:30", 88200),
        ("2h", 7200),
    ],
)
def test_limits_are_read_as_slurm_reads_them(text: str, seconds: float) -> None:
    assert time_limit(text)[1] == seconds


def test_no_limit_is_none() -> None:
    assert time_limit("UNLIMITED") == ("UNLIMITED", None)


@pytest.mark.parametrize("text", ["0", "0:00", "0s", "0.5s", "1:2:3:4", "1-", "-1", "4x", "h", ""])
def test_nonsense_is_no_limit(text: str) -> None:
    with pytest.raises(InputError, match=rf"--time must be a limit .* but got {text}$"):
        time_limit(text)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    machine.SLURM.or_skip()
    with tempfile.TemporaryDirectory(prefix="hpo-slurm-") as folder:
        with slurm_cluster(Path(folder)) as running:
            yield running


def launch(cluster: Cluster, setting: Setting, folder: Path, *options: str) -> str:
    """Submit workers and return the job's id."""
    with pytest.MonkeyPatch.context() as patch:
        for name, text in {**cluster.environment, **setting.environment}.items():
            patch.setenv(name, text)
        output = ["--output", f"{folder}/%a.log"]
        options = (*options, "--time", "1h", "--gres", "gpu:1", *output)
        done = hpo("launch", "slurm", setting.study.name, *options)
    assert done.code == 0, done.err
    return done.out.strip()


def epochs(setting: Setting) -> dict[int, int]:
    """Return the number of epochs of the running trials, by number."""
    running = [trial for trial in setting.study.trials() if trial.state.name == "RUNNING"]
    return {trial.number: len(trial.intermediate_values) for trial in running}


def come_back(cluster: Cluster, job: str) -> None:
    """Wait until a job is requeued, and shorten Slurm's two minutes until its next run.

    Not all of them: nodes refuse a job's new credential in the second in which its old one ended.
    """
    wait_until(lambda: cluster.state(job) == "PENDING", f"requeued: job {job}")
    cluster.say("scontrol", "update", f"JobId={job}", "StartTime=now+3")


@pytest.mark.slow
def test_members_that_had_to_go_come_back_and_the_study_ends(
    cluster: Cluster, postgresql_url: str, tmp_path: Path
) -> None:
    setting = make_setting(tmp_path, postgresql_url, n_trials=2, max_epochs=LONG)
    job = launch(cluster, setting, tmp_path, "--workers", "2")
    at_notice, preempted = f"{job}_0", f"{job}_1"
    wait_until(lambda: len(epochs(setting)) == 2, "two trials running")
    wait_until(lambda: min(epochs(setting).values()) > 50, "in the middle of both")

    cluster.say("scancel", "--signal=TERM", at_notice)  # to the step only, as --signal=TERM@ does
    cluster.say("scontrol", "requeue", preempted)
    come_back(cluster, at_notice)
    come_back(cluster, preempted)
    wait_until(lambda: setting.study.progress().is_finished, "finished")
    wait_until(lambda: not cluster.say("squeue", "--noheader"), "an empty queue")

    trials = setting.study.trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 2
    for trial in trials:
        assert "released" in str(trial.user_attrs["earlier_attempts"])
        assert sorted(trial.intermediate_values) == list(range(1, LONG + 1))
    for member in (at_notice, preempted):
        facts = cluster.facts(member)
        assert (facts["JobState"], facts["Restarts"], facts["ExitCode"]) == (
            "COMPLETED",
            "1",
            "0:0",
        )
    setting.close()


@pytest.mark.slow
def test_a_cancelled_array_hands_its_trial_back_and_stays_cancelled(
    cluster: Cluster, postgresql_url: str, tmp_path: Path
) -> None:
    setting = make_setting(tmp_path, postgresql_url, n_trials=1, max_epochs=20 * LONG)
    job = launch(cluster, setting, tmp_path)
    wait_until(lambda: epochs(setting).get(0, 0) > 50, "in the middle of the trial")
    cluster.say("scancel", job)
    wait_until(lambda: not cluster.say("squeue", "--noheader"), "an empty queue")
    assert cluster.state(f"{job}_0") == "CANCELLED"
    assert [trial.state.name for trial in setting.study.trials()] == ["WAITING"]
    setting.close()
