"""Study files, search spaces, trial configurations, tables and model files, and their use."""

import json
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl
import safetensors.torch
import torch

from hpo.config.definition import StudyDefinition, load_definition
from hpo.config.errors import HpoError
from hpo.config.families import family_names
from hpo.config.json_schema import search_space_schema, study_schema
from hpo.config.leaves import SECTIONS, leaf_defaults
from hpo.config.parsing import read_toml, validate
from hpo.config.points import Points, grid
from hpo.config.ranges import Categorical, Leaf, Value
from hpo.config.space import SearchSpace
from hpo.data.notes import prediction_notes
from hpo.data.sources import read_raw
from hpo.data.table import Table, read_table
from hpo.launch.single import load_config
from hpo.lifecycle.creation import create_from_file
from hpo.models.experiment import Experiment
from hpo.models.loading import load_exported
from hpo.models.model import Model, Predictor
from hpo.storage.engine import open_storage
from hpo.storage.leases import WorkerId
from hpo.study.sampling import distribution
from tests.support import models, ugly_tables
from tests.support.bad_input.mutations import ODD, Random, Tree, drawn, mutated, odd, toml
from tests.support.bad_input.trying import SECRET, Try, outcome
from tests.support.paths import EARLIER_VERSIONS, ROOT

URL = f"https://me:{SECRET}@127.0.0.1:1/t.csv"
"""A source whose password must not be shown; nothing listens there."""
ME = WorkerId(host="here", pid=1, device="cpu")
N_ROWS = 60
TABLE = r"(the table|(/\S*/)?t\.(csv|tsv|parquet)(\.gz)?): .+$"
"""A message of one line that begins with the name of the table."""


@contextmanager
def studies(folder: Path) -> Iterator[Try]:
    """Study files; those that are valid and name a local table become studies with a trial."""
    trees = _shipped("studies")
    (folder / "studies/data").mkdir(parents=True)
    for name in ("adult", "california_housing"):
        rows = pl.read_parquet(ROOT / f"studies/data/{name}.parquet").sample(N_ROWS, seed=0)
        rows.write_parquet(folder / f"studies/data/{name}.parquet")
    rows.write_csv(folder / "studies/t.csv")
    small = {"source": "t.csv", "target": "MedHouseVal", "task": "regression"}
    trees = [*trees, *({**tree, "data": {**tree["data"], "source": URL}} for tree in trees)]
    schema, spaces, space_schema = study_schema(), _shipped("search_spaces"), search_space_schema()
    open_storage(f"sqlite:///{folder}/empty.db").close()
    empty = (folder / "empty.db").read_bytes()
    path, database = folder / "studies/s.toml", folder / "hpo.db"

    def try_one(seed: int) -> str:
        random = np.random.default_rng(seed)
        if random.random() < 0.5:
            tree = mutated(random, trees[random.integers(len(trees))])
        else:
            tree = drawn(random, schema)
            if isinstance(tree, dict) and random.random() < 0.9:
                tree |= {"name": "s", "data": small, "objective": {"metric": "rmse"}}
                tree["search_space"] = _space(random, spaces, space_schema)
        content = toml(random, tree)
        if URL.encode() not in content:  # what is no URL any more has no known password
            content = content.replace(SECRET.encode(), b"gone")
        path.write_bytes(content)
        definition = outcome(lambda: load_definition(path), f"{folder}/")
        if isinstance(definition, HpoError):
            return "refused"
        again = StudyDefinition.from_json(definition.to_json())
        assert again.identity() == definition.identity()
        source = definition.data.source
        if "://" in source or source.startswith(("sklearn:", "openml:")):
            return "valid"
        database.write_bytes(empty)
        created = outcome(
            lambda: create_from_file(path, f"sqlite:///{database}", str(folder / "artifacts"))
        )
        if isinstance(created, HpoError):
            return "refused with its table"
        try:
            claim = created.study.ask(ME, 60.0)
            assert claim is not None
            created.study.definition.trial_config(claim.params)
        finally:
            created.study.storage.close()
        return "created"

    yield try_one


def _shipped(folder: str) -> list[Tree]:
    """The shipped files of a folder."""
    return [tomllib.loads(path.read_text()) for path in sorted((ROOT / folder).glob("*.toml"))]


@contextmanager
def search_spaces(folder: Path) -> Iterator[Try]:
    """Search spaces; of those that are valid, trials are drawn."""
    trees, schema = _shipped("search_spaces"), search_space_schema()
    path = folder / "space.toml"

    def try_one(seed: int) -> str:
        random = np.random.default_rng(seed)
        path.write_bytes(toml(random, _space(random, trees, schema)))
        space = outcome(lambda: SearchSpace.from_tree(read_toml(path), str(path)), str(path))
        if isinstance(space, HpoError):
            return "refused"
        assert SearchSpace.from_tree(space.to_tree(), "again") == space
        for leaf in space.params().values():
            distribution(leaf)
        some = partial(_value, random)
        for params in (space.default_params(), *space.starts, space.walk(some), space.walk(some)):
            for section, values in space.resolve(params).items():
                validate(SECTIONS[section], values, "a trial", (section,))
        outcome(lambda: grid(space))
        if (points := Points.of(space)) is not None:
            assert points.number(points.params(points.n - 1)) == points.n - 1
        return "valid"

    yield try_one


