"""Study definitions: study files, validated and merged with their search space.

A worker needs nothing but the stored JSON of the definition. Two definitions are the same study if
their identities are equal. The identity excludes the budget, and the path of a table that is copied
to the artifact store; the fingerprint identifies its content.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from hpo.config.compatibility import LossChoices, check_task
from hpo.config.data_rules import check_data
from hpo.config.errors import BudgetError, DefinitionError, nearest
from hpo.config.families import DEFAULT_FAMILY
from hpo.config.leaves import SECTIONS, leaf_defaults, listed
from hpo.config.metrics import Direction, find_metric, metric_label
from hpo.config.parsing import Duration, format_value, read_toml, validate
from hpo.config.ranges import Categorical
from hpo.config.space import Params, SearchSpace
from hpo.config.strategies import MedianPruner, Positive, Pruner, Sampler, Section, TpeSampler
from hpo.config.trial import (
    DataConfig,
    ObjectiveConfig,
    Task,
    TrainingConfig,
    TrialConfig,
    data_tree,
)
from hpo.config.urls import hide_passwords, passwords

_TRANSFORM = "training.target_transform"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}"


def check_name(name: str) -> str:
    """Accept a study name that is valid in commands, URLs and paths.

    Raises:
        ValueError: the name contains other characters.
    """
    if not re.fullmatch(_NAME, name):
        allowed = "1 to 100 letters, digits or . _ @ -, the first a letter or digit"
        raise ValueError(f"must be {allowed}, but got {format_value(name)}")
    return name


Name = Annotated[
    str, AfterValidator(check_name), WithJsonSchema({"type": "string", "pattern": f"^{_NAME}$"})
]


class Budget(Section):
    """The limits of a study over all its workers.

    Attributes:
        n_trials: the number of trials to create.
        timeout: seconds during which at least one worker is at work.
        device_time: seconds of work summed over the workers, each weighted by its share of a
            device.
        no_improvement: the number of trials finished since the best one after which no trial is
            created.
        max_attempts: the number of workers that a trial may lose before it fails. Workers that
            return the trial at a signal do not count.
    """

    n_trials: Positive = 100
    timeout: Duration | None = None
    device_time: Duration | None = None
    no_improvement: Positive | None = None
    max_attempts: Positive = 5

    @property
    def is_timed(self) -> bool:
        """Whether the time is limited."""
        return self.timeout is not None or self.device_time is not None

    def is_out_of_time(self, busy_seconds: float, device_seconds: float) -> bool:
        """Whether the time is used up."""
        return self.time_over(busy_seconds, device_seconds) is not None

    def time_over(
        self, busy_seconds: float, device_seconds: float
    ) -> Literal["timeout", "device_time"] | None:
        """The key of the time limit that is used up, if any."""
        if self.timeout is not None and busy_seconds >= self.timeout:
            return "timeout"
        if self.device_time is not None and device_seconds >= self.device_time:
            return "device_time"
        return None

    def check_raised(self, name: str, budget: "Budget") -> None:
        """Make sure that a new budget for the named study is not lower.

        Raises:
            BudgetError: a key of the new budget is lower.
        """
        for key in Budget.model_fields:
            before, after = getattr(self, key), getattr(budget, key)
            if after is not None and after < (math.inf if before is None else before):
                has = f"no budget.{key}" if before is None else f"budget.{key} = {before:g}"
                raise BudgetError(f"study {name} has {has}, which cannot be lowered to {after:g}")


@dataclass(frozen=True, kw_only=True)
class StudyData(DataConfig):
    """The section `[data]` of a study file.

    Attributes:
        copy: whether the table is copied to the artifact store; otherwise workers read the source.
    """

    copy: bool = True

    def for_trials(self) -> DataConfig:
        """The same section of a trial config, which has no `copy`."""
        return DataConfig(**{part.name: getattr(self, part.name) for part in fields(DataConfig)})


class StudyFile(Section):
    """A study file; its search space is checked by `SearchSpace.from_tree`."""

    name: Name
    search_space: str | dict[str, Any]
    data: StudyData
    objective: ObjectiveConfig
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    sampler: Sampler = TpeSampler()
    pruner: Pruner = MedianPruner()
    budget: Budget = Field(default_factory=Budget)


@dataclass(frozen=True, kw_only=True)
class StudyDefinition:
    """A validated study file, merged with its search space."""

    name: str
    space: SearchSpace
    data: StudyData
    objective: ObjectiveConfig
    sampler: Sampler
    pruner: Pruner
    budget: Budget

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any], where: str, folder: Path) -> "StudyDefinition":
        """Validate the content of a study file.

        Args:
            tree: the parsed file.
            where: the file's name, which opens each message.
            folder: the file's folder, where a named search space is looked for.

        Raises:
            DefinitionError: the content is invalid.
        """
        sections = dict(validate(StudyFile, tree, where))
        training, search_space = sections.pop("training"), sections.pop("search_space")
        if isinstance(search_space, str):
            space = load_search_space(search_space, where, folder)
        else:
            space = SearchSpace.from_tree(search_space, f"{where}: search_space")
        given = tree.get("training", {})
        constants = {f"training.{name}": getattr(training, name) for name in given}
        definition = cls(space=space.fixed(constants), **sections)
        if not definition.space.tunables:
            raise DefinitionError(f"{where}: search_space: has no tunable leaf: nothing to search")
        definition._check_source(where)
        check_data(definition.data, tree["data"], where)
        if definition.data.task != "auto":
            definition.check_task(where)
        return definition

    @classmethod
    def from_json(cls, text: str) -> "StudyDefinition":
        """Read a stored definition.

        Raises:
            DefinitionError: the definition is damaged.
        """
        try:
            tree = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DefinitionError(f"stored definition: is not JSON: {error}") from None
        return cls.from_tree(tree, "stored definition", Path())

    def to_json(self) -> str:
        """Canonical JSON: equal definitions give equal texts."""
        return json.dumps(self.to_tree(), sort_keys=True, separators=(",", ":"))

    def to_tree(self) -> dict[str, Any]:
        """The content of a study file with the search space inline and all defaults filled in."""
        return {
            "name": self.name,
            "search_space": self.space.to_tree(),
            "data": data_tree(self.data),
            "objective": self.objective.to_tree(),
            "sampler": self.sampler.model_dump(exclude_none=True),
            "pruner": self.pruner.model_dump(),
            "budget": self.budget.model_dump(exclude_none=True),
        }

    def identity(self) -> dict[str, Any]:
        """The part of the definition that identifies the study."""
        tree = self.to_tree()
        del tree["budget"]
        if self.data.copy:
            del tree["data"]["source"]
        return tree

    def digest(self) -> str:
        """SHA-256 of the identity."""
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def metric_label(self) -> str:
        """The label of the objective's metric; see `hpo.config.metrics.metric_label`."""
        return metric_label(self.objective.metric, self.data.positive)

    @property
    def direction(self) -> Direction:
        """The direction of the objective's metric."""
        return find_metric(self.objective.metric).direction

    def resolved(
        self,
        *,
        source: str,
        task: Task,
        fingerprint: str,
        where: str,
        positive: str | float | None = None,
    ) -> "StudyDefinition":
        """The definition with the values that depend on the table.

        Raises:
            DefinitionError: the metric or a loss is not defined for the task.
        """
        data = replace(
            self.data, source=source, task=task, fingerprint=fingerprint, positive=positive
        )
        definition = replace(self, data=data)
        definition.check_task(where)
        return definition

    def check_task(self, where: str) -> None:
        """Make sure that the metric and the losses are defined for the task.

        Raises:
            DefinitionError: one is not, or they do not suit each other.
        """
        assert self.data.task != "auto"
        check_task(self.data.task, self.objective, self.loss_choices, where)

    def trial_config(self, params: Params) -> TrialConfig:
        """The complete configuration of a trial with the given params.

        Raises:
            DefinitionError: a value is not allowed.
        """
        sections: dict[str, Any] = {
            name: validate(SECTIONS[name], values, f"study {self.name}", (name,))
            for name, values in self.space.resolve(params).items()
        }
        return TrialConfig(data=self.data.for_trials(), objective=self.objective, **sections)

    @property
    def loss_choices(self) -> LossChoices:
        """What trials may learn by."""
        losses, transforms = self._choices("training.loss"), self._choices(_TRANSFORM)
        return LossChoices(
            losses=losses,
            transforms=transforms,
            label_smoothing=self._highest_smoothing(),
            poisson_of_log1p="poisson" in losses
            and "log1p" in transforms
            and self._may_meet("training.loss", "poisson", _TRANSFORM)
            and self._may_meet(_TRANSFORM, "log1p", "training.loss"),
        )

    def _choices(self, path: str) -> tuple[Any, ...]:
        """The values that a leaf may have where it exists."""
        leaf = self.space.tunables.get(path)
        if isinstance(leaf, Categorical):
            return leaf.choices
        return (self.space.constants.get(path, leaf_defaults(DEFAULT_FAMILY)[path]),)

    def _may_meet(self, path: str, value: str, other: str) -> bool:
        """Whether another leaf may be tuned beside a value of a leaf."""
        leaf = self.space.tunables.get(other)
        wanted = leaf.when.get(path, value) if leaf else value
        return value in listed(wanted)

    def _highest_smoothing(self) -> Any:
        match self.space.tunables.get("training.label_smoothing"):
            case None:
                return self.space.constants.get("training.label_smoothing", 0.0)
            case Categorical() as leaf:
                return max(leaf.choices)
            case leaf:
                return leaf.high

    def _check_source(self, where: str) -> None:
        """Refuse a password in a source that is stored for all workers."""
        if not self.data.copy and passwords(self.data.source):
            raise DefinitionError(
                f"{where}: data.source: with copy = false it must hold no password, "
                f"but got {hide_passwords(self.data.source)}; give it by the environment"
            )


def load_definition(path: Path) -> StudyDefinition:
    """Read and validate a study file.

    Raises:
        DefinitionError: the file cannot be read or is invalid.
    """
    return StudyDefinition.from_tree(read_toml(path), str(path), path.parent)


def load_search_space(name: str, where: str, folder: Path) -> SearchSpace:
    """Load a search space by path, or by name beside the study's folder or among the shipped ones.

    Raises:
        DefinitionError: there is none of that name; the message lists the known names.
    """
    if name.endswith(".toml"):
        return SearchSpace.from_tree(read_toml(folder / name), str(folder / name))
    package = Path(__file__).parent.parent
    folders = [
        folder / "../search_spaces",
        package / "search_spaces",  # an installed package
        package.parent / "search_spaces",  # a source checkout
    ]
    known = {path.stem: path for place in reversed(folders) for path in place.glob("*.toml")}
    if name in known:
        return SearchSpace.from_tree(read_toml(known[name]), f"{known[name].resolve()}")
    raise DefinitionError(
        f"{where}: search_space: must be a path ending in .toml, an inline table or one of "
        f"{', '.join(sorted(known))}, but got {format_value(name)}{nearest(name, known)}"
    )
