"""Weights of rows and classes, from the table to the loss."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils import compute_class_weight

from hpo.config.errors import DataError
from hpo.config.trial import ObjectiveConfig, SplitConfig
from hpo.data.dataset import Dataset, load_dataset
from tests.support.tables import csv, named, table

PARTS = ["train"] * 6 + ["val"] * 3 + ["test"] * 3
LABELS = ["a", "b", "b", "b", "a", "b", "a", "b", "b", "a", "b", "b"]
WEIGHTS = [0.5, 2.0, 1.0, 1.0, 0.0, 3.0, 1.0, 0.0, 2.0, 1.0, 1.0, 4.0]


def dataset(y: list[Any] = LABELS, w: list[Any] = WEIGHTS, **changes: Any) -> Dataset:
    """Twelve rows with a column of weights, which the study names unless `changes` say so."""
    data = named(**{"split": SplitConfig(column="part"), "weight": "w", **changes})
    columns = {"x": [0.5 * row for row in range(12)], "w": w, "part": PARTS, "y": y}
    return load_dataset(table(columns, **{"weight": data.weight, "split": data.split}), data)


def test_a_column_weighs_rows_and_is_no_feature() -> None:
    found = dataset()
    assert found.schema.columns == ("x",)
    assert found.part("val").weights.tolist() == WEIGHTS[6:9]
    assert found.part("test").weights.tolist() == WEIGHTS[9:]
    assert found.loss_weights().tolist() == WEIGHTS[:6]
    plain = dataset(weight=None)
    assert plain.schema.columns == ("x", "w")
    assert plain.part("val").weights is None
    assert plain.loss_weights() is None


def test_balanced_classes_have_the_weights_of_scikit_learn_in_the_training_part() -> None:
    plain = dataset(weight=None, class_weight="balanced")
    train = torch.tensor([0, 1, 1, 1, 0, 1])
    expected = compute_class_weight("balanced", classes=np.arange(2), y=train.numpy())
    assert plain.schema.classes[1] == "a"  # the rarer one is positive
    assert plain.loss_weights().tolist() == pytest.approx(expected[train].tolist())
    assert plain.part("val").weights is None
    both = dataset(class_weight="balanced")
    by_class = [both.loss_weights()[train == code].sum().item() for code in (0, 1)]
    assert by_class[0] == pytest.approx(by_class[1])
    assert both.part("val").weights.tolist() == WEIGHTS[6:9]


def test_classes_have_the_weights_that_the_study_gives() -> None:
    found = dataset(class_weight={"b": 0.5, "a": 4.0})
    assert found.loss_weights().tolist() == [2.0, 1.0, 0.5, 0.5, 0.0, 1.5]
    of_numbers = dataset([0, 1, 1, 1, 0, 1, 0, 1, 1, 0, 1, 1], class_weight={"0": 2.0, "1": 1.0})
    assert of_numbers.loss_weights().tolist() == [1.0, 2.0, 1.0, 1.0, 0.0, 3.0]


def test_cells_of_weights_are_read_as_numbers() -> None:
    rows = "".join(f'"{w:.1f}";{x};{x}.5\n'.replace(".", ",") for x, w in enumerate(WEIGHTS))
    text = csv("w;x;y\n" + rows, weight="w")
    data = named(weight="w", split=SplitConfig(val=0.3, test=0.3))
    assert load_dataset(text, data).weights.tolist() == WEIGHTS


def test_a_metric_needs_rows_with_a_weight() -> None:
    w = [1.0] * 12
    w[6] = 0.0  # the only validation row of a
    with pytest.raises(DataError, match=r'roc_auc cannot .* it has no row of the class "a"'):
        dataset(w=w).check_objective(ObjectiveConfig(metric="roc_auc"), "s.toml")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"weight": "ww"}, r'has no column "ww", which data\.weight names \(did you mean "w"\?\)'),
        ({"w": [-1.0, *WEIGHTS[1:]]}, r'"w" must hold numbers of at least 0, but is -1 in row 1$'),
        ({"w": [1, None, *[1] * 10]}, "numbers of at least 0, but is missing in row 2$"),
        ({"w": [str(row) + "x" for row in range(12)]}, 'must hold numbers.* row 1 holds "0x"'),
        ({"w": [1.0] * 6 + [0.0] * 3 + [1.0] * 3}, "is zero in every row of the validation part$"),
        ({"w": [1.0] * 9 + [0.0] * 3}, "is zero in every row of the test part$"),
        ({"w": [0.0] * 6 + [1.0] * 6}, "is zero in every row of the training part$"),
        ({"w": [0.0, *WEIGHTS[1:]]}, 'is zero in every row of the class "a" in training$'),
        (
            {"class_weight": {"a": 1.0, "bb": 2.0}},
            r'class_weight: "bb" must be a class of the target "y" \(did you mean "b"\?\); its '
            'classes are "b", "a"$',
        ),
        ({"class_weight": {"a": 1.0}}, 'a weight for each of the classes "b", "a", .* for "b"$'),
        (
            {"class_weight": "balanced", "y": [0.5 * row for row in range(12)]},
            "class_weight: is for classes, but this is a regression$",
        ),
    ],
)
def test_weights_that_weigh_nothing_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DataError, match=rf"^t\.csv: .*{complaint}"):
        dataset(**changes)


def test_only_the_training_part_of_a_refit_needs_a_weight() -> None:
    data = named(split=SplitConfig(column="part"), weight="w")
    columns = {"x": [0.5 * row for row in range(12)], "w": WEIGHTS, "part": PARTS, "y": LABELS}
    found = load_dataset(table(columns, weight="w", split=data.split), data, for_refit=True)
    assert found.loss_weights().tolist() == WEIGHTS[:9]
    balanced = replace(found, class_weights="balanced").loss_weights()
    assert balanced.sum().item() == pytest.approx(sum(WEIGHTS[:9]))
