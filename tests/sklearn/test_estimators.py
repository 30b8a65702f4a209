"""The estimators: scikit-learn's own checks, tables of all kinds, and what a fit leaves."""

import itertools
import os
import pickle
import pickletools
import signal
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas
import polars
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import BaggingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import hpo
from hpo.config.errors import HpoError
from hpo.config.trial import SplitConfig
from hpo.data.sources import as_frame
from hpo.models.ensemble import Ensemble, FoldEnsemble
from hpo.models.model import Model
from hpo.sklearn import MLPSearchClassifier, MLPSearchRegressor
from hpo.training.single import SingleTrainer
from tests.support.program import PROGRAM

SPACE = {
    "model": {"depth": 1, "width": {"type": "int", "low": 4, "high": 12}},
    "optimizer": {
        "learning_rate": {"type": "float", "low": 1e-3, "high": 1e-1, "log": True, "default": 1e-2}
    },
}
UNMET = {
    "check_sample_weight_equivalence_on_dense_data": "repeated rows change batches and split",
    "check_class_weight_classifiers": "class weights do not change the metric that chooses",
}
"""Checks of scikit-learn that the estimators do not pass, and why."""

QUICK: dict[str, Any] = {"n_trials": 2, "max_epochs": 8, "search_space": SPACE}


def classifier(**params: Any) -> MLPSearchClassifier:
    return MLPSearchClassifier(**{**QUICK, **params})


def regressor(**params: Any) -> MLPSearchRegressor:
    return MLPSearchRegressor(**{**QUICK, **params})


def flats(n: int = 60) -> pandas.DataFrame:
    """Text, numbers, categories and booleans, each with gaps but the last."""
    rng = np.random.default_rng(0)
    size = rng.normal(80, 20, n)
    size[::9] = np.nan
    town = pandas.Series(rng.choice(["Bonn", "Ulm"], n)).where(rng.random(n) > 0.1)
    floor = pandas.array(rng.integers(0, 5, n), dtype="Int64")
    floor[3] = pandas.NA
    kind = pandas.Categorical(rng.choice(["old", "new"], n))
    lift = rng.random(n) > 0.5
    return pandas.DataFrame(
        {"size": size, "town": town, "floor": floor, "kind": kind, "lift": lift}
    )


def rents(X: pandas.DataFrame) -> pandas.Series:
    return X["size"].fillna(80) * 9 + (X["town"] == "Bonn") * 300


def points(n: int = 40) -> tuple[Any, Any]:
    X = np.random.default_rng(0).normal(size=(n, 3))
    return X, np.where(X[:, 0] > 0, "up", "down")


def open_below(folder: Path) -> list[str]:
    """Files below a folder that this process holds open, deleted ones included."""
    held = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    return [path for path in held if path.startswith(str(folder))]


@pytest.mark.slow
@parametrize_with_checks(
    [
        MLPSearchClassifier(n_trials=2, max_epochs=20, search_space="mlp_small"),
        MLPSearchRegressor(n_trials=2, max_epochs=20, search_space="mlp_small"),
    ]
)
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    if (reason := UNMET.get(check.func.__name__)) is not None:
        pytest.skip(reason)
    check(estimator)


@pytest.fixture(scope="module")
def predicted_rents() -> Any:
    """Predictions of a model that was fitted to a pandas table."""
    return regressor().fit(flats(), rents(flats())).predict(flats())


@pytest.mark.slow
@pytest.mark.parametrize(
    "X",
    [
        flats(),
        as_frame(flats()),
        flats().to_numpy(),
        flats().to_numpy(na_value=None),
        flats().rename(columns=dict(zip(flats().columns, range(5), strict=True))),
    ],
    ids=["pandas", "polars", "objects", "none", "numbered"],
)
def test_tables_of_every_kind(X: Any, predicted_rents: Any) -> None:
    y = rents(flats())
    model = regressor().fit(X, y)
    predicted = model.predict(X)
    assert (predicted.shape, predicted.dtype) == ((60,), np.float64)
    assert np.array_equal(predicted, predicted_rents)
    schema = model.model_.schema
    assert len(schema.numeric) == 3
    assert [column.values for column in schema.categorical] == [
        ("", "Bonn", "Ulm"),
        ("new", "old"),
    ]


