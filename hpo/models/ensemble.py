"""Several models that predict as one: the weighted mean of their probabilities or values.

Its file is that of a model, with each member's tensors under the member's place.
"""

import json
from dataclasses import dataclass
from functools import reduce

import torch

from hpo.config.errors import InputError
from hpo.config.trial import Task
from hpo.models.content import ENSEMBLE, Header, pack, part, under, unpack
from hpo.models.model import Model, Predictor, read_schema
from hpo.training.metrics import predictions

FAINTEST = 1e-300
"""In place of a probability of 0, whose logarithm would be infinite."""


@dataclass(frozen=True, kw_only=True)
class EnsembleMember:
    """A model of an ensemble.

    Attributes:
        number: of the trial that it comes from.
        weight: its share in the mean; those of all members add up to 1.
    """

    number: int
    weight: float
    model: Model


@dataclass(frozen=True, kw_only=True)
class Ensemble(Predictor):
    """Members of one schema, the first of them the best on its own."""

    members: tuple[EnsembleMember, ...]

    @property
    def parts(self) -> tuple[tuple[float, Model], ...]:
        """The members' weights and models."""
        return tuple((member.weight, member.model) for member in self.members)

    @torch.inference_mode()
    def logits(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """What metrics are computed from, float64."""
        shares = [weight * exact_outputs(model, x_num, x_cat) for weight, model in self.parts]
        return as_logits(self.schema.task, reduce(torch.add, shares))

    def block_outputs(self, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
        """The weighted mean of the members' predictions."""
        shares = [weight * model.block_outputs(x_num, x_cat) for weight, model in self.parts]
        return reduce(torch.add, shares)

    def to_bytes(self) -> bytes:
        """The file's content."""
        tensors = {
            f"{place}.{name}": tensor.clone()  # members may share a preprocessor
            for place, member in enumerate(self.members)
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
        return pack(tensors, header)

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> "Ensemble":
        """Read what `to_bytes` wrote.

        Raises:
            InputError: it is no ensemble of ours, or of a newer format.
        """
        tensors, header = unpack(content, where, ENSEMBLE)
        schema = read_schema(header, where)
        members = []
        for place, said in enumerate(part(header, "members", tuple[_Described, ...], where)):
            model = Model.assemble(schema, under(f"{place}.", tensors), said.header(), where)
            members.append(EnsembleMember(number=said.number, weight=said.weight, model=model))
        if not members:
            raise InputError(f"{where}: is an ensemble of no members")
        metrics = part(header, "metrics", dict[str, float], where)
        return cls(schema=schema, metrics=metrics, members=tuple(members))


@dataclass(frozen=True, kw_only=True)
class _Described:
    """What a file's header says of a member."""

    number: int
    weight: float
    config: str
    target: str
    metrics: str
    environment: str

    def header(self) -> Header:
        """That of the member's own file."""
        return {
            "config": self.config,
            "target": self.target,
            "metrics": self.metrics,
            "environment": self.environment,
        }


def exact_outputs(model: Model, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
    """A model's predictions in float64, so that even faint probabilities can be averaged."""
    return predictions(model.schema.task, model.logits(x_num, x_cat).double(), 0.0, 1.0)


def as_logits(task: Task, outputs: torch.Tensor) -> torch.Tensor:
    """The logits, or values, (rows, n_outputs), that give these predictions."""
    if task == "regression":
        return outputs[:, None]
    logarithms = outputs.clamp(min=FAINTEST).log()
    return logarithms[:, 1:] - logarithms[:, :1] if task == "binary" else logarithms
