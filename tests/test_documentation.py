"""Whatever can be typed or called is documented, and what is documented is there."""

import ast
import importlib
import re
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

import hpo
from hpo.config.definition import Budget, StudyData, StudyDefinition, StudyFile
from hpo.config.families import BUILT_IN
from hpo.config.leaves import SECTIONS, START, leaf_types
from hpo.config.metrics import METRICS
from hpo.config.ranges import Leaf
from hpo.config.space import SearchSpace
from hpo.config.strategies import Pruner, Sampler
from hpo.config.trial import LOSSES, Activation, Numeric, OptimizerName, Precision, SplitConfig
from hpo.sklearn import MLPSearchClassifier, MLPSearchRegressor
from tests.support import documentation
from tests.support.documentation import COMMANDS, PAGES, README, ROOT, Block

sys.path.append(str(ROOT / "scripts"))  # for the benchmarks

DOCS = ROOT / "docs"
MAX_LINES = 150
SHELL = [block for page in PAGES for block in documentation.blocks(page, "sh")]
TYPED = [(block.where, words) for block in SHELL for words in documentation.typed(block)]
OURS = [(where, words[1:]) for where, words in TYPED if words[0] == "hpo"]
BENCHES = [(where, words[1:]) for where, words in TYPED if words[0] == "scripts/bench"]
INLINE = [
    (documentation.name(page), code)
    for page in PAGES
    for code in re.findall(r"`([^`\n]+)`", documentation.prose(page).replace("\n", " "))
]
TOML = [block for page in PAGES for block in documentation.blocks(page, "toml")]
A_STUDY: dict[str, Any] = {
    "name": "any",
    "search_space": "mlp",
    "data": {"source": "any.csv", "target": "y"},
    "objective": {"metric": "log_loss"},
}
TAGGED = [
    (union.__metadata__[0].discriminator, kind)
    for union in (Sampler, Pruner, Leaf)
    for kind in get_args(union.__origin__)
]
KEYS = {
    *StudyFile.model_fields,
    *(field.name for field in fields(StudyData)),
    *(field.name for field in fields(SplitConfig)),
    *Budget.model_fields,
    *(key for _, kind in TAGGED for key in kind.model_fields),
    *(path.split(".")[1] for path in leaf_types(tuple(BUILT_IN))),
}
WORDS = {
    *(word for tag, kind in TAGGED for word in get_args(kind.model_fields[tag].annotation)),
    *METRICS,
    *(loss for losses in LOSSES.values() for loss in losses),
    *(
        word
        for words in (Activation, Numeric, OptimizerName, Precision)
        for word in get_args(words)
    ),
}


