"""The preprocessor as a module: against scikit-learn, and where scikit-learn has no word."""

import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.preprocessing import QuantileTransformer, RobustScaler, StandardScaler

from hpo.config.trial import DataConfig, Numeric, PreprocessingConfig, SplitConfig
from hpo.data.dataset import Dataset, load_dataset
from hpo.data.preprocessing import Preprocessor, n_quantiles
from hpo.data.schema import Categories, Cycle, DateColumn, TableSchema
from hpo.data.table import read_table
from tests.support.paths import ROOT

STUDIES = ROOT / "studies"


def schema(
    n_numeric: int, n_rows: int, missing: tuple[str, ...] = (), sizes: tuple[int, ...] = ()
) -> TableSchema:
    """Of columns `n0`, `n1`, ... and categories of so many values."""
    return TableSchema(
        target="y",
        task="regression",
        numeric=tuple(f"n{index}" for index in range(n_numeric)),
        numeric_missing=missing,
        categorical=tuple(
            Categories(name=f"c{size}", values=tuple(map(str, range(size)))) for size in sizes
        ),
        classes=(),
        n_train=n_rows,
    )


def no_categories(n_rows: int) -> torch.Tensor:
    return torch.empty(n_rows, 0, dtype=torch.int64)


def fit(x: torch.Tensor, numeric: Numeric) -> Preprocessor:
    """Fitted on numbers alone."""
    x = x.double()
    return Preprocessor.fit(
        schema(x.shape[1], len(x)), x, no_categories(len(x)), PreprocessingConfig(numeric=numeric)
    )


def scale(fitted: Preprocessor, x: torch.Tensor) -> torch.Tensor:
    return fitted(x.double(), no_categories(len(x)))


def samples(n_rows: int) -> torch.Tensor:
    """Columns of several shapes, none with ties."""
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(n_rows, 4, generator=generator, dtype=torch.float64)
    normal[:, 1] = normal[:, 1].exp()
    normal[:, 2] = normal[:, 2].sigmoid() * 1e6
    normal[:, 3] = normal[:, 3] ** 3 - 1e-3
    return normal


def sklearn_quantile(x: torch.Tensor) -> QuantileTransformer:
    return QuantileTransformer(
        n_quantiles=n_quantiles(len(x)), output_distribution="normal", subsample=10**9
    ).fit(x.double().numpy())


@pytest.mark.parametrize("n_rows", [60, 1000, 50_000])
def test_quantile_is_scikit_learns(n_rows: int) -> None:
    x = samples(n_rows)
    between = (x[1:] + x[:-1]) / 2
    fitted, reference = fit(x, "quantile"), sklearn_quantile(x)
    for rows in (x, between, x * 3, x - 100):
        ours = scale(fitted, rows).numpy()
        theirs = reference.transform(rows.double().numpy())
        off = np.abs(ours - theirs)
        # Straight between knots, where theirs bends; noise moves the outermost values further.
        assert np.quantile(off, 0.99) < 0.04
        assert off.mean() < 0.01


def test_quantile_knots_are_met_as_scikit_learns_within_the_bend() -> None:
    x = samples(3000)
    fitted, reference = fit(x, "quantile"), sklearn_quantile(x)
    quantiles = torch.from_numpy(reference.quantiles_[2:-2]).float()
    ours = scale(fitted, quantiles).numpy()
    off = np.abs(ours - reference.transform(quantiles.double().numpy()))
    assert np.median(off) < 1e-4
    assert off.max() < 0.03  # by the noise, where values lie dense


def test_quantile_follows_the_published_number_of_quantiles() -> None:
    assert [n_quantiles(n) for n in (5, 300, 3000, 13_209, 10**6)] == [10, 10, 100, 440, 1000]


def test_quantile_is_monotone_and_clipped() -> None:
    fitted = fit(samples(2000), "quantile")
    line = torch.linspace(-50, 2e6, 20_001)[:, None].expand(-1, 4)
    scaled = scale(fitted, line)
    assert (scaled.diff(dim=0) >= 0).all()
    assert scaled.min().item() == pytest.approx(-5.1993, abs=1e-3)
    assert scaled.max().item() == pytest.approx(5.1993, abs=1e-3)


