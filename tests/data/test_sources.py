"""Tables from everywhere: real files, a real HTTP server, OpenML's answers replayed by one."""

import datetime
import gzip
import hashlib
import http.client
import http.server
import json
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas
import polars as pl
import pytest

from hpo.config.errors import DataError
from hpo.config.trial import DataConfig
from hpo.data.reader import is_usable
from hpo.data.sources import absolute_source, as_frame, read_raw
from hpo.data.table import Table, read_table

CSV = 'age,town,"a, b"\n39, Bonn ,1.5\n,?,NA\n17,"Köln, West",-2\n'
TYPED = {"age": [39, None, 17], "town": ["Bonn", None, "Köln, West"], "a, b": [1.5, None, -2.0]}


def read(folder: Path, name: str, content: bytes | str) -> Table:
    """Write a file and read it as a typed table."""
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return typed(name, folder)


def typed(source: str, folder: Path) -> Table:
    return read_table(DataConfig(source=source, target="y"), folder)


def raw(source: str, folder: Path = Path()) -> pl.DataFrame:
    return read_raw(source, folder).frame


TSV = 'age\ttown\t"a, b"\n39\tBonn\t1.5\n\t\tnull\n17\tKöln, West\t-2\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", CSV.encode()),
        ("T.CSV", b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode()),
        ("t.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("t.tsv", TSV.encode()),
        ("t[1]*.tsv.gz", gzip.compress(TSV.encode(), mtime=0)),
    ],
)
def test_text_files_become_one_typed_table(tmp_path: Path, name: str, content: bytes) -> None:
    frame = read(tmp_path, name, content).frame
    assert frame.to_dict(as_series=False) == TYPED
    assert frame.dtypes == [pl.Int64, pl.String, pl.Float64]


def test_parquet_is_typed_as_text_files_are(tmp_path: Path) -> None:
    given = pl.DataFrame(
        {
            "age": pl.Series([39, None, 17], dtype=pl.UInt8),
            "town": pl.Series([" Bonn", None, "Köln, West"], dtype=pl.Categorical),
            "a, b": pl.Series([1.5, float("nan"), -2.0], dtype=pl.Float32),
        }
    )
    given.write_parquet(tmp_path / "t.parquet")
    table = typed("t.parquet", tmp_path)
    assert table.frame.to_dict(as_series=False) == TYPED
    assert table.fingerprint() == read(tmp_path, "t.csv", CSV).fingerprint()


def test_cells_of_text_files_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('a,b\n 1.10,?\n"x ""y""",\n')
    table = read_raw("t.csv", tmp_path)
    assert table.is_text
    assert table.frame.to_dict(as_series=False) == {"a": [" 1.10", 'x "y"'], "b": ["?", None]}


def test_in_parquet_only_null_is_missing(tmp_path: Path) -> None:
    given = pl.DataFrame({"country": ["NA", "DE", None], "n": ["1", "?", "NaN"]})
    given.write_parquet(tmp_path / "t.parquet")
    assert not read_raw("t.parquet", tmp_path).is_text
    frame = typed("t.parquet", tmp_path).frame
    assert frame["country"].to_list() == ["NA", "DE", None]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("t.csv", "", "is empty"),
        ("t.csv", "a,b\n", "holds no rows"),
        ("t.csv", "a,b,a\n1,2,3\n", 'has two columns named "a"'),
        ("t.csv", "a,b\n1,2\n3,4,5\n", 'line 3 has 3 cells, but the header, "a" and so on, has 2'),
        ("t.csv", "a,^b.*$\n1,2\n", r'has a column named "\^b\.\*\$": a name must not '),
        ("t.csv", b"a\n\xff\n", "must be text in UTF-8, but line 2 holds the byte 0xff"),
        ("t.csv", "a,b\n1,2\n".encode("utf-16") + b"\xff", "cannot be parsed: is broken UTF-16"),
        ("t.csv", "a,b\n".encode("utf-16-le"), "must be text in UTF-8, but holds bytes of zero"),
        ("t.csv", "a,b\n1,\0\n", "must be text in UTF-8, but holds bytes of zero"),
        ("t.csv.gz", "a\n1\n", "cannot be parsed: Not a gzipped file"),
        ("t.csv.gz", gzip.compress(b"a\n1\n", mtime=0)[:-9], "cannot be parsed: "),
        ("t.parquet", "PAR1", "cannot be parsed: "),
        ("t.xlsx", "a", r"must end in \.csv, \.tsv, "),
        ("t.parquet.gz", "a", r"must end in \.csv, \.tsv, "),
    ],
)
def test_a_bad_file_is_named_and_described(
    tmp_path: Path, name: str, content: bytes | str, complaint: str
) -> None:
    with pytest.raises(DataError, match=rf"/{name}: {complaint}") as raised:
        read(tmp_path, name, content)
    assert "\n" not in str(raised.value)


