"""The report of a real study; its columns, categories and reasons contain HTML and scripts."""

import base64
import hashlib
import json
import os
import re
import threading
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hpo.config.errors import HpoError
from hpo.config.trial import Measurement
from hpo.files.store import ArtifactStore, trial_path
from hpo.lifecycle.creation import create_from_file
from hpo.results.report.page import write_report
from hpo.storage.leases import WorkerId
from hpo.study.artifacts import StudyArtifacts
from hpo.study.leaderboard import leaderboard
from hpo.study.study import Study
from hpo.training.single import SingleTrainer
from hpo.worker.loop import Worker
from hpo.worker.quota import Quota
from hpo.worker.timing import Timing
from tests.support import machine
from tests.support.browser import chromium
from tests.support.command_line import hpo

SCRIPT = "<script>document.title='owned'</script>"
IMAGE = "</script><img src=x onerror=\"document.title='owned'\">"
LABEL = "<a href='javascript:alert(1)'>yes</a>"
ME = WorkerId(host="here", pid=1, device="cpu")
STUDY = """
name = "{name}"
[search_space.model]
depth = {{ type = "int", low = 1, high = 2 }}
width = 8
dropout = {{ type = "float", low = 0.0, high = 0.3, or_zero = true }}
[search_space.optimizer]
name = {{ type = "categorical", choices = ["adamw", "sgd"] }}
learning_rate = {{ type = "float", low = 1e-3, high = 1e-1, log = true }}
momentum = {{ type = "float", low = 0.8, high = 0.9, when = {{ "optimizer.name" = "sgd" }} }}
[data]
source = "table.csv"
target = "sold"
[objective]
metric = "accuracy"
[training]
max_epochs = 3
[sampler]
name = "random"
[pruner]
name = "none"
[budget]
n_trials = {n_trials}
"""


def make_study(folder: Path, name: str, n_trials: int) -> tuple[Study, ArtifactStore]:
    """A binary study: a number with gaps, a text column, hostile names and values."""
    kinds = ["red", IMAGE, ""]
    rows = [
        f'{"" if i % 9 == 0 else i},"{kinds[i % 3].replace(chr(34), chr(34) * 2)}",'
        f"{LABEL if i > 119 else 'no'}"
        for i in range(240)
    ]
    (folder / "table.csv").write_text("\n".join([f'"{SCRIPT}",kind,sold', *rows]) + "\n")
    path = folder / f"{name}.toml"
    path.write_text(STUDY.format(name=name, n_trials=n_trials))
    created = create_from_file(path, f"sqlite:///{folder}/hpo.db", str(folder / "artifacts"))
    return created.study, created.store


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the study `mean`: 22 trials COMPLETE, one of each other state."""
    folder = tmp_path_factory.mktemp("report")
    study, store = make_study(folder, "mean", 26)
    worker = Worker(
        studies=lambda: [study],
        storage=study.storage,
        store=store,
        trainer=SingleTrainer("cpu"),
        identity=replace(ME, pid=os.getpid()),
        quota=Quota.limited(22),
        timing=Timing(),
    )
    worker.work(threading.Event())
    pruned, failed, _, waiting = (study.ask(ME, 600.0) for _ in range(4))
    assert pruned is not None
    assert failed is not None
    assert waiting is not None
    curve = [Measurement(step=1, value=0.5)]
    study.report({pruned: curve, failed: curve})
    study.finish(pruned, "PRUNED", 0.5, {"reason": "median pruner"})
    study.finish(failed, "FAIL", None, {"reason": f"no luck with {SCRIPT}"})
    study.release(waiting)
    study.storage.close()
    return folder


@pytest.fixture
def inside(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The study's folder as the current one, its artifacts named."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("HPO_ARTIFACTS", str(home / "artifacts"))
    return home


@pytest.fixture(scope="module")
def page(home: Path) -> Path:
    """The study's report."""
    artifacts, storage = str(home / "artifacts"), f"sqlite:///{home}/hpo.db"
    out = home / "page.html"
    done = hpo("report", "mean", "--out", out, "--storage", storage, "--artifacts", artifacts)
    assert (done.code, done.out) == (0, f"{out}\n"), done.err
    return out


