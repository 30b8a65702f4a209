import copy
import datetime
import json
import tomllib
from pathlib import Path

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpo.config.definition import (
    StudyDefinition,
    load_definition,
    load_search_space,
)
from hpo.config.differences import difference
from hpo.config.errors import DefinitionError
from hpo.config.parsing import validate
from hpo.config.space import SearchSpace
from hpo.config.trial import DataConfig, TrainingConfig, TrialConfig
from tests.support.paths import ROOT

TREE = {
    "name": "houses",
    "search_space": {
        "model": {
            "depth": {"type": "int", "low": 1, "high": 6},
            "dropout": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.1, "or_zero": True},
            "activation": {"type": "categorical", "choices": ["relu", "tanh"], "default": "tanh"},
        },
        "optimizer": {
            "name": {"type": "categorical", "choices": ["sgd", "adam"]},
            "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
            "l1": 0,
            "momentum": {
                "type": "float",
                "low": 0.8,
                "high": 0.99,
                "when": {"optimizer.name": ["sgd"]},
            },
        },
    },
    "data": {
        "source": "houses.csv",
        "target": "price",
        "task": "regression",
        "split": {"val": 0.2, "test": 0.2, "seed": 0},
        "drop": ["id"],
    },
    "objective": {"metric": "rmse"},
    "training": {"max_epochs": 10, "gradient_clip": 1},
    "sampler": {"name": "tpe", "seed": 0},
    "pruner": {"name": "median", "n_warmup_steps": 5},
    "budget": {"n_trials": 10, "timeout": "1h"},
}


def changed(key: str, value: object) -> dict[str, object]:
    tree = copy.deepcopy(TREE)
    *path, last = key.split(".")
    node = tree
    for part in path:
        node = node[part]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return tree


def definition(tree: dict[str, object] = TREE) -> StudyDefinition:
    return StudyDefinition.from_tree(tree, "s.toml", Path())


