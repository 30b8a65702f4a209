import itertools
import json
import math
import warnings

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.config.errors import DefinitionError, InputError
from hpo.config.leaves import leaf_defaults
from hpo.config.points import MAX_GRID, grid
from hpo.config.ranges import Categorical, FloatRange, IntRange
from hpo.config.space import SearchSpace

SPACE = {
    "model": {
        "depth": {"type": "int", "low": 1, "high": 6},
        "activation": "silu",
        "dropout": {"type": "float", "low": 0.0, "high": 0.5, "or_zero": True},
    },
    "optimizer": {
        "momentum": {
            "type": "float",
            "low": 0.8,
            "high": 0.99,
            "when": {"optimizer.name": "sgd"},
        },
        "name": {"type": "categorical", "choices": ["adam", "sgd"]},
        "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    },
}


def leaf(path: str, table: object) -> object:
    section, name = path.split(".")
    return SearchSpace.from_tree({section: {name: table}}, "s.toml").tunables[path]


def refused(tree: object) -> str:
    with pytest.raises(DefinitionError) as caught:
        SearchSpace.from_tree(tree, "s.toml")
    return str(caught.value)


def refused_leaf(path: str, table: object) -> str:
    section, name = path.split(".")
    message = refused({section: {name: table}})
    assert message.startswith(f"s.toml: {path}")
    return message.removeprefix(f"s.toml: {path}")


@pytest.mark.parametrize(
    ("path", "table", "sentence"),
    [
        ("model.depth", {}, '.type: is required: one of "float", "int", "categorical"'),
        (
            "model.depth",
            {"type": "itn"},
            '.type: must be "float", "int" or "categorical", but got "itn" (did you mean "int"?)',
        ),
        ("model.depth", {"type": ["int"]}, '.type: must be "float", "int" or "categorical"'),
        ("model.depth", {"type": "int", "low": 1}, ".high: is required"),
        (
            "model.depth",
            {"type": "int", "low": 1, "high": 3, "hihg": 3},
            '.hihg: unknown key (did you mean "high"?); '
            "known keys are default, high, log, low, or_zero, step, type, when",
        ),
        (
            "model.depth",
            {"type": "int", "low": 6, "high": 1},
            ": low must not exceed high, but got low = 6, high = 1",
        ),
        (
            "model.depth",
            {"type": "int", "low": 1.0, "high": 6},
            ".low: must be a whole number, but got 1.0",
        ),
        (
            "model.depth",
            {"type": "int", "low": True, "high": 6},
            ".low: must be a whole number, but got true",
        ),
        (
            "model.depth",
            {"type": "int", "low": 0, "high": 6},
            ".low: must be at least 1, but got 0",
        ),
        (
            "model.depth",
            {"type": "int", "low": 1, "high": 65},
            ".high: must be at most 64, but got 65",
        ),
        (
            "model.depth",
            {"type": "int", "low": 1, "high": 6, "or_zero": True},
            ".or_zero: must be at least 1, but got 0",
        ),
        (
            "model.width",
            {"type": "int", "low": 64, "high": 500, "step": 64},
            ": step 64 from 64 reaches 448, but not high = 500",
        ),
        (
            "model.width",
            {"type": "int", "low": 64, "high": 512, "step": 64, "default": 100},
            ": default must be from 64 to 512 in steps of 64, but got 100",
        ),
        (
            "model.width",
            {"type": "int", "low": 64, "high": 512, "step": 0},
            ".step: must be above 0, but got 0",
        ),
        (
            "model.dropout",
            {"type": "float", "low": 0, "high": 0.5, "step": 0.2},
            ": step 0.2 from 0.0 reaches 0.4, but not high = 0.5",
        ),
        (
            "model.dropout",
            {"type": "float", "low": 0, "high": 0.5, "step": 1e-300},
            ": step makes more than 1000000 values of the range, but got 1e-300",
        ),
        (
            "model.dropout",
            {"type": "float", "low": 0, "high": 0.5, "step": 0.1, "default": 0.25},
            ": default must be from 0 to 0.5 in steps of 0.1, but got 0.25",
        ),
        (
            "model.dropout",
            {"type": "float", "low": 0, "high": 0.5, "step": math.inf},
            ".step: must be a finite number, but got Infinity",
        ),
        (
            "model.dropout",
            {"type": "float", "low": 0, "high": math.nan},
            ".high: must be a finite number, but got NaN",
        ),
        (
            "model.dropout",
            {"type": "float", "low": 0, "high": 1},
            ".high: must be below 1, but got 1.0",
        ),
        (
            "optimizer.learning_rate",
            {"type": "float", "low": 1e-4, "high": 1e-2, "default": math.nan},
            ": default must be from 0.0001 to 0.01, but got nan",
        ),
        (
            "optimizer.weight_decay",
            {"type": "float", "low": 0, "high": 1, "log": True},
            ": log needs low above 0, but got low = 0.0",
        ),
        (
            "optimizer.weight_decay",
            {"type": "float", "low": 0.1, "high": 1, "log": True, "step": 0.1},
            ": log and step exclude each other",
        ),
        (
            "optimizer.weight_decay",
            {"type": "float", "low": 0.1, "high": 1, "or_zero": True, "default": 2},
            ": default must be from 0.1 to 1 or 0, but got 2.0",
        ),
        (
            "model.activation",
            {"type": "categorical", "choices": []},
            ".choices: must be an array with at least one value, but got []",
        ),
        (
            "model.activation",
            {"type": "categorical", "choices": ["relu", "rleu"]},
            '.choices: must be "relu", "leaky_relu", "tanh", "sigmoid", "silu", "gelu" or "mish", '
            'but got "rleu" (did you mean "relu"?)',
        ),
        (
            "model.activation",
            {"type": "categorical", "choices": ["relu", "relu"]},
            ': choices must differ, but got ["relu", "relu"]',
        ),
        (
            "model.activation",
            {"type": "categorical", "choices": ["relu"], "default": "tanh"},
            ': default must be one of "relu", but got "tanh"',
        ),
        (
            "model.activation",
            {"type": "float", "low": 0, "high": 1},
            '.low: must be "relu", "leaky_relu", "tanh", "sigmoid", "silu", "gelu" or "mish", '
            "but got 0.0",
        ),
        (
            "model.depth",
            {"type": "categorical", "choices": [1, 2.5]},
            ".choices: must be a whole number, but got 2.5",
        ),
        (
            "model.depth",
            {"type": "categorical", "choices": [1], "or_zero": True},
            ".or_zero: unknown key; known keys are choices, default, type, when",
        ),
        (
            "model.depth",
            {"type": "categorical", "choices": [1, 2], "default": 2.0},
            ".default: must be a whole number, but got 2.0",
        ),
        (
            "model.depth",
            {"type": "categorical", "choices": [1, 2], "default": True},
            ".default: must be a whole number, but got true",
        ),
        ("model.depth", "deep", ': must be a whole number, but got "deep"'),
        ("model.depth", [1, 2], ": must be a whole number, but got [1, 2]"),
    ],
)
def test_a_wrong_leaf_gets_one_sentence(path, table, sentence):
    assert refused_leaf(path, table).startswith(sentence)


@pytest.mark.parametrize(
    ("when", "sentence"),
    [
        (
            {"optimizer.nmae": "sgd"},
            '.when: "optimizer.nmae" is not another leaf (did you mean "optimizer.name"?)',
        ),
        ({"model.depth": 3}, '.when: "model.depth" is not another leaf'),
        ({"optimizer": "sgd"}, '.when: "optimizer" is not another leaf'),
        ({"optimizer.name": "sdg"}, '.when.optimizer.name: must be "sgd", "adam", "adamw"'),
        ({"optimizer.name": ["sgd", 3]}, '.when.optimizer.name: must be "sgd", "adam", "adamw"'),
        ({"optimizer.name": []}, ".when.optimizer.name: must hold a value, but got []"),
        ({"optimizer.name": {}}, ".when.optimizer.name: must be true or false, a whole number"),
        ("optimizer.name", '.when: must be a table, but got "optimizer.name"'),
    ],
)
def test_a_wrong_condition_gets_one_sentence(when, sentence):
    table = {"type": "int", "low": 1, "high": 6, "when": when}
    message = refused_leaf("model.depth", table)
    assert message.startswith(sentence)
    assert "\n" not in message


def test_conditions_in_a_circle():
    depth = {"type": "int", "low": 1, "high": 6, "when": {"model.width": 64}}
    width = {"type": "int", "low": 64, "high": 65, "when": {"model.depth": 1}}
    message = refused({"model": {"depth": depth, "width": width}})
    assert message == "s.toml: when: model.depth, model.width depend on each other"


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        ({"modle": {}}, 'modle: unknown section (did you mean "model"?); known sections are'),
        ({"data": {}}, "data: unknown section; known sections are preprocessing, model"),
        ({"model": [1]}, "model: must be a table, but got [1]"),
        ({"model": {"detph": 3}}, 'model.detph: unknown key (did you mean "depth"?); known keys'),
        ({"model": {"größe": 3}}, "model.größe: unknown key; known keys are family, depth, width"),
    ],
)
def test_wrong_sections_and_keys(tree, sentence):
    assert refused(tree).startswith(f"s.toml: {sentence}")


