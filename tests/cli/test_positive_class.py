"""The class that a metric is of is named beside it, and a table's notes are shown, as text."""

import json
import re
from pathlib import Path

import pytest

from hpo.cli.show import print_confirmation
from hpo.config.metrics import Direction, metric_label
from hpo.dashboard.files import file_content
from hpo.dashboard.notes import study_note
from hpo.files.store import ArtifactStore
from hpo.storage.engine import open_storage
from hpo.study.catalog import find, open_study
from hpo.study.confirmation import Confirmation, ConfirmedConfig, Estimate
from tests.support.command_line import hpo

pytestmark = pytest.mark.slow

GONE = "[red]gone | <b>away</b>"
STUDY = """
name = "leaving"
[search_space.model]
depth = 1
width = 8
[search_space.optimizer]
learning_rate = { type = "float", low = 1e-3, high = 1e-1, log = true }
[data]
source = "t.csv"
target = "left"
[objective]
metric = "f1"
[training]
max_epochs = 8
[budget]
n_trials = 2
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A searched study whose rarer class, and whose odd cell, look like markup."""
    folder = tmp_path_factory.mktemp("home")
    rows = [f"{i % 37},{GONE if i % 37 > 28 else 'stayed'}" for i in range(200)]
    rows[5] = f"<i>n/a</i>,{rows[5].split(',')[1]}"
    (folder / "t.csv").write_text("\n".join(["days,left", *rows]) + "\n")
    (folder / "s.toml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        ran = hpo("run", "s.toml", "--workers", 1, "--top", 1)
        assert ran.code == 0, ran.err
        (folder / "stdout").write_text(ran.out)
        assert hpo("report", "leaving", "--out", "report.html").code == 0
    return folder


@pytest.fixture
def inside(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(home)
    monkeypatch.setenv("COLUMNS", "160")
    return home


def test_commands_name_it(inside: Path) -> None:
    said = f"f1 of {GONE}"
    assert said in (inside / "stdout").read_text()
    assert re.search(rf"^best +{re.escape(said)} [01]", hpo("status", "leaving").out, re.M)
    assert said in hpo("leaderboard", "leaving").out
    assert said in hpo("trial", "leaving", 0).out


def test_documents_keep_the_plain_name(inside: Path) -> None:
    status = hpo("status", "leaving", "--json").document
    assert status["objective"] == {"metric": "f1", "positive": GONE}
    row = hpo("leaderboard", "leaving", "--json").document[0]
    assert row["metrics"]["f1"] == row["value"]
    metrics = json.loads(next(inside.glob("winners/leaving/trial-*/metrics.json")).read_text())
    assert "f1" in metrics["test"]


def test_the_card_names_it(inside: Path) -> None:
    (card,) = inside.glob("winners/leaving/trial-*/README.md")
    text = card.read_text(encoding="utf-8")
    assert "| f1 of [red]gone \\| <b>away</b> (higher is better, chosen by) |" in text
    assert f"by validation f1 of {GONE}. `config.toml` has" in text


def test_the_report_names_it_and_shows_the_notes(inside: Path) -> None:
    page = (inside / "report.html").read_text(encoding="utf-8")
    shown, figures = page.split('<script type="application/json" id="figures">')
    assert "<b>away" not in page
    assert "<i>n/a" not in page
    said = "f1 of [red]gone | &lt;b&gt;away&lt;/b&gt;"
    assert f"The search optimized {said} on the validation part" in shown
    assert f"On the test part its {said} is" in shown
    assert f'<th class="n">{said}</th>' in shown
    assert f'<th colspan="2">{said}</th>' in shown
    assert '<th colspan="2">accuracy</th>' in shown
    drawn = json.loads(figures.split("</script>")[0])
    axes = [drawn["compared"]["layout"]["xaxis"], drawn["history"]["layout"]["yaxis"]]
    assert [axis["title"]["text"] for axis in axes] == [said, said]
    notes = re.search(r"<h3>Notes</h3>\s*<ul>(.*?)</ul>", shown, re.S)
    assert notes is not None
    assert (
        "1 cell is not a number and counts as missing: &#34;&lt;i&gt;n/a&lt;/i&gt;&#34;" in notes[1]
    )
    assert "the positive class is" in notes[1]


def test_the_dashboard_names_it(inside: Path) -> None:
    storage, store = open_storage("sqlite:///hpo.db"), ArtifactStore("hpo-artifacts")
    text = study_note(storage, find(storage, "leaving"))
    assert "| objective | maximize f1 of [red]gone \\| <b>away</b> on validation |" in text
    study = open_study(storage, "leaving")
    drawn = file_content(study, study.trials()[0], "curve", store).decode()
    assert "f1 of [red]gone | &lt;b&gt;away&lt;/b&gt;" in drawn
    storage.close()


def test_a_confirmation_names_it(inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = ConfirmedConfig(
        number=1,
        values={1: 0.5},
        is_whole=True,
        estimate=Estimate.of([0.5]),
        difference=None,
        n_better=0,
    )
    confirmation = Confirmation(
        study="s", metric="f1", direction=Direction.MAXIMIZE, seeds=(1,), configs=(found,)
    )
    print_confirmation(confirmation, metric_label("f1", GONE))
    assert f"f1 of {GONE}, 1 seeds" in capsys.readouterr().out


def test_a_class_is_named_in_a_line_that_commands_no_terminal() -> None:
    assert metric_label("f1", "a\nb \x1b[2J") == r"f1 of a b \x1b[2J"
    assert metric_label("f1", "x" * 99) == f"f1 of {'x' * 29}…"
    assert metric_label("accuracy", "a") == "accuracy"
    assert metric_label("f1", None) == "f1"
    assert metric_label("f1", True) == "f1 of True"
