"""Workers on Slurm: an array of jobs, each of which runs one `hpo worker`.

The script holds no URL of a storage or an artifact store, which may hold passwords: they travel in
the environment that sbatch takes along, which Slurm keeps where only root and its own user read.

The worker is a step (`srun`), since Slurm gives notice to steps alone; it hands its trials back and
ends with code 75, and the script asks Slurm for another turn. Where Slurm itself ends the job, the
script hears SIGTERM too, and asks for nothing: a cancelled job would come back to life, and
one that is preempted or requeued comes back anyway.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpo.config.errors import InputError
from hpo.config.parsing import parse_duration
from hpo.worker.supervisor import EXIT_RELEASED

TIME = re.compile(
    r"(?:(?P<days>\d+)-(?P<hours>\d+)(?::(?P<minutes>\d+)(?::(?P<seconds>\d+))?)?"
    r"|(?:(?P<h>\d+):)?(?P<m>\d+):(?P<s>\d+)|(?P<only>\d+))"
)
"""A time limit as Slurm reads it: D-H[:M[:S]], [H:]M:S, or minutes."""
WORD = re.compile(r"[^\s'\"\\#;&|<>$`]+")
SETTLED_BY_US = re.compile(r"--(array|requeue|no-requeue|signal|export|ntasks|open-mode)\b|-[an]")

SCRIPT = """\
#!/bin/bash
# {n_workers} worker(s) of hpo for {names}. Each hands its trials back when its time is nearly up or
# it is preempted, and is requeued; it ends when the study is finished.
{directives}

# The storage and the artifacts, maybe with passwords, come with the environment of sbatch.
: "${{HPO_STORAGE:?is missing: submit by hpo launch slurm}}"
: "${{HPO_ARTIFACTS:?is missing: submit by hpo launch slurm}}"
{setup}
ended_by_slurm=
trap 'ended_by_slurm=yes' TERM  # cancelled, requeued or preempted; the worker hears it too

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
    """What is asked of Slurm.

    Attributes:
        names: the studies.
        n_workers: members of the array, one worker each.
        partition: None leaves it to Slurm.
        time: the limit of one turn, as Slurm reads it or as `4h`.
        gres: such as `gpu:1`; None for workers without a GPU.
        cpus: processor cores for each worker.
        notice: seconds before the end of a turn at which workers hand their trials back.
        output: the log of a member, with Slurm's patterns.
        setup: lines of shell that come before the worker, such as `module load cuda`.
        options: further options of sbatch, such as `--account=lab`.
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
        """The batch script.

        Args:
            python: the interpreter that runs `hpo` on every node.

        Raises:
            InputError: a value that Slurm would misread, or a turn no longer than the notice.
        """
        return SCRIPT.format(
            n_workers=self.n_workers,
            names=", ".join(self.names),
            directives="\n".join(f"#SBATCH {option}" for option in self._directives()),
            setup="".join(f"{line}\n" for line in self.setup),
            cpus=self.cpus,
            command=shlex.join([python, "-P", "-m", "hpo", "worker", *self._worker()]),
            released=EXIT_RELEASED,
        )

    def _directives(self) -> list[str]:
        limit, seconds = time_limit(self.time)
        if seconds is not None and seconds <= self.notice:
            raise InputError(
                f"--time must be longer than the --notice of {self.notice:g} s, but got {self.time}"
            )
        asked = {"partition": self.partition, "gres": self.gres, "output": self.output}
        given = {name: text for name, text in asked.items() if text is not None}
        for name, text in given.items():
            if not WORD.fullmatch(text):
                raise InputError(f"--{name} must be one word without quotes, but got {text!r}")
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
            *(_checked(option) for option in self.options),
        ]

    def _worker(self) -> list[str]:
        """What `hpo worker` is given: one worker, and a GPU only where Slurm was asked for one."""
        has_gpu = any("gpu" in text for text in (self.gres or "", *self.options))
        gpus = "auto" if has_gpu else "none"
        return [*self.names, "--workers", "1", "--gpus", gpus, *self.arguments]


def time_limit(text: str) -> tuple[str, float | None]:
    """A time limit as Slurm reads it, and in seconds; None for one without an end.

    Raises:
        InputError: it is none.
    """
    if text.upper() in ("UNLIMITED", "INFINITE"):
        return text, None
    if match := TIME.fullmatch(text):
        part = {name: int(value or 0) for name, value in match.groupdict().items()}
        hours = 24 * part["days"] + part["hours"] + part["h"]
        minutes = part["minutes"] + part["m"] + part["only"]
        seconds: float = 3600 * hours + 60 * minutes + part["seconds"] + part["s"]
        if seconds > 0:
            return text, seconds
    with_unit = re.fullmatch(r".*[smhd]", text.strip())
    try:
        seconds = parse_duration(text) if with_unit else 0.0
    except ValueError:
        seconds = 0.0
    if seconds < 1:
        raise InputError(
            f"--time must be a limit such as 4h, 4:00:00 or 1-12:00:00, but got {text}"
        )
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}", seconds


def find_sbatch() -> str:
    """Where sbatch is.

    Raises:
        InputError: it is not on the PATH.
    """
    if (found := shutil.which("sbatch")) is None:
        raise InputError(
            "sbatch is not on the PATH: run hpo launch slurm on a machine that submits to Slurm, "
            "or print the script by --dry-run"
        )
    return found


def submit(sbatch: str, script: str, environment: Mapping[str, str]) -> str:
    """Hand a script to sbatch.

    Args:
        sbatch: where it is.
        script: as `SlurmArray.script` gives it.
        environment: what the job sees beside this process's own.

    Returns:
        The job's number.

    Raises:
        InputError: it refuses.
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
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise InputError(f"sbatch refused the job: {said}")
    return done.stdout.strip().partition(";")[0]


def _checked(option: str) -> str:
    """A further option of sbatch."""
    if not re.fullmatch(r"--?[A-Za-z][^\n]*", option):
        raise InputError(f"--sbatch must be an option such as --account=lab, but got {option!r}")
    if SETTLED_BY_US.match(option):
        raise InputError(f"--sbatch {option}: hpo sets this option itself")
    return option
