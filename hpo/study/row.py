"""The row of a study: its system attributes and their keys.

Reading goes through `StudyRow`; changes write single attributes by `attributes.set_study` with a
key of this module. One more key, `hpo:revision`, belongs to `hpo.storage.attributes`,
because the caches of the storage compare it.
"""

import json
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, get_args

from hpo.config import metrics
from hpo.config.definition import Budget, StudyDefinition
from hpo.config.errors import DamagedStudyError, DefinitionError, HpoError, InputError
from hpo.config.families import config_type, package_of
from hpo.config.metrics import find_metric
from hpo.config.version import __version__
from hpo.storage import attributes
from hpo.storage.damage import INT, OBJECT, TEXT, TEXTS, Kind, is_int, is_texts, shown
from hpo.storage.engine import Connection

DEFINITION = "hpo:definition"
STANDING = "hpo:standing"
GIVEN_BUDGET = "hpo:given_budget"
PRIORITY = "hpo:priority"
CONFIRMS = "hpo:confirms"
WARM_START = "hpo:warm_start"
"""Notes on the warm start, and the number of attributes `hpo:warm_start:0`, … that hold it."""
_UUID, _ARTIFACTS, _NOTES, _MOVED = "hpo:uuid", "hpo:artifacts", "hpo:notes", "hpo:moved"
_VERSION, _FORMAT, _PACKAGES = "hpo:version", "hpo:format", "hpo:packages"
_METRIC_PACKAGE = "hpo:metric_package"
CONFIRMATION = "hpo:confirmation"
"""The result of a confirmation, up to 64 KiB, so that it is read on its own."""

STUDY_FORMAT = 2
"""The format of a study's row and definition; rows without a format have format 1.

Raise it by one when an hpo that knows the current format would misread a new study: because of a
new key in the definition, or a new meaning of an attribute. Older versions then refuse the study
and say why. `open_study` reads all formats up to this one. List the changes here.

2: how the cells of a table are read (`hpo.data.reader`): new keys of `data`, and notes on them;
   starts of the search space, and warm starts.
"""

Standing = Literal["open", "paused", "stopped"]
"""Whether a study accepts workers. Workers wait while it is paused, and leave a stopped one."""


def _is_move(value: object) -> bool:
    is_whole = isinstance(value, dict) and {"to", "definition"} <= value.keys()
    return is_whole and all(isinstance(each, str) for each in value.values())  # type: ignore[attr-defined]


def _is_warm_start(value: object) -> bool:
    is_whole = isinstance(value, dict) and {"notes", "n_parts"} <= value.keys()
    return is_whole and is_texts(value["notes"]) and is_int(value["n_parts"])  # type: ignore[index]


_KINDS = {
    **dict.fromkeys((DEFINITION, CONFIRMS, _UUID, _ARTIFACTS, _VERSION, _METRIC_PACKAGE), TEXT),
    **dict.fromkeys((PRIORITY, _FORMAT), INT),
    **dict.fromkeys((GIVEN_BUDGET, _PACKAGES), OBJECT),
    STANDING: Kind(" or ".join(get_args(Standing)), lambda value: value in get_args(Standing)),
    _NOTES: TEXTS,
    _MOVED: Kind("an object of texts", _is_move),
    WARM_START: Kind("notes and a number of parts", _is_warm_start),
}
"""The attributes of a row, and what each must be."""
_NEEDED = (DEFINITION, _UUID, _ARTIFACTS)

parse_definition = lru_cache(maxsize=1024)(StudyDefinition.from_json)
"""Parses a stored definition; workers read the rows of all studies again and again."""


