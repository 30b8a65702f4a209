"""Everything in a folder's storages, artifact stores and exports, in a form to compare.

Names replace UUIDs, because a study that is created again has another one. Attributes that tell of
attempts and workers are left out.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from hpo.storage import dialects, schema
from hpo.storage.engine import open_storage
from hpo.study.catalog import study_rows

OF_ATTEMPTS = ("attempt", "worker", "device", "earlier_attempts", "seconds", "sha256")
"""Attributes of a trial that depend on its attempts. The digest of a model file does so because the
order of the parts in its header is random; the parts themselves are compared."""
NOT_COUNTED = (schema.WORKERS, schema.VERSIONS, schema.DELETED, schema.CLOCKS)
"""Tables whose rows depend on the time, or stay when a study is deleted."""
_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Snapshot:
    """What was found: a digest or value for each row and file."""

    found: dict[str, str]

    def differences(self, other: "Snapshot") -> list[str]:
        """A sentence for each thing that another snapshot lacks, adds or changes."""
        lost = [f"lost: {key}" for key in self.found.keys() - other.found.keys()]
        more = [f"left over: {key}" for key in other.found.keys() - self.found.keys()]
        changed = [
            f"changed: {key} is {other.found[key]}, not {value}"
            for key, value in self.found.items()
            if value and other.found.get(key, value) not in (value, "")
        ]
        return sorted([*lost, *more, *changed])

    def common(self, other: "Snapshot") -> "Snapshot":
        """The snapshot without the values that differ from another one, which depend on time."""
        return Snapshot({k: v if other.found.get(k) == v else "" for k, v in self.found.items()})


def snapshot(folder: Path, urls: list[str]) -> Snapshot:
    """Record all rows of the storages that exist, and all files but hidden ones."""
    found: dict[str, str] = {}
    names = {str(folder): "FOLDER"}
    for place, url in enumerate(urls):
        path = sa.engine.make_url(url).database if url.startswith("sqlite") else None
        if path is not None and not Path(path).exists():
            continue
        _read_storage(url, f"storage {place}", found, names)
    for path in sorted(folder.rglob("*")):
        relative = str(path.relative_to(folder))
        is_own = not relative.startswith(".") and "/." not in relative
        if path.is_file() and is_own and ".db" not in path.name:
            for part, content in _parts(path):
                digest = hashlib.sha256(content).hexdigest()[:16]
                found[f"file {_named(relative, names)}{part}"] = digest
    return Snapshot(found)


def _parts(path: Path) -> Iterator[tuple[str, bytes]]:
    """The content of a file; of a model file, that of each part, to tell which one differs."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + length])["__metadata__"]
    except (ValueError, KeyError, TypeError):
        yield "", content
        return
    yield " weights", content[8 + length :]
    for key, text in header.items():
        yield f" {key}", text.encode()


def _named(text: str, names: dict[str, str]) -> str:
    """A text without the folder, UUIDs of studies, and numbers of attempts."""
    for path in (name for name in names if "/" in name):
        text = text.replace(path, names[path])
    text = _UUID.sub(lambda match: names.get(match[0], match[0]), text)
    return re.sub(r"attempt-\d+", "attempt", text)


def _read_storage(url: str, where: str, found: dict[str, str], names: dict[str, str]) -> None:
    engine = dialects.read_only_engine(dialects.parse(url))
    with engine.connect() as connection:
        for table in sa.inspect(connection).get_table_names():
            if table not in {each.name for each in NOT_COUNTED}:
                rows = sa.select(sa.func.count()).select_from(sa.table(table))
                if table == schema.TRIAL_USER_ATTRS.name:
                    rows = rows.where(sa.column("key").not_in(OF_ATTEMPTS))
                found[f"{where}, rows of {table}"] = str(connection.scalar(rows))
    engine.dispose()
    with closing(open_storage(url, create=False)) as storage:
        for row in study_rows(storage):
            if row.uuid is not None:
                names[row.uuid] = row.name
        for study in storage.plain.get_all_studies():
            own = f"{where}, study {study.study_name}"
            attrs = {**study.user_attrs, **study.system_attrs}
            for key, value in attrs.items():
                found[f"{own}, {key}"] = _named(json.dumps(value, sort_keys=True), names)
            for trial in storage.plain.get_all_trials(study._study_id, deepcopy=False):
                its = f"{own}, trial {trial.number}"
                found[f"{its}, state"] = f"{trial.state.name} {trial.values}"
                found[f"{its}, params"] = json.dumps(trial.params, sort_keys=True)
                found[f"{its}, reports"] = json.dumps(trial.intermediate_values)
                for key, value in {**trial.user_attrs, **trial.system_attrs}.items():
                    if key not in OF_ATTEMPTS:
                        found[f"{its}, {key}"] = _named(json.dumps(value, sort_keys=True), names)
