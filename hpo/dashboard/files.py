"""The files of a trial: its configuration, its learning curve and its weights.

The configuration and the curve are generated from the storage on each request. The weights come
from the artifact store, which checks their digest.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

from optuna.trial import FrozenTrial

from hpo.config.urls import hide_passwords
from hpo.dashboard.curve import curve_svg
from hpo.files.store import WEIGHTS, ArtifactStore
from hpo.storage.attributes import ARTIFACT, SHA256
from hpo.study.leaderboard import recorded_config
from hpo.study.study import Study

FileKind = Literal["config", "curve", "weights"]
_NAMES: dict[FileKind, tuple[str, str]] = {
    "config": ("config.toml", "application/toml"),
    "curve": ("learning-curve.svg", "image/svg+xml"),
    "weights": (WEIGHTS, "application/octet-stream"),
}
"""File name, without the trial's prefix, and media type."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a trial.

    Attributes:
        id: unique in the storage; hexadecimal digits and dashes, as optuna-dashboard requires.
        name: name to save the file under.
    """

    id: str
    kind: FileKind
    name: str
    media_type: str

    def to_json(self) -> dict[str, Any]:
        """Return the description that optuna-dashboard reads."""
        return {
            "artifact_id": self.id,
            "filename": self.name,
            "mimetype": self.media_type,
            "encoding": None,
        }


def list_files(trial: FrozenTrial, *, has_weights: bool) -> list[File]:
    """List the files that a trial has now; weights only if their store is available."""
    exists = {
        "config": bool(trial.params),
        "curve": bool(trial.intermediate_values),
        "weights": has_weights and {ARTIFACT, SHA256} <= trial.user_attrs.keys(),
    }
    return [
        File(
            id=f"{index}-{trial._trial_id:x}",
            kind=kind,
            name=f"trial-{trial.number:05d}-{name}",
            media_type=media_type,
        )
        for index, (kind, (name, media_type)) in enumerate(_NAMES.items())
        if exists[kind]
    ]


def file_content(
    study: Study, trial: FrozenTrial, kind: FileKind, store: ArtifactStore | None
) -> bytes:
    """Return the content of a trial's file; weights require the artifact store.

    Raises:
        DefinitionError: the trial's params are not valid.
        ArtifactError: the weights are missing or damaged, or the store cannot be reached.
    """
    title = f"trial {trial.number} of study {study.name}"
    if kind == "config":
        config = recorded_config(study, trial)
        data = replace(config.data, source=hide_passwords(config.data.source))
        return replace(config, data=data).to_toml(title).encode()
    if kind == "curve":
        curve, metric = trial.intermediate_values, study.definition.metric_label
        return curve_svg(curve, metric, study.definition.direction, title).encode()
    assert store is not None, "weights are not listed without a store"
    return store.get(trial.user_attrs[ARTIFACT], trial.user_attrs[SHA256])