def refused(tree: dict[str, object]) -> str:
    with pytest.raises(DefinitionError) as caught:
        definition(tree)
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("name", None, "name: is required"),
        ("name", "a/b", "name: must be 1 to 100 letters, digits or . _ @ -, the first a letter"),
        ("name", "größe", "name: must be 1 to 100 letters, digits or"),
        ("name", "a\n", "name: must be 1 to 100 letters, digits or"),
        ("name", "", "name: must be 1 to 100 letters, digits or"),
        ("name", "a" * 101, "name: must be 1 to 100 letters, digits or"),
        ("name", 3, "name: must be a string, but got 3"),
        ("search_space", 3, "search_space: must be a string or a table, but got 3"),
        ("search_space", {}, "search_space: has no tunable leaf: nothing to search"),
        ("search_space", {"model": {"depth": 3}}, "search_space: has no tunable leaf"),
        ("search_space", "none.toml", "none.toml: no such file"),
        ("data", [], "data: must be a table, but got []"),
        ("data.source", None, "data.source: is required"),
        (
            "data.task",
            "binry",
            'data.task: must be "binary", "multiclass", "regression" or "auto", '
            'but got "binry" (did you mean "binary"?)',
        ),
        ("data.split", "split", 'data.split: must be a table, but got "split"'),
        (
            "data.split",
            {"column": "part", "val": 0.1},
            "data.split: column excludes val",
        ),
        ("data.split", {"column": "part", "seed": 1}, "data.split: column excludes seed"),
        ("data.split", {"folds": 5, "val": 0.1}, "data.split: folds excludes val"),
        (
            "data.split",
            {"time": "day", "groups": "id", "seed": 1},
            "data.split: time excludes groups, seed",
        ),
        ("data.split", {"folds": 1}, "data.split.folds: must be at least 2, but got 1"),
        (
            "data.split",
            {"groups": "id"},
            'data.split.groups: must be a column of its own, but got "id", which is data.drop[0]',
        ),
        (
            "data.split",
            {"time": "price"},
            'data.split.time: must be a column of its own, but got "price", which is data.target',
        ),
        (
            "data.split",
            {"val": 0.5, "test": 0.5},
            "data.split: val + test must stay below 1, but got 1",
        ),
        ("data.split.val", 0, "data.split.val: must be above 0, but got 0"),
        ("data.split.test", -0.1, "data.split.test: must be at least 0, but got -0.1"),
        (
            "data.drop",
            ["price"],
            'data.drop[0]: must be a column of its own, but got "price", which is data.target',
        ),
        (
            "data.split",
            {"column": "price"},
            'data.split.column: must be a column of its own, but got "price", which is data.target',
        ),
        (
            "data.numeric",
            ["a", "id"],
            'data.numeric[1]: must be a column of its own, but got "id", which is data.drop[0]',
        ),
        ("data.drop", "id", 'data.drop: must be an array, but got "id"'),
        (
            "objective.metric",
            "accuracy",
            "objective.metric: must be one of rmse, mae, r2, mape, rmsle, pinball for a regression "
            'task, but got "accuracy"',
        ),
        ("objective", {}, "objective.metric: is required"),
        (
            "objective.calibrate",
            "temperature",
            "objective.calibrate: is for classes, but this is a regression task",
        ),
        (
            "objective.calibrate",
            "isotonic",
            'objective.calibrate: must be "temperature", but got "isotonic"',
        ),
        (
            "objective.threshold",
            "tuned",
            "objective.threshold: is for a binary task, but this is a regression task",
        ),
        ("objective.threshold", 0.3, 'objective.threshold: must be "tuned", but got 0.3'),
        (
            "training.loss",
            "bce",
            "training.loss: must be one of mse, mae, huber, quantile, poisson for a regression "
            'task, but got "bce"',
        ),
        (
            "training.schedule",
            "cosinus",
            'training.schedule: must be "constant", "cosine", "flat_cosine" or "coslog4", '
            'but got "cosinus" (did you mean "cosine"?)',
        ),
        ("training.warmup_steps", -1, "training.warmup_steps: must be at least 0, but got -1"),
        ("training.label_smoothing", 1.0, "training.label_smoothing: must be below 1, but got 1"),
        (
            "training.label_smoothing",
            0.1,
            "training.label_smoothing: must be 0 for a regression task, but got 0.1",
        ),
        ("training.patience", 0, "training.patience: must be at least 1, but got 0"),
        ("training.patience", 1.5, "training.patience: must be a whole number, but got 1.5"),
        (
            "search_space.optimizer.beta1",
            1.0,
            "search_space: optimizer.beta1: must be below 1, but got 1",
        ),
        ("training.depth", 3, "training.depth: unknown key; known keys are batch_size"),
        ("training.max_epochs", "10", 'training.max_epochs: must be a whole number, but got "10"'),
        (
            "sampler.name",
            "tep",
            'sampler.name: must be "tpe", "random", "qmc", "gp" or "grid", '
            'but got "tep" (did you mean "tpe"?)',
        ),
        ("data.decimal", ";", 'data.decimal: must be "." or ",", but got ";"'),
        (
            "data.thousands",
            "x",
            'data.thousands: must be "", ",", ".", " " or "\'", but got "x"',
        ),
        ("data.separator", ":", 'data.separator: must be ",", ";", "\\t" or "|", but got ":"'),
        ("data.date_order", "ydm", 'data.date_order: must be "ymd", "dmy" or "mdy", but got "ydm"'),
        ("data.max_categories", 1, "data.max_categories: must be at least 2, but got 1"),
        ("data.missing", "NA", "data.missing: must be an array, but got"),
        ("data.dates", ["a", 1], "data.dates[1]: must be a string, but got 1"),
        ("data.positive", [], "data.positive: must be"),
        ("sampler", "tpe", 'sampler: must be a table, but got "tpe"'),
        ("sampler", {}, 'sampler.name: is required: one of "tpe", "random"'),
        ("sampler.seed", -1, "sampler.seed: must be at least 0, but got -1"),
        ("sampler.seed", 2**31, "sampler.seed: must be below 2147483648, but got 2147483648"),
        ("pruner.patience", 3, "pruner.patience: unknown key; known keys are interval_steps"),
        ("budget.n_trials", 0, "budget.n_trials: must be at least 1, but got 0"),
        ("budget.timeout", "1w", 'budget.timeout: must be a duration such as "90s", "30m"'),
        ("bugdet", {}, 'bugdet: unknown key (did you mean "budget"?); known keys are budget'),
    ],
)
def test_a_wrong_study_file_gets_one_sentence(key, value, sentence):
    message = refused(changed(key, value))
    assert message.startswith(sentence if sentence.startswith("none") else f"s.toml: {sentence}")
    assert "\n" not in message


