"""From a table to tensors, on the shipped tables and on large ones."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hpo.data.dataset import load_dataset
from hpo.data.preprocessing import Preprocessor
from hpo.data.sources import as_frame, read_table
from hpo.errors import DataError
from hpo.trial import DataConfig, SplitConfig

STUDIES = Path(__file__).parent / "../studies"
BY_COLUMN = SplitConfig(column="split")


def test_california_housing_has_its_published_parts() -> None:
    frame = read_table("data/california_housing.parquet", STUDIES)
    data = DataConfig(source="california", target="MedHouseVal", split=BY_COLUMN)
    dataset = load_dataset(frame, data)
    assert dataset.schema.task == "regression"
    sizes = {name: len(dataset.part(name).y) for name in ("train", "val", "test")}  # type: ignore[arg-type]
    assert sizes == {"train": 13_209, "val": 3_303, "test": 4_128}
    test = dataset.part("test")
    of_test = frame.filter(pl.col("split") == "test")
    assert test.y.tolist() == of_test["MedHouseVal"].cast(pl.Float32).to_list()
    assert test.x_num[:, 0].tolist() == of_test["MedInc"].cast(pl.Float32).to_list()
    assert test.x_cat.shape == (4_128, 0)


def test_what_training_saw_is_all_that_is_learned() -> None:
    frame = as_frame(
        {
            "c": ["a", "a", "b", "c"],
            "n": [1.0, 2.0, None, 4.0],
            "y": [0.5, 1.5, 2.5, 3.5],
            "split": ["train", "train", "val", "test"],
        }
    )
    dataset = load_dataset(frame, DataConfig(source="t", target="y", split=BY_COLUMN))
    assert dataset.schema.categorical[0].values == ("a",)
    assert dataset.schema.numeric_missing == ()
    assert dataset.schema.n_train == 2
    assert dataset.part("test").x_cat.tolist() == [[1]]


def test_the_first_complaint_is_the_one_to_act_on() -> None:
    frame = as_frame({"n": [1.0, float("inf")], "y": [1.0, 1.0]})
    data = DataConfig(source="t", target="z", drop=("m",))
    with pytest.raises(DataError, match='no column "z"'):
        load_dataset(frame, data)
    with pytest.raises(DataError, match='"y" has only the class 1'):
        load_dataset(frame, replace(data, target="y"))


def test_digits_need_no_file() -> None:
    data = DataConfig(
        source="sklearn:digits", target="target", split=SplitConfig(val=0.2, test=0.2)
    )
    dataset = load_dataset(read_table(data.source, Path()), data)
    assert dataset.schema.task == "multiclass"
    assert dataset.schema.classes == tuple("0123456789")
    assert dataset.part("train").y.unique().tolist() == list(range(10))


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
    dataset = load_dataset(read_table(data.source, tmp_path), data)
    train = dataset.part("train")
    fitted = Preprocessor.fit(dataset.schema, train.x_num, train.x_cat, "quantile")
    assert fitted(train.x_num, train.x_cat).shape == (70_000, 22 + 8 * 40)
    assert time.process_time() - start < 6