@dataclass(frozen=True, kw_only=True)
class StudyRow:
    """The row of a study, which this hpo may be unable to open.

    Attributes:
        where: URL of the storage without password.
        attrs: the sound system attributes that were read.
        flaw: the first damaged attribute, and what it must be; None if there is none.
        uuid: unique id; None if another program created the study.
        artifact_store_id: id of the store that holds the table and the weights.
        definition: the stored definition as JSON; None if another program created the study.
        notes: remarks on how the table was read that may surprise a person.
        warm_start_notes: what was taken from other studies, a sentence for each of them.
        n_warm_start_parts: number of attributes that hold it.
        moved_to: URL of the storage to which the study has moved.
        standing: whether the study accepts workers.
        priority: studies of higher priority get workers first.
        confirms: name of the study that this study confirms.
    """

    id: int
    name: str
    where: str
    attrs: Mapping[str, Any]
    flaw: str | None
    uuid: str | None
    artifact_store_id: str | None
    definition: str | None
    notes: tuple[str, ...]
    warm_start_notes: tuple[str, ...]
    n_warm_start_parts: int
    moved_to: str | None
    standing: Standing
    priority: int
    confirms: str | None

    @classmethod
    def parse(cls, study_id: int, name: str, where: str, attrs: Mapping[str, Any]) -> "StudyRow":
        """Parse the system attributes of a study; damaged ones are left out."""
        flaw = next(_flaws(attrs), None)
        attrs = {key: value for key, value in attrs.items() if _is_sound(key, value)}
        moved, warm_start = attrs.get(_MOVED, {}), attrs.get(WARM_START, {})
        return cls(
            id=study_id,
            name=name,
            where=where,
            attrs=attrs,
            flaw=flaw,
            uuid=attrs.get(_UUID),
            artifact_store_id=attrs.get(_ARTIFACTS),
            definition=attrs.get(DEFINITION) or moved.get("definition"),
            notes=tuple(map(str, attrs.get(_NOTES, ()))),
            warm_start_notes=tuple(warm_start.get("notes", ())),
            n_warm_start_parts=warm_start.get("n_parts", 0),
            moved_to=moved.get("to"),
            standing=attrs.get(STANDING, "open"),
            priority=attrs.get(PRIORITY, 0),
            confirms=attrs.get(CONFIRMS),
        )

    @property
    def is_ours(self) -> bool:
        """Whether hpo created the study."""
        return self.uuid is not None or self.flaw is not None

    @property
    def format(self) -> int | None:
        """The format of the study; None if another program created it."""
        return int(self.attrs.get(_FORMAT, 1)) if self.is_ours else None

    @cached_property
    def obstacle(self) -> HpoError | None:
        """Why this hpo cannot open the study, as the error to raise; None if it can."""
        study = f"study {self.name} in {self.where}"
        if self.moved_to is not None:
            return InputError(
                f"study {self.name} has moved from {self.where} to {self.moved_to}: "
                "name that storage by --storage or HPO_STORAGE"
            )
        if self.format is None:
            return InputError(f"{study} was not made by hpo")
        if self.format > STUDY_FORMAT:
            made_by = self.attrs.get(_VERSION, "another version")
            return InputError(
                f"{study} was made by hpo {made_by}, which is newer than this hpo {__version__}: "
                f"install hpo {made_by} or later to work with it"
            )
        if self.flaw is not None:
            return DamagedStudyError(self.name, self.where, self.flaw)
        if unusable := self._unusable_family() or self._unusable_metric():
            return InputError(f"{study}: {unusable}")
        try:
            parse_definition(self.definition or "")
        except DefinitionError as error:
            made_by = self.attrs.get(_VERSION, __version__)
            is_json = not isinstance(attributes.decode(self.definition), attributes.NotJson)
            if is_json and made_by != __version__:
                return InputError(
                    f"{study} was made by hpo {made_by}, and this hpo {__version__} cannot read it "
                    f"({error}): install hpo {made_by} to work with it"
                )
            return DamagedStudyError(self.name, self.where, str(error))
        return None

    def _unusable_family(self) -> str | None:
        """Why this hpo cannot use a model family of the study, if so."""
        try:
            leaf = json.loads(self.definition or "")["search_space"]["model"]["family"]
        except (ValueError, KeyError, TypeError):
            return None  # the default family, or a damaged definition
        for family in leaf["choices"] if isinstance(leaf, dict) else [leaf]:
            try:
                config_type(family)
            except DefinitionError as error:
                package = self.attrs.get(_PACKAGES, {}).get(family)
                return f"{error}; it is part of the package {package}" if package else str(error)
        return None

    def _unusable_metric(self) -> str | None:
        """Why this hpo cannot use the metric of the study, if a package adds it."""
        if (package := self.attrs.get(_METRIC_PACKAGE)) is None:
            return None
        try:
            find_metric(self.metric)
        except DefinitionError as error:
            return f"{error}; it is part of the package {package}"
        return None

    @property
    def owned_store_id(self) -> str | None:
        """The artifact store; None if the study has moved, which left it to the target storage."""
        return None if self.moved_to is not None else self.artifact_store_id

    @cached_property
    def budget(self) -> Budget:
        """The current budget."""
        return Budget.model_validate(json.loads(self.definition or "")["budget"])

    @property
    def given_budget(self) -> Budget | None:
        """The budget of the study file at its last use; None if nobody raised it by hand."""
        given = self.attrs.get(GIVEN_BUDGET)
        return None if given is None else Budget.model_validate(given)

    @property
    def metric(self) -> str:
        """The metric of the objective."""
        return str(json.loads(self.definition or "")["objective"]["metric"])

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the table; None if the definition, of any format, has none."""
        try:
            return str(json.loads(self.definition or "")["data"]["fingerprint"])
        except (ValueError, KeyError, TypeError):
            return None

    def check_store(self, store_id: str) -> None:
        """Check that an artifact store is the study's.

        Raises:
            InputError: it is another store.
        """
        if self.owned_store_id is not None and self.owned_store_id != store_id:
            raise InputError(
                f"study {self.name} keeps its artifacts in another store: name the one it was "
                "created with by --artifacts or HPO_ARTIFACTS"
            )


def new_attrs(
    definition: StudyDefinition, artifact_store_id: str, notes: Sequence[str]
) -> dict[str, Any]:
    """The system attributes of a new study."""
    packages = {family: package_of(family) for family in definition.space.families}
    of_metric = metrics.REGISTRY.package_of(definition.objective.metric)
    added = {family: package for family, package in packages.items() if package}
    return {
        **({_PACKAGES: added} if added else {}),
        **({_METRIC_PACKAGE: of_metric} if of_metric else {}),
        DEFINITION: definition.to_json(),
        _UUID: str(uuid.uuid4()),
        _ARTIFACTS: artifact_store_id,
        _VERSION: __version__,
        _FORMAT: STUDY_FORMAT,
        _NOTES: list(notes),
    }


def copied_attrs(study_uuid: str, artifact_store_id: str) -> dict[str, Any]:
    """The system attributes in which a copy with its own artifacts differs."""
    return {_UUID: study_uuid, _ARTIFACTS: artifact_store_id}


def moved_attrs(row: StudyRow) -> dict[str, Any]:
    """The system attributes in which a moved study in its target differs from the one left."""
    return {DEFINITION: row.definition, _MOVED: None}


def read_row(connection: Connection, study_id: int, name: str, where: str) -> StudyRow:
    """Read the row of a study; if it was deleted, all attributes are missing."""
    attrs = attributes.read_study(connection, study_id, list(_KINDS))
    return StudyRow.parse(study_id, name, where, attrs)


def read_rows(
    connection: Connection, where: str, study_ids: Collection[int] | None = None
) -> list[StudyRow]:
    """Read the rows of all or some studies, oldest first, including those of other programs."""
    found = attributes.read_studies(connection, list(_KINDS), study_ids=study_ids)
    return [StudyRow.parse(study_id, name, where, attrs) for study_id, name, attrs in found]


def _flaws(attrs: Mapping[str, Any]) -> Iterator[str]:
    """Describe the damaged attributes of a study, if it is one of hpo."""
    for key, value in attrs.items():
        if not _is_sound(key, value):
            yield f"its attribute {key} must be {_KINDS[key].words}, but got {shown(value)}"
    if _KINDS.keys() & attrs.keys() and _MOVED not in attrs:
        yield from (f"its attribute {key} is missing" for key in _NEEDED if key not in attrs)


def _is_sound(key: str, value: object) -> bool:
    """Whether an attribute is of the right kind; those of other programs may be anything."""
    return key not in _KINDS or _KINDS[key].admits(value)


def mark_moved(connection: Connection, study_id: int, to: str) -> None:
    """Mark a study as moved to another storage; nothing opens it here any more."""
    attrs = attributes.read_study(connection, study_id, [DEFINITION])
    moved = {"to": to, "definition": attrs.get(DEFINITION)}
    attributes.set_study(connection, study_id, _MOVED, moved)
    attributes.drop_study(connection, study_id, DEFINITION)


def unmark_moved(connection: Connection, row: StudyRow) -> None:
    """Undo `mark_moved`."""
    attributes.set_study(connection, row.id, DEFINITION, row.definition)
    attributes.drop_study(connection, row.id, _MOVED)
