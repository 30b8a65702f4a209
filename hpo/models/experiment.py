"""A study's table, prepared once for all trials of a process.

Owns what is computed once and shared: the encoded table, and a preprocessed copy for each
configuration of preprocessing and each fold. Preprocessors are fitted on the training part only, of
each fold on its own; only `test_metrics` reads the targets of the test part. In a refit, the
validation rows belong to the training part, and epochs are measured on that part.

A study's table is in its artifact store, under its fingerprint, or stays at its source if the study
has `copy = false`. A remote table is read through the local cache, which keeps the typed table. A
table that does not match its fingerprint is refused.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import polars
import torch

from hpo.config.definition import StudyData
from hpo.config.errors import ArtifactError, DataError
from hpo.config.trial import (
    Calibration,
    DataConfig,
    ObjectiveConfig,
    PreprocessingConfig,
    TrialConfig,
)
from hpo.data.dataset import Dataset, Part, load_dataset
from hpo.data.format_1 import read_recorded
from hpo.data.preprocessing import Preprocessor
from hpo.data.table import Table
from hpo.files.cache import cached
from hpo.files.remote import is_remote
from hpo.files.store import ArtifactStore, table_path
from hpo.models.comparison import objective
from hpo.models.ensemble import FoldEnsemble, TrialModel
from hpo.models.model import Model, Predictor, columns_of
from hpo.training.batches import FoldedData, RunData, TrainingData
from hpo.training.calibration import calibrate
from hpo.training.families.family import trained_network
from hpo.training.metrics import evaluate
from hpo.training.precision import describe_environment
from hpo.training.record import Result
from hpo.training.targets import link_of


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
            DataError: the table's fingerprint is not that of `data`.
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
        self._prepared: dict[PreprocessingConfig, tuple[tuple[Preprocessor, ...], RunData]] = {}

    def for_refit(self) -> "Experiment":
        """The same table with the validation rows in the training part."""
        return Experiment(
            self.table, self._data, load_dataset(self.table, self._data, for_refit=True)
        )

    @cached_property
    def dataset(self) -> Dataset:
        """The encoded table and its split."""
        return load_dataset(self.table, self._data)

    def prepared(self, config: PreprocessingConfig) -> tuple[tuple[Preprocessor, ...], RunData]:
        """The preprocessors of a configuration, fitted in each fold, and the preprocessed data."""
        if config not in self._prepared:
            found = [_prepare(dataset, config) for dataset in self.dataset.folds]
            folds = tuple(data for _, data in found)
            data = FoldedData(folds=folds) if len(folds) > 1 else folds[0]
            self._prepared[config] = tuple(preprocessor for preprocessor, _ in found), data
        return self._prepared[config]

    def model(self, config: TrialConfig, result: Result, device: torch.device) -> TrialModel:
        """Combine the weights of a finished run with their preprocessing.

        The model's configuration has the resolved precision instead of `auto`, so that training it
        again gives the same bits. A refit has no validation metrics, and the calibration of its
        trial.
        """
        preprocessors, data = self.prepared(config.preprocessing)
        config = replace(config, training=replace(config.training, precision=result.precision))
        folds = tuple(
            Model(
                config=config,
                schema=self.dataset.schema,
                preprocessor=preprocessor,
                network=trained_network(config.model, own.inputs, own.n_outputs, found.weights),
                scale=own.scale(link_of(config.training, own.task)),
                metrics=found.metrics if config.refit is None else {},
                environment=describe_environment(device, result.precision),
            )
            for preprocessor, own, found in zip(
                preprocessors, data.folds, result.folds, strict=True
            )
        )
        calibration = result.calibration if config.refit is None else config.refit.calibration
        if len(folds) == 1:
            return replace(folds[0], calibration=calibration)
        return FoldEnsemble(
            schema=self.dataset.schema,
            metrics=result.metrics,
            folds=folds,
            calibration=calibration,
        )

    def test_metrics(self, model: Predictor) -> dict[str, float]:
        """Every metric that is defined on the test part, in the target's own units."""
        part = self.dataset.part("test")
        if not len(part.y):
            return {}
        return self._metrics(model, model.logits(part.x_num, part.x_cat), part)

    def validation_metrics(self, model: Predictor) -> dict[str, float]:
        """Every metric that is defined on the validation part."""
        return self._metrics(model, self.validation_logits(model), self.dataset.part("val"))

    def validation_logits(self, model: Predictor) -> torch.Tensor:
        """Logits or values on the validation part, as of `Predictor.logits`."""
        return self.raw_validation_logits(model) / model.calibration.temperature

    def raw_validation_logits(
        self, model: Predictor, picked: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits or values on the validation part, as of `Predictor.raw_logits`.

        With folds, each row is predicted by the networks of its fold, which did not see it.

        Args:
            model: of this table.
            picked: places of some rows in the validation part, ascending; all rows if None.
        """
        dataset = self.dataset
        rows = dataset.rows("val")
        if picked is None:
            picked = torch.arange(len(rows))
        ends = torch.tensor([len(split.val) for split in dataset.splits]).cumsum(dim=0)
        fold_of = torch.bucketize(picked, ends, right=True)
        of_each = [rows[picked[fold_of == at]] for at in range(len(ends))]
        return torch.cat(
            [
                model.of_fold(at).raw_logits(dataset.x_num[own], dataset.x_cat[own])
                for at, own in enumerate(of_each)
            ]
        )

    def calibration(self, model: Predictor, objective: ObjectiveConfig) -> Calibration:
        """The calibration of a model's raw predictions on the validation part."""
        task, part = self.dataset.schema.task, self.dataset.part("val")
        logits = self.raw_validation_logits(model)
        return calibrate(objective, task, logits, part.y, part.weights)

    def held_rows(self, n: int) -> polars.DataFrame:
        """Up to `n` typed rows that no network was trained on, evenly spaced.

        They are of the validation and test parts, with folds of the test part alone. If there are
        none, they are training rows.
        """
        dataset = self.dataset
        unseen = [dataset.rows("test")]
        if len(dataset.splits) == 1:
            unseen.append(dataset.rows("val"))
        rows = torch.cat(unseen).sort().values
        if not len(rows):
            rows = dataset.rows("train")
        picked = torch.linspace(0, len(rows) - 1, min(n, len(rows))).round().long()
        return self.table.frame[rows[picked].numpy()]

    def _metrics(self, model: Predictor, logits: torch.Tensor, part: Part) -> dict[str, float]:
        task, n_classes = self.dataset.schema.task, len(self.dataset.schema.classes)
        threshold = model.calibration.threshold
        return evaluate(
            objective(model), task, n_classes, logits, part.y, part.weights, threshold=threshold
        )


def _prepare(dataset: Dataset, config: PreprocessingConfig) -> tuple[Preprocessor, TrainingData]:
    """Fit a preprocessor to a dataset without folds, and apply it."""
    train, val = dataset.part("train"), dataset.part("val")
    preprocessor = Preprocessor.fit(dataset.schema, train.x_num, train.x_cat, config)
    x_train = preprocessor(train.x_num, train.x_cat)
    is_refit = not len(val.y)
    data = TrainingData(
        task=dataset.schema.task,
        n_classes=len(dataset.schema.classes),
        x_train=x_train,
        y_train=train.y,
        x_val=x_train if is_refit else preprocessor(val.x_num, val.x_cat),
        y_val=train.y if is_refit else val.y,
        columns=columns_of(preprocessor),
        w_train=dataset.loss_weights(),
        w_val=train.weights if is_refit else val.weights,
    )
    return preprocessor, data


def keep_table(store: ArtifactStore, table: Table, data: StudyData) -> None:
    """Copy a study's table to the artifact store, unless it is there or has `copy = false`.

    Raises:
        ArtifactError: the table cannot be written.
    """
    path = table_path(data.fingerprint)
    if data.copy and not store.exists(path):
        store.put_by(path, table.write)


def load_experiment(store: ArtifactStore, data: StudyData) -> Experiment:
    """Read a study's table.

    Raises:
        ArtifactError: the table is missing, damaged or out of reach.
        DataError: the table's content is not that of the study.
    """
    if not data.copy:
        return _from_source(data)
    path = table_path(data.fingerprint)
    if (file := store.local_path(path)) is None:
        return _cached(data, partial(store.fetch, path))
    try:
        return _read(data, file)
    except OSError as error:
        what = f"artifact {path} cannot be read from {store.safe_url}"
        raise ArtifactError(f"{what}: {error.strerror or error}") from None


def _from_source(data: StudyData) -> Experiment:
    if not is_remote(data.source):
        return Experiment(_at_source(data), data)
    return _cached(data, lambda file: _at_source(data).write(file))


def _at_source(data: StudyData) -> Table:
    """The table at its source. A missing one may appear later, so it is an `ArtifactError`."""
    try:
        return read_recorded(data, Path())
    except DataError as error:
        raise ArtifactError(str(error)) from None


def _cached(data: StudyData, fetch: Callable[[Path], object]) -> Experiment:
    name = f"{data.fingerprint}.parquet"
    return cached("tables", name, fetch, partial(_read, data))


def _read(data: StudyData, path: Path) -> Experiment:
    try:
        table = Table.read(path)
    except DataError as error:  # a damaged file
        raise ArtifactError(str(error)) from None
    return Experiment(table, data)