@pytest.mark.parametrize(
    ("path", "table", "middle"),
    [
        ("model.depth", {"type": "int", "low": 1, "high": 6}, 3),
        ("model.width", {"type": "int", "low": 64, "high": 512, "step": 64}, 256),
        ("model.width", {"type": "int", "low": 16, "high": 1024, "log": True}, 128),
        ("model.dropout", {"type": "float", "low": 0.0, "high": 0.5}, 0.25),
        ("model.dropout", {"type": "float", "low": 0.0, "high": 0.5, "step": 0.25}, 0.25),
        (
            "optimizer.learning_rate",
            {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
            1e-3,
        ),
        ("optimizer.learning_rate", {"type": "float", "low": 0.1, "high": 0.1, "log": True}, 0.1),
        ("model.activation", {"type": "categorical", "choices": ["tanh", "relu"]}, "tanh"),
    ],
)
def test_without_a_default_a_range_starts_in_its_middle(path, table, middle):
    found = leaf(path, table)
    assert found.middle() == pytest.approx(middle)
    assert found.admits(found.middle())


def test_a_default_wins_over_the_middle_and_zero_switches_off():
    tree = {
        "model": {
            "depth": {"type": "int", "low": 1, "high": 6, "default": 5},
            "dropout": {"type": "float", "low": 0.1, "high": 0.5, "or_zero": True, "default": 0},
        }
    }
    params = SearchSpace.from_tree(tree, "s.toml").default_params()
    assert params == {"model.depth": 5, "model.dropout.on": False}


def test_a_default_has_the_type_of_its_leaf():
    dropout = {"type": "categorical", "choices": [0, 0.5], "default": 0}
    space = SearchSpace.from_tree({"model": {"dropout": dropout}}, "s.toml")
    (value,) = space.default_params().values()
    assert isinstance(value, float)
    assert SearchSpace.from_tree(space.to_tree(), "again") == space


def test_default_params_put_conditions_first():
    params = SearchSpace.from_tree(SPACE, "s.toml").default_params()
    assert list(params) == [
        "model.depth",
        "model.dropout.on",
        "model.dropout",
        "optimizer.name",
        "optimizer.learning_rate",
    ]
    assert params["model.dropout.on"] is True


@given(st.data())
def test_a_walk_yields_only_active_params_and_resolves_to_a_whole_config(data):
    space = SearchSpace.from_tree(SPACE, "s.toml")

    def choose(name: str, leaf: object) -> object:
        match leaf:
            case Categorical():
                return data.draw(st.sampled_from(leaf.choices))
            case IntRange():
                return data.draw(st.integers(leaf.low, leaf.high))
            case FloatRange():
                return data.draw(st.floats(leaf.low, leaf.high))

    params = space.walk(choose)
    space.check_params(params)
    assert ("optimizer.momentum" in params) == (params["optimizer.name"] == "sgd")
    assert ("model.dropout" in params) == params["model.dropout.on"]
    tree = space.resolve(params)
    flat = {f"{section}.{name}": value for section in tree for name, value in tree[section].items()}
    assert flat.keys() == leaf_defaults("mlp").keys()
    assert flat["model.activation"] == "silu"
    assert flat["model.dropout"] == params.get("model.dropout", 0.0)
    assert flat["optimizer.momentum"] == params.get("optimizer.momentum", 0.9)


def test_a_condition_may_name_several_values_and_a_switched_off_leaf_is_zero():
    tree = {
        "optimizer": {
            "weight_decay": {"type": "float", "low": 0.1, "high": 0.2, "or_zero": True},
            "l1": {
                "type": "float",
                "low": 0.1,
                "high": 0.2,
                "when": {"optimizer.weight_decay": [0, 0.1]},
            },
        }
    }
    space = SearchSpace.from_tree(tree, "s.toml")
    off = {"optimizer.weight_decay.on": False, "optimizer.l1": 0.1}
    assert space.walk(lambda name, leaf: off[name]) == off
    low = {"optimizer.weight_decay.on": True, "optimizer.weight_decay": 0.1, "optimizer.l1": 0.1}
    assert space.walk(lambda name, leaf: low[name]) == low
    high = {"optimizer.weight_decay.on": True, "optimizer.weight_decay": 0.2}
    assert space.walk(lambda name, leaf: high[name]) == high


def test_a_condition_on_a_constant_or_on_a_default():
    def space(section: dict[str, object]) -> SearchSpace:
        momentum = SPACE["optimizer"]["momentum"]
        return SearchSpace.from_tree({"optimizer": {"momentum": momentum, **section}}, "s.toml")

    assert space({"name": "sgd"}).default_params() == {"optimizer.momentum": pytest.approx(0.895)}
    assert space({"name": "adam"}).default_params() == {}
    assert space({}).default_params() == {}


def test_the_tree_reads_back_as_the_same_space():
    space = SearchSpace.from_tree(SPACE, "s.toml")
    again = SearchSpace.from_tree(json.loads(json.dumps(space.to_tree())), "s.toml")
    assert again == space
    assert list(again.tunables) == list(space.tunables)


def test_numbers_take_the_leafs_own_type():
    choices = leaf("model.dropout", {"type": "categorical", "choices": [0, 0.5]}).choices
    assert [type(choice) for choice in choices] == [float, float]
    constants = SearchSpace.from_tree({"optimizer": {"l1": 1}}, "s.toml").constants
    assert type(constants["optimizer.l1"]) is float


def test_fixed_makes_a_leaf_constant():
    space = SearchSpace.from_tree(SPACE, "s.toml").fixed({"model.depth": 2})
    assert "model.depth" not in space.params()
    assert space.resolve({})["model"]["depth"] == 2


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"model.depht": 3}, 'unknown param model.depht (did you mean "model.depth"?); the study'),
        ({"model.depth": 7}, "model.depth must be from 1 to 6, but got 7"),
        ({"model.depth": 3.0}, "model.depth must be from 1 to 6, but got 3.0"),
        ({"model.depth": True}, "model.depth must be from 1 to 6, but got true"),
        ({"model.dropout.on": 1}, "model.dropout.on must be one of false, true, but got 1"),
        ({"optimizer.name": "sdg"}, 'optimizer.name must be one of "adam", "sgd", but got "sdg"'),
        ({"optimizer.learning_rate": math.nan}, "optimizer.learning_rate must be from 0.0001"),
        ({"model.activation": "relu"}, "unknown param model.activation"),
    ],
)
def test_params_outside_the_space_are_refused(params, sentence):
    with pytest.raises(InputError) as caught:
        SearchSpace.from_tree(SPACE, "s.toml").check_params(params)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"model.dropout": 0}, {"model.dropout.on": False}),
        ({"model.dropout": 0.2}, {"model.dropout.on": True, "model.dropout": 0.2}),
        ({"model.dropout.on": False}, {"model.dropout.on": False}),
        ({"model.depth": 2, "elsewhere": 0}, {"model.depth": 2, "elsewhere": 0}),
    ],
)
def test_zero_turns_a_leaf_off_and_another_value_on(said, meant):
    assert SearchSpace.from_tree(SPACE, "s.toml").switched(said) == meant


