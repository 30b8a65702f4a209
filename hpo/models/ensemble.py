"""Ensembles: the weighted mean of the probabilities or values of several models.

The file of an ensemble is that of a model, with each member's tensors under the member's index.
"""

import json
from dataclasses import asdict, dataclass
from functools import reduce

import torch

from hpo.config.errors import InputError
from hpo.config.trial import Task
from hpo.models.content import ENSEMBLE, deserialize, header_value, serialize, strip_prefix
from hpo.models.model import Model, Predictor, read_schema
from hpo.training.metrics import predictions

FAINTEST = 1e-300
"""Smallest probability, since the logarithm of 0 is infinite."""


@dataclass(frozen=True, kw_only=True)
class EnsembleMember:
    """A model of an ensemble.

    Attributes:
        number: of the member's trial.
        weight: in the mean; all weights add up to 1.
    """

    number: int
    weight: float
    model: Model


@dataclass(frozen=True, kw_only=True)
class Ensemble(Predictor):
    """Members with the same schema; the first is the best on its own."""

    members: tuple[EnsembleMember, ...]

    @property
    def parts(self) -> tuple[tuple[float, Model], ...]:
        """The members' weights and models."""
        return tuple((member.weight, member.model) for member in self.members)

    @torch.inference_mode()
    def logits(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """Logits or values for metrics, in float64."""
        shares = [weight * exact_outputs(model, x_num, x_cat) for weight, model in self.parts]
        return as_logits(self.schema.task, reduce(torch.add, shares))

    def block_outputs(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """The weighted mean of the members' predictions."""
        shares = [weight * model.block_outputs(x_num, x_cat) for weight, model in self.parts]
        return reduce(torch.add, shares)

    @property
    def text(self) -> str:
        """Its name for people."""
        n = len(self.members)
        return f"ensemble of {n} model{'s' if n > 1 else ''}"

    def to_bytes(self) -> bytes:
        """The file's content."""
        tensors = {
            f"{index}.{name}": tensor.clone()  # members may share a preprocessor
            for index, member in enumerate(self.members)
            for name, tensor in member.model.tensors().items()
        }
        members = [
            {"number": member.number, "weight": member.weight, **member.model.header()}
            for member in self.members
        ]
        header = {
            "format": str(ENSEMBLE),
            "schema": self.schema.to_json(),
            "metrics": json.dumps(self.metrics),
            "members": json.dumps(members),
        }
        return serialize(tensors, header)

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> "Ensemble":
        """Read the content of a file.

        Raises:
            InputError: the content is no ensemble, or has a newer format.
        """
        tensors, header = deserialize(content, where, ENSEMBLE)
        schema = read_schema(header, where)
        members = []
        described = header_value(header, "members", tuple[_MemberHeader, ...], where)
        for index, entry in enumerate(described):
            own = strip_prefix(f"{index}.", tensors)
            model = Model.assemble(schema, own, asdict(entry), where)
            members.append(EnsembleMember(number=entry.number, weight=entry.weight, model=model))
        if not members:
            raise InputError(f"{where}: is an ensemble without members")
        metrics = header_value(header, "metrics", dict[str, float], where)
        return cls(schema=schema, metrics=metrics, members=tuple(members))


@dataclass(frozen=True, kw_only=True)
class _MemberHeader:
    """A member in the file's header, with the header of the member's own file.

    Attributes:
        package: that adds the member's model family; empty for a built-in one.
        metric_package: that adds the metric of its objective, likewise.
    """

    number: int
    weight: float
    config: str
    target: str
    metrics: str
    environment: str
    package: str = ""
    metric_package: str = ""


def exact_outputs(model: Model, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
    """A model's predictions in float64, so that even faint probabilities can be averaged."""
    return predictions(model.schema.task, model.logits(x_num, x_cat).double())


def as_logits(task: Task, outputs: torch.Tensor) -> torch.Tensor:
    """The logits or values, (rows, n_outputs), of predictions."""
    if task == "regression":
        return outputs[:, None]
    logarithms = outputs.clamp(min=FAINTEST).log()
    return logarithms[:, 1:] - logarithms[:, :1] if task == "binary" else logarithms
