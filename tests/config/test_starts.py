"""The starts of a search space: what a file says, and which params it means."""

import copy
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hpo.config.definition import StudyDefinition
from hpo.config.differences import difference
from hpo.config.errors import DefinitionError
from hpo.config.json_schema import search_space_schema
from hpo.config.space import SearchSpace
from tests.support.definitions import SPACE, definition

FAMILIES = {
    "model": {
        "family": {"type": "categorical", "choices": ["mlp", "tabm"]},
        "depth": {"type": "int", "low": 1, "high": 4, "default": 2},
        "k": {"type": "int", "low": 4, "high": 32},
    }
}


def with_starts(*starts: dict[str, Any], space: dict[str, Any] = SPACE) -> dict[str, Any]:
    return {**copy.deepcopy(space), "start": list(starts)}


def params(start: dict[str, Any], space: dict[str, Any] = SPACE) -> dict[str, Any]:
    (found,) = SearchSpace.from_tree(with_starts(start, space=space), "s.toml").starts
    return found


@pytest.mark.parametrize(
    ("start", "meant"),
    [
        ({}, {"model.width": 250, "model.dropout.on": False, "optimizer.name": "adam"}),
        (
            {"model": {"width": 8, "dropout": 0.25}, "optimizer": {"name": "sgd"}},
            {
                "model.width": 8,
                "model.dropout.on": True,
                "model.dropout": 0.25,
                "optimizer.name": "sgd",
                "optimizer.momentum": 0.7,
            },
        ),
        (
            {"model": {"dropout": 0, "activation": "relu"}},
            {"model.width": 250, "model.dropout.on": False, "optimizer.name": "adam"},
        ),
    ],
)
def test_leaves_that_a_start_lacks_have_their_defaults(
    start: dict[str, Any], meant: dict[str, Any]
) -> None:
    space = {**SPACE, "model": {**SPACE["model"], "activation": "relu"}}
    assert params(start, space) == meant
    assert list(params(start, space)) == list(meant)


def test_a_value_becomes_the_one_that_trials_have() -> None:
    space = {
        "optimizer": {
            "learning_rate": {"type": "float", "low": 0.5, "high": 2.0},
            "beta1": {"type": "float", "low": 0.0, "high": 0.9, "step": 0.1},
            "weight_decay": {"type": "categorical", "choices": [0, 1]},
        },
    }
    rate, beta, decay = params(
        {"optimizer": {"learning_rate": 1, "beta1": 0.30000000000000004, "weight_decay": 1}}, space
    ).values()
    assert (repr(rate), repr(beta), repr(decay)) == ("1.0", "0.3", "1.0")


