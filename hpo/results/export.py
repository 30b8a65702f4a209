"""Export: the winners of a study as folders that stand alone.

A folder appears whole or not at all. Test metrics are computed here and nowhere else, once a trial:
they are kept beside the trial's weights and read from there the next time.

Does not know: how to train.
"""

import errno
import json
import os
import shutil
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tomli_w

import hpo
from hpo.artifacts import ArtifactStore, table_path, trial_path
from hpo.bundle import Model
from hpo.data.sources import read_typed
from hpo.errors import HpoError, InputError
from hpo.experiment import Experiment
from hpo.results.card import model_card
from hpo.results.leaderboard import Row, find_row, leaderboard, to_table
from hpo.study import Study
from hpo.trial import TrialConfig

MAX_RENAMES = 100
"""How often a folder is put in place, against others that export the same trial meanwhile."""


def export(
    study: Study,
    store: ArtifactStore,
    out: Path,
    *,
    top: int = 1,
    numbers: Sequence[int] = (),
) -> list[Path]:
    """Write the leaderboard and the folders of the best trials, or of those named.

    Args:
        study: where the trials are.
        store: where their weights are.
        out: the folder to write into; made when missing, folders of the same trials replaced.
        top: how many of the leaderboard's first.
        numbers: trials to export instead.

    Returns:
        The trials' folders, best first or as named.

    Raises:
        InputError: there is no such COMPLETE trial, `out` cannot be written, or `store` is not the
            study's.
        ArtifactError: weights are missing or damaged.
    """
    study.check_store(store.id)
    if not (ranked := leaderboard(study)):
        raise HpoError(f"study {study.name} has no COMPLETE trial to export yet")
    rows = [_complete(study, number) for number in numbers] or ranked[:top]
    content = store.get(table_path(study.definition.data.fingerprint), digest=None)
    experiment = Experiment(read_typed(content), study.definition.data)
    try:
        out.mkdir(parents=True, exist_ok=True)
        folders = [_export_trial(study, store, experiment, row, out) for row in rows]
        to_table(ranked).write_csv(out / "leaderboard.csv")
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from None
    return folders


def write_model(
    folder: Path, model: Model, metrics: dict[str, dict[str, float]], title: str, note: str
) -> None:
    """Write a model's folder, whole or not at all.

    Args:
        folder: replaced when it holds an earlier model.
        model: what is written.
        metrics: `validation` and `test`, each by metric.
        title: heading of the model card.
        note: one line on where the model comes from.

    Raises:
        InputError: the folder exists and holds something else, or cannot be written.
    """
    check_replaceable(folder)
    draft = _beside(folder)
    try:
        draft.mkdir(parents=True)
        _write_files(
            draft, model, metrics, model_card(model, metrics, title, note, folder.name), note
        )
        _put_in_place(draft, folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_replaceable(folder: Path) -> None:
    """Accept a folder that is not there, is empty, or holds an exported model.

    Raises:
        InputError: it holds something else, or is no folder.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from None
    if not folder.name or (names and "model.safetensors" not in names):
        raise InputError(f"{folder}: exists and is no exported model, so it is not replaced")


def config_toml(config: TrialConfig, note: str) -> str:
    """A trial's configuration as the file that `hpo train` takes."""
    tree = asdict(config)
    if config.data.split.column is None:
        del tree["data"]["split"]["column"]
    else:
        tree["data"]["split"] = {"column": config.data.split.column}
    return f"# {note}\n# `hpo train config.toml` trains it again.\n\n{tomli_w.dumps(tree)}"


def _complete(study: Study, number: int) -> Row:
    row = find_row(study, number)
    if row.state != "COMPLETE":
        raise InputError(
            f"trial {number} of study {study.name} is {row.state}: "
            "only COMPLETE trials have weights"
        )
    return row


def _export_trial(
    study: Study, store: ArtifactStore, experiment: Experiment, row: Row, out: Path
) -> Path:
    path, digest = row.user_attrs["artifact"], row.user_attrs["sha256"]
    model = Model.from_bytes(store.get(path, digest), path)
    metrics = {
        "validation": model.metrics,
        "test": _test_metrics(study, store, experiment, row, model),
    }
    folder = out / f"trial-{row.number:05d}"
    write_model(folder, model, metrics, f"{study.name}, trial {row.number}", _note(study, row))
    return folder


def _note(study: Study, row: Row) -> str:
    """Where a model comes from, and what its configuration gives with other seeds."""
    note = f"Trial {row.number} of study {study.name} ({study.uuid})."
    if row.confirmed is None:
        return note
    return (
        f"{note} Trained again with {row.confirmed.n_seeds} other seeds, its configuration has a "
        f"validation {study.definition.objective.metric} of {row.confirmed.text()} (95 % interval)."
    )


def _test_metrics(
    study: Study, store: ArtifactStore, experiment: Experiment, row: Row, model: Model
) -> dict[str, float]:
    """The test metrics of a trial: read if they were ever computed, computed and kept if not."""
    attempt = row.user_attrs["attempt"]
    path = trial_path(study.uuid, row.number, attempt, "test_metrics.json")
    if not store.exists(path):
        store.put(path, json.dumps(experiment.test_metrics(model)).encode())
    metrics: dict[str, float] = json.loads(store.get(path, digest=None))
    return metrics


def _beside(folder: Path) -> Path:
    """A name for a hidden folder that nobody else uses."""
    return folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")


def _put_in_place(draft: Path, folder: Path) -> None:
    """Rename a finished folder; an earlier one of the name makes room, whoever wrote it."""
    for _ in range(MAX_RENAMES):
        aside = _beside(folder)
        with suppress(FileNotFoundError):
            os.rename(folder, aside)
            shutil.rmtree(aside)
        try:
            os.rename(draft, folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
    raise InputError(f"{folder}: is being written by others at the same time")


def _write_files(
    folder: Path, model: Model, metrics: dict[str, dict[str, float]], card: str, note: str
) -> None:
    (folder / "config.toml").write_text(config_toml(model.config, note), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(model.to_bytes())
    (folder / "schema.json").write_text(_dump(_schema(model)), encoding="utf-8")
    (folder / "metrics.json").write_text(_dump(metrics), encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")


def _schema(model: Model) -> dict[str, Any]:
    versions = {"hpo": hpo.__version__, "torch": model.environment.torch}
    return {
        **json.loads(model.schema.to_json()),
        "versions": versions,
        "environment": asdict(model.environment),
    }


def _dump(tree: Any) -> str:
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"