def test_a_missing_file_and_a_folder_are_described(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/gone\.csv: no such file"):
        raw("gone.csv", tmp_path)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"/folder\.csv: cannot be read: Is a directory"):
        raw("folder.csv", tmp_path)
    with pytest.raises(DataError, match=r"/~no-such-user/t\.csv: no such file"):
        read_raw("~no-such-user/t.csv", tmp_path)


def test_names_are_read_as_cells_are_and_blank_lines_around_the_table_do_not_count(
    tmp_path: Path,
) -> None:
    frame = read(tmp_path, "t.csv", '\n"say ""hi""","two\nlines",\r\n1,2,3\n\r\n\n').frame
    assert frame.columns[:2] == ['say "hi"', "two\nlines"]
    assert frame.rows() == [(1, 2, 3)]
    assert read(tmp_path, "t.csv", "x\n1\n\n").frame.rows() == [(1,), (None,)]


def test_sources_are_relative_to_the_study_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert absolute_source("~/t.csv", Path("/elsewhere")) == str(tmp_path / "t.csv")
    assert absolute_source("../t.csv", tmp_path / "studies") == str(tmp_path / "t.csv")
    for source in ("sklearn:iris", "openml:61", "https://example.org/t.csv", str(tmp_path)):
        assert absolute_source(source, tmp_path) == source


@pytest.mark.parametrize(
    ("name", "shape", "first"),
    [
        ("iris", (150, 5), "setosa"),
        ("wine", (178, 14), "class_0"),
        ("breast_cancer", (569, 31), "malignant"),
        ("digits", (1797, 65), 0),
        ("diabetes", (442, 11), 151.0),
    ],
)
def test_built_in_sets(name: str, shape: tuple[int, int], first: object) -> None:
    frame = raw(f"sklearn:{name}")
    assert frame.shape == shape
    assert frame["target"][0] == first


def test_an_unknown_built_in_set_is_refused() -> None:
    with pytest.raises(DataError, match=r'sklearn:wines: must be one of .*did you mean "wine"'):
        raw("sklearn:wines")


def test_a_polars_frame_is_taken_as_it_is() -> None:
    frame = pl.DataFrame({"x": [" 1.10", "?"]})
    assert as_frame(frame) is frame