def test_several_mistakes_get_a_line_each():
    tree = changed("data", {"source": 1, "targt": "price"})
    assert refused(tree).splitlines() == [
        "s.toml: data.source: must be a string, but got 1",
        "s.toml: data.target: is required",
        's.toml: data.targt: unknown key (did you mean "target"?); known keys are categorical, '
        "class_weight, copy, date_order, dates, decimal, drop, fingerprint, max_categories, "
        "missing, numeric, positive, separator, source, split, target, task, thousands, weight",
    ]


def test_an_empty_file_lists_what_it_needs(tmp_path):
    path = tmp_path / "s.toml"
    path.touch()
    with pytest.raises(DefinitionError) as caught:
        load_definition(path)
    keys = ("name", "search_space", "data", "objective")
    assert str(caught.value).splitlines() == [f"{path}: {key}: is required" for key in keys]


def test_the_studys_training_wins_over_the_search_space():
    tree = changed("training.batch_size", 512)
    tree["search_space"]["training"] = {
        "batch_size": {"type": "int", "low": 64, "high": 256},
        "patience": 3,
    }
    space = definition(tree).space
    assert "training.batch_size" not in space.tunables
    assert space.constants["training.batch_size"] == 512
    assert space.constants["training.patience"] == 3


def test_the_digest_knows_what_makes_a_study():
    digest = definition().digest()
    same = [
        changed("budget.n_trials", 20),
        changed("budget.timeout", None),
        changed("data.source", "elsewhere.parquet"),
        changed("training.gradient_clip", 1.0),
        changed("pruner.interval_steps", 1),
    ]
    other = [
        changed("name", "flats"),
        changed("sampler.seed", 1),
        changed("training.max_epochs", 11),
        changed("data.drop", []),
        changed("objective.metric", "mae"),
        changed("search_space.model.depth.high", 5),
        changed("data.fingerprint", "abc"),
    ]
    assert {definition(tree).digest() for tree in same} == {digest}
    assert len({definition(tree).digest() for tree in other} | {digest}) == 1 + len(other)


READING = {
    "dates": ["day"],
    "positive": 1,
    "separator": ";",
    "decimal": ",",
    "thousands": "",
    "missing": ["-9"],
    "date_order": "dmy",
    "max_categories": 300,
}


@pytest.mark.parametrize("key", READING)
def test_how_a_table_is_read_makes_the_study(key):
    with_key = definition(changed("data", {**TREE["data"], key: READING[key]}))
    assert StudyDefinition.from_json(with_key.to_json()) == with_key
    assert with_key.digest() != definition().digest()
    assert key in json.loads(with_key.to_json())["data"]


def test_what_is_left_to_the_table_stands_in_no_definition():
    """Those of earlier versions keep their digest."""
    assert not READING.keys() & json.loads(definition().to_json())["data"].keys()


def test_json_reads_back_as_the_same_definition():
    first = definition()
    again = StudyDefinition.from_json(first.to_json())
    assert again == first
    assert again.to_json() == first.to_json()


@pytest.mark.parametrize(
    "split",
    [
        {"column": "part"},
        {"column": "part", "folds": 3, "seed": 1},
        {"val": 0.2, "test": 0.1, "seed": 1, "groups": "day"},
        {"folds": 5, "test": 0.9, "seed": 0, "groups": "day"},
        {"folds": 5, "test": 0.1, "time": "day"},
    ],
)
def test_a_split_reads_back_with_the_keys_it_had(split):
    first = definition(changed("data.split", split))
    assert StudyDefinition.from_json(first.to_json()) == first
    assert first.to_tree()["data"]["split"] == split


def test_groups_and_times_may_be_features():
    split = {"val": 0.2, "test": 0.1, "groups": "day"}
    tree = changed("data.split", split)
    tree["data"]["categorical"] = ["day"]
    assert definition(tree).data.split.groups == "day"


def test_the_table_settles_what_the_file_leaves_open():
    open_ended = definition(changed("data.task", "auto"))
    found = open_ended.resolved(
        source="/data/houses.csv", task="regression", fingerprint="abc", where="s.toml"
    )
    assert found.data.task == "regression"
    assert found.data.fingerprint == "abc"
    assert found.data.source == "/data/houses.csv"
    with pytest.raises(DefinitionError, match=r"objective\.metric: must be one of accuracy"):
        open_ended.resolved(source="", task="binary", fingerprint="", where="s.toml")


