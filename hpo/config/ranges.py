"""Ranges: the values that a tunable leaf of a search space may take."""

import math
from abc import abstractmethod
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hpo.config.parsing import format_value

Value = bool | int | float | str
_MAX_STEPS = 1_000_000


class Tunable(BaseModel):
    """A tunable leaf of a search space, and the condition on which it exists."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: dict[str, Value | list[Value]] = Field(default_factory=dict)


class _NumberRange(Tunable):
    """A number in [low, high], on a log scale or in steps if asked."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    or_zero: bool = False
    default: float | None = None

    @abstractmethod
    def admits(self, value: Value) -> bool:
        """Whether a trial may have this value."""

    def allowed(self) -> str:
        """The range in words."""
        steps = f" in steps of {self.step:.12g}" if self.step else ""
        zero = " or 0" if self.or_zero else ""
        return f"from {self.low:.12g} to {self.high:.12g}{steps}{zero}"

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high, step = self.low, self.high, self.step
        if low > high:
            raise ValueError(f"low must not exceed high, but got low = {low}, high = {high}")
        if self.log and low <= 0:
            raise ValueError(f"log needs low above 0, but got low = {low}")
        if self.log and step is not None:
            raise ValueError("log and step exclude each other")
        if step is not None:
            _check_step(low, high, step)
        if self.or_zero and low < 0:
            raise ValueError(f"or_zero needs low of 0 or more, but got low = {low}")
        is_off = self.or_zero and self.default == 0
        if self.default is not None and not self.admits(self.default) and not is_off:
            raise ValueError(f"default must be {self.allowed()}, but got {self.default}")
        return self


class FloatRange(_NumberRange):
    """A real number in [low, high], on a log scale or in steps if asked."""

    type: Literal["float"]
    low: Annotated[float, Field(allow_inf_nan=False)]
    high: Annotated[float, Field(allow_inf_nan=False)]
    step: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None

    def middle(self) -> float:
        """The middle of the range, geometric if `log`, which is the default value."""
        if self.log:  # rounding may leave a range of one value
            middle = math.exp((math.log(self.low) + math.log(self.high)) / 2)
            return min(max(middle, self.low), self.high)
        if self.step is None:
            return self.low + (self.high - self.low) / 2
        values = self.grid()
        return values[(len(values) - 1) // 2]

    def grid(self) -> list[float]:
        """All values, computed in decimal arithmetic; empty if the range has no steps."""
        return [self.value(place) for place in range(self.n_values or 0)]

    @property
    def n_values(self) -> int | None:
        """The number of values; None if the range has no steps."""
        if self.low == self.high:
            return 1
        return None if self.step is None else round((self.high - self.low) / self.step) + 1

    def value(self, place: int) -> float:
        """The value at an index from 0."""
        return float(Decimal(str(self.low)) + place * Decimal(str(self.step or 0)))

    def place(self, value: Value) -> int:
        """The index of a value."""
        assert not isinstance(value, str)
        return round((value - self.low) / self.step) if self.step else 0

    def admits(self, value: Value) -> bool:
        """Whether a trial may have this value."""
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return False
        n = (value - self.low) / self.step if self.step else 0.0
        return self.low <= value <= self.high and abs(n - round(n)) < 1e-8


class IntRange(_NumberRange):
    """A whole number in [low, high], on a log scale or in steps if asked."""

    type: Literal["int"]
    low: int
    high: int
    step: Annotated[int | None, Field(gt=0)] = None
    default: int | None = None

    def middle(self) -> int:
        """The middle of the range, geometric if `log`, which is the default value."""
        if self.log:
            return round(math.sqrt(self.low * self.high))
        step = self.step or 1
        return self.low + (self.high - self.low) // (2 * step) * step

    def grid(self) -> list[int]:
        """All values; empty on a log scale."""
        return [] if self.log else list(range(self.low, self.high + 1, self.step or 1))

    @property
    def n_values(self) -> int:
        """The number of values."""
        return (self.high - self.low) // (self.step or 1) + 1

    def value(self, place: int) -> int:
        """The value at an index from 0."""
        return self.low + place * (self.step or 1)

    def place(self, value: Value) -> int:
        """The index of a value."""
        assert isinstance(value, int)
        return (value - self.low) // (self.step or 1)

    def admits(self, value: Value) -> bool:
        """Whether a trial may have this value."""
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and (value - self.low) % (self.step or 1) == 0


class Categorical(Tunable):
    """One of several values."""

    type: Literal["categorical"]
    choices: Annotated[tuple[Value, ...], Field(min_length=1)]
    default: Value | None = None

    @property
    def or_zero(self) -> bool:
        """Always false: the choices themselves may include 0."""
        return False

    @model_validator(mode="after")
    def _check(self) -> "Categorical":
        if len(set(self.choices)) < len(self.choices):
            raise ValueError(f"choices must differ, but got {format_value(self.choices)}")
        if self.default is not None and self.default not in self.choices:
            raise ValueError(
                f"default must be {self.allowed()}, but got {format_value(self.default)}"
            )
        return self

    def middle(self) -> Value:
        """The first choice, which is the default value."""
        return self.choices[0]

    def grid(self) -> list[Value]:
        """All values."""
        return list(self.choices)

    @property
    def n_values(self) -> int:
        """The number of values."""
        return len(self.choices)

    def value(self, place: int) -> Value:
        """The value at an index from 0."""
        return self.choices[place]

    def place(self, value: Value) -> int:
        """The index of a value."""
        return self.choices.index(value)

    def admits(self, value: Value) -> bool:
        """Whether a trial may have this value."""
        return any(value == choice and type(value) is type(choice) for choice in self.choices)

    def allowed(self) -> str:
        """The choices in words."""
        return "one of " + ", ".join(format_value(choice) for choice in self.choices)


Leaf = Annotated[FloatRange | IntRange | Categorical, Field(discriminator="type")]
SWITCH = Categorical(type="categorical", choices=(False, True))


def _check_step(low: float, high: float, step: float) -> None:
    """Accept a step that leads from low to high, in decimal arithmetic as in Optuna."""
    if (high - low) / step > _MAX_STEPS:
        raise ValueError(f"step makes more than {_MAX_STEPS} values of the range, but got {step}")
    below, above, stride = (Decimal(str(number)) for number in (low, high, step))
    if (rest := (above - below) % stride) != 0:
        raise ValueError(f"step {step} from {low} reaches {above - rest}, but not high = {high}")
