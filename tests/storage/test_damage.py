"""Damaged rows of one study: the others go on, and every message names the damaged study.

Each value that hpo and Optuna keep of a study is damaged in turn, in ways that the database admits.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

from hpo.config.errors import HpoError
from hpo.dashboard.view import DashboardStorage
from hpo.storage.engine import Storage
from hpo.storage.schema import CLOCKS, LEASES, OF_A_STUDY, OF_A_TRIAL, TRIALS, WORKERS
from hpo.study.catalog import find, list_studies, list_workers, open_study
from hpo.study.damage import find_damage
from hpo.study.fleet import Fleet
from hpo.study.study import Study
from tests.support.damage import ME, OTHER, make_study, tolerated, work_on

BAD_JSON = ('{"a', "null", "[1]")
NEVER_CHANGED = {"study_id", "trial_id", "worker_id", "token", "key", "param_name", "step"}
"""What rows are found by; databases keep them apart."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A value of a row."""

    table: sa.Table
    column: str
    row: dict[str, Any]

    def own(self) -> sa.ColumnElement[bool]:
        keys = self.table.primary_key.columns
        return sa.and_(*(column == self.row[column.name] for column in keys))


def places(storage: Storage, study: Study) -> Iterator[Place]:
    """Each value of the study's rows that can be damaged."""
    trials = sa.select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study.id)
    of_study = {table: table.c.study_id == study.id for table in (*OF_A_STUDY, CLOCKS, TRIALS)}
    of_trial = {table: table.c.trial_id.in_(trials) for table in (*OF_A_TRIAL, LEASES)}
    seen = set()
    with storage.read() as connection:
        for table, own in {**of_study, **of_trial, WORKERS: sa.true()}.items():
            for row in map(dict, connection.execute(sa.select(table).where(own)).mappings()):
                for column in table.c:
                    kind = table, column, row.get("key"), row.get("state")
                    if column.name not in NEVER_CHANGED | set(table.primary_key.columns.keys()):
                        if kind not in seen:  # one row of each kind
                            yield Place(table=table, column=column.name, row=row)
                        seen.add(kind)


def mutations(storage: Storage, study: Study) -> list[tuple[Place, Any]]:
    """Each value of the study's rows with bad values that the database admits; on servers a part.

    Text that is no JSON damages every attribute, and two further values damage every third one.
    """
    found = [
        (place, value)
        for number, place in enumerate(places(storage, study))
        for at, value in enumerate(bad_values(storage, place))
        if at == 0 or (number + at) % 6 == 0
    ]
    return found if storage.plain.engine.dialect.name == "sqlite" else found[::9]


def bad_values(storage: Storage, place: Place) -> Iterator[Any]:
    column, dialect = place.table.c[place.column], storage.plain.engine.dialect.name
    if isinstance(column.type, sa.Text) or place.column.endswith("_json"):
        yield from BAD_JSON
    elif dialect == "sqlite":
        yield "abc"
    if column.nullable:
        yield None


@contextmanager
def damaged(storage: Storage, place: Place, value: Any) -> Iterator[None]:
    """Write a value past every check, and what was there before again in the end."""

    def write(values: dict[str, Any]) -> None:
        raw = {
            name: sa.literal(each, sa.String()) if isinstance(each, str) else each
            for name, each in values.items()
        }
        storage.write(lambda c: c.execute(sa.update(place.table).where(place.own()).values(raw)))

    write({place.column: value})
    try:
        yield
    finally:
        with storage.read() as connection:
            query = sa.select(sa.func.count()).select_from(place.table).where(place.own())
            is_there = connection.execute(query).scalar_one()
        if is_there:
            values = {place.column: place.row[place.column]}
            update = sa.update(place.table).where(place.own()).values(values)
            storage.write(lambda c: c.execute(update))
        else:
            storage.write(lambda c: c.execute(sa.insert(place.table).values(place.row)))


@pytest.mark.slow
def test_other_studies_go_on_whatever_the_rows_of_one_hold(storage: Storage) -> None:
    hurt, held = make_study(storage, "hurt")
    well, claim = make_study(storage, "well")
    view = DashboardStorage(storage, None)
    tables, n_refused = set(), 0
    for place, value in (tried := mutations(storage, hurt)):
        with damaged(storage, place, value):
            errors: list[HpoError] = []
            listed = list_studies(storage, errors.append)
            assert "well" in [status.name for status in listed]
            assert len(listed) + len(errors) == 2
            assert {row.study for row in list_workers(storage, errors.append)} >= {"well"}
            assert "well" in [study.name for study in Fleet(storage, "store").studies()]
            assert all("study hurt" in str(error) for error in errors)
            found = [tolerated(lambda: open_study(storage, "hurt"), "study hurt")]
            if found == [None]:
                found += work_on(storage, "hurt", held, OTHER)
            n_refused += any(found)
            if place.table not in tables:
                tables.add(place.table)
                assert list(work_on(storage, "well", claim, ME)) == 8 * [None]
            assert [study.study_name for study in view.get_all_studies()] == ["hurt", "well"]
            assert len(view.get_all_trials(well.id)) == 5
            view.get_all_trials(hurt.id)
            assert dict(view.get_study_system_attrs(hurt.id).items())
    assert n_refused > len(tried) / 10
    assert list(work_on(storage, "hurt", held, OTHER)) == 8 * [None]
    with storage.read() as connection:
        assert find_damage(connection, find(storage, "hurt")) == []