def test_quantile_spreads_tied_values_by_their_share() -> None:
    column = torch.cat([torch.zeros(600), torch.ones(300), torch.full((100,), 2.0)])[:, None]
    scores = scale(fit(column, "quantile"), torch.tensor([[0.0], [1.0], [2.0]]))[:, 0]
    expected = torch.special.ndtri(torch.tensor([0.3, 0.75, 0.95]))
    assert (scores - expected).abs().max() < 0.1
    below, above = scale(fit(column, "quantile"), torch.tensor([[-1.0], [3.0]]))[:, 0].tolist()
    assert (below, above) == (pytest.approx(-5.1993, abs=1e-3), pytest.approx(5.1993, abs=1e-3))


def test_quantile_keeps_large_numbers_apart() -> None:
    """Neighbours in float32, between which there is no room for noise."""
    column = torch.cat([torch.full((500,), 1e9), torch.full((500,), 1e9 + 64)])[:, None]
    fitted = fit(column, "quantile")
    scores = scale(fitted, torch.tensor([[0.0], [1e9], [1e9 + 64], [2e9]]))[:, 0].tolist()
    assert scores == pytest.approx([-5.199, -0.674, 0.674, 5.199], abs=0.1)


@pytest.mark.parametrize(
    ("numeric", "reference"), [("standard", StandardScaler()), ("robust", RobustScaler())]
)
def test_standard_and_robust_are_scikit_learns(
    numeric: Numeric, reference: StandardScaler | RobustScaler
) -> None:
    x = samples(501)
    theirs = reference.fit_transform(x.double().numpy())
    assert np.allclose(scale(fit(x, numeric), x).numpy(), theirs, rtol=1e-4, atol=1e-5)


def test_none_leaves_numbers_as_they_are() -> None:
    x = samples(50)
    assert scale(fit(x, "none"), x).equal(x.float())


@pytest.mark.parametrize("numeric", get_args(Numeric))
@pytest.mark.parametrize("value", [0.0, 0.1, 1e20, float("nan")])
def test_a_constant_or_empty_column_stays_finite(numeric: Numeric, value: float) -> None:
    fitted = fit(torch.full((100, 1), value), numeric)
    seen = torch.tensor([[value], [float("nan")]])
    if numeric != "none":
        assert scale(fitted, seen).abs().max() < 0.3
    assert scale(fitted, torch.tensor([[value], [1.0], [-1e20]])).isfinite().all()


@pytest.mark.parametrize("numeric", get_args(Numeric))
def test_numbers_at_the_end_of_float32_stay_finite(numeric: Numeric) -> None:
    x = torch.tensor([[0.0]] * 60 + [[1e-44]] * 40)
    assert scale(fit(x, numeric), x).isfinite().all()


def test_robust_scales_a_mostly_constant_column_by_half_its_range() -> None:
    x = torch.tensor([[5.0]] * 99 + [[9.0]])
    assert scale(fit(x, "robust"), torch.tensor([[5.0], [9.0]])).tolist() == [[0], [2]]


@pytest.mark.parametrize("numeric", get_args(Numeric))
def test_missing_numbers_are_zero_and_indicated(numeric: Numeric) -> None:
    x = samples(200)[:, :3]
    with_gaps = x.clone()
    with_gaps[::3, 0] = float("nan")
    table = schema(3, 200, missing=("n0",))
    fitted = Preprocessor.fit(
        table, with_gaps, no_categories(200), PreprocessingConfig(numeric=numeric)
    )
    assert fitted.n_features == 4
    out = scale(fitted, torch.full((1, 3), float("nan")))
    assert out.tolist() == [[0, 0, 0, 1]]
    present = x[~with_gaps[:, 0].isnan()][:, :1]
    alone = Preprocessor.fit(
        schema(1, 200), present, no_categories(133), PreprocessingConfig(numeric=numeric)
    )
    assert scale(fitted, x)[:, 0].equal(scale(alone, x[:, :1])[:, 0])
    assert not scale(fitted, x)[:, 3].any()


