"""Ensembles: the mean of the probabilities or values of several models.

The mean has a calibration of its own. That of a member counts only where the member predicts alone.

The models are those of a trial's folds, or of several trials. The file of an ensemble is that of a
model, with each member's tensors under the member's index.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce

import torch

from hpo.config.errors import InputError
from hpo.config.trial import Environment, Task, TrialConfig
from hpo.data.schema import TableSchema
from hpo.models.content import (
    ENSEMBLE,
    FOLDS,
    Header,
    Tensors,
    deserialize,
    header_value,
    serialize,
    strip_prefix,
)
from hpo.models.model import (
    Model,
    Predictor,
    calibration_header,
    read_calibration,
    read_schema,
)
from hpo.training.metrics import predictions

FAINTEST = 1e-300
"""Smallest probability, since the logarithm of 0 is infinite."""


class _Mean(Predictor):
    """A predictor of several models: the weighted mean of their probabilities or values."""

    @torch.inference_mode()
    def raw_logits(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """Logits of the members' mean before its calibration, or values, in float64."""
        shares = [weight * exact_outputs(model, x_num, x_cat) for weight, model in self.parts]
        return as_logits(self.schema.task, reduce(torch.add, shares))

    def block_outputs(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """The weighted mean of the models' predictions, with its calibration."""
        if self.calibration.temperature != 1:
            return predictions(self.schema.task, self.logits(x_num, x_cat)).float()
        shares = [
            weight * predictions(self.schema.task, model.raw_logits(x_num, x_cat))
            for weight, model in self.parts
        ]
        return reduce(torch.add, shares)


@dataclass(frozen=True, kw_only=True)
class FoldEnsemble(_Mean):
    """The model of a trial with folds: one network a fold, with equal weights.

    Attributes:
        folds: in their order; the metrics of each are those on its own validation part.
    """

    folds: tuple[Model, ...]

    @property
    def config(self) -> TrialConfig:
        """The trial's configuration."""
        return self.folds[0].config

    @property
    def environment(self) -> Environment:
        """What a bit-for-bit repetition depends on besides `config`."""
        return self.folds[0].environment

    @property
    def parts(self) -> tuple[tuple[float, Model], ...]:
        """The folds' models, each with the same weight."""
        return tuple((1 / len(self.folds), model) for model in self.folds)

    def of_fold(self, index: int) -> Model:
        """The model of a fold."""
        return self.folds[index]

    @property
    def formats(self) -> tuple[int, int]:
        """The formats of the networks of folds."""
        return FOLDS

    def to_bytes(self) -> bytes:
        """The file's content."""
        header = {"format": str(self.format), "schema": self.schema.to_json(), **self.header()}
        return serialize(self.tensors(), header)

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> "FoldEnsemble":
        """Read the content of a file.

        Raises:
            InputError: the content is no ensemble of folds, or has a newer format.
        """
        tensors, header = deserialize(content, where, *FOLDS)
        return cls.assemble(read_schema(header, where), tensors, header, where)

    def tensors(self) -> Tensors:
        """All learned tensors, by name."""
        return _joined(self.folds)

    def header(self) -> Header:
        """The header of the file, without format and schema, as JSON texts."""
        folds = [model.header() for model in self.folds]
        return {
            "metrics": json.dumps(self.metrics),
            "folds": json.dumps(folds),
            **calibration_header(self.calibration),
        }

    @classmethod
    def assemble(
        cls, schema: TableSchema, tensors: Tensors, header: Header, where: str
    ) -> "FoldEnsemble":
        """Build the model of a schema, tensors and a header.

        Raises:
            InputError: the header is incomplete or invalid, or the tensors do not fit it.
        """
        described = header_value(header, "folds", tuple[dict[str, str], ...], where)
        folds = tuple(
            Model.assemble(schema, strip_prefix(f"{index}.", tensors), own, where)
            for index, own in enumerate(described)
        )
        if not folds:
            raise InputError(f"{where}: is an ensemble without members")
        metrics = header_value(header, "metrics", dict[str, float], where)
        calibration = read_calibration(header, where)
        return cls(schema=schema, metrics=metrics, folds=folds, calibration=calibration)


TrialModel = Model | FoldEnsemble
"""What a trial has trained, without or with folds."""


@dataclass(frozen=True, kw_only=True)
class EnsembleMember:
    """A trial of an ensemble.

    Attributes:
        number: of the trial.
        weight: in the mean; all weights add up to 1.
    """

    number: int
    weight: float
    model: TrialModel


@dataclass(frozen=True, kw_only=True)
class Ensemble(_Mean):
    """Members with the same schema; the first is the best on its own."""

    members: tuple[EnsembleMember, ...]

    @property
    def parts(self) -> tuple[tuple[float, Model], ...]:
        """The members' weights and models; those of folds share the weight of their trial."""
        return tuple(
            (member.weight * weight, model)
            for member in self.members
            for weight, model in member.model.parts
        )

    def of_fold(self, index: int) -> "Ensemble":
        """The ensemble of the members' models of a fold."""
        members = tuple(
            replace(member, model=member.model.of_fold(index)) for member in self.members
        )
        return replace(self, members=members)

    @property
    def text(self) -> str:
        """Its name for people."""
        n = len(self.members)
        return f"ensemble of {n} model{'s' if n > 1 else ''}"

    @property
    def formats(self) -> tuple[int, int]:
        """The formats of an ensemble."""
        return ENSEMBLE

    def to_bytes(self) -> bytes:
        """The file's content."""
        members = [
            {"number": member.number, "weight": member.weight, **member.model.header()}
            for member in self.members
        ]
        header = {
            "format": str(self.format),
            "schema": self.schema.to_json(),
            "metrics": json.dumps(self.metrics),
            "members": json.dumps(members),
            **calibration_header(self.calibration),
        }
        return serialize(_joined([member.model for member in self.members]), header)

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> "Ensemble":
        """Read the content of a file.

        Raises:
            InputError: the content is no ensemble, or has a newer format.
        """
        tensors, header = deserialize(content, where, *ENSEMBLE)
        schema = read_schema(header, where)
        members = []
        described = header_value(header, "members", tuple[_MemberHeader, ...], where)
        for index, entry in enumerate(described):
            own = strip_prefix(f"{index}.", tensors)
            kind = FoldEnsemble if entry.folds else Model
            model = kind.assemble(schema, own, entry.header(), where)
            members.append(EnsembleMember(number=entry.number, weight=entry.weight, model=model))
        if not members:
            raise InputError(f"{where}: is an ensemble without members")
        metrics = header_value(header, "metrics", dict[str, float], where)
        calibration = read_calibration(header, where)
        return cls(schema=schema, metrics=metrics, members=tuple(members), calibration=calibration)


@dataclass(frozen=True, kw_only=True)
class _MemberHeader:
    """A member in the file's header, with the header of the member's own file.

    Attributes:
        package: that adds the member's model family; empty for a built-in one.
        metric_package: that adds the metric of its objective, likewise.
        calibration: of the member alone; empty without one.
        folds: of a trial with folds, which lacks the texts of a single model.
    """

    number: int
    weight: float
    metrics: str
    config: str = ""
    target: str = ""
    environment: str = ""
    package: str = ""
    metric_package: str = ""
    calibration: str = ""
    folds: str = ""

    def header(self) -> Header:
        """The header of the member's own file."""
        texts = {key: text for key, text in asdict(self).items() if isinstance(text, str)}
        return {key: text for key, text in texts.items() if text}


def _joined(models: Sequence[TrialModel]) -> Tensors:
    """The tensors of all models, each under the index of its model."""
    return {
        f"{index}.{name}": tensor.clone()  # models may share a preprocessor
        for index, model in enumerate(models)
        for name, tensor in model.tensors().items()
    }


def exact_outputs(model: Model, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
    """A model's predictions in float64, so that even faint probabilities can be averaged."""
    return predictions(model.schema.task, model.raw_logits(x_num, x_cat).double())


def as_logits(task: Task, outputs: torch.Tensor) -> torch.Tensor:
    """The logits or values, (rows, n_outputs), of predictions."""
    if task == "regression":
        return outputs[:, None]
    logarithms = outputs.clamp(min=FAINTEST).log()
    return logarithms[:, 1:] - logarithms[:, :1] if task == "binary" else logarithms