@pytest.mark.slow
def test_rows_and_columns_of_an_array_are_not_confused() -> None:
    X = np.asfortranarray(np.arange(12.0).reshape(4, 3) ** 2)
    for n_rows in (2, 3, 4):
        model = regressor(val=0.5).fit(X, X[:, 0])
        one_by_one = np.concatenate([model.predict(X[[row]]) for row in range(n_rows)])
        assert np.allclose(model.predict(np.asfortranarray(X[:n_rows])), one_by_one)


def test_names_are_kept_and_watched() -> None:
    X = flats()
    model = regressor().fit(X, rents(X))
    assert model.feature_names_in_.tolist() == ["size", "town", "floor", "kind", "lift"]
    assert model.n_features_in_ == 5
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        model.predict(X[["town", "size", "floor", "kind", "lift"]])
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X.rename(columns={"lift": "elevator"}))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert len(model.predict(X.to_numpy())) == 60
    with pytest.raises(ValueError, match=r"has 3 features, but MLPSearchClassifier.* expecting 2"):
        classifier().fit(points()[0][:, :2], points()[1]).predict(points()[0])


def test_a_column_may_have_any_name() -> None:
    X = flats().rename(columns={"size": "target", "town": "target_"})
    model = regressor().fit(X, rents(flats()))
    assert model.model_.schema.target == "target__"


@pytest.mark.slow
@pytest.mark.parametrize(
    "labels",
    [
        np.array([2, 10]),
        np.array([1.0, 2.0]),
        np.array(["yes", "no"]),
        np.array([True, False]),
        pandas.Series(["a", "b"]),
        pandas.Series(["a", "b"], dtype="category"),
        polars.Series(["a", "b"]),
        ["a", "b"],
        np.array([-1, 10, 9, 2]),
        np.arange(30),
    ],
    ids=str,
)
def test_labels_come_back_as_they_were(labels: Any) -> None:
    classes = np.asarray(labels)
    X = np.random.default_rng(0).normal(size=(300, 2)) / 10
    places = np.arange(300) % len(classes)
    X[:, 0] += places
    y = type(labels)(classes[places]) if not isinstance(labels, np.ndarray) else classes[places]
    model = classifier(max_epochs=40, metric="log_loss").fit(X, y)
    predicted, probabilities = model.predict(X), model.predict_proba(X)
    assert model.classes_.tolist() == sorted(classes.tolist())
    assert predicted.dtype == model.classes_.dtype == classes.dtype
    assert np.array_equal(model.classes_[probabilities.argmax(axis=1)], predicted)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert model.score(X, y) > 1.5 / len(classes)


