"""Workers on Slurm: a job array whose tasks each run one `hpo worker`.

The script holds no URL of a storage or an artifact store, because URLs may hold passwords. They
are in the environment that sbatch passes on, which Slurm keeps readable only for root and its own
user.

The worker is a step (`srun`), because Slurm sends its notice to steps only. The worker releases its
trials and exits with code 75, and the script then requeues the job. If Slurm itself ends the job,
the script receives SIGTERM as well and does not requeue: a cancelled job would come back, and a
preempted or requeued job comes back anyway.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from hpo.config.errors import InputError
from hpo.config.parsing import parse_duration
from hpo.worker.supervisor import EXIT_RELEASED

_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
_WORD = re.compile(r"[^\s'\"\\#;&|<>$`]+")
_OWN_OPTIONS = re.compile(r"--(array|requeue|no-requeue|signal|export|ntasks|open-mode)\b|-[an]")

_SCRIPT = """\
#!/bin/bash
# {n_workers} worker(s) of hpo for {names}. Each releases its trials when its time is nearly up or
# it is preempted, and is requeued; it ends when the study is finished.
{directives}

# The URLs of the storage and the artifacts, which may hold passwords, come from the environment.
: "${{HPO_STORAGE:?is missing: submit with hpo launch slurm}}"
: "${{HPO_ARTIFACTS:?is missing: submit with hpo launch slurm}}"
{setup}
ended_by_slurm=
trap 'ended_by_slurm=yes' TERM  # cancelled, requeued or preempted; the worker receives it too

srun --ntasks=1 --cpus-per-task={cpus} \\
    {command}
code=$?
if [[ $code == {released} && -z $ended_by_slurm ]]; then
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
fi
exit "$code"
"""


@dataclass(frozen=True, kw_only=True)
class SlurmArray:
    """A job array.

    Attributes:
        names: names of the studies.
        n_workers: number of tasks, one worker each.
        partition: partition; None for Slurm's default.
        time: time limit of one run of a task, in Slurm's notation or as a duration (`4h`).
        gres: generic resources of each worker (`gpu:1`); None for workers without a GPU.
        cpus: processor cores of each worker.
        notice: seconds before the time limit at which workers release their trials.
        output: log file of a task, with Slurm's patterns.
        setup: shell commands to run before the worker (`module load cuda`).
        options: further options of sbatch (`--account=lab`).
        arguments: options of `hpo worker`.
    """

    names: Sequence[str]
    n_workers: int
    partition: str | None
    time: str
    gres: str | None
    cpus: int
    notice: float
    output: str
    setup: Sequence[str]
    options: Sequence[str]
    arguments: Sequence[str]

    def script(self, python: str = sys.executable) -> str:
        """Return the batch script.

        Args:
            python: the interpreter that runs `hpo` on every node.

        Raises:
            InputError: Slurm would misread a value, or the time limit is not above the notice.
        """
        has_gpu = any("gpu" in text for text in (self.gres or "", *self.options))
        worker = [python, "-P", "-m", "hpo", "worker", *self.names, "--workers", "1"]
        worker += ["--gpus", "auto" if has_gpu else "none", *self.arguments]
        return _SCRIPT.format(
            n_workers=self.n_workers,
            names=", ".join(self.names),
            directives="\n".join(f"#SBATCH {option}" for option in self._directives()),
            setup="".join(f"{line}\n" for line in self.setup),
            cpus=self.cpus,
            command=shlex.join(worker),
            released=EXIT_RELEASED,
        )

    def _directives(self) -> list[str]:
        limit, seconds = time_limit(self.time)
        if seconds is not None and seconds <= self.notice:
            raise InputError(
                f"--time must be longer than the --notice of {self.notice:g} s, but got {self.time}"
            )
        texts = {"partition": self.partition, "gres": self.gres, "output": self.output}
        given = {name: text for name, text in texts.items() if text is not None}
        for name, text in given.items():
            if not _WORD.fullmatch(text):
                raise InputError(f"--{name} must be one word without quotes, but got {text!r}")
        for option in self.options:
            if not re.fullmatch(r"--?[A-Za-z][^\n]*", option):
                example = "must be an option such as --account=lab"
                raise InputError(f"--sbatch {example}, but got {option!r}")
            if _OWN_OPTIONS.match(option):
                raise InputError(f"--sbatch {option}: hpo sets this option itself")
        return [
            f"--job-name=hpo-{self.names[0]}",
            f"--array=0-{self.n_workers - 1}",
            *(f"--{name}={text}" for name, text in given.items()),
            f"--time={limit}",
            "--ntasks=1",
            f"--cpus-per-task={self.cpus}",
            "--requeue",
            "--open-mode=append",
            f"--signal=TERM@{round(self.notice)}",
            "--export=ALL",
            *self.options,
        ]


def time_limit(text: str) -> tuple[str, float | None]:
    """Parse a time limit: D-H[:M[:S]], [H:]M:S, minutes, or a duration with a unit (`4h`).

    Returns:
        The limit in Slurm's notation, and in seconds; None for no limit.

    Raises:
        InputError: it is not a time limit.
    """
    if text.upper() in ("UNLIMITED", "INFINITE"):
        return text, None
    limit, seconds = text, 0.0
    if match := _TIME.fullmatch(text):
        days, *parts = match.groups()
        fields = [int(part) for part in parts if part is not None]
        # without days, one field is minutes and two are minutes and seconds
        units = (3600, 60, 1) if days or len(fields) == 3 else (60, 1)
        seconds = 86_400 * int(days or 0)
        seconds += sum(unit * field for unit, field in zip(units, fields, strict=False))
    elif text.strip().endswith(("s", "m", "h", "d")):
        with suppress(ValueError):
            seconds = parse_duration(text)
        minutes, rest = divmod(round(seconds), 60)
        limit = f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
    if seconds < 1:
        raise InputError(
            f"--time must be a limit such as 4h, 4:00:00 or 1-12:00:00, but got {text}"
        )
    return limit, seconds


def find_sbatch() -> str:
    """Return the path of sbatch.

    Raises:
        InputError: it is not on the PATH.
    """
    if (found := shutil.which("sbatch")) is None:
        raise InputError(
            "sbatch is not on the PATH: run hpo launch slurm on a machine that submits to Slurm, "
            "or print the script with --dry-run"
        )
    return found


def submit(sbatch: str, script: str, environment: Mapping[str, str]) -> str:
    """Submit a script.

    Args:
        sbatch: path of sbatch.
        script: the batch script.
        environment: environment variables of the job, in addition to those of this process.

    Returns:
        The id of the job.

    Raises:
        InputError: sbatch refuses the job.
    """
    own = {name: value for name, value in os.environ.items() if name != "SBATCH_EXPORT"}
    done = subprocess.run(
        [sbatch, "--parsable"],
        input=script,
        env={**own, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise InputError(f"sbatch refused the job: {reason}")
    return done.stdout.strip().partition(";")[0]