def test_a_threshold_is_for_two_classes_and_a_metric_of_predicted_classes():
    def of(task: str, **objective: str) -> dict[str, object]:
        return {**changed("data.task", task), "objective": objective}

    multiclass = of("multiclass", metric="f1", threshold="tuned")
    assert refused(multiclass) == (
        "s.toml: objective.threshold: is for a binary task, but this is a multiclass task"
    )
    found = refused(of("binary", metric="roc_auc", threshold="tuned"))
    assert found.startswith("s.toml: objective.threshold: needs a metric of the predicted classes")
    assert "one of accuracy, balanced_accuracy, f1" in found
    assert found.endswith('but objective.metric is "roc_auc"')
    both = {"metric": "f1", "calibrate": "temperature", "threshold": "tuned"}
    assert definition(of("binary", **both)).to_tree()["objective"] == both
    assert definition(of("multiclass", metric="f1")).to_tree()["objective"] == {"metric": "f1"}


@pytest.mark.parametrize("low", [True, False])
def test_every_loss_that_a_search_may_choose_must_suit_the_task(low):
    tree = copy.deepcopy(TREE)
    choices = ["mse", "cross_entropy"] if low else ["mse", "huber"]
    tree["search_space"]["training"] = {"loss": {"type": "categorical", "choices": choices}}
    if low:
        assert 'but got "cross_entropy"' in refused(tree)
    else:
        assert definition(tree).space.tunables["training.loss"].choices == ("mse", "huber")


@pytest.mark.parametrize(
    "leaf",
    [
        {"type": "float", "low": 0.0, "high": 0.2},
        {"type": "categorical", "choices": [0.0, 0.2]},
    ],
)
def test_a_search_may_smooth_labels_only_for_classes(leaf):
    tree = copy.deepcopy(TREE)
    tree["search_space"]["training"] = {"label_smoothing": leaf}
    key = "s.toml: training.label_smoothing"
    assert refused(tree) == f"{key}: must be 0 for a regression task, but got 0.2"
    tree["data"]["task"], tree["objective"]["metric"] = "binary", "log_loss"
    assert "training.label_smoothing" in definition(tree).space.tunables


def test_patience_is_off_with_a_schedule_unless_it_is_named():
    def patience(**training):
        found = definition(changed("training", training))
        assert StudyDefinition.from_json(found.to_json()) == found
        config = found.trial_config(found.space.default_params())
        section = config.to_tree()["training"]
        assert TrainingConfig(**section) == config.training
        assert section.get("patience") == config.training.patience
        return config.training.patience

    assert patience() == 16
    assert patience(schedule="constant") == 16
    assert patience(schedule="coslog4") is None
    assert patience(schedule="coslog4", patience=16) == 16


def test_leaves_of_later_versions_are_written_only_where_they_are_set():
    """Configs and model files keep the text that earlier versions wrote."""
    later = {
        "optimizer": {"beta1": 0.8, "beta2": 0.99},
        "training": {"schedule": "cosine", "warmup_steps": 3, "label_smoothing": 0.1},
    }
    plain, tree = definition(), copy.deepcopy(TREE)
    tree["data"]["task"], tree["objective"]["metric"] = "binary", "log_loss"
    tree["search_space"].update(later)
    smooth = definition(tree)
    before = plain.trial_config(plain.space.default_params()).to_tree()
    after = smooth.trial_config(smooth.space.default_params()).to_tree()
    for section, leaves in later.items():
        assert not leaves.keys() & before[section].keys()
        assert {name: after[section][name] for name in leaves} == leaves


def test_a_trial_config_is_complete():
    found = definition()
    config = found.trial_config(found.space.default_params())
    assert isinstance(config, TrialConfig)
    assert config.training.max_epochs == 10
    assert config.model.activation == "tanh"
    assert config.optimizer.name == "sgd"
    assert config.optimizer.momentum == pytest.approx(0.895)
    assert config.data.drop == ("id",)
    assert type(config.data) is DataConfig


