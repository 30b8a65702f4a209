"""Families in search spaces and trial files, built-in and installed ones."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from hpo.config import entry_points, families, leaves
from hpo.config.definition import StudyDefinition
from hpo.config.errors import DefinitionError, InputError
from hpo.config.json_schema import search_space_schema
from hpo.config.parsing import validate
from hpo.config.space import SearchSpace
from hpo.config.trial import TrialConfig
from hpo.training.families.mlp import MLPConfig
from tests.support.families import install

BOTH = {
    "model": {
        "family": {"type": "categorical", "choices": ["mlp", "tabm"]},
        "depth": {"type": "int", "low": 1, "high": 3},
        "k": {"type": "categorical", "choices": [8, 16]},
        "mini": True,
        "dropout": {"type": "float", "low": 0.0, "high": 0.5, "when": {"model.family": "tabm"}},
    }
}
TRIAL = {"data": {"source": "t.csv", "target": "y"}, "objective": {"metric": "rmse"}}
CONFIG = """
from dataclasses import dataclass
from hpo.config.families import ModelConfig

@dataclass(frozen=True, kw_only=True)
class Config(ModelConfig):
    "A family."
    family: str = "own"
    n: int = 3
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installs a package for a test."""
    caches = (families.config_type, entry_points.installed, leaves.leaf_types, leaves.leaf_defaults)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def make(package: str, points: dict[str, str], **modules: str) -> None:
        install(tmp_path, package, points, **modules)
        for cache in caches:
            cache.cache_clear()

    yield make
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", "") and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]
    for cache in caches:
        cache.cache_clear()


def definition(search_space: dict) -> StudyDefinition:
    tree = {"name": "s", "search_space": search_space, **TRIAL}
    return StudyDefinition.from_tree(tree, "s.toml", Path())


def test_the_leaves_of_a_trial_are_those_of_its_family():
    made = definition(BOTH)
    assert made.space.families == ("mlp", "tabm")
    tabm = made.trial_config({"model.family": "tabm", "model.depth": 2, "model.k": 8})
    assert asdict(tabm.model) == {
        **{"family": "tabm", "k": 8, "depth": 2, "width": 256, "activation": "relu"},
        **{"dropout": 0.0, "mini": True, "embedding": "none", "embedding_size": 8},
        **{"n_bins": 48, "n_frequencies": 24, "sigma": 0.1, "category_size": 8},
    }
    mlp = made.trial_config({"model.family": "mlp", "model.depth": 2})
    assert mlp.model == MLPConfig(depth=2)
    walked = made.space.walk(lambda name, leaf: "tabm" if name == "model.family" else leaf.middle())
    assert set(walked) == {"model.family", "model.depth", "model.k", "model.dropout"}
    assert set(made.space.default_params()) == {"model.family", "model.depth"}


EMBEDDED = {
    "model": {
        **BOTH["model"],
        "embedding": {"type": "categorical", "choices": ["piecewise_linear", "periodic"]},
        "n_bins": {
            **{"type": "int", "low": 8, "high": 32},
            "when": {"model.embedding": "piecewise_linear"},
        },
        "sigma": {
            **{"type": "float", "low": 0.03, "high": 0.3, "log": True},
            "when": {"model.embedding": "periodic", "model.family": ["mlp", "tabm"]},
        },
        "scale": {"type": "categorical", "choices": [True, False]},
    }
}


def test_families_share_the_leaves_of_their_inputs():
    made = definition(EMBEDDED)
    params = {
        **{"model.family": "tabm", "model.depth": 2, "model.k": 8, "model.dropout": 0.1},
        **{"model.embedding": "periodic", "model.sigma": 0.2},
    }
    made.space.check_active(params)
    model = made.trial_config(params).model
    assert (model.embedding, model.sigma, model.n_bins, model.k) == ("periodic", 0.2, 48, 8)
    chosen = {"model.family": "mlp", "model.scale": True, "model.n_bins": 16}
    walked = made.space.walk(lambda name, leaf: chosen.get(name, leaf.middle()))
    mlp = made.trial_config(walked).model
    assert mlp == MLPConfig(depth=2, embedding="piecewise_linear", n_bins=16, scale=True)
    assert not {"model.k", "model.dropout", "model.sigma"} & set(walked)
    with pytest.raises(InputError, match=r'model\.scale exists only where model\.family is "mlp"'):
        made.space.check_active({"model.family": "tabm", "model.scale": True})
    assert StudyDefinition.from_json(made.to_json()).digest() == made.digest()


def test_the_leaves_of_a_family_keep_their_order():
    inputs = "embedding embedding_size n_bins n_frequencies sigma category_size"
    layers = f"family depth width activation dropout {inputs}"
    assert " ".join(families.leaf_fields("mlp")) == f"{layers} scale"
    assert " ".join(families.leaf_fields("tabm")) == f"{layers} k mini"


def test_a_stored_space_of_families_reads_back_the_same():
    made = definition(BOTH)
    assert made.space.tunables["model.k"].when == {"model.family": "tabm"}
    assert made.space.tunables["model.depth"].when == {}
    assert StudyDefinition.from_json(made.to_json()).digest() == made.digest()


def test_the_default_family_is_not_written_where_it_was_not_named():
    tree = {"model": {"depth": {"type": "int", "low": 1, "high": 3}}}
    made = definition(tree)
    assert made.space.to_tree() == tree
    config = made.trial_config({"model.depth": 2})
    assert "family" not in config.to_tree()["model"]
    assert "family" not in config.to_toml("note")
    assert definition({"model": {**tree["model"], "family": "mlp"}}).digest() != made.digest()


def test_a_trial_file_names_its_family():
    config = validate(TrialConfig, {**TRIAL, "model": {"family": "tabm", "k": 4}}, "c.toml")
    assert config.to_tree()["model"]["family"] == "tabm"
    assert validate(TrialConfig, config.to_tree(), "c.toml") == config


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"k": 4},
            "model.k: not a leaf of the family mlp, but of tabm; known keys are family, depth",
        ),
        ({"family": "tabm", "kk": 4}, 'model.kk: unknown key (did you mean "k"?); known keys'),
        (
            {"family": "tabn"},
            'model.family: the model family "tabn" is not installed (did you mean "tabm"?); '
            "installed families are mlp, tabm",
        ),
        ({"family": 3}, "model.family: must be a string, but got 3"),
        ({"family": "tabm", "k": 0}, "model.k: must be at least 1, but got 0"),
        ({"family": "tabm", "k": "x"}, 'model.k: must be a whole number, but got "x"'),
    ],
)
def test_a_wrong_model_is_refused_alike_in_trial_files_and_spaces(model, message):
    with pytest.raises(DefinitionError) as of_file:
        validate(TrialConfig, {**TRIAL, "model": model}, "c.toml")
    assert str(of_file.value).startswith(f"c.toml: {message}")
    with pytest.raises(DefinitionError) as of_space:
        SearchSpace.from_tree({"model": model}, "c.toml")
    assert str(of_space.value).startswith(f"c.toml: {message}")


def test_a_model_that_is_no_table_is_refused():
    with pytest.raises(DefinitionError, match=r"^c.toml: model: must be a table, but got 3$"):
        validate(TrialConfig, {**TRIAL, "model": 3}, "c.toml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"k": {"type": "categorical", "choices": [8], "when": {"model.family": "mlp"}}},
            'model.k.when.model.family: must be one of tabm, but got "mlp"',
        ),
        (
            {
                "family": {
                    "type": "categorical",
                    "choices": ["mlp", "tabm"],
                    "when": {"optimizer.name": "sgd"},
                }
            },
            "model.family.when: every trial must have a family",
        ),
        (
            {"family": {"type": "categorical", "choices": ["mlp", "tabn"]}},
            'model.family: the model family "tabn" is not installed',
        ),
        ({"family": {"type": "int", "low": 1, "high": 2}}, "model."),
        ({"depth": {"type": "int", "low": 1, "high": 65}}, "model.depth.high: must be at most 64"),
    ],
)
def test_a_wrong_space_of_families_is_refused(change, message):
    with pytest.raises(DefinitionError) as refused:
        SearchSpace.from_tree({"model": {**BOTH["model"], **change}}, "s.toml")
    assert str(refused.value).startswith(f"s.toml: {message}")


def test_a_param_of_another_family_is_refused():
    made = definition(BOTH)
    with pytest.raises(InputError, match=r'model\.k exists only where model\.family is "tabm"'):
        made.space.check_active({"model.family": "mlp", "model.k": 8})


def test_an_installed_family_is_known_everywhere(site):
    site("own-package", {"own": "own_a:Config"}, own_a=CONFIG)
    assert families.family_names() == ["mlp", "tabm", "own"]
    assert families.package_of("own") == "own-package"
    made = SearchSpace.from_tree({"model": {"family": "own", "n": 5}}, "s.toml")
    assert made.resolve({})["model"] == {"family": "own", "n": 5}
    model = search_space_schema()["$defs"]["TunableModelConfig"]["properties"]
    assert model["n"]["default"] == 3
    assert "own" in str(model["family"])


@pytest.mark.parametrize(
    ("points", "text", "message"),
    [
        (
            {"own": "own_b:Config"},
            "raise OSError('no licence')",
            "the model family own (own_b:Config of the package own-package) cannot be imported "
            "(OSError: no licence)",
        ),
        ({"own": "own_c:Missing"}, CONFIG, "the model family own (own_c:Missing of the package "),
        (
            {"own": "own_d:ModelConfig"},
            CONFIG,
            "the model family own (own_d:ModelConfig of the package own-package) must have the "
            'default family = "own", but got "mlp"',
        ),
        ({"own": "own_e:dataclass"}, CONFIG, "the model family own (own_e:dataclass of the "),
        (
            {"other": "own_f:Config"},
            CONFIG,
            "the model family other (own_f:Config of the package own-package) must have the "
            'default family = "other", but got "own"',
        ),
        (
            {"mlp": "own_g:Config"},
            CONFIG,
            "the model family mlp (own_g:Config of the package own-package) takes the name of a "
            "built-in family",
        ),
    ],
)
def test_an_unusable_entry_point_is_one_sentence(site, points, text, message):
    ((family, value),) = points.items()
    site("own-package", points, **{value.partition(":")[0]: text})
    with pytest.raises(DefinitionError) as refused:
        SearchSpace.from_tree({"model": {"family": family}}, "s.toml")
    assert str(refused.value).startswith(f"s.toml: model.family: {message}")
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 2
