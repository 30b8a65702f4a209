"""Where data and training meet: a data set, made ready once, on which trials are trained.

Owns the choice of what is computed once and shared: the encoded table, and one preprocessed copy a
`numeric` choice. Preprocessors are fitted on the training part alone; the targets of the test part
are read by `test_metrics` and nothing else.
"""

from dataclasses import replace
from functools import cached_property
from typing import Literal

import polars
import torch

from hpo.config.errors import DataError
from hpo.config.trial import DataConfig, Numeric, TrialConfig
from hpo.data.dataset import Dataset, load_dataset
from hpo.data.preprocessing import Preprocessor
from hpo.data.table import Table
from hpo.models.model import Model, Predictor, n_outputs
from hpo.training import MLP, Result, TrainingData, describe_environment, evaluate


class Experiment:
    """A table, encoded and split, and its preprocessed copies.

    Attributes:
        table: the typed table.
    """

    def __init__(self, table: Table, data: DataConfig, dataset: Dataset | None = None) -> None:
        """Take a typed table.

        Args:
            table: the typed table.
            data: what the study says of the table.
            dataset: the table's dataset, if the caller has built it and taken the fingerprint in
                `data` from the same table; otherwise it is built on first use.

        Raises:
            DataError: the fingerprint in `data` is of another table.
        """
        if dataset is not None:
            self.dataset = dataset
        elif (found := table.fingerprint()) != data.fingerprint:
            raise DataError(
                f"{data.source}: the table's content has changed since the study was created: "
                f"its fingerprint is {found[:16]}… where {data.fingerprint[:16]}… was recorded"
            )
        self.table = table
        self._data = data
        self._prepared: dict[Numeric, tuple[Preprocessor, TrainingData]] = {}

    @cached_property
    def dataset(self) -> Dataset:
        """The encoded table and its split."""
        return load_dataset(self.table, self._data)

    def prepared(self, numeric: Numeric) -> tuple[Preprocessor, TrainingData]:
        """The fitted preprocessor of a `numeric` choice, and what comes out of it."""
        if numeric not in self._prepared:
            self._prepared[numeric] = self._prepare(numeric)
        return self._prepared[numeric]

    def model(self, config: TrialConfig, result: Result, device: torch.device) -> Model:
        """Join a finished training's weights with their preprocessing.

        The model's configuration names the precision that `auto` was resolved to, so that training
        it again gives the same bits.
        """
        preprocessor, data = self.prepared(config.preprocessing.numeric)
        sizes = preprocessor.n_features, n_outputs(self.dataset.schema)
        network = MLP.trained(*sizes, config.model, result.weights)
        return Model(
            config=replace(config, training=replace(config.training, precision=result.precision)),
            schema=self.dataset.schema,
            preprocessor=preprocessor,
            network=network,
            target_mean=data.target_mean,
            target_std=data.target_std,
            metrics=result.metrics,
            environment=describe_environment(device, result.precision),
        )

    def test_metrics(self, model: Predictor) -> dict[str, float]:
        """Every metric that has a value on the test part, if any, in the target's own units."""
        return self._metrics(model, "test")

    def validation_metrics(self, model: Predictor) -> dict[str, float]:
        """Likewise on the validation part."""
        return self._metrics(model, "val")

    def held_rows(self, n: int) -> polars.DataFrame:
        """Typed rows of the validation and test parts, n of them at most, evenly spaced."""
        split = self.dataset.split
        rows = torch.cat([split.val, split.test]).sort().values
        picked = torch.linspace(0, len(rows) - 1, min(n, len(rows))).round().long()
        return self.table.frame[rows[picked].numpy()]

    def _metrics(self, model: Predictor, name: Literal["val", "test"]) -> dict[str, float]:
        part, schema = self.dataset.part(name), self.dataset.schema
        if not len(part.y):
            return {}
        logits = model.logits(part.x_num, part.x_cat)
        return evaluate(schema.task, len(schema.classes), logits, part.y, 0.0, 1.0)

    def _prepare(self, numeric: Numeric) -> tuple[Preprocessor, TrainingData]:
        dataset = self.dataset
        train, val = dataset.part("train"), dataset.part("val")
        preprocessor = Preprocessor.fit(dataset.schema, train.x_num, train.x_cat, numeric)
        data = TrainingData(
            task=dataset.schema.task,
            n_classes=len(dataset.schema.classes),
            x_train=preprocessor(train.x_num, train.x_cat),
            y_train=train.y,
            x_val=preprocessor(val.x_num, val.x_cat),
            y_val=val.y,
        )
        return preprocessor, data