def test_the_grid_holds_every_point_once():
    tree = {
        "model": {
            "depth": {"type": "int", "low": 1, "high": 2},
            "dropout": {"type": "float", "low": 0.1, "high": 0.3, "step": 0.1, "or_zero": True},
        },
        "optimizer": {
            "name": {"type": "categorical", "choices": ["adam", "sgd"]},
            "momentum": {
                "type": "categorical",
                "choices": [0.0, 0.9],
                "when": {"optimizer.name": "sgd"},
            },
        },
    }
    points = list(grid(SearchSpace.from_tree(tree, "s.toml")))
    assert len(points) == 2 * (1 + 3) * (1 + 2)
    assert len({tuple(sorted(point.items())) for point in points}) == len(points)
    dropouts = sorted({point["model.dropout"] for point in points if point["model.dropout.on"]})
    assert dropouts == pytest.approx([0.1, 0.2, 0.3])


def test_a_grid_needs_steps_and_an_end():
    with pytest.raises(InputError, match=r"give model\.dropout a step or choices"):
        grid(SearchSpace.from_tree(SPACE, "s.toml"))
    wide = {"type": "int", "low": 1, "high": 60_000}
    tree = {"model": {"width": wide}, "training": {"max_epochs": wide}}
    with pytest.raises(InputError, match=f"more than {MAX_GRID} points"):
        grid(SearchSpace.from_tree(tree, "s.toml"))


@given(
    low=st.integers(0, 100),
    n=st.integers(0, 50),
    step=st.sampled_from([0.1, 0.05, 0.3, 1.0, 0.001, 1e-7]),
)
def test_what_we_accept_optuna_takes_without_a_warning(low, n, step):
    """Optuna shortens a range that its step does not divide, and warns of each fixed param."""
    low = low * step
    high = round(low + n * step, 10)
    try:
        found = FloatRange(type="float", low=low, high=high, step=step)
    except ValueError:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distribution = optuna.distributions.FloatDistribution(low, high, step=step)
    assert distribution.high == high
    for value in itertools.islice(found.grid(), 60):
        assert distribution._contains(value)
        assert found.admits(value)
    assert distribution._contains(found.middle())