def _space(random: Random, trees: list[Tree], schema: Tree) -> Any:
    """A search space: drawn from the schema, or a shipped one with changes or other ranges."""
    pick, tree = random.random(), trees[random.integers(len(trees))]
    if pick < 0.1:
        return drawn(random, schema)
    if pick < 0.6:
        return mutated(random, tree)
    made = {name: dict(section) for name, section in tree.items() if name != "start"}
    defaults = leaf_defaults(str(random.choice(family_names())))
    for path in random.choice(list(defaults), int(random.integers(1, 4))):
        section, name = path.split(".")
        made.setdefault(section, {})[name] = _range(random, defaults[path])
    return made


def _range(random: Random, default: Any) -> Any:
    """A range around a leaf's default value, or a constant."""
    is_whole = isinstance(default, int)
    if isinstance(default, bool) or not isinstance(default, int | float):
        choices = [default, random.choice(["relu", "sgd", "a"]), True, 0.5, odd(random)]
        return {"type": "categorical", "choices": choices[: random.integers(1, 6)]}
    factors = sorted(random.choice([-1, 0, 0.01, 0.5, 1, 2, 3, 100], 2))
    low, high = (factor * (default or 1) for factor in factors)
    made: Tree = {"type": "int" if is_whole else "float"}
    made |= {"low": int(low) if is_whole else float(low), "high": high}
    if is_whole:
        made["high"] = int(high)
    if random.random() < 0.2:
        made["log"] = True
    if random.random() < 0.2:
        made["step"] = int(random.integers(1, 5)) if is_whole else 0.05
    if random.random() < 0.2:
        made["or_zero"] = True
    if random.random() < 0.2:
        made["default"] = default
    if random.random() < 0.2:
        made["when"] = {"optimizer.name": str(random.choice(["sgd", "adamw", "a"]))}
    return made if random.random() < 0.9 else made["high"]


def _value(random: Random, name: str, leaf: Leaf) -> Value:
    """A value of a range: its first, its last, or its middle."""
    if isinstance(leaf, Categorical):
        return leaf.choices[random.integers(len(leaf.choices))]
    pick = random.integers(3)
    if pick == 2:
        return leaf.middle()
    return leaf.low if pick == 0 or not leaf.admits(leaf.high) else leaf.high


@contextmanager
def configurations(folder: Path) -> Iterator[Try]:
    """The `config.toml` of a model, as `hpo train` reads it."""
    made = models.experiment("binary")
    tree = models.model(made).config.to_tree()
    tree["data"]["source"] = "t.csv"
    models.table("binary").write_csv(folder / "t.csv")
    path = folder / "config.toml"

    def try_one(seed: int) -> str:
        random = np.random.default_rng(seed)
        path.write_bytes(toml(random, mutated(random, tree)))
        with mock.patch("hpo.data.sources.downloaded", side_effect=FileNotFoundError):
            loaded = outcome(lambda: load_config(path, None))
        if isinstance(loaded, HpoError):
            return "refused"
        config, experiment = loaded
        prepared = outcome(lambda: experiment.prepared(config.preprocessing))
        return "refused with its table" if isinstance(prepared, HpoError) else "valid"

    yield try_one


@contextmanager
def tables(folder: Path) -> Iterator[Try]:
    """Tables, taken as far as they go: read, typed, split, predicted on."""
    yield lambda seed: use_table(seed, folder)


def use_table(seed: int, folder: Path) -> str:
    """Draw a table, take it as far as it goes, and say how far that was."""
    random = np.random.default_rng(seed)
    source = ugly_tables.write(random, folder)
    named = partial(outcome, opening=TABLE)
    raw = named(lambda: read_raw(source, folder))
    if isinstance(raw, HpoError):
        return "not read"
    data = replace(ugly_tables.study(random, raw.frame.columns), source=source)
    table = named(lambda: read_table(data, folder))
    if isinstance(table, HpoError):
        return "not typed"
    made = Experiment(table, replace(data, fingerprint=table.fingerprint()))
    if isinstance(named(lambda: made.dataset), HpoError):
        return "not trained on"
    model = models.model(made, "quantile" if seed % 2 else "standard", depth=1)
    _predict_its_own(model, table, source, folder)
    others = ugly_tables.memory_table(random, list(model.schema.columns))
    predicted = outcome(lambda: model.predict(others), TABLE)
    if isinstance(predicted, pl.DataFrame):
        _assert_finite(predicted)
    again = ugly_tables.write(random, folder)
    raw = outcome(lambda: read_raw(again, folder, may_be_empty=True), TABLE)
    if not isinstance(raw, HpoError):
        given = {column.name: column for column in raw.frame.get_columns()}
        frame = pl.DataFrame(dict.fromkeys(model.schema.columns, raw.frame.to_series()) | given)
        predicted = outcome(lambda: model.predict(frame), TABLE)
        if isinstance(predicted, pl.DataFrame):
            _assert_finite(predicted)
            prediction_notes(model.schema, frame)
    return "predicted on"


