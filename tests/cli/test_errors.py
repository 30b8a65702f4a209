"""What a person gets for wrong input: one sentence that helps, exit code 2, nothing made."""

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from tests.support.command_line import hpo

ROWS = [f"{i},{'ab'[i % 2]},{'yes' if i % 3 else 'no'}" for i in range(40)]
TABLE = "\n".join(["size,kind,sold", *ROWS]) + "\n"
STUDY = """
name = "s"
search_space = { model = { depth = { type = "int", low = 1, high = 2 } } }
[data]
source = "t.csv"
target = "sold"
[objective]
metric = "accuracy"
[budget]
n_trials = 1
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(TABLE)
    (tmp_path / "s.toml").write_text(STUDY)
    return tmp_path


def edit(file: str, old: str, new: str) -> Callable[[], None]:
    def apply() -> None:
        text = Path(file).read_text()
        assert old in text
        Path(file).write_text(text.replace(old, new))

    return apply


def table(*lines: str) -> Callable[[], None]:
    return lambda: Path("t.csv").write_text("\n".join(lines) + "\n") and None


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (edit("s.toml", "depth", "dept"), 'model.dept: unknown key (did you mean "depth"?)'),
        (edit("s.toml", '"sold"', '"solt"'), 'data.target names (did you mean "sold"?)'),
        (edit("s.toml", '"t.csv"', '"u.csv"'), "u.csv: no such file"),
        (edit("s.toml", "accuracy", "rmse"), "must be one of accuracy, balanced_accuracy, f1"),
        (edit("s.toml", "[data]", "[data"), "s.toml: is not valid TOML"),
        (table("size,kind,sold"), "t.csv: "),
        (table(), "t.csv: "),
        (table("size,sold", "1,yes", "2,yes", "3,yes"), "sold"),
        (table("size,sold", "1,1.5", "2,1.5", "3,1.5"), "sold"),
        (table("size,sold", *["inf,yes", "2,no"] * 20), "size"),
        (table("size,sold", "1,yes", "2,yes", "3,no", "4,"), "sold"),
        (table("sold", *["yes", "no"] * 20), "feature"),
    ],
)
def test_a_wrong_study_or_table_is_said_in_a_sentence(
    spoil: Callable[[], None], sentence: str, folder: Path
) -> None:
    spoil()
    for command in ("create", "run"):
        done = hpo(command, "s.toml")
        assert done.code == 2, done.err
        assert done.err.startswith("hpo: ")
        assert sentence in done.err
        assert done.err.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["s.toml", "t.csv"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("create", "nowhere.toml"), "nowhere.toml: no such file"),
        (("run", "s.toml", "--timeout", "soon"), "--timeout must be a duration"),
        (("run", "s.toml", "--workers", "many"), "--workers must be auto or a number"),
        *(
            ((command, "s.toml", "--slots", text), f"from 1 to 1024, but got {text}\n")
            for command, text in (("run", "0"), ("run", "-1"), ("worker", "x"), ("worker", "5000"))
        ),
        (("run", "s.toml", "--gpus", "7"), "--gpus must be auto, none or positions"),
        (("create", "s.toml", "--storage", "hpo.db"), "--storage must be a URL"),
        (("create", "s.toml", "--storage", "oracle://x"), "must begin with sqlite:///"),
        (("create", "s.toml", "--artifacts", "gopher://x"), "gopher"),
        (("run", "s.toml", "--out", "/proc/winners"), "--out /proc/winners: cannot be written"),
        (("run", "s.toml", "--out", "t.csv"), "--out t.csv: cannot be written (File exists)"),
        (("predict", ".", "t.csv"), "model.safetensors: cannot be read"),
        (("predict", "s.toml", "t.csv"), "s.toml: is not a model file"),
        (("train", "s.toml"), "s.toml: "),
        (("init", "t.csv", "--target", "solt"), 'did you mean "sold"'),
        (("init", "t.csv", "--target", "sold", "--out", "s.toml"), "s.toml: exists already"),
    ],
)
def test_a_wrong_argument_is_said_in_a_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    done = hpo(*arguments)
    assert done.code == 2, done.err
    assert sentence in done.err
    assert "Traceback" not in done.err


def test_looking_makes_no_storage(folder: Path) -> None:
    for command in (("studies",), ("status", "s"), ("worker", "s"), ("dashboard",)):
        done = hpo(*command)
        assert done.code == 1
        assert "hpo.db: does not exist yet" in done.err
    assert not (folder / "hpo.db").exists()


def test_names_are_helped_with() -> None:
    assert hpo("create", "s.toml").code == 0
    done = hpo("status", "t")
    assert (done.code, "no study t in sqlite" in done.err) == (2, True)
    done = hpo("trial", "s", 5)
    assert (done.code, "has trials 0 to 0, but got 5" in done.err) == (2, True)
    done = hpo("export", "s", "--out", "winners")
    assert (done.code, "no COMPLETE trial" in done.err) == (1, True)
    assert not Path("winners").exists()


def test_names_of_other_programs_studies_command_no_terminal() -> None:
    assert hpo("create", "s.toml").code == 0
    optuna.create_study(storage="sqlite:///hpo.db", study_name="\x1b]0;red\x07\u202e")
    assert hpo("status", "t").err.endswith(r"it has s, \x1b]0;red\x07\u202e" + "\n")


def test_a_changed_study_is_refused_with_its_difference() -> None:
    assert hpo("create", "s.toml").code == 0
    edit("s.toml", "high = 2", "high = 3")()
    done = hpo("create", "s.toml")
    assert done.code == 2
    assert "search_space.model.depth.high: 2 -> 3" in done.err


@pytest.mark.slow
def test_passwords_are_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    url = "postgresql://me:s3cret%21@127.0.0.1:1/none"
    for command in (("create", "s.toml"), ("studies",), ("doctor",)):
        done = hpo(*command, "--storage", url)
        assert done.code == 1
        assert "s3cret" not in done.out + done.err
        assert "me:***@127.0.0.1" in done.out + done.err
    waited = hpo("worker", "s", "--storage", url, "--storage-timeout", "1s")
    assert waited.code == 1
    assert "trying again for up to 1 s" in caplog.text
    assert "s3cret" not in waited.err + caplog.text


@pytest.mark.parametrize(
    "option", [("--storage", "sqlite:////proc/hpo.db"), ("--artifacts", "/proc/hpo-artifacts")]
)
def test_a_folder_that_cannot_be_written_is_said_so(option: tuple[str, str]) -> None:
    done = hpo("create", "s.toml", *option)  # not even root may write to /proc
    assert done.code == 1
    assert done.err.startswith(("hpo: storage sqlite:////proc", "hpo: artifact store /proc"))
    assert done.err.count("\n") == 1