def test_the_positive_class_is_the_second() -> None:
    X, _ = points(200)
    y = np.where(X[:, 0] > 1, 10, 9)
    model = classifier(metric="f1", n_trials=1).fit(X, y)
    as_other = classifier(metric="f1", n_trials=1).fit(X, 19 - y)
    assert model.best_score_ != as_other.best_score_
    assert (model.model_.schema.classes, model.classes_.tolist()) == (("9", "10"), [9, 10])


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (["a", " "], "y must hold labels, but .*' '.* is read as a missing value"),
        (["1", "1.0"], "y must hold distinct labels, but got .*'1'.* and .*'1.0'"),
        (["a", "a"], 'has only the class "a"'),
        (["a", None], "y must hold a label in every row"),
        ([0.25, 1.75, 2.5, 3.5], "Unknown label type"),
    ],
)
def test_labels_that_cannot_be_learned(labels: list[Any], complaint: str) -> None:
    y = np.array(labels * (40 // len(labels)), dtype=object if None in labels else None)
    with pytest.raises(ValueError, match=complaint):
        classifier().fit(points()[0], y)


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"n_trials": 0}, "MLPSearchClassifier: budget.n_trials: must be at least 1, but got 0"),
        ({"timeout": "soon"}, 'budget.timeout: must be a duration such as "90s"'),
        ({"val": 1.5}, "data.split.val: must be below 1, but got 1.5"),
        ({"metric": "rmse"}, "objective.metric: must be one of accuracy, .* for a binary task"),
        ({"search_space": "mpl"}, 'but got "mpl" .did you mean "mlp"'),
        ({"search_space": {"model": {"depth": 1}}}, "has no tunable leaf: nothing to search"),
        ({"workers": 0}, "workers must be a number from 1, but got 0"),
        ({"device": "tpu"}, "device must be auto, cpu or a GPU of this machine, but got tpu"),
        ({"random_state": -1}, "seed: must be at least 0, but got -1"),
        ({"categorical": ["x7"]}, "by index from 0 to 2, but got 'x7'"),
        ({"categorical": [3]}, "by index from 0 to 2, but got 3"),
        ({"categorical": "x1"}, "categorical must be a list of columns, but got 'x1'"),
        ({"artifacts": "here"}, "artifacts needs storage: without storage"),
        ({"study_name": "a/b"}, "name: must be 1 to 100 letters"),
        ({"storage": "nowhere"}, "storage must be a URL such as sqlite:///hpo.db"),
    ],
)
def test_a_wrong_parameter_is_said_and_leaves_nothing(
    params: dict[str, Any], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ValueError, match=complaint):
        classifier(**params).fit(*points())
    assert list(tmp_path.iterdir()) == []


def test_columns_that_cannot_be_used() -> None:
    X = polars.DataFrame({"a": np.arange(40), "b": [[1]] * 40})
    with pytest.raises(
        ValueError, match='column "b" must hold numbers, text or dates, but holds List'
    ):
        classifier().fit(X, points()[1])
    with pytest.raises(ValueError, match="1 sample"):
        classifier().fit(X[:1], ["a"])
    with pytest.raises(NotFittedError):
        classifier().predict(X)


def test_numbers_may_be_categories() -> None:
    X, y = points()
    X[:, 1] = np.arange(40) % 3
    by_place = classifier(categorical=[1]).fit(X, y).model_.schema
    assert [column.name for column in by_place.categorical] == ["x1"]
    assert classifier(categorical=["x1"]).fit(X, y).model_.schema == by_place


@pytest.mark.slow
def test_what_a_fit_tells() -> None:
    model = classifier(n_trials=6, metric="log_loss", random_state=3).fit(*points())
    board = model.leaderboard_
    assert board["value"].is_sorted()
    assert model.best_score_ == board["value"][0] == model.model_.metrics["log_loss"]
    assert model.best_params_.keys() == {"model.width", "optimizer.learning_rate"}
    assert model.best_params_["model.width"] == model.model_.config.model.width
    assert isinstance(model.model_, Model)
    assert model.model_.config.training.seed == model.model_.config.data.split.seed == 3
    assert model.model_.config.training.batch_size == 32
    study = model.study_
    assert len(study.trials) == 6
    assert study.best_value == model.best_score_
    assert study.best_params == model.best_params_
    for plot in ("optimization_history", "param_importances", "slice", "intermediate_values"):
        drawn = getattr(optuna.visualization, f"plot_{plot}")(study)
        assert drawn.data, plot


def test_all_rows_train_or_validate() -> None:
    model = regressor(val=0.25).fit(flats(), rents(flats()))
    assert model.model_.schema.n_train == 45
    assert set(model.model_.metrics) == {"rmse", "mae", "r2", "mape", "rmsle"}
    assert model.best_score_ == model.model_.metrics["r2"]