def _predict_its_own(model: Model, table: Table, source: str, folder: Path) -> None:
    """The rows that it was made of give the same predictions raw as typed."""
    raw = read_raw(source, folder)
    predicted = model.predict(raw.frame)
    _assert_finite(predicted)
    assert predicted.equals(model.predict(table.frame))
    prediction_notes(model.schema, raw.frame)


def _assert_finite(predicted: pl.DataFrame) -> None:
    for column in predicted.get_columns():
        if column.dtype.is_float():
            assert column.is_finite().all(), predicted


@contextmanager
def model_files(folder: Path) -> Iterator[Try]:
    """Model files with other headers, tensors or bytes, which predict if they load."""
    contents = [
        path.read_bytes() for path in sorted(EARLIER_VERSIONS.glob("models/*/model.safetensors"))
    ]
    frames = [
        read_raw("rows.csv", path.parent).frame
        for path in sorted(EARLIER_VERSIONS.glob("models/*/model.safetensors"))
    ]
    for task in ("binary", "multiclass", "regression"):
        made = models.experiment(task)
        layers = {"embedding": "periodic"} if task == "regression" else {}
        contents.append(models.model(made, **layers).to_bytes())
        frames.append(models.table(task).head(20))
    contents.append(models.ensemble(made).to_bytes())
    frames.append(frames[-1])
    (folder / "trial").mkdir()
    path = folder / "trial/model.safetensors"

    def try_one(seed: int) -> str:
        random = np.random.default_rng(seed)
        at = int(random.integers(len(contents)))
        path.write_bytes(_another_model(random, contents[at], contents))
        loaded = outcome(lambda: load_exported(str(folder / "trial")), str(path))
        if isinstance(loaded, HpoError):
            return "refused"
        model: Predictor = loaded[0]
        predicted = outcome(lambda: model.predict(frames[at]))
        if isinstance(predicted, HpoError):
            return "loaded"
        assert predicted.height == frames[at].height
        model.to_bytes()
        return "predicted with"

    yield try_one


def _another_model(random: Random, content: bytes, contents: list[bytes]) -> bytes:
    """A model file with one part changed."""
    pick = random.integers(5)
    if pick == 0:
        return ugly_tables.damaged(random, content)
    tensors = safetensors.torch.load(content)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])["__metadata__"]
    if pick == 1:
        _change_tensor(random, tensors)
    elif pick == 2:  # of another model
        other = contents[random.integers(len(contents))]
        if random.random() < 0.5:
            tensors = safetensors.torch.load(other)
        else:
            length = int.from_bytes(other[:8], "little")
            own = json.loads(other[8 : 8 + length])["__metadata__"]
            key = str(random.choice(list(own)))
            header[key] = own[key]
    else:
        header = _changed_header(random, header)
    return safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()}, header)


def _changed_header(random: Random, header: dict[str, str]) -> dict[str, str]:
    key = str(random.choice(list(header)))
    changes: list[Callable[[], Any]] = [
        lambda: json.dumps(_changed_json(random, json.loads(header[key])), default=str),
        lambda: json.dumps(_changed_json(random, json.loads(header[key])), default=str),
        lambda: ugly_tables.damaged(random, header[key].encode()).decode(errors="replace"),
        lambda: str(odd(random)),
    ]
    made = dict(header)
    made[key] = changes[random.integers(len(changes))]()
    if random.random() < 0.1:
        del made[key]
    return made


def _changed_json(random: Random, tree: Any) -> Any:
    """A changed JSON value."""
    if not isinstance(tree, dict | list):
        return odd(random) if random.random() < 0.9 else [tree]
    return mutated(random, tree)  # type: ignore[arg-type]


def _change_tensor(random: Random, tensors: dict[str, torch.Tensor]) -> None:
    name = str(random.choice(list(tensors)))
    tensor = tensors[name]
    changes: list[Callable[[], torch.Tensor]] = [
        lambda: tensor.flatten()[:-1],
        lambda: tensor.reshape(-1, *([1] * int(random.integers(3)))),
        lambda: tensor.double() if tensor.dtype == torch.float32 else tensor.float(),
        lambda: tensor.to(torch.int32),
        lambda: torch.zeros(0),
        lambda: torch.zeros(()),
        lambda: tensor.T if tensor.ndim == 2 else tensor[None],
        lambda: torch.full_like(tensor, -1),
        lambda: tensor * 10**6,
        lambda: tensor.bool(),
        lambda: (
            tensor.to(torch.complex64) if tensor.is_floating_point() else tensor.to(torch.uint8)
        ),
        lambda: torch.full(tensor.shape, float(random.choice([np.nan, np.inf, -np.inf, 1e38]))),
    ]
    tensors[name] = changes[random.integers(len(changes))]()
    if random.random() < 0.1:
        tensors[str(ODD[random.integers(len(ODD))])[:50]] = tensors.pop(name)
