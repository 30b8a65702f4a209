"""Commands that steer a search.

enqueue, reap, pause, resume, stop, prune, retry, quarantine, extend.
"""

import tomllib
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.cli.options import (
    DEFAULT_STORAGE,
    StorageUrl,
    StudyName,
    TrialNumber,
    load_study,
    seconds,
)
from hpo.cli.output import say
from hpo.config.errors import InputError

if TYPE_CHECKING:
    from hpo.study.budget import BudgetChange


def enqueue(
    name: StudyName,
    params: Annotated[
        list[str],
        typer.Argument(metavar="KEY=VALUE...", help="Params to fix; the others are sampled."),
    ],
    storage: StorageUrl = DEFAULT_STORAGE,
) -> None:
    """Queue a trial with given params, and print its number.

    For a param with `or_zero`, the value 0 turns it off, any other value turns it on.

    Example:
        hpo enqueue california-housing model.depth=4 model.width=384
    """
    study = load_study(name, storage)
    given = dict(_parse_param(text) for text in params)
    print(study.enqueue(study.definition.space.switched(given)))


def reap(name: StudyName, storage: StorageUrl = DEFAULT_STORAGE) -> None:
    """Take back the trials of dead workers, if no other worker does so.

    The command waits for part of a lease for heartbeats of workers that only lost their connection.
    It prints the numbers of the trials that wait again.

    Example:
        hpo reap california-housing
    """
    for number in load_study(name, storage).reaper.reap_patiently():
        print(number)


def pause(name: StudyName, storage: StorageUrl = DEFAULT_STORAGE) -> None:
    """Pause a study: no new trials start, running trials are checkpointed, workers wait.

    When the command returns, no new trial starts; running trials are checkpointed within seconds.

    Example:
        hpo pause california-housing
    """
    from hpo.study.steering import set_standing

    set_standing(load_study(name, storage), "paused")
    say(f"{name} is paused: hpo resume {name} continues it")


def resume(name: StudyName, storage: StorageUrl = DEFAULT_STORAGE) -> None:
    """Continue a study that was paused or stopped.

    Waiting workers start at once. Workers that ended after hpo stop must be started again.

    Example:
        hpo resume california-housing
    """
    from hpo.study.steering import set_standing

    set_standing(load_study(name, storage), "open")
    say(f"{name} is open")


def stop(name: StudyName, storage: StorageUrl = DEFAULT_STORAGE) -> None:
    """Stop a study early: running trials are checkpointed, its workers end, hpo run exports.

    Workers started for this study end with exit code 0; others continue with other studies.

    Example:
        hpo stop california-housing
    """
    from hpo.study.steering import set_standing

    study = load_study(name, storage)
    set_standing(study, "stopped")
    say(study.progress().why_closed)


def prune(name: StudyName, number: TrialNumber, storage: StorageUrl = DEFAULT_STORAGE) -> None:
    """Prune a running or waiting trial; its value is the best that it reported.

    Its worker drops the trial within seconds and continues with another.

    Example:
        hpo prune california-housing 17
    """
    from hpo.study.steering import prune as end

    end(load_study(name, storage), number)


def retry(name: StudyName, number: TrialNumber, storage: StorageUrl = DEFAULT_STORAGE) -> None:
    """Run a finished trial again, and print the number under which it runs.

    A failed trial is queued under its own number. Of any other trial a copy is queued, and the
    budget is raised by one.

    Example:
        hpo retry california-housing 17
    """
    from hpo.study.steering import retry as run_again

    print(run_again(load_study(name, storage), number))


def quarantine(
    name: StudyName,
    number: TrialNumber,
    undo: Annotated[bool, typer.Option("--undo", help="Restore the trial's state.")] = False,
    storage: StorageUrl = DEFAULT_STORAGE,
) -> None:
    """Exclude a finished trial: its state becomes FAIL, samplers and pruners ignore it.

    The leaderboard and the budget do not count it. Its weights are kept.

    Example:
        hpo quarantine california-housing 17
    """
    from hpo.study.steering import quarantine as take_out
    from hpo.study.steering import restore

    study = load_study(name, storage)
    if undo:
        say(f"trial {number} of {name} is {restore(study, number)} again")
    else:
        take_out(study, number)


def extend(
    name: StudyName,
    n_trials: Annotated[
        str | None, typer.Option(metavar="N|+N", help="Maximum number of trials, or number to add.")
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="Time limit such as 2h, or time to add such as +30m."
        ),
    ] = None,
    device_time: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="Limit of the total time of all workers, or time to add."
        ),
    ] = None,
    no_improvement: Annotated[
        str | None,
        typer.Option(
            metavar="N|+N",
            help="Stop after this many trials without a new best one, or number to add.",
        ),
    ] = None,
    storage: StorageUrl = DEFAULT_STORAGE,
) -> None:
    """Raise a study's budget: give a new limit, or with + what to add to the limit.

    A finished study can be extended too. hpo run with the unchanged study file keeps the larger
    budget.

    Example:
        hpo extend california-housing --n-trials +50 --timeout 2h
    """
    from hpo.study.steering import extend as raise_budget

    counts = {"n_trials": n_trials, "no_improvement": no_improvement}
    changes = {}
    for key, text in {**counts, "timeout": timeout, "device_time": device_time}.items():
        if text is not None:
            parse = _count if key in counts else seconds
            changes[key] = _budget_change(parse, f"--{key.replace('_', '-')}", text)
    if not changes:
        raise InputError("give a limit to raise, such as hpo extend NAME --n-trials +50")
    budget = raise_budget(load_study(name, storage), changes)
    for key in changes:
        print(f"{key} = {getattr(budget, key):g}")


def _budget_change(parse: Callable[[str, str], float], option: str, text: str) -> "BudgetChange":
    from hpo.study.budget import BudgetChange

    is_added = text.startswith("+")
    return BudgetChange(amount=parse(option, text.removeprefix("+")), is_added=is_added)


def _count(option: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise InputError(
            f"{option} must be a number from 1, or + and a number to add, but got {text}"
        )
    return int(text)


def _parse_param(text: str) -> tuple[str, bool | int | float | str]:
    """Parse `key=value`; a value that is not TOML is text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"params read KEY=VALUE, such as model.depth=3, but got {text}")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    return name, parsed