def test_a_trial_config_is_what_a_file_with_the_same_values_holds():
    """By a split column or by shares; whole numbers become real ones where the leaf is one."""
    for split in ({"column": "part"}, {"val": 0.3}):
        found = definition(changed("data.split", split))
        params = {**found.space.default_params(), "optimizer.learning_rate": 1}
        config = found.trial_config(params)
        assert config == validate(TrialConfig, tomllib.loads(config.to_toml("")), "config")
        assert isinstance(config.optimizer.learning_rate, float)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("model.depth", True, "a whole number, but got true"),
        ("model.depth", "3", 'a whole number, but got "3"'),
        ("model.depth", 3.0, "a whole number, but got 3.0"),
        ("model.depth", 65, "at most 64, but got 65"),
        ("optimizer.learning_rate", float("nan"), "a finite number, but got NaN"),
        ("model.activation", "step", '"relu", "leaky_relu"'),
    ],
)
def test_a_trial_config_takes_params_strictly(name, value, complaint):
    found = definition()
    with pytest.raises(DefinitionError) as error:
        found.trial_config({**found.space.default_params(), name: value})
    assert str(error.value).startswith(f"study houses: {name}: must be {complaint}")


@pytest.mark.parametrize(("metric", "direction"), [("rmse", "minimize"), ("r2", "maximize")])
def test_a_metric_knows_its_direction(metric, direction):
    assert definition(changed("objective.metric", metric)).direction == direction


def test_the_difference_names_what_changed():
    given = definition(changed("search_space.model.depth.high", 5))
    assert difference(definition(), given) == ["search_space.model.depth.high: 6 -> 5"]
    assert difference(definition(), definition(changed("budget.n_trials", 99))) == []


def test_a_search_space_is_found_beside_the_studys_folder_first(tmp_path):
    (tmp_path / "studies").mkdir()
    (tmp_path / "search_spaces").mkdir()
    own = tmp_path / "search_spaces" / "mlp.toml"
    own.write_text("[model]\ndepth = 2\n")
    assert load_search_space("mlp", "s.toml", tmp_path / "studies") == SearchSpace(
        constants={"model.depth": 2}, tunables={}
    )
    own.rename(tmp_path / "studies" / "own.toml")
    assert load_search_space("own.toml", "s.toml", tmp_path / "studies").constants
    assert load_search_space("mlp", "s.toml", tmp_path / "studies").tunables  # the shipped one


@pytest.mark.parametrize("name", ["mlpp", "", "a/b", "../search_spaces/mlp", "a\0b", "x" * 5000])
def test_an_unknown_search_space_lists_those_there_are(tmp_path, name):
    (tmp_path / "studies").mkdir()
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces" / "mlpq.toml").touch()
    with pytest.raises(DefinitionError) as caught:
        load_search_space(name, "s.toml", tmp_path / "studies")
    message = str(caught.value)
    assert message.startswith(
        "s.toml: search_space: must be a path ending in .toml, an inline table or one of "
    )
    assert "mlpq" in message
    assert len(message) < 300


def test_a_mistake_in_a_search_space_names_its_file(tmp_path):
    space = tmp_path / "space.toml"
    space.write_text("[model]\ndepth = 0\n")
    tree = changed("search_space", "space.toml")
    with pytest.raises(DefinitionError) as caught:
        StudyDefinition.from_tree(tree, "s.toml", tmp_path)
    assert str(caught.value) == f"{space}: model.depth: must be at least 1, but got 0"


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.toml")), ids=lambda p: p.stem)
def test_the_shipped_studies_load(path):
    found = load_definition(path)
    assert found.name == path.stem.replace("_", "-")
    assert found.space.tunables


KEYS = st.sampled_from(
    [
        "name",
        "type",
        "low",
        "high",
        "step",
        "log",
        "or_zero",
        "default",
        "when",
        "choices",
        "column",
    ]
) | st.text(max_size=3)
NUMBERS = (
    st.sampled_from([0, 1, -1, 0.0, 0.1, 1e-300, 1e300, 2**31, 2**63, 10**100])
    | st.integers()
    | st.floats()
)
TEXTS = st.sampled_from(["auto", "tpe", "grid", "int", "1s", "mlp", "x.toml"]) | st.text(max_size=3)
DATES = st.just(datetime.date(2024, 1, 1)) | st.just(datetime.time(1, 30))
VALUES = st.recursive(
    NUMBERS | TEXTS | DATES | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)


def tables(node: object) -> list[dict[str, object]]:
    """Every table of a tree, the root first."""
    if not isinstance(node, dict):
        return []
    return [node] + [table for value in node.values() for table in tables(value)]


