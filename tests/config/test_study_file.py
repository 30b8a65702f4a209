from pathlib import Path

import polars as pl
import pytest

from hpo.config.definition import StudyDefinition, load_definition
from hpo.config.errors import DataError
from hpo.config.trial import DataConfig
from hpo.data.dataset import load_dataset
from hpo.data.table import Table, read_table
from hpo.lifecycle.draft import draft
from tests.support.paths import ROOT

DATA = ROOT / "studies" / "data"


def drafted(source: str, target: str, folder: Path) -> tuple[str, StudyDefinition]:
    """The text, and what it says once it is loaded from a file in the folder."""
    text = draft(source, target, folder)
    path = folder / "drafted.toml"
    path.write_text(text, encoding="utf-8")
    definition = load_definition(path)
    assert StudyDefinition.from_json(definition.to_json()) == definition
    return text, definition


def read(source: str, folder: Path, **changes: str) -> Table:
    return read_table(DataConfig(source=source, target="y", **changes), folder)


def write(folder: Path, columns: dict[str, list[object]], name: str = "t.csv") -> None:
    pl.DataFrame(columns).write_csv(folder / name)


def test_california_housing(tmp_path):
    source = str(DATA / "california_housing.parquet")
    text, definition = drafted(source, "MedHouseVal", tmp_path)
    assert definition.name == "california-housing"
    assert definition.data.task == "regression"
    assert definition.data.split.column == "split"
    assert definition.data.drop == ()
    assert definition.objective.metric == "rmse"
    assert definition.space.constants["training.batch_size"] == 256
    assert "20,640 rows and 10 columns" in text
    assert "8 numeric and 0 categorical columns remain" in text


def test_adult(tmp_path):
    source = str(DATA / "adult.parquet")
    frame = read(source, tmp_path).frame
    target = next(name for name in frame.columns if frame[name].n_unique() == 2 and name != "sex")
    text, definition = drafted(source, target, tmp_path)
    assert definition.data.task == "binary"
    assert definition.data.split.column == "split"
    assert definition.objective.metric == "accuracy"
    assert "6 numeric and 8 categorical columns remain" in text
    assert "the rarer class has 24% of the rows" in text
    assert ", 2,799 missing" in text


AWKWARD = ['a "quoted" one', "dotted.name", "größe = 3 # not", "line\nbreak", "back\\slash", "\x7f"]


def test_awkward_names_survive(tmp_path):
    columns = {name: [index % 7 + 0.5 for index in range(60)] for name in AWKWARD}
    ids = [f"row {index}" for index in range(60)]
    write(tmp_path, {**columns, 'my "id"': ids, "tar.get\t": [0.5 * i for i in range(60)]})
    made = read("t.csv", tmp_path)
    frame = made.frame
    target = frame.columns[-1]
    _, definition = drafted("t.csv", target, tmp_path)
    assert definition.data.target == target
    assert definition.data.drop == (frame.columns[-2],)
    dataset = load_dataset(made, definition.data)
    assert dataset.schema.numeric == tuple(frame.columns[:-2])


def test_columns_that_teach_nothing_are_dropped(tmp_path):
    n = 40
    columns = {
        "id": list(range(100, 100 + n)),
        "code": [f"x{index}" for index in range(n)],
        "same": [1] * n,
        "shuffled": [index * 7 % n for index in range(n)],
        "real": [0.1 * index for index in range(n)],
        "y": [0.5 + index % 11 for index in range(n)],
    }
    write(tmp_path, columns)
    text, definition = drafted("t.csv", "y", tmp_path)
    assert definition.data.drop == ("id", "code", "same", "shuffled")
    assert '# "id" grows from row to row, as an identifier does.' in text
    assert '# "shuffled" numbers the rows, as an identifier does.' in text
    assert '# "code" has a different text in every row, like an identifier.' in text
    assert '# "same" has the same value in every row.' in text


