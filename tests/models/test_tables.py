"""Tables of studies, wherever they are kept."""

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import fsspec
import polars as pl
import pytest

from hpo.config.definition import StudyDefinition, load_definition
from hpo.config.errors import ArtifactError, DataError, DefinitionError
from hpo.data.table import Table
from hpo.files.store import ArtifactStore, table_path
from hpo.lifecycle.creation import create_from_file
from hpo.lifecycle.relocation import Stores, copy_studies
from hpo.models.experiment import load_experiment
from hpo.storage.engine import open_storage
from hpo.study.catalog import open_study
from hpo.study.study import Study
from tests.support.servers import S3Server

STUDY = """
name = "s"
[search_space.model]
depth = {{ type = "int", low = 1, high = 2 }}
[data]
source = "{source}"
target = "y"
{copy}
[objective]
metric = "rmse"
"""
ROWS = "".join(f"{x},{x % 7 - x % 3 + 0.5}\n" for x in range(60))
CSV = f"x,y\n{ROWS}"


def create(
    folder: Path, source: str, artifacts: str | None = None, *, copy: bool = True
) -> tuple[Study, ArtifactStore]:
    file = folder / "s.toml"
    file.write_text(STUDY.format(source=source, copy="" if copy else "copy = false"))
    created = create_from_file(
        file, f"sqlite:///{folder}/hpo.db", artifacts or str(folder / "artifacts")
    )
    return created.study, created.store


def put(url: str, text: str) -> None:
    with fsspec.open(url, "wt", skip_instance_cache=True) as file:
        file.write(text)


def test_a_table_in_a_local_store_needs_no_cache(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "t.csv").write_text(CSV)
    study, store = create(tmp_path, "t.csv")
    assert load_experiment(store, study.definition.data).table.frame.shape == (60, 2)
    assert not cache.exists()
    stored = tmp_path / "artifacts" / table_path(study.definition.data.fingerprint)
    stored.write_bytes(stored.read_bytes()[:-9])
    with pytest.raises(ArtifactError, match=r"tables/\w+.parquet: cannot be parsed: "):
        load_experiment(store, study.definition.data)
    stored.unlink()
    with pytest.raises(ArtifactError, match=r"artifact tables/\w+.parquet cannot be read from "):
        load_experiment(store, study.definition.data)


def test_a_table_in_an_object_store_is_fetched_once(
    tmp_path: Path, s3: S3Server, cache: Path
) -> None:
    (tmp_path / "t.csv").write_text(CSV)
    study, store = create(tmp_path, "t.csv", s3.bucket())
    data = study.definition.data
    for _ in range(2):
        assert load_experiment(store, data).table.frame.shape == (60, 2)
    assert s3.asked("^GET .*/tables/") == 1
    (entry,) = (cache / "tables").glob("[!.]*")
    Table.of_format_1(pl.DataFrame({"x": [1], "y": [2.0]})).write(entry)  # whole, but another table
    assert load_experiment(store, data).table.frame.shape == (60, 2)
    assert s3.asked("^GET .*/tables/") == 2


def test_a_table_that_is_not_copied_is_read_where_it_is(
    tmp_path: Path, s3: S3Server, cache: Path
) -> None:
    url = f"{s3.bucket()}/t.csv"
    put(url, CSV)
    study, store = create(tmp_path, url, copy=False)
    data = study.definition.data
    assert (data.source, data.copy) == (url, False)
    assert store.list("tables") == []
    s3.requests.clear()
    for _ in range(2):
        assert load_experiment(store, data).table.frame.shape == (60, 2)
    assert s3.asked("^GET .*/t.csv") == 1
    put(url, CSV + "1,1\n")
    assert load_experiment(store, data).table.frame.shape == (60, 2)  # out of the cache
    for entry in (cache / "tables").iterdir():
        entry.unlink()
    with pytest.raises(DataError, match=r"^s3://.*t\.csv: the table's content has changed since"):
        load_experiment(store, data)
    assert list((cache / "tables").glob("[!.]*")) == []


def test_a_study_whose_table_is_not_copied_is_copied_without(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(CSV)
    study, store = create(tmp_path, "t.csv", copy=False)
    other = ArtifactStore(str(tmp_path / "other"))
    target = open_storage(f"sqlite:///{tmp_path}/other.db")
    copy_studies(study.storage, target, ["s"], Stores(source=store, target=other))
    assert load_experiment(other, open_study(target, "s").definition.data).table.frame.shape == (
        60,
        2,
    )


def test_a_path_that_is_not_copied_is_absolute(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "t.csv").write_text(CSV)
    study, store = create(tmp_path, "t.csv", copy=False)
    assert study.definition.data.source == f"{tmp_path}/t.csv"
    assert load_experiment(store, study.definition.data).table.frame.shape == (60, 2)
    assert not cache.exists()
    (tmp_path / "t.csv").unlink()
    with pytest.raises(ArtifactError, match=r"t\.csv: no such file"):  # maybe not mounted yet
        load_experiment(store, study.definition.data)


def test_where_a_table_is_read_makes_the_study_as_long_as_it_is_not_copied(
    tmp_path: Path,
) -> None:
    trees = {}
    for source, copy in (("a", "true"), ("b", "true"), ("a", "false"), ("b", "false")):
        file = tmp_path / "s.toml"
        file.write_text(STUDY.format(source=f"{source}.csv", copy=f"copy = {copy}"))
        trees[source, copy] = load_definition(file)
    assert trees["a", "true"].digest() == trees["b", "true"].digest()
    assert len({tree.digest() for tree in trees.values()}) == 3
    assert '"copy"' not in trees["a", "true"].to_json()
    for tree in trees.values():
        assert StudyDefinition.from_json(tree.to_json()) == tree
        assert not hasattr(tree.trial_config(tree.space.default_params()).data, "copy")


class Folder(http.server.SimpleHTTPRequestHandler):
    """Serves the current folder, whatever stands behind a question mark."""

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """Address of a web server of a folder."""
    (tmp_path / "site").mkdir()
    handler = partial(Folder, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_passwords_of_sources_are_written_down_nowhere(tmp_path: Path, site: str) -> None:
    (tmp_path / "site/t.csv").write_text(CSV)
    url = f"http://me:my-password@{site}/t.csv?token=my-own-token"
    with pytest.raises(DefinitionError, match=r"must hold no password, but got http.*\*\*\*;"):
        create(tmp_path, url, copy=False)
    study, store = create(tmp_path, url)
    assert study.definition.data.source == f"http://me:***@{site}/t.csv?token=***"
    assert load_experiment(store, study.definition.data).table.frame.shape == (60, 2)
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.name != "s.toml":
            assert b"my-" not in file.read_bytes(), file
    with pytest.raises(DataError, match=r"http://me:\*\*\*@.*token=\*\*\*: no such file$"):
        create(tmp_path, url.replace("t.csv", "u.csv"))