def constant(path: Path, name: str) -> Any:
    """A constant of a module, which is not run for it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise KeyError(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_by_an_example(name):
    text = COMMANDS[name].help
    assert text, f"hpo {name} has no help"
    lines = [line.strip() for line in text.splitlines()]
    assert any(re.match(rf"hpo {re.escape(name)}\b", line) for line in lines), text


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_names_options_there_are(name):
    lines = [line for line in COMMANDS[name].help.splitlines() if line.strip().startswith("hpo ")]
    for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*", " ".join(lines)):
        assert option in documentation.options(COMMANDS[name]), f"hpo {name} has no {option}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_argument_has_help(name):
    for parameter in COMMANDS[name].params:
        assert getattr(parameter, "help", None), f"hpo {name}: {parameter.opts} has no help"


def test_the_readme_is_for_five_minutes():
    assert len(documentation.read(README).splitlines()) <= MAX_LINES


@pytest.mark.parametrize("name", COMMANDS)
def test_the_index_of_the_pages_lists_every_command(name):
    assert f"`hpo {name}`" in documentation.read(DOCS / "README.md")


@pytest.mark.parametrize("page", sorted(set(PAGES) - {README, DOCS / "README.md"}), ids=str)
def test_the_index_lists_every_page(page):
    assert f"]({page.name})" in documentation.read(DOCS / "README.md")


@pytest.mark.parametrize(("where", "words"), OURS, ids=[f"{at} {w[:2]}" for at, w in OURS])
def test_a_command_can_be_typed_as_it_stands(where, words):
    name = documentation.command_of(words)
    assert name is not None, f"{where}: there is no command hpo {' '.join(words)}"
    try:
        COMMANDS[name].make_context(f"hpo {name}", words[len(name.split()) :])
    except Exception as error:  # of click, which typer may hold a copy of
        pytest.fail(f"{where}: hpo {' '.join(words)}: {error}")


def test_commands_and_options_within_sentences_are_there():
    every = set().union(*(documentation.options(command) for command in COMMANDS.values()))
    groups = {name.split()[0] for name in COMMANDS if " " in name}
    for where, code in INLINE:
        words = code.removeprefix("hpo ").split()
        known = every
        if code.startswith("hpo ") and words[0] not in {*groups, "COMMAND"}:
            name = documentation.command_of(words)
            assert name is not None, f"{where}: there is no `{code}`"
            known = documentation.options(COMMANDS[name])
        elif words[0] == "--sbatch":  # what follows is for sbatch
            words = words[:1]
        if code.startswith(("hpo ", "--")):
            for option in (word for word in words if word.startswith("--")):
                assert option in known, f"{where}: `{code}` has no {option}"


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=documentation.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", documentation.prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.is_relative_to(ROOT), f"{target} is outside of the repository"
        assert there.exists(), f"{target} is not there"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", documentation.prose(there), re.M)
            assert anchor in map(slug, headings), f"{target}: there is no such heading"


OWN = r"(?:hpo|tests|scripts|studies|search_spaces|docs)/[\w./-]*"


def test_files_that_are_named_are_there():
    commands = [(where, word) for where, words in TYPED for word in words]
    for where, text in [*INLINE, *commands]:
        for path in text.split():
            if re.fullmatch(OWN, path):
                assert (ROOT / path).exists(), f"{where}: {path} is not there"


def test_benchmarks_are_documented_and_take_what_is_given_to_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    known = constant(ROOT / "scripts/benches/__main__.py", "BENCHES")
    table = documentation.read(DOCS / "development.md")
    for name in known:
        assert f"| `{name}` |" in table, f"docs/development.md does not list {name}"
    quoted = [(at, code.split()[1:]) for at, code in INLINE if code.startswith("scripts/bench ")]
    for where, words in [*BENCHES, *quoted]:
        assert words[0] in known, f"{where}: there is no scripts/bench {words[0]}"
        options = {word for word in words if word.startswith("--")}
        if len(words) > 1:
            bench = importlib.import_module(f"benches.{words[0].replace('-', '_')}")
            with pytest.raises(SystemExit) as ended:
                bench.main([*words[1:], "--help"])
            said = capsys.readouterr()
            assert ended.value.code == 0, f"{where}: {said.err}"
            absent = options - set(re.findall(r"--[a-z-]+", said.out))
            assert not absent, f"{where}: scripts/bench {words[0]} has no {absent}"


@pytest.mark.parametrize("block", TOML, ids=[block.where for block in TOML])
def test_what_stands_in_toml_is_a_study_or_a_search_space(block: Block):
    tree = tomllib.loads(block.text)
    if set(tree) <= {*SECTIONS, START}:
        SearchSpace.from_tree(tree, block.where)
    else:
        StudyDefinition.from_tree({**A_STUDY, **tree}, block.where, ROOT / "studies")


def test_every_key_of_a_study_file_is_documented():
    pages = documentation.read(DOCS / "study-files.md") + documentation.read(DOCS / "tables.md")
    code = [*re.findall(r"`([^`\n]+)`", pages), *(block.text for block in TOML)]
    named = {word for text in code for word in re.findall(r"\w+", text)}
    assert not (absent := (KEYS | WORDS) - named), absent


@pytest.mark.parametrize("estimator", [MLPSearchClassifier, MLPSearchRegressor])
def test_every_parameter_and_attribute_of_the_estimators_is_documented(estimator):
    page = documentation.read(DOCS / "python.md")
    attributes = re.findall(r"^ {8}(\w+_): ", estimator.__doc__, re.M)
    for name in [*estimator().get_params(), *attributes]:
        assert f"`{name}`" in page, f"docs/python.md does not name {name}"


def test_the_map_of_the_readme_is_that_of_the_imports():
    floors = constant(ROOT / "tests/test_layering.py", "FLOORS")
    drawn: list[set[str]] = []
    (block,) = documentation.blocks(README, "")
    for line in block.text.splitlines():
        rooms = set(re.split(r" {2,}", line.strip())[0].split())
        if line.startswith("  "):
            drawn[-1] |= rooms
        else:
            drawn.append(rooms)
    assert drawn == [set(rooms.split()) for rooms in reversed(floors)]


def test_the_front_door_opens_on_every_name_it_lists():
    for name in hpo.__all__:
        assert getattr(hpo, name), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hpo.nothing