def test_a_refit_trains_on_all_rows_and_scores_the_search() -> None:
    X, y = flats(), rents(flats())
    plain, refitted = regressor().fit(X, y), regressor(refit=True).fit(X, y)
    assert (plain.model_.schema.n_train, refitted.model_.schema.n_train) == (51, 60)
    assert refitted.model_.metrics == {}
    assert refitted.leaderboard_.equals(plain.leaderboard_)
    assert refitted.best_score_ == plain.best_score_ == plain.model_.metrics["r2"]
    curve = plain.study_.trials[plain.leaderboard_["number"][0]].intermediate_values
    config = refitted.model_.config
    assert curve[config.refit.n_epochs] == max(curve.values())
    assert replace(config, refit=None) == plain.model_.config
    assert refitted.score(X, y) != plain.score(X, y)


def test_what_the_space_says_of_training_holds_unless_a_parameter_says_otherwise() -> None:
    space = {**SPACE, "training": {"batch_size": 7, "patience": 5}}
    training = classifier(search_space=space, patience=3).fit(*points()).model_.config.training
    assert (training.batch_size, training.patience, training.max_epochs) == (7, 3, 8)


@pytest.mark.slow
def test_a_seed_repeats_a_fit() -> None:
    X, y = flats(), rents(flats())
    first, again, other = (regressor(n_trials=4, random_state=seed).fit(X, y) for seed in (1, 1, 2))
    assert first.leaderboard_.equals(again.leaderboard_)
    assert np.array_equal(first.predict(X), again.predict(X))
    assert not first.leaderboard_.equals(other.leaderboard_)
    drawn = regressor(random_state=None)
    assert not drawn.fit(X, y).leaderboard_.equals(drawn.fit(X, y).leaderboard_)


def test_a_fit_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    n_threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        classifier().fit(*points())
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(n_threads)
    assert list(tmp_path.iterdir()) == []
    assert open_below(tmp_path) == []


@pytest.mark.slow
def test_a_study_that_is_kept_is_gone_on_with(tmp_path: Path) -> None:
    places = {"storage": f"sqlite:///{tmp_path}/hpo.db", "artifacts": str(tmp_path / "artifacts")}
    model = classifier(**places, study_name="kept").fit(*points())
    kept = hpo.load_study("kept", **places)
    assert kept.leaderboard().equals(model.leaderboard_)
    kept.study.storage.close()
    more = clone(model).set_params(n_trials=3).fit(*points())
    assert more.leaderboard_["number"].sort().to_list() == [0, 1, 2]
    with pytest.raises(ValueError, match="study kept exists with another definition"):
        classifier(**places, study_name="kept").fit(points()[0] + 1, points()[1])
    assert open_below(tmp_path) == []
    unnamed = [classifier(**places, n_trials=1).fit(*points()).study_ for _ in range(2)]
    assert len({"kept", *(study.study_name for study in unnamed)}) == 3


@pytest.mark.slow
def test_an_interrupt_gives_the_trial_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {"storage": f"sqlite:///{tmp_path}/hpo.db", "artifacts": str(tmp_path / "artifacts")}
    advance, slices = SingleTrainer.advance, itertools.count()

    def interrupted(trainer: SingleTrainer, seconds: float) -> Any:
        if next(slices) == 0:
            signal.raise_signal(signal.SIGINT)
        return advance(trainer, 0.001 if next(slices) < 9 else seconds)

    model = classifier(**places, study_name="long", n_trials=1, max_epochs=500, patience=500)
    monkeypatch.setattr(SingleTrainer, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*points())
    assert not hasattr(model, "model_")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    left = hpo.load_study("long", **places)
    assert left.status.counts == {"WAITING": 1}
    left.study.storage.close()
    model.fit(*points())
    assert [trial.number for trial in model.study_.trials] == [0]


@pytest.mark.slow
def test_a_search_ends_in_time() -> None:
    model = classifier(n_trials=10_000, timeout=3.0).fit(*points())
    assert 0 < len(model.study_.trials) < 10_000