def test_tables_in_memory() -> None:
    frame = as_frame({"n": np.array([1, 2]), 7: ["a", None], "mixed": [1, "b"]})
    assert frame.to_dict(as_series=False) == {"n": [1, 2], "7": ["a", None], "mixed": ["1", "b"]}
    with pytest.raises(DataError, match="columns of different lengths"):
        as_frame({"a": [1], "b": [1, 2]})
    assert not is_usable(as_frame({"a": [1], "b": [object()]})["b"])


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ([{"n": 1}], "must be a DataFrame or a dict of columns, but is a list"),
        (np.ones((2, 2)), "must be a DataFrame or a dict of columns, but is a ndarray"),
        (pl.LazyFrame({"n": [1]}), "must be a DataFrame or a dict of columns, but is a LazyFrame"),
        (pl.DataFrame({"^n$": [1]}), r'the table: has a column named "\^n\$"'),
        ({"n": 1.5}, 'column "n" must be a list of values, but got 1.5'),
        ({"n": "text"}, 'column "n" must be a list of values, but got "text"'),
    ],
)
def test_what_is_no_table_is_refused(table: Any, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        as_frame(table)


def test_pandas_tables() -> None:
    table = pandas.DataFrame(
        {
            "n": pandas.array([1, None], dtype="Int64"),
            "x": [0.5, float("nan")],
            "c": pandas.Categorical(["a", None]),
            "mixed": [True, "b"],
            "day": pandas.to_datetime(["2020-01-02", None]),
        }
    )
    frame = as_frame(table)
    assert frame.drop("x", "day").rows() == [(1, "a", "true"), (None, None, "b")]
    assert frame["x"][0] == 0.5
    assert frame["x"].is_nan().to_list() == [False, True]
    assert frame["day"].to_list() == [datetime.datetime(2020, 1, 2), None]
    with pytest.raises(DataError, match='two columns named "n"'):
        as_frame(pandas.DataFrame([[1, 2]], columns=["n", "n"]))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_any_unit_are_the_same(unit: str) -> None:
    days = np.array(["2020-01-02", "NaT"], dtype=f"datetime64[{unit}]")
    for table in ({"day": days}, pandas.DataFrame({"day": days})):
        assert as_frame(table)["day"].to_list() == [datetime.datetime(2020, 1, 2), None]


def test_python_days_stay_days() -> None:
    frame = as_frame({"day": [datetime.date(2020, 1, 2), None]})
    assert frame["day"].to_list() == [datetime.date(2020, 1, 2), None]


class Answers(http.server.BaseHTTPRequestHandler):
    """Serves `pages`, path to content or other path; anything else is not there, or breaks."""

    pages: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        content = self.pages.get(self.path)
        if content is not None and content.startswith(b"/"):
            self.send_response(302)
            self.send_header("Location", content.decode())
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200 if content is not None else 500 if "broken" in self.path else 404)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    """Address of a real HTTP server that serves `Answers.pages`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("no_waits")
def test_urls(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    zipped = gzip.compress(CSV.encode())
    monkeypatch.setattr(Answers, "pages", {"/t.csv?key=1": CSV.encode(), "/t.csv.gz": zipped})
    for name in ("t.csv?key=1", "t.csv.gz"):
        assert typed(f"http://{site}/{name}", Path()).frame.to_dict(as_series=False) == TYPED
    with pytest.raises(DataError, match=r"http://.*/gone\.csv: no such file"):
        raw(f"http://{site}/gone.csv")
    with pytest.raises(DataError, match=r"http://.*/broken\.csv: cannot be read: "):
        raw(f"http://{site}/broken.csv")
    with pytest.raises(DataError, match=r"nowhere://box/t\.csv: cannot be read: "):
        raw("nowhere://box/t.csv")


@pytest.mark.usefixtures("no_waits")
def test_what_a_server_says_in_place_of_a_table(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {
        "/login.csv": b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>",
        "/signed.csv": b"/broken?X-Amz-Signature=secret",
        "/round.csv": b"/round.csv",
    }
    monkeypatch.setattr(Answers, "pages", pages)
    for name, sentence in {
        "login.csv": "is not a table but a web page",
        "signed.csv": r"500, .*/broken\?X-Amz-Signature=\*\*\*'$",
        "round.csv": "cannot be read: TooManyRedirects",
    }.items():
        with pytest.raises(DataError, match=sentence):
            raw(f"http://{site}/{name}")
    for source, sentence in {
        "http://me:sec[ret@host/t.csv": r"^http://me:\*\*\*@host/t.csv: is not a URL: a \[",
        "a\0.csv": r'^"a\\u0000.csv": no such file$',
    }.items():
        with pytest.raises(DataError, match=sentence):
            raw(source)
    for user in ("token", "token:"):
        with pytest.raises(DataError, match=rf"^http://\*\*\*@{site}/gone.csv: no such file$"):
            raw(f"http://{user}@{site}/gone.csv")


ARFF = b"""@RELATION weather
@ATTRIBUTE id NUMERIC
@ATTRIBUTE wind {calm,'very strong'}
@ATTRIBUTE heat NUMERIC
@ATTRIBUTE play {no,yes}
@DATA
1,calm,20.5,yes
2,?,?,no
3,'very strong',31,yes
"""


def openml_pages() -> dict[str, bytes]:
    """What OpenML answers for a small data set of number 7."""
    features = [
        {
            "index": str(index),
            "name": name,
            "data_type": kind,
            "is_target": str(name == "play").lower(),
            "is_ignore": "false",
            "is_row_identifier": str(name == "id").lower(),
            "number_of_missing_values": "0",
        }
        for index, (name, kind) in enumerate(
            [("id", "numeric"), ("wind", "nominal"), ("heat", "numeric"), ("play", "nominal")]
        )
    ]
    description = {
        "id": "7", "name": "weather", "version": "1", "description": "", "format": "ARFF",
        "status": "active", "file_id": "9", "md5_checksum": hashlib.md5(ARFF).hexdigest(),
        "url": "https://www.openml.org/data/v1/download/9/weather.arff",
    }  # fmt: skip
    qualities = [{"name": "NumberOfInstances", "value": "3"}]
    listed = {"data": {"dataset": [{"did": 7, "name": "weather", "status": "active"}]}}
    api = "/api/v1/json/data"
    return {
        f"{api}/list/data_name/weather/limit/2/status/active/": json.dumps(listed).encode(),
        f"{api}/7": json.dumps({"data_set_description": description}).encode(),
        f"{api}/features/7": json.dumps({"data_features": {"feature": features}}).encode(),
        f"{api}/qualities/7": json.dumps({"data_qualities": {"quality": qualities}}).encode(),
        "/data/v1/download/9/weather.arff": ARFF,
    }


@pytest.fixture
def openml(site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server stand in for www.openml.org."""

    class ToSite(urllib.request.HTTPSHandler):
        def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            assert request.host == "www.openml.org"
            request.host = site
            return self.do_open(http.client.HTTPConnection, request)

    monkeypatch.setattr(urllib.request, "_opener", urllib.request.build_opener(ToSite))
    monkeypatch.setattr(Answers, "pages", openml_pages())
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))


@pytest.mark.usefixtures("openml")
@pytest.mark.parametrize("source", ["openml:7", "openml:Weather"])
def test_openml_sets_come_with_their_labels_and_without_row_identifiers(source: str) -> None:
    assert typed(source, Path()).frame.to_dict(as_series=False) == {
        "wind": ["calm", None, "very strong"],
        "heat": [20.5, None, 31.0],
        "play": ["yes", "no", "yes"],
    }


@pytest.mark.usefixtures("openml")
@pytest.mark.filterwarnings("ignore:A network error occurred")
def test_an_openml_set_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(DataError, match=r"openml:8: cannot be fetched: "):
        raw("openml:8")
