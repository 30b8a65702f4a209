"""From a table to tensors, on the shipped tables and on large ones."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hpo.config.compatibility import LossChoices
from hpo.config.errors import DataError
from hpo.config.metrics import METRICS, MetricName
from hpo.config.trial import (
    DataConfig,
    ObjectiveConfig,
    PreprocessingConfig,
    SplitConfig,
    TrainingConfig,
)
from hpo.data.dataset import Dataset, load_dataset
from hpo.data.preprocessing import Preprocessor
from hpo.data.table import read_table
from tests.support.paths import ROOT
from tests.support.tables import table

STUDIES = ROOT / "studies"
BY_COLUMN = SplitConfig(column="split")


def test_california_housing_has_its_published_parts() -> None:
    source = "data/california_housing.parquet"
    data = DataConfig(source=source, target="MedHouseVal", split=BY_COLUMN)
    made = read_table(data, STUDIES)
    dataset = load_dataset(made, data)
    assert dataset.schema.task == "regression"
    sizes = {name: len(dataset.part(name).y) for name in ("train", "val", "test")}  # type: ignore[arg-type]
    assert sizes == {"train": 13_209, "val": 3_303, "test": 4_128}
    test = dataset.part("test")
    of_test = made.frame.filter(pl.col("split") == "test")
    assert test.y.tolist() == of_test["MedHouseVal"].to_list()
    assert test.x_num[:, 0].tolist() == of_test["MedInc"].cast(pl.Float32).to_list()
    assert test.x_cat.shape == (4_128, 0)


def test_what_training_saw_is_all_that_is_learned() -> None:
    made = table(
        {
            "c": ["a", "a", "b", "c"],
            "n": [1.0, 2.0, None, 4.0],
            "y": [0.5, 1.5, 2.5, 3.5],
            "split": ["train", "train", "val", "test"],
        }
    )
    dataset = load_dataset(made, DataConfig(source="t", target="y", split=BY_COLUMN))
    assert dataset.schema.categorical[0].values == ("a",)
    assert dataset.schema.numeric_missing == ()
    assert dataset.schema.n_train == 2
    assert dataset.part("test").x_cat.tolist() == [[1]]


def test_the_first_complaint_is_the_one_to_act_on() -> None:
    made = table({"n": [1.0, 2.0], "y": [1.0, 1.0]})
    data = DataConfig(source="t", target="z", drop=("m",))
    with pytest.raises(DataError, match='no column "z"'):
        load_dataset(made, data)
    with pytest.raises(DataError, match='"y" has only the class 1'):
        load_dataset(made, replace(data, target="y"))


def test_digits_need_no_file() -> None:
    data = DataConfig(
        source="sklearn:digits", target="target", split=SplitConfig(val=0.2, test=0.2)
    )
    dataset = load_dataset(read_table(data, Path()), data)
    assert dataset.schema.task == "multiclass"
    assert dataset.schema.classes == tuple("0123456789")
    assert dataset.part("train").y.unique().tolist() == list(range(10))


@pytest.mark.slow
def test_a_large_table_is_ready_in_seconds(tmp_path: Path) -> None:
    """100,000 rows of 22 numbers and 8 texts, in processor time."""
    random = np.random.default_rng(0)
    numbers = {f"n{index}": random.normal(size=100_000) for index in range(22)}
    words = pl.Series([f"v{index}" for index in range(40)])
    texts = {f"c{index}": words.gather(random.integers(0, 40, 100_000)) for index in range(8)}
    frame = pl.DataFrame({**numbers, **texts, "y": random.normal(size=100_000)})
    frame.write_parquet(tmp_path / "t.parquet")
    start = time.process_time()
    data = DataConfig(source="t.parquet", target="y")
    dataset = load_dataset(read_table(data, tmp_path), data)
    train = dataset.part("train")
    fitted = Preprocessor.fit(
        dataset.schema, train.x_num, train.x_cat, PreprocessingConfig(numeric="quantile")
    )
    assert fitted(train.x_num, train.x_cat).shape == (70_000, 22 + 8 * 40)
    assert time.process_time() - start < 6


def parts(y: list[object], **changes: object) -> Dataset:
    """A table of six rows, two of each part."""
    split = ["train", "train", "train", "val", "val", "test"]
    columns = {"x": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5], "y": y, "split": split}
    data = DataConfig(source="t", target="y", split=BY_COLUMN, **changes)  # type: ignore[arg-type]
    return load_dataset(table(columns, split=BY_COLUMN), data)


@pytest.mark.parametrize(
    ("y", "metric", "complaint"),
    [
        (["a", "b", "b", "a", "a", "b"], "roc_auc", 'has no row of the class "b"; '),
        (["a", "b", "b", "b", "b", "a"], "roc_auc", 'has no row of the class "a"; '),
        (["a", "b", "c", "a", "b", "c"], "roc_auc", 'has no row of the class "c"; '),
        (["a", "a", "b", "a", "a", "a"], "f1", 'has no row of the class "b"; '),
        (["a", "a", "b", "a", "a", "a"], "average_precision", 'has no row of the class "b"; '),
        (["a", "b", "c", "a", "b", "c"], "average_precision", 'has no row of the class "c"; '),
        ([0.5, 1.5, 2.5, 7.5, 0.0, 3.5], "mape", "has a target of 0; "),
        ([0.5, 1.5, 2.5, -7.5, 1.5, 3.5], "rmsle", r"has the target -7\.5; "),
    ],
)
def test_a_metric_that_validation_cannot_show_is_refused(
    y: list[object], metric: MetricName, complaint: str
) -> None:
    with pytest.raises(
        DataError, match=rf"^s\.toml: objective\.metric: {metric} cannot .* part: (it )?{complaint}"
    ):
        parts(y).check_objective(ObjectiveConfig(metric=metric), "s.toml")


def test_r2_of_a_single_row_is_refused() -> None:
    columns = {"x": [0.5, 1.5, 2.5, 3.5], "y": [0.5, 1.5, 2.5, 3.5]}
    made = table({**columns, "split": ["train", "train", "val", "test"]}, split=BY_COLUMN)
    data = DataConfig(source="t", target="y", split=BY_COLUMN)
    with pytest.raises(DataError, match=r"r2 cannot be computed .* part: it has a single row; "):
        load_dataset(made, data).check_objective(ObjectiveConfig(metric="r2"), "s.toml")


def test_a_target_that_a_loss_cannot_take_is_refused_with_its_row() -> None:
    made = parts([0.5, 1.5, 2.5, -0.5, -1.0, 3.5])
    poisson = LossChoices.of(TrainingConfig(loss="poisson"))
    with pytest.raises(DataError, match=r"^t: training\.loss: poisson .* but row 4 has -0\.5$"):
        made.check_targets(poisson, "t")
    log1p = LossChoices.of(TrainingConfig(target_transform="log1p"))
    with pytest.raises(DataError, match=r"target_transform: log1p .* -1, but row 5 has -1$"):
        made.check_targets(log1p, "t")
    made.check_targets(LossChoices.of(TrainingConfig()), "t")


def test_k_is_below_the_number_of_classes() -> None:
    made = parts(["a", "b", "c", "a", "b", "c"])
    made.check_objective(ObjectiveConfig(metric="top_k_accuracy", k=2), "t")
    with pytest.raises(DataError, match=r"^t: objective\.k: must be below 3, .* but got 3$"):
        made.check_objective(ObjectiveConfig(metric="top_k_accuracy", k=3), "t")


def test_other_metrics_are_fine() -> None:
    level = parts(["a", "b", "b", "a", "a", "b"])
    for metric, known in METRICS.items():
        if "binary" in known.tasks and not known.requires:
            level.check_objective(ObjectiveConfig(metric=metric), "s.toml")
    parts(["a", "a", "b", "b", "b", "a"]).check_objective(ObjectiveConfig(metric="f1"), "s.toml")
    parts(["a", "b", "c", "a", "a", "c"]).check_objective(
        ObjectiveConfig(metric="f1"), "s.toml"
    )  # a mean over the classes
    parts([0.5, 1.5, 2.5, 7.5, 7.5, 3.5]).check_objective(ObjectiveConfig(metric="rmse"), "s.toml")
    parts([0.5, 1.5, 2.5, 7.5, 6.5, 3.5]).check_objective(ObjectiveConfig(metric="r2"), "s.toml")


def test_notes_come_with_the_schema() -> None:
    noted = parts(["a", "b", "b", "a", "b", "b"])
    assert any("positive class" in note for note in noted.schema.notes)
    assert parts([0.5, 1.5, 2.5, 7.5, 6.5, 3.5]).schema.notes == ()


def test_a_thousand_columns_take_ten_times_as_long_as_a_hundred() -> None:
    """In processor time, from raw cells to features; a quadratic loop would take a hundred."""

    def seconds(n_columns: int) -> float:
        values = np.random.default_rng(0).normal(size=(n_columns, 60))
        columns = {f"c{index}": column for index, column in enumerate(values)}
        columns["y"] = np.arange(60) + 0.5
        start = time.process_time()
        dataset = load_dataset(table(columns), DataConfig(source="t", target="y"))
        train = dataset.part("train")
        fitted = Preprocessor.fit(
            dataset.schema, train.x_num, train.x_cat, PreprocessingConfig(numeric="quantile")
        )
        fitted(train.x_num, train.x_cat)
        return time.process_time() - start

    seconds(100)
    assert seconds(1000) < 40 * seconds(100)