def test_lists_are_dropped(tmp_path):
    columns = {"y": [0.5 * i for i in range(9)], "x": list(range(9)), "split": [[1]] * 9}
    pl.DataFrame(columns).write_parquet(tmp_path / "t.parquet")
    text, definition = drafted("t.parquet", "y", tmp_path)
    assert '# "split" holds List(Int64), neither numbers nor text.' in text
    assert definition.data.drop == ("split",)


def test_a_feature_is_left_whatever_it_looks_like(tmp_path):
    write(tmp_path, {"id": list(range(40)), "y": [0.5 + index % 11 for index in range(40)]})
    assert drafted("t.csv", "y", tmp_path)[1].data.drop == ()


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        ("fold", ["train", "val", "test", "train"], True),
        ("Subset", ["train", "valid", "test", "train"], True),
        ("split", ["train", "test", "test", "train"], False),
        ("split", ["train", "val", "test", "holdout"], False),
        ("part", ["train", "val", "test", "train"], False),
    ],
)
def test_a_split_column_is_known_by_name_and_values(tmp_path, name, values, found):
    write(tmp_path, {"x": [1, 2, 3, 4] * 10, name: values * 10, "y": [1.5, 2.5, 3, 4] * 10})
    split = drafted("t.csv", "y", tmp_path)[1].data.split
    assert split.column == (name if found else None)


@pytest.mark.parametrize(
    ("y", "task", "metric", "reason"),
    [
        (["no", "yes"] * 20, "binary", "accuracy", 'text of 2 values: "no", "yes"'),
        ([0] * 36 + [1] * 4, "binary", "roc_auc", 'whole numbers of 2 values: "0", "1"'),
        ([0, 1, 2, 3] * 10, "multiclass", "accuracy", "whole numbers of 4 values"),
        (list(range(40)), "regression", "rmse", "numbers from 0 to 39"),
        ([0.5, 1] * 20, "regression", "rmse", "numbers from 0.5 to 1"),
    ],
)
def test_the_task_and_the_metric_follow_the_target(tmp_path, y, task, metric, reason):
    write(tmp_path, {"x": [float(index * 7 % 40) for index in range(40)], "y": y})
    text, definition = drafted("t.csv", "y", tmp_path)
    assert definition.data.task == task
    assert definition.objective.metric == metric
    assert reason in text


def test_what_a_person_might_not_expect_stands_in_comments(tmp_path):
    n = 60
    rows = "".join(
        f"{'<0,5' if row == 7 else f'{row % 9},25'};{row % 28 + 1:02}/03/2024;{row % 11},5;"
        f"{'churned' if row % 6 == 0 else 'stayed'}\n"
        for row in range(n)
    )
    (tmp_path / "t.csv").write_text(f"price;day;weight;y\n{rows}")
    text, definition = drafted("t.csv", "y", tmp_path)
    assert definition.data.positive == "churned"
    assert (
        'positive = "churned"  # the rarer class, 16.7% of the rows; the other is "stayed"' in text
    )
    assert '# Note: columns "price", "weight": numbers are read with "," as the decimal' in text
    assert '# Note: column "day": dates are read with the day first.' in text
    assert (
        '# Note: column "price": 1 cell is not a number and counts as missing: "<0,5" in row 8.'
        in text
    )
    assert "# 2 numeric, 1 date and 0 categorical columns remain." in text
    assert '#   "day": dates' in text
    dataset = load_dataset(read("t.csv", tmp_path, positive="churned"), definition.data)
    assert dataset.schema.positive == "churned"


def test_classes_of_equal_size_are_said_to_be_so(tmp_path):
    write(tmp_path, {"x": [1, 2, 3, 4] * 10, "y": [False, True] * 20})
    text, definition = drafted("t.csv", "y", tmp_path)
    assert definition.data.positive == "true"
    assert 'positive = "true"  # the classes are equally frequent; the other is "false"' in text