class Reader(HTMLParser):
    """The parts of a page: tags with attributes, the text outside of scripts, the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._within = ""
        self.feed(text)
        self.close()
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._within = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "script":
            self.scripts[-1] += data
        elif self._within != "style":
            self.texts.append(data)


def figures(reader: Reader) -> dict[str, dict]:
    return json.loads(reader.scripts[0])


@pytest.mark.slow
def test_the_page_asks_nobody_and_runs_its_own_scripts_alone(page: Path) -> None:
    reader = Reader(page.read_text(encoding="utf-8"))
    assert [tag for tag, _ in reader.tags if tag in ("img", "a", "link", "iframe")] == []
    assert not any({"src", "href"} & attrs.keys() for _, attrs in reader.tags)
    assert not any(name.startswith("on") for _, attrs in reader.tags for name in attrs)
    policy = next(attrs["content"] for tag, attrs in reader.tags if "http-equiv" in attrs)
    assert policy is not None
    known = re.findall(r"'sha256-([^']+)'", policy)
    data, *scripts = reader.scripts
    assert known == [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    ]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy.replace("style-src 'unsafe-inline'", "")
    assert json.loads(data).keys() == {
        "compared",
        "leaders",
        "history",
        "curves",
        "parallel",
        "slices",
        "importances",
        "concurrency",
        "test",
        "reliability",
    }
    assert page.stat().st_size < 6_000_000


@pytest.mark.slow
def test_what_means_harm_is_shown_as_text(page: Path) -> None:
    reader = Reader(page.read_text(encoding="utf-8"))
    assert f"no luck with {SCRIPT}" in reader.text
    assert SCRIPT in reader.text
    assert IMAGE[:20] in reader.text
    assert "&lt;a href='javas" in str(figures(reader)["test"]["data"][0]["x"])


@pytest.mark.slow
def test_the_report_says_what_the_study_is(page: Path, home: Path) -> None:
    text = Reader(page.read_text(encoding="utf-8")).text
    for words in (
        "Predicts sold (binary) from 2 columns of 240 rows. The search optimized accuracy",
        "The search is not finished : 24 trials of 26 have ended.",
        "is the winner of 26 trials (22 complete, 1 pruned, 1 failed, 1 running, 1 waiting)",
        "168 training, 36 validation, 36 test. 1 category column, 1 number column; 2 with",
        "percentiles of 400 bootstrap resamples of the 36 validation rows",
        "With 22 complete trials this is a rough guide",
        "max(0, 3.00 \u2212 its epochs)",
        "Pruning saved about 2 epochs",
        "HistGradientBoostingClassifier, 100 iterations",
        "LogisticRegression, C = 1,",
    ):
        assert words in text


def test_metrics_are_those_of_an_export(page: Path, inside: Path) -> None:
    first = hpo("leaderboard", "mean", "--json").document[0]
    assert hpo("export", "mean", "--out", "winners").code == 0
    folder = inside / f"winners/trial-{first['number']:05d}"
    metrics = json.loads((folder / "metrics.json").read_text())
    drawn = figures(Reader(page.read_text(encoding="utf-8")))["compared"]["data"]
    by_part = {trace["name"]: trace["x"][-1] for trace in drawn if "name" in trace}
    assert by_part["validation"] == metrics["validation"]["accuracy"]
    assert by_part["test"] == metrics["test"]["accuracy"]


def test_test_metrics_are_computed_once(page: Path, inside: Path) -> None:
    first = hpo("leaderboard", "mean", "--json").document[0]
    kept = next((inside / "artifacts").rglob(f"trial-{first['number']:05d}/*/test_metrics.json"))
    before = kept.read_bytes()
    kept.write_text(json.dumps({**json.loads(before), "accuracy": 0.1239}))
    try:
        assert hpo("report", "mean", "--top", 1).out == "mean.html\n"
    finally:
        kept.write_bytes(before)
    reader = Reader((inside / "mean.html").read_text(encoding="utf-8"))
    assert "On the test part its accuracy is 0.1239:" in reader.text
    assert first["number"] != 0
    drawn = {trace["y"][0] for trace in figures(reader)["leaders"]["data"]}
    assert drawn == {f"trial {first['number']}", "trial 0 (default)"}


@pytest.mark.slow
def test_a_metric_that_has_no_value_on_the_test_part_is_a_dash(page: Path, inside: Path) -> None:
    first = hpo("leaderboard", "mean", "--json").document[0]
    kept = next((inside / "artifacts").rglob(f"trial-{first['number']:05d}/*/test_metrics.json"))
    before = kept.read_bytes()
    kept.write_text(json.dumps({"log_loss": 0.5}))
    try:
        assert hpo("report", "mean", "--out", "dash.html").code == 0
    finally:
        kept.write_bytes(before)
    reader = Reader((inside / "dash.html").read_text(encoding="utf-8"))
    assert "On the test part its" not in reader.text
    assert "\u2013 accuracy on test" in reader.text
    drawn = {trace["name"]: trace for trace in figures(reader)["compared"]["data"][-2:]}
    whole = figures(Reader(page.read_text(encoding="utf-8")))["compared"]["data"]
    assert len(drawn["test"]["x"]) == len(whole[-1]["x"]) - 1
    assert len(drawn["validation"]["x"]) == len(whole[-2]["x"])


def test_no_password_is_told(home: Path) -> None:
    study, store = make_study(home, "secret", 3)
    data = replace(study.definition.data, source="https://me:hunter2@host/t.csv?token=s3cret")
    study.definition = replace(study.definition, data=data)
    text = write_report(StudyArtifacts(study=study, store=store), home / "secret.html").read_text(
        encoding="utf-8"
    )
    assert "https://me:***@host/t.csv?token=***" in text
    assert "hunter2" not in text
    assert "s3cret" not in text
    study.storage.close()


def test_without_a_complete_trial_the_rest_is_told(inside: Path) -> None:
    study, store = make_study(inside, "early", 3)
    fresh = Reader(
        write_report(StudyArtifacts(study=study, store=store), inside / "early.html").read_text(
            encoding="utf-8"
        )
    )
    assert "No trial is COMPLETE yet (1 waiting): there is no winner" in fresh.text
    assert figures(fresh) == {}
    claim = study.ask(ME, 600.0)
    assert claim is not None
    study.finish(claim, "FAIL", None, {"reason": "out of luck"})
    study.storage.close()
    assert hpo("report", "early").code == 0
    failed = Reader((inside / "early.html").read_text(encoding="utf-8"))
    assert "No trial is COMPLETE yet (1 failed): there is no winner" in failed.text
    assert "1 out of luck" in failed.text
    assert figures(failed).keys() == {"concurrency"}


def test_weights_that_are_gone_leave_the_rest(home: Path, page: Path) -> None:
    created = create_from_file(
        home / "mean.toml", f"sqlite:///{home}/hpo.db", str(home / "artifacts")
    )
    study, store = created.study, created.store
    first = leaderboard(study)[0]
    path = first.user_attrs["artifact"]
    assert path == trial_path(study.uuid, first.number, 1, "model.safetensors")
    content = store.get(path, None)
    store.delete(path)
    try:
        out = write_report(StudyArtifacts(study=study, store=store), home / "gone.html")
    finally:
        store.put(path, content)
    reader = Reader(out.read_text(encoding="utf-8"))
    assert "its weights are not in the artifact store: no test metrics" in reader.text
    assert "test" not in figures(reader)
    assert len(figures(reader)["leaders"]["data"]) == 10
    study.storage.close()


@pytest.mark.parametrize("out", ["none/report.html", "artifacts", "/proc/report.html"])
def test_a_place_that_cannot_be_written_is_said_in_a_sentence(
    inside: Path, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.results.report.page.gather", None)  # the work comes later
    before = sorted(inside.iterdir())
    done = hpo("report", "mean", "--out", out)
    assert (done.code, done.out) == (2, "")
    assert re.fullmatch(rf"hpo: {out}: cannot be written \([A-Za-z ]+\)\n", done.err)
    assert sorted(inside.iterdir()) == before


def test_what_fails_leaves_no_draft(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise HpoError("no report today")

    monkeypatch.setattr("hpo.results.report.page.gather", fail)
    before = sorted(inside.iterdir())
    done = hpo("report", "mean", "--out", "other.html")
    assert (done.code, done.err) == (1, "hpo: no report today\n")
    assert sorted(inside.iterdir()) == before


def test_a_report_of_another_artifact_store_is_refused(inside: Path) -> None:
    ArtifactStore(str(inside / "other"))
    done = hpo("report", "mean", "--out", "other.html", "--artifacts", "other")
    assert done.code == 2
    assert "study mean keeps its artifacts in another store" in done.err


@pytest.mark.slow
def test_a_browser_draws_it_all_without_a_network(page: Path) -> None:
    machine.CHROMIUM.or_skip()
    pytest.importorskip("playwright")
    asked, said = [], []
    with chromium() as browser:
        tab = browser.new_context(offline=True).new_page()
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.goto(page.as_uri())
        tab.wait_for_selector("body[data-drawn]", timeout=60_000)
        n_drawn = tab.evaluate(
            "[...document.querySelectorAll('.plot')].filter(e => e.querySelector('svg')).length"
        )
        title = tab.title()
        shown = tab.inner_text("#figure-test")
    assert asked == [page.as_uri()]
    assert said == []
    assert n_drawn == 10
    assert title == "mean: report"
    assert "<a href='javascript:ale" in shown