def test_a_leaf_of_another_family_is_left_out() -> None:
    assert params({"model": {"family": "mlp"}}, FAMILIES) == {
        "model.family": "mlp",
        "model.depth": 2,
    }
    assert params({"model": {"family": "tabm"}}, FAMILIES)["model.k"] == 18


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        (
            [{}, {"model": {"width": 501}}],
            "start[1].model.width: must be from 1 to 500, but got 501",
        ),
        ([{"model": {"width": 8.5}}], "start[0].model.width: must be from 1 to 500, but got 8.5"),
        ([{"model": {"width": True}}], "start[0].model.width: must be from 1 to 500, but got true"),
        (
            [{"model": {"dropout": 0.05}}],
            "start[0].model.dropout: must be from 0.1 to 0.5 or 0, but got 0.05",
        ),
        (
            [{"optimizer": {"name": "rmsprop"}}],
            'start[0].optimizer.name: must be one of "adam", "sgd", but got "rmsprop"',
        ),
        (
            [{"optimizer": {"name": ["sgd"]}}],
            'start[0].optimizer.name: must be one of "adam", "sgd", but got ["sgd"]',
        ),
        (
            [{"optimizer": {"momentum": 0.6}}],
            'start[0].optimizer.momentum: exists only where optimizer.name is "sgd", '
            'but got "adam"',
        ),
        ([{"model": {"widht": 8}}], 'start[0].model.widht: unknown key (did you mean "width"?)'),
        (
            [{"optimizer": {"nam": 8}}],
            'start[0].optimizer.nam: unknown key (did you mean "name"?)',
        ),
        ([{"modle": {}}], 'start[0].modle: unknown section (did you mean "model"?)'),
        ([{"start": []}], "start[0].start: unknown section; known sections are preprocessing"),
        ([{"model": 3}], "start[0].model: must be a table, but got 3"),
        (
            [{"model": {"depth": 4}}],
            "start[0].model.depth: must be 3, because the space does not tune it, but got 4",
        ),
        ([3], "start: must be an array of tables, but got [3]"),
    ],
)
def test_a_wrong_start_is_one_sentence(starts: list[Any], message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        SearchSpace.from_tree({**SPACE, "start": starts}, "s.toml")
    assert str(caught.value).startswith(f"s.toml: {message}")
    assert "\n" not in str(caught.value)


def test_starts_are_an_array() -> None:
    with pytest.raises(DefinitionError, match="start: must be an array of tables, but got"):
        SearchSpace.from_tree({**SPACE, "start": {"model": {"width": 3}}}, "s.toml")
    with pytest.raises(DefinitionError, match=r'unknown section \(did you mean "start"\?\)'):
        SearchSpace.from_tree({**SPACE, "starts": []}, "s.toml")


def test_a_leaf_exists_only_in_its_family() -> None:
    start = {"model": {"family": "mlp", "k": 8}}
    with pytest.raises(DefinitionError) as caught:
        params(start, FAMILIES)
    assert str(caught.value) == (
        's.toml: start[0].model.k: exists only where model.family is "tabm", but got "mlp"'
    )


def test_a_stored_definition_holds_its_starts() -> None:
    space = with_starts({"model": {"width": 8}}, {"optimizer": {"name": "sgd"}})
    made = definition(search_space=space)
    again = StudyDefinition.from_json(made.to_json())
    assert again.space.starts == made.space.starts
    assert len(again.space.starts) == 2
    assert again.digest() == made.digest()


def test_a_space_without_starts_is_stored_as_before() -> None:
    assert "start" not in json.loads(definition(search_space=SPACE).to_json())["search_space"]


def test_other_starts_are_another_study() -> None:
    made, other = (
        definition(search_space=with_starts({"model": {"width": width}})) for width in (8, 9)
    )
    assert made.digest() != other.digest()
    (line,) = difference(made, other)
    assert line.startswith("search_space.start: ")


def test_what_a_study_fixes_is_fixed_in_its_starts(tmp_path: Path) -> None:
    space = {
        "training": {
            "schedule": {"type": "categorical", "choices": ["constant", "cosine"]},
            "batch_size": {"type": "categorical", "choices": [32, 64]},
            "warmup_steps": {
                "type": "int",
                "low": 0,
                "high": 9,
                "when": {"training.schedule": "cosine"},
            },
        },
        "start": [{"training": {"schedule": "cosine", "batch_size": 64, "warmup_steps": 7}}],
    }
    made = definition(search_space=space, training={"schedule": "constant"})
    assert made.space.starts == ({"training.batch_size": 64},)
    made = definition(search_space=space, training={"batch_size": 32})
    assert made.space.starts == ({"training.schedule": "cosine", "training.warmup_steps": 7},)
    assert StudyDefinition.from_json(made.to_json()).space.starts == made.space.starts


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("[[start]]\nmodel = { depth = 2 }\noptimizer = { learning_rate = 3e-3 }", True),
        ("[[start]]\n[start.model]\nembedding = 'periodic'\nsigma = 0.2", True),
        ("[[start]]\nmodel = { depth = { type = 'int', low = 1, high = 2 } }", False),
        ("[[start]]\nmodel = { detph = 2 }", False),
        ("[start]\nmodel = { depth = 2 }", False),
    ],
)
def test_the_schema_describes_starts(text: str, good: bool) -> None:
    problems = list(Draft202012Validator(search_space_schema()).iter_errors(tomllib.loads(text)))
    assert (not problems) is good