@st.composite
def mutated(draw) -> dict[str, object]:
    """A valid study file with up to three keys dropped, renamed, added or given other values."""
    tree = copy.deepcopy(TREE)
    for _ in range(draw(st.integers(1, 3))):
        table = draw(st.sampled_from(tables(tree)))
        key = draw(st.sampled_from(sorted(table)) if table else KEYS)
        match draw(st.sampled_from(["drop", "rename", "add", "replace", "replace"])):
            case "drop":
                table.pop(key, None)
            case "rename" if key in table:
                table[draw(KEYS)] = table.pop(key)
            case "add":
                table[draw(KEYS)] = draw(VALUES)
            case _:
                table[key] = draw(VALUES)
    return tree


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=mutated())
def test_any_file_is_a_definition_or_one_clear_refusal(tmp_path, tree):
    path = tmp_path / "study.toml"
    path.write_text(tomli_w.dumps(tree), encoding="utf-8", newline="")
    try:
        found = load_definition(path)
    except DefinitionError as error:
        for line in str(error).split("\n"):
            assert line.startswith(f"{tmp_path}/")
            assert line.isprintable()
            assert len(line) < len(str(tmp_path)) + 350
        return
    again = StudyDefinition.from_json(found.to_json())
    assert again == found
    assert again.to_json() == found.to_json()
    assert again.digest() == found.digest()
    json.loads(found.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is stored"))
    config = found.trial_config(found.space.default_params())
    assert config.training.max_epochs >= 1


def test_a_damaged_stored_definition_is_said_to_be_so() -> None:
    with pytest.raises(DefinitionError, match=r"^stored definition: is not JSON: "):
        StudyDefinition.from_json('{"name": ')


def judged(task: str, objective: dict, training: dict, space: dict | None = None) -> str:
    """What is wrong with an objective and a loss; empty if nothing is."""
    tree = changed("objective", objective)
    tree["data"]["task"], tree["training"] = task, training
    tree["search_space"].setdefault("training", {}).update(space or {})
    try:
        definition(tree)
    except DefinitionError as error:
        return str(error)
    return ""


LOSSES_AND_TRANSFORMS = {
    "loss": {"type": "categorical", "choices": ["mse", "poisson"]},
    "target_transform": {"type": "categorical", "choices": ["none", "log1p"]},
}
ONLY_WITH_MSE = {**LOSSES_AND_TRANSFORMS["target_transform"], "when": {"training.loss": "mse"}}


@pytest.mark.parametrize(
    ("task", "objective", "training", "space", "sentence"),
    [
        ("regression", {"metric": "pinball"}, {}, {}, "objective.quantile: is required"),
        ("regression", {"metric": "rmse"}, {"loss": "quantile"}, {}, "objective.quantile: is req"),
        ("regression", {"metric": "rmse", "quantile": 0.9}, {}, {}, "objective.quantile: is only"),
        ("regression", {"metric": "rmse", "quantile": 0.9}, {"loss": "quantile"}, {}, ""),
        ("regression", {"metric": "pinball", "quantile": 1.0}, {}, {}, "objective.quantile: must"),
        ("multiclass", {"metric": "top_k_accuracy"}, {}, {}, "objective.k: is required"),
        ("multiclass", {"metric": "accuracy", "k": 2}, {}, {}, "objective.k: is only for"),
        ("binary", {"metric": "f1"}, {"target_transform": "log1p"}, {}, "training.target_tr"),
        ("binary", {"metric": "f1"}, {"loss": "focal", "focal_gamma": 1.0}, {}, ""),
        ("regression", {"metric": "rmse"}, {}, LOSSES_AND_TRANSFORMS, "training.target_transform"),
        (
            *("regression", {"metric": "rmse"}, {}),
            *({**LOSSES_AND_TRANSFORMS, "target_transform": ONLY_WITH_MSE}, ""),
        ),
    ],
)
def test_an_objective_and_its_losses_suit_each_other(task, objective, training, space, sentence):
    message = judged(task, objective, training, space)
    assert message.startswith(f"s.toml: {sentence}" if sentence else ""), message
    assert bool(message) == bool(sentence)


def test_new_keys_are_not_written_at_their_defaults():
    assert definition(changed("objective.metric", "rmse")).to_tree()["objective"] == {
        "metric": "rmse"
    }