@pytest.mark.parametrize(
    ("file", "name"),
    [("House Prices (2024).csv", "house-prices-2024"), ("größe.csv", "groe"), ("日.csv", "study")],
)
def test_the_study_is_named_after_its_table(tmp_path, file, name):
    write(tmp_path, {"x": [1, 2, 3] * 9, "y": [1.5, 2, 3] * 9}, file)
    assert drafted(file, "y", tmp_path)[1].name == name


def test_a_built_in_table(tmp_path):
    _, definition = drafted("sklearn:digits", "target", tmp_path)
    assert (definition.name, definition.data.task) == ("digits", "multiclass")


@pytest.mark.parametrize(("rows", "size", "space"), [(100, 32, "mlp_small"), (5_000, 128, "mlp")])
def test_batch_and_networks_grow_with_the_table(tmp_path, rows, size, space):
    write(tmp_path, {"x": list(range(rows)), "y": [0.5 * index for index in range(rows)]})
    text, definition = drafted("t.csv", "y", tmp_path)
    assert definition.space.constants["training.batch_size"] == size
    assert f'search_space = "{space}"' in text


def test_what_keeps_a_study_from_running_is_said(tmp_path):
    write(tmp_path, {"x": [1, 2, 3], "y": ["no", "yes", "no"]})
    text, _ = drafted("t.csv", "y", tmp_path)
    assert "\n# Note: t.csv: data.split leaves the val part no rows of 3 in all.\n" in text


def test_a_missing_target_is_said(tmp_path):
    write(tmp_path, {"x": [1, 2], "price": [1.5, 2]})
    with pytest.raises(DataError, match='did you mean "price"'):
        draft("t.csv", "prize", tmp_path)


def test_a_missing_word_that_is_a_class_is_no_missing_word(tmp_path):
    rows = "".join(f"{row}.5,{'NA' if row % 2 else 'EU'}\n" for row in range(40))
    (tmp_path / "t.csv").write_text(f"x,y\n{rows}", encoding="utf-8")
    text, definition = drafted("t.csv", "y", tmp_path)
    assert definition.data.missing == ("N/A", "NaN", "nan", "null", "NULL", "?")
    assert "the usual words for a missing value, except one that is a class" in text
    table = read_table(definition.data, tmp_path)
    assert load_dataset(table, definition.data).schema.classes == ("EU", "NA")


def test_a_missing_word_that_is_rare_in_the_target_is_a_gap(tmp_path):
    rows = "".join(
        f"{row}.5,{'NA' if row == 3 else 'EU' if row % 2 else 'US'}\n" for row in range(40)
    )
    (tmp_path / "t.csv").write_text(f"x,y\n{rows}", encoding="utf-8")
    with pytest.raises(
        DataError, match=r'missing in 1 of 40 rows, first in row 4, which holds "NA"'
    ):
        draft("t.csv", "y", tmp_path)


@pytest.mark.parametrize(
    ("cells", "key", "first", "second", "readings"),
    [
        (['"1,234"', '"2,345"'], "decimal", ".", ",", "is 1234 with .*, and 1.234 with"),
        (
            ["01/02/2024", "03/04/2024"],
            "date_order",
            "dmy",
            "mdy",
            "is 2024-02-01 with .*, and 2024-01-02 with",
        ),
    ],
)
def test_what_reads_in_two_ways_is_left_to_a_person(tmp_path, cells, key, first, second, readings):
    rows = "".join(f"{cells[row % 2]},{'no' if row % 3 else 'yes'}\n" for row in range(40))
    (tmp_path / "t.csv").write_text(f"x,y\n{rows}", encoding="utf-8")
    text, definition = drafted("t.csv", "y", tmp_path)
    line = f'# {key} = "{first}"  # or "{second}"\n'
    assert line in text
    with pytest.raises(DataError, match=readings):  # as long as nobody decides
        read_table(definition.data, tmp_path)
    path = tmp_path / "drafted.toml"
    path.write_text(text.replace(line, line.removeprefix("# ")), encoding="utf-8")
    decided = load_definition(path).data
    assert getattr(decided, key) == first
    assert read_table(decided, tmp_path).readers["x"].kind in ("number", "date")