def test_a_search_that_found_nothing_says_so() -> None:
    rate = {"type": "float", "low": 90.0, "high": 100.0}
    space = {
        "optimizer": {"name": "sgd", "learning_rate": rate},
        "training": {"gradient_clip": 0.0},
    }
    with pytest.raises(HpoError, match=r"is over without a COMPLETE trial \(1 pruned\): allow"):
        regressor(n_trials=1, search_space=space).fit(points()[0], points()[0][:, 0])


@pytest.mark.slow
def test_worker_processes_share_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("hpo.sklearn.work.search_in_process")
    model = classifier(n_trials=4, workers=2).fit(*points())
    assert [trial.number for trial in model.study_.trials] == [0, 1, 2, 3]
    assert {trial.state.is_finished() for trial in model.study_.trials} == {True}
    assert model.predict(points()[0]).dtype.kind == "U"


def test_folds_replace_the_validation_share() -> None:
    X = flats()
    model = classifier(folds=3, ensemble=0, n_trials=1).fit(X, np.arange(60) % 2)
    assert isinstance(model.model_, FoldEnsemble)
    assert model.model_.config.data.split == SplitConfig(folds=3, test=0, seed=0)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))


def test_a_pickle_holds_the_models_file(tmp_path: Path) -> None:
    model = classifier().fit(*points())
    content = pickle.dumps(model)
    held = [argument for _, argument, _ in pickletools.genops(content) if argument]
    names = [each for each in held if isinstance(each, str)]
    assert "hpo.sklearn.estimators" in names
    assert not [name for name in names if name.startswith(("torch", "optuna", "hpo.models"))]
    (file,) = (each for each in held if isinstance(each, bytes) and b"__metadata__" in each)
    (tmp_path / "model.safetensors").write_bytes(file)
    rows = polars.DataFrame(points()[0], schema=["x0", "x1", "x2"])
    assert hpo.load_model(tmp_path).predict(rows).equals(model.model_.predict(rows))
    again = pickle.loads(content)
    assert not hasattr(again, "study_")
    assert again.leaderboard_.equals(model.leaderboard_)
    assert np.array_equal(again.predict_proba(points()[0]), model.predict_proba(points()[0]))
    assert "model_" not in vars(pickle.loads(pickle.dumps(clone(model))))


@pytest.mark.slow
def test_another_process_predicts_alike(tmp_path: Path) -> None:
    X, y = points()
    model = classifier().fit(X, y)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps((model, X)))
    code = (
        "import pickle, sys; model, X = pickle.load(open(sys.argv[1], 'rb')); "
        "print(*model.predict_proba(X).ravel().tolist())"
    )
    command = [*PROGRAM, code, str(tmp_path / "model.pickle")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert np.array_equal([float(p) for p in done.stdout.split()], model.predict_proba(X).ravel())


@pytest.mark.slow
def test_a_clone_has_the_parameters_alone() -> None:
    model = classifier(val=0.3, metric="f1").fit(*points())
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not [name for name in vars(copy) if name.endswith("_")]


@pytest.mark.slow
def test_inside_a_pipeline_and_others() -> None:
    X, y = flats(), rents(flats())
    numbers = make_column_selector(dtype_include="number")
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers), remainder="passthrough"
    )
    pipeline = make_pipeline(columns, regressor(max_epochs=30))
    train, test, y_train, y_test = train_test_split(X, y, random_state=0)
    pipeline.fit(train, y_train)
    assert pipeline.score(test, y_test) == r2_score(y_test, pipeline.predict(test)) > 0
    bag = BaggingRegressor(regressor(), n_estimators=2, random_state=0).fit(X[["size"]], y)
    assert bag.predict(X[["size"]]).shape == (60,)


@pytest.mark.slow
def test_grid_search_over_a_parameter() -> None:
    grid = GridSearchCV(classifier(), {"max_epochs": [1, 20]}, cv=2).fit(*points())
    assert np.isfinite(grid.cv_results_["mean_test_score"]).tolist() == [True, True]
    assert grid.best_estimator_.max_epochs == grid.best_params_["max_epochs"]
    assert set(grid.predict(points()[0])) <= {"up", "down"}


