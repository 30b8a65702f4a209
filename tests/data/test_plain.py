"""Plain columns are given the readers that each would be given alone."""

import random
from collections.abc import Callable

import polars as pl
import pytest

import hpo.data.kinds
from hpo.config.errors import DataError
from hpo.config.trial import DataConfig
from hpo.data.kinds import choose_readers
from hpo.data.plain import plain_readers
from hpo.data.reader import MISSING, Reader

N_ROWS = 30
CELLS: dict[str, Callable[[random.Random], str]] = {
    "whole": lambda r: str(r.randint(-500, 5000)),
    "decimal": lambda r: f"{r.gauss(0, 100):.{r.choice((1, 2, 3))}f}",
    "three decimals": lambda r: f"{r.uniform(1, 900):.3f}",
    "exponent": lambda r: f"{r.random():e}",
    "code": lambda r: f"{r.randint(0, 99_999):05d}",
    "long": lambda r: str(10 ** r.randint(3, 18) + r.randint(0, 9)),
    "day": lambda r: f"20{r.randint(0, 30):02d}-{r.randint(1, 12):02d}-{r.randint(1, 28)}",
    "time": lambda r: f"2020/{r.randint(1, 12)}/{r.randint(1, 28)} {r.randint(0, 23)}:15",
    "no day": lambda r: f"2020-{r.randint(1, 13):02d}-{r.randint(1, 31)}",
    "month": lambda r: f"{r.randint(1990, 2020)}.{r.randint(1, 12):02d}",
    "american": lambda r: f"{r.randint(1, 12)}/{r.randint(1, 30)}/2020",
    "word": lambda r: r.choice(("red", "blue", "größe")),
    "word with a digit": lambda r: r.choice(("red", "V45")),
    "truth": lambda r: r.choice(("true", "False")),
    "infinite": lambda r: r.choice(("inf", "-inf")),
    "missing": lambda r: r.choice(("", "NA")),
}
ODD = (None, "", "NA", "-", "?", " 7 ", "<0.5", "n.a.", "1,5", "inf", "true")


def column(kind: str, generator: random.Random, n_odd: int) -> pl.Series:
    cells: list[str | None] = [CELLS[kind](generator) for _ in range(N_ROWS)]
    for _ in range(n_odd):
        cells[generator.randrange(N_ROWS)] = generator.choice(ODD)
    return pl.Series(cells, dtype=pl.String)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"thousands": ""}, {"decimal": ","}, {"missing": ("-",)}])
def test_columns_are_read_together_as_alone(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DataConfig(source="t.csv", target="y", **settings)  # type: ignore[arg-type]

    def readers(frame: pl.DataFrame) -> dict[str, Reader] | str:
        try:
            return choose_readers(frame, data, where="t.csv")
        except DataError as error:
            return str(error)

    generator = random.Random(0)
    frames = [
        pl.DataFrame({"x": column(kind, generator, n_odd), "with": column("decimal", generator, 0)})
        for kind in CELLS
        for n_odd in (0, 0, 1, 3)
    ]
    together = [readers(frame) for frame in frames]
    monkeypatch.setattr(hpo.data.kinds, "plain_readers", lambda *_: {})
    assert together == [readers(frame) for frame in frames]


def test_most_columns_of_a_wide_table_are_plain() -> None:
    generator = random.Random(0)
    kinds = ("whole", "exponent", "day", "time", "word")
    columns = [column(kind, generator, 0).rename(kind) for kind in kinds]
    assert set(plain_readers(columns, MISSING)) == set(kinds)
