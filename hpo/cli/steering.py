"""Commands that steer: pause, resume, stop, prune, retry, quarantine, extend."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.cli.options import DEFAULT_STORAGE, StorageUrl, StudyName, TrialNumber, opened, seconds
from hpo.config.errors import InputError

if TYPE_CHECKING:
    from hpo.study.budget import BudgetChange


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(pause)
    app.command()(resume)
    app.command()(stop)
    app.command()(prune)
    app.command()(retry)
    app.command()(quarantine)
    app.command()(extend)


def pause(name: StudyName, storage: StorageUrl = DEFAULT_STORAGE) -> None:
    """Let a study rest: no trial is begun, running ones are kept and wait, and so do its workers.

    Once it has returned, no further trial is begun; workers keep theirs within seconds.

    Example:
        hpo pause california-housing
    """
    from hpo.study.steering import set_standing

    set_standing(opened(name, storage), "paused")
    _say(f"{name} is paused: hpo resume {name} goes on")


def resume(name: StudyName, storage: StorageUrl = DEFAULT_STORAGE) -> None:
    """Go on with a study that was paused or stopped.

    Workers that wait begin at once; those that a stop ended are to be started again.

    Example:
        hpo resume california-housing
    """
    from hpo.study.steering import set_standing

    set_standing(opened(name, storage), "open")
    _say(f"{name} is open")


def stop(name: StudyName, storage: StorageUrl = DEFAULT_STORAGE) -> None:
    """End a study early: running trials are kept and wait, workers go, hpo run exports.

    Workers that were started for it end with code 0, others go on with other studies.

    Example:
        hpo stop california-housing
    """
    from hpo.study.steering import set_standing

    study = opened(name, storage)
    set_standing(study, "stopped")
    _say(study.progress().why_closed)


def prune(name: StudyName, number: TrialNumber, storage: StorageUrl = DEFAULT_STORAGE) -> None:
    """End a running or waiting trial; the best that it measured is its value.

    Its worker drops it within seconds and goes on with another.

    Example:
        hpo prune california-housing 17
    """
    from hpo.study.steering import prune as end

    end(opened(name, storage), number)


def retry(name: StudyName, number: TrialNumber, storage: StorageUrl = DEFAULT_STORAGE) -> None:
    """Run a finished trial again, and print the number under which it will run.

    One that failed waits again under its own number. Of any other a copy is queued, and the budget
    raised by one.

    Example:
        hpo retry california-housing 17
    """
    from hpo.study.steering import retry as run_again

    print(run_again(opened(name, storage), number))


def quarantine(
    name: StudyName,
    number: TrialNumber,
    undo: Annotated[bool, typer.Option("--undo", help="Put it back as it was.")] = False,
    storage: StorageUrl = DEFAULT_STORAGE,
) -> None:
    """Take a finished trial out of the search: it guides neither sampler nor pruner, and is FAIL.

    Neither leaderboard nor budget count it; its weights stay.

    Example:
        hpo quarantine california-housing 17
    """
    from hpo.study.steering import quarantine as take_out
    from hpo.study.steering import restore

    study = opened(name, storage)
    if undo:
        _say(f"trial {number} of {name} is {restore(study, number)} again")
    else:
        take_out(study, number)


def extend(
    name: StudyName,
    n_trials: Annotated[
        str | None, typer.Option("--n-trials", metavar="N|+N", help="Trials, or how many more.")
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="DURATION", help="Time, such as 2h, or +30m."),
    ] = None,
    device_time: Annotated[
        str | None,
        typer.Option("--device-time", metavar="DURATION", help="The workers' time, added up."),
    ] = None,
    no_improvement: Annotated[
        str | None,
        typer.Option("--no-improvement", metavar="N|+N", help="Trials since the best one."),
    ] = None,
    storage: StorageUrl = DEFAULT_STORAGE,
) -> None:
    """Raise a study's budget, finished or not; a limit is what it is to be, or what is added to it.

    The study file stays as it is: hpo run goes on with the larger budget.

    Example:
        hpo extend california-housing --n-trials +50 --timeout 2h
    """
    from hpo.study.steering import extend as raise_budget

    changes = {}
    for key, text in (("n_trials", n_trials), ("no_improvement", no_improvement)):
        if text is not None:
            changes[key] = _budget_change(_count, f"--{key.replace('_', '-')}", text)
    for key, text in (("timeout", timeout), ("device_time", device_time)):
        if text is not None:
            changes[key] = _budget_change(seconds, f"--{key.replace('_', '-')}", text)
    if not changes:
        raise InputError("say what to raise, such as hpo extend NAME --n-trials +50")
    budget = raise_budget(opened(name, storage), changes)
    for key in changes:
        print(f"{key} = {getattr(budget, key):g}")


def _budget_change(parse: Callable[[str, str], float], option: str, text: str) -> "BudgetChange":
    from hpo.study.budget import BudgetChange

    is_added = text.startswith("+")
    return BudgetChange(amount=parse(option, text.removeprefix("+")), is_added=is_added)


def _count(option: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise InputError(
            f"{option} must be a number from 1, or + and how many more, but got {text}"
        )
    return int(text)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