def test_categories_are_one_hot_and_unseen_ones_zeros() -> None:
    table = schema(1, 3, sizes=(2, 3))
    codes = torch.tensor([[0, 2], [1, 3], [2, 1]])
    fitted = Preprocessor.fit(table, torch.zeros(3, 1), codes, PreprocessingConfig(numeric="none"))
    assert fitted(torch.tensor([[7.0], [8.0], [9.0]]), codes).tolist() == [
        [7, 1, 0, 0, 0, 1],
        [8, 0, 1, 0, 0, 0],
        [9, 0, 0, 0, 1, 0],
    ]


def test_a_table_of_text_alone() -> None:
    codes = torch.tensor([[0], [1]])
    for numeric in get_args(Numeric):
        fitted = Preprocessor.fit(
            schema(0, 2, sizes=(2,)), torch.empty(2, 0), codes, PreprocessingConfig(numeric=numeric)
        )
        assert fitted(torch.empty(2, 0), codes).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("numeric", ["quantile", "standard", "robust"])
def test_no_digit_that_tells_rows_apart_is_lost(numeric: Numeric) -> None:
    """Seconds since 1970 scale as their distances from the first do."""
    small = torch.arange(500, dtype=torch.float64)[:, None]
    large = small + 1.7e9
    assert large.float().unique().numel() < 10
    ours, theirs = scale(fit(large, numeric), large), scale(fit(small, numeric), small)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert ours.unique().numel() == 500


DAY = 86_400_000_000.0
START = 19_723 * DAY  # 2024-01-01, a Monday


def with_dates(*cycles: Cycle, missing: tuple[str, ...] = ()) -> TableSchema:
    """A number and a date."""
    dates = (DateColumn(name="at", cycles=cycles),)
    return replace(schema(1, 100), dates=dates, numeric_missing=missing)


@pytest.mark.parametrize("numeric", get_args(Numeric))
def test_dates_are_scaled_in_a_straight_line_whatever_numbers_are(numeric: Numeric) -> None:
    at = START + DAY * torch.arange(100, dtype=torch.float64)
    x = torch.stack([torch.linspace(-1, 1, 100, dtype=torch.float64), at], dim=1)
    fitted = Preprocessor.fit(
        with_dates(), x, no_categories(100), PreprocessingConfig(numeric=numeric)
    )
    scaled = scale(fitted, x)[:, 1].double()
    assert torch.allclose(scaled, (at - at.mean()) / at.std(correction=0), atol=1e-6)
    later = scale(fitted, x + 1000 * DAY)[:, 1].double()
    assert torch.allclose(later - scaled, 1000 * DAY / at.std(correction=0), rtol=1e-6)


def test_seconds_are_told_apart_within_a_year() -> None:
    at = START + 1e6 * torch.arange(0, 86_400 * 360, 86_400 * 4, dtype=torch.float64)
    x = torch.stack([at, at], dim=1)
    fitted = Preprocessor.fit(
        with_dates(), x, no_categories(len(x)), PreprocessingConfig(numeric="standard")
    )
    a, b = scale(fitted, torch.stack([x[0], x[0] + 10e6]))[:, 1].tolist()
    assert b > a


def test_cycles_are_sine_and_cosine_of_the_turn() -> None:
    at = torch.tensor([START, START + DAY / 4, float("nan")], dtype=torch.float64)
    x = torch.stack([torch.zeros(3), at], dim=1)
    table = with_dates("day", "week", missing=("at",))
    fitted = Preprocessor.fit(table, x, no_categories(3), PreprocessingConfig(numeric="none"))
    out = scale(fitted, x)
    assert fitted.n_features == 2 + 1 + 2 * 2
    assert out[:, 2].tolist() == [0, 0, 1]
    day_and_week = torch.tensor([[0.0, 4 / 7], [0.25, 4.25 / 7]]) * 2 * math.pi  # 1970 was Thursday
    assert torch.allclose(out[:2, 3:5], day_and_week.sin(), atol=1e-6)
    assert torch.allclose(out[:2, 5:], day_and_week.cos(), atol=1e-6)
    assert out[2, 3:].tolist() == [0, 0, 0, 0]


def test_the_cycle_of_the_year_keeps_step_with_leap_years() -> None:
    firsts = np.array([f"{year}-03-01" for year in range(1901, 2100, 20)], dtype="datetime64[us]")
    at = torch.from_numpy(firsts.astype("i8")).double()
    x = torch.stack([at, at], dim=1)
    fitted = Preprocessor.fit(
        with_dates("year"), x, no_categories(len(x)), PreprocessingConfig(numeric="none")
    )
    sine, cosine = scale(fitted, x)[:, 2:].T
    turns = torch.atan2(sine, cosine) / (2 * math.pi)
    assert turns.max() - turns.min() < 1.5 / 365