@pytest.mark.slow
def test_cross_validation_in_processes() -> None:
    X, y = points(80)
    alone = cross_val_score(classifier(max_epochs=20), X, y, cv=2)
    assert np.array_equal(cross_val_score(classifier(max_epochs=20), X, y, cv=2, n_jobs=2), alone)
    assert alone.mean() > 0.6


@pytest.mark.slow
def test_weights_decide_what_is_learned() -> None:
    """A few rows contradict the others and have most of the weight."""
    x = np.random.default_rng(0).normal(size=300)
    is_heavy = np.arange(300) % 5 == 0
    y = np.where((x > 0) ^ is_heavy, "up", "down")
    search = classifier(ensemble=0, max_epochs=20)
    light = search.fit(x[:, None], y).predict([[2.0], [-2.0]]).tolist()
    heavy = search.fit(x[:, None], y, np.where(is_heavy, 50, 1)).predict([[2.0], [-2.0]]).tolist()
    assert (light, heavy) == (["up", "down"], ["down", "up"])
    with pytest.raises(ValueError, match="at least 0, but is -1 in row 1"):
        search.fit(x[:, None], y, -np.ones(300))


def test_class_weights_shift_the_predictions() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(300, 1)), generator.random(300) < 0.3
    weights = {}, {True: 9.0}
    shares = [
        classifier(metric="roc_auc", class_weight=each, ensemble=0, random_state=1)
        .fit(x, y)
        .predict(x)
        .mean()
        for each in weights
    ]
    assert shares[0] < 0.4
    assert shares[1] > 0.7
    with pytest.raises(ValueError, match="class_weight must name labels of y, but got 'yes'"):
        classifier(class_weight={"yes": 2.0}).fit(x, y)
    with pytest.raises(ValueError, match="is for classes, but this is a regression"):
        regressor(class_weight="balanced").fit(x, x[:, 0])


def test_cross_validation_in_threads() -> None:
    import joblib

    X, y = points(80)
    alone = cross_val_score(classifier(), X, y, cv=3)
    with joblib.parallel_backend("threading"):
        assert np.array_equal(cross_val_score(classifier(), X, y, cv=3, n_jobs=3), alone)


def test_a_tuned_threshold_decides() -> None:
    generator = np.random.default_rng(0)
    X = generator.normal(size=(200, 2))
    y = np.where(X[:, 0] + generator.normal(size=200) > 1.5, "alarm", "none")
    search = MLPSearchClassifier(
        n_trials=2,
        max_epochs=4,
        metric="f1",
        calibrate="temperature",
        threshold="tuned",
        ensemble=0,
        val=0.4,
    ).fit(X, y)
    fitted = search.model_.calibration
    assert fitted.temperature != 1
    expected = np.where(search.predict_proba(X)[:, 0] > fitted.threshold, "alarm", "none")
    assert (search.predict(X) == expected).all()
    assert (search.predict(X) == "alarm").sum() != (search.predict_proba(X)[:, 0] > 0.5).sum()


def test_an_ensemble_predicts_if_it_is_better_on_the_validation_rows() -> None:
    X, y = points()
    search = classifier(metric="log_loss", n_trials=4).fit(X, y)
    alone = classifier(metric="log_loss", n_trials=4, ensemble=0).fit(X, y)
    assert alone.ensemble_ is None
    assert search.best_params_ == alone.best_params_
    assert isinstance(search.ensemble_, Ensemble)
    assert search.ensemble_.metrics["log_loss"] < search.model_.metrics["log_loss"]
    probabilities = search.predict_proba(X)
    assert not np.allclose(probabilities, alone.predict_proba(X), atol=1e-6)
    again = pickle.loads(pickle.dumps(search))
    assert np.array_equal(again.predict_proba(X), probabilities)
    with pytest.raises(ValueError, match="ensemble must be a number from 0, but got -1"):
        classifier(ensemble=-1).fit(X, y)
