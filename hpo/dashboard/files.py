"""The files of a trial: its configuration, its learning curve and its weights.

The first two are made when somebody asks for them, from what the storage holds; the weights come
from the artifact store, checked against their digest.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from optuna.trial import FrozenTrial

from hpo.config.urls import hide_passwords
from hpo.dashboard.curve import curve_svg
from hpo.files.store import ArtifactStore
from hpo.study.study import Study

DownloadKind = Literal["config", "curve", "weights"]
NAMES: dict[DownloadKind, tuple[str, str]] = {
    "config": ("config.toml", "application/toml"),
    "curve": ("learning-curve.svg", "image/svg+xml"),
    "weights": ("model.safetensors", "application/octet-stream"),
}
"""What is left of a file's name behind its trial's, and its type."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file that a trial has.

    Attributes:
        id: unique in its storage; hexadecimal, as optuna-dashboard wants it.
        name: as it is saved.
    """

    id: str
    kind: DownloadKind
    name: str
    media_type: str

    def to_json(self) -> dict[str, Any]:
        """As optuna-dashboard reads it."""
        return {
            "artifact_id": self.id,
            "filename": self.name,
            "mimetype": self.media_type,
            "encoding": None,
        }


def files_of(trial: FrozenTrial, *, has_weights: bool) -> list[File]:
    """The files that a trial has now; weights only where their store is at hand."""
    return [
        File(
            id=f"{at}-{trial._trial_id:x}",
            kind=kind,
            name=f"trial-{trial.number:05d}-{name}",
            media_type=media_type,
        )
        for at, (kind, (name, media_type)) in enumerate(NAMES.items())
        if kind in _kinds(trial, has_weights)
    ]


def content(
    study: Study, trial: FrozenTrial, kind: DownloadKind, store: ArtifactStore | None
) -> bytes:
    """What a file of a trial holds.

    Args:
        study: the trial's.
        trial: one that has such a file.
        kind: which of its files.
        store: the study's, where weights are asked for.

    Raises:
        DefinitionError: its params make no configuration.
        ArtifactError: its weights are missing, damaged or out of reach.
    """
    title = f"trial {trial.number} of study {study.name}"
    if kind == "config":
        config = study.definition.trial_config(trial.params)
        training = replace(
            config.training,
            precision=trial.user_attrs.get("precision", config.training.precision),
        )
        data = replace(config.data, source=hide_passwords(config.data.source))
        return replace(config, data=data, training=training).to_toml(title).encode()
    if kind == "curve":
        curve, metric = trial.intermediate_values, study.definition.metric_label
        return curve_svg(curve, metric, study.definition.direction, title).encode()
    assert store is not None, "without a store no weights are offered"
    return store.get(trial.user_attrs["artifact"], trial.user_attrs["sha256"])


def _kinds(trial: FrozenTrial, has_weights: bool) -> Iterator[DownloadKind]:
    if trial.params:
        yield "config"
    if trial.intermediate_values:
        yield "curve"
    if has_weights and {"artifact", "sha256"} <= trial.user_attrs.keys():
        yield "weights"
