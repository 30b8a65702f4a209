import copy
import json
import tomllib

import pytest
import tomli_w
from jsonschema import Draft202012Validator

from hpo.config.definition import load_definition
from hpo.config.errors import DefinitionError
from hpo.config.json_schema import search_space_schema, study_schema
from hpo.config.leaves import leaf_defaults
from tests.support.paths import ROOT

STUDY = """
name = "s"
search_space = { model = { depth = { type = "int", low = 1, high = 6 } } }
[data]
source = "a.csv"
target = "y"
task = "regression"
[objective]
metric = "rmse"
"""


def problems(schema: dict[str, object], tree: dict[str, object]) -> list[str]:
    return [error.message for error in Draft202012Validator(schema).iter_errors(tree)]


@pytest.mark.parametrize("make", [study_schema, search_space_schema])
def test_the_schema_is_one(make):
    schema = make()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.toml")), ids=lambda p: p.stem)
def test_the_shipped_studies_suit_it(path):
    tree = tomllib.loads(path.read_text())
    assert problems(study_schema(), tree) == []
    assert problems(study_schema(), {**tree, "smapler": {}}) != []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "search_spaces").glob("*.toml")), ids=lambda p: p.stem
)
def test_the_shipped_search_spaces_suit_it(path):
    tree = tomllib.loads(path.read_text())
    assert problems(search_space_schema(), tree) == []
    section = next(iter(tree))
    tree[section]["detph"] = 3
    assert problems(search_space_schema(), tree) != []


CHANGES = [
    ("data", {"dates": ["day"], "missing": [], "positive": "yes"}, True),
    ("data", {"separator": "\t", "decimal": ",", "thousands": ".", "date_order": "dmy"}, True),
    ("data", {"positive": 1, "max_categories": 2}, True),
    ("data", {"decimal": ";"}, False),
    ("data", {"missing": "NA"}, False),
    ("data", {"max_categories": 1}, False),
    ("", {"budget": {"n_trials": 5, "timeout": "1h"}}, True),
    ("", {"budget": {"timeout": 90}}, True),
    ("", {"budget": {"n_trials": 0}}, False),
    ("", {"bugdet": {}}, False),
    ("", {"name": "a b"}, False),
    ("", {"sampler": {"name": "gp", "n_startup_trials": 3}}, True),
    ("", {"sampler": {"name": "random", "n_startup_trials": 3}}, False),
    ("", {"sampler": {"name": "gp", "warm_start": ["a", "b"]}}, True),
    ("", {"sampler": {"name": "tpe", "warm_start": []}}, False),
    ("", {"sampler": {"name": "tpe", "warm_start": "a"}}, False),
    ("", {"sampler": {"name": "random", "warm_start": ["a"]}}, False),
    ("", {"sampler": {"seed": 3}}, False),
    ("", {"pruner": {"percentile": 10.0}}, False),
    ("", {"pruner": {"name": "median", "patience": 3}}, False),
    ("", {"training": {"batch_size": 128}}, True),
    ("", {"training": {"batch_size": {"type": "int", "low": 1, "high": 2}}}, False),
    ("data", {"split": {"column": "part"}}, True),
    ("data", {"split": {"val": 1.5}}, False),
    ("data", {"task": "binry"}, False),
    ("objective", {"metric": "rmes"}, False),
    ("search_space", {"optimizer": {"name": "sgd"}}, True),
    ("search_space", {"optimizer": {"name": {"type": "categorical", "choices": ["sgd"]}}}, True),
    ("search_space", {"optimizer": {"name": {"type": "int", "low": 1, "high": 2}}}, False),
    ("search_space", {"model": {"depth": {"type": "int", "low": 1, "hihg": 2}}}, False),
    ("search_space", {"model": {"width": {"type": "float", "low": 1, "high": 2}}}, False),
    ("search_space", {"model": {"depht": 3}}, False),
    ("search_space", {"start": [{"model": {"depth": 3}}, {"training": {"seed": 2}}]}, True),
    ("search_space", {"start": [{"model": {"depth": "deep"}}]}, False),
    ("search_space", {"optimizer": {"l1": {"type": "float", "low": 0, "high": 1}}}, True),
]


@pytest.mark.parametrize(("table", "change", "good"), CHANGES)
def test_the_schema_and_the_parser_agree(tmp_path, table, change, good):
    tree = copy.deepcopy(tomllib.loads(STUDY))
    node = tree[table] if table else tree
    for key, value in change.items():
        merge = isinstance(value, dict) and isinstance(node.get(key), dict) and table != "data"
        node[key] = {**node[key], **value} if merge else value
    if table == "search_space":
        tree["search_space"].setdefault("training", {})["seed"] = {
            "type": "int",
            "low": 0,
            "high": 9,
        }
    path = tmp_path / "s.toml"
    path.write_text(tomli_w.dumps(tree))
    assert (problems(study_schema(), tree) == []) is good
    if good:
        load_definition(path)
    else:
        with pytest.raises(DefinitionError):
            load_definition(path)


def test_every_table_is_closed_and_described():
    schema = study_schema()
    for name, table in {**schema["$defs"], "the study": schema}.items():
        assert table["additionalProperties"] is False, name
        assert table["description"], name


def test_every_leaf_has_its_default():
    schema = search_space_schema()
    for path, default in leaf_defaults("mlp").items():
        section, name = path.split(".")
        leaves = schema["$defs"][schema["properties"][section]["$ref"].rsplit("/", 1)[1]]
        assert leaves["properties"][name].get("default") == default


def test_toml_has_no_null():
    assert "null" not in json.dumps(study_schema())