def test_large_categories_enter_as_codes_at_the_end() -> None:
    codes = torch.tensor([[0, 1, 4, 2], [2, 0, 5, 3]])  # 2, 3 and 5 are unseen
    config = PreprocessingConfig(numeric="none", max_one_hot=2)
    table = schema(0, 2, sizes=(2, 1, 5, 3))
    fitted = Preprocessor.fit(table, torch.empty(2, 0), codes, config)
    assert fitted(torch.empty(2, 0), codes).tolist() == [[1, 0, 0, 4, 2], [0, 0, 1, 5, 3]]
    again = Preprocessor(table, config)
    again.restore(fitted.state_dict())
    everything = PreprocessingConfig(numeric="none", max_one_hot=0)
    fitted = Preprocessor.fit(table, torch.empty(2, 0), codes, everything)
    assert fitted(torch.empty(2, 0), codes).tolist() == codes.tolist()


def test_the_state_of_another_schema_is_refused() -> None:
    codes = torch.tensor([[0, 1], [1, 2]])
    fitted = Preprocessor.fit(
        schema(0, 2, sizes=(2, 3)), torch.empty(2, 0), codes, PreprocessingConfig(numeric="none")
    )
    again = Preprocessor(schema(0, 2, sizes=(2, 3)), PreprocessingConfig(numeric="none"))
    again.restore(fitted.state_dict())
    with pytest.raises(RuntimeError, match="the state contradicts the schema"):
        Preprocessor(schema(0, 2, sizes=(3, 2)), PreprocessingConfig(numeric="none")).restore(
            fitted.state_dict()
        )


def adult(n_rows: int) -> Dataset:
    split = SplitConfig(column="split")
    data = DataConfig(source="data/adult.parquet", target="income", split=split)
    whole = read_table(data, STUDIES)
    return load_dataset(replace(whole, frame=whole.frame.gather_every(48842 // n_rows)), data)


@pytest.mark.parametrize("numeric", get_args(Numeric))
def test_a_saved_state_gives_the_same_bits(numeric: Numeric) -> None:
    dataset = adult(2000)
    train, test = dataset.part("train"), dataset.part("test")
    fitted = Preprocessor.fit(
        dataset.schema, train.x_num, train.x_cat, PreprocessingConfig(numeric=numeric)
    )
    state = safetensors.torch.load(safetensors.torch.save(fitted.state_dict()))
    again = Preprocessor(
        TableSchema.from_json(dataset.schema.to_json()), PreprocessingConfig(numeric=numeric)
    )
    again.load_state_dict(state, strict=True)
    x = again(test.x_num, test.x_cat)
    assert x.equal(fitted(test.x_num, test.x_cat))
    assert x.shape == (len(test.y), again.n_features)
    assert x.dtype == torch.float32


def test_fitting_twice_gives_the_same_bits() -> None:
    x = samples(500)
    assert fit(x, "quantile").knots.equal(fit(x, "quantile").knots)


def test_rows_do_not_depend_on_each_other() -> None:
    x = samples(500)
    fitted = fit(x, "quantile")
    assert scale(fitted, x)[123:124].equal(scale(fitted, x[123:124]))


@pytest.mark.slow
@pytest.mark.parametrize("numeric", ["quantile", "standard"])
def test_it_can_be_traced_for_export(numeric: Numeric) -> None:
    dataset = adult(2000)
    train, test = dataset.part("train"), dataset.part("test")
    fitted = Preprocessor.fit(
        dataset.schema, train.x_num, train.x_cat, PreprocessingConfig(numeric=numeric)
    )
    rows = torch.export.Dim("rows")
    program = torch.export.export(
        fitted.eval(), (train.x_num, train.x_cat), dynamic_shapes=({0: rows}, {0: rows})
    )
    used = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not {name for name in used if "searchsorted" in name or "ndtri" in name}
    traced = program.module()(test.x_num, test.x_cat)
    assert traced.equal(fitted(test.x_num, test.x_cat))
