"""Whatever can be typed or called is documented."""

import re
from pathlib import Path

import pytest
import typer

import hpo
from hpo.cli import app

README = Path(__file__).parent.parent / "README.md"


def leaves(group, prefix=""):
    """Every command by what is typed of it, those of groups such as `storage upgrade` included."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


COMMANDS = dict(leaves(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_by_an_example(name):
    text = COMMANDS[name].help
    assert text, f"hpo {name} has no help"
    lines = [line.strip() for line in text.splitlines()]
    assert any(re.match(rf"hpo {re.escape(name)}\b", line) for line in lines), text


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_names_options_there_are(name):
    command = COMMANDS[name]
    known = {option for parameter in command.params for option in parameter.opts}
    known |= {option for parameter in command.params for option in parameter.secondary_opts}
    example = [line for line in command.help.splitlines() if line.strip().startswith("hpo ")]
    for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*", " ".join(example)):
        assert option in known | {"-h", "--help"}, f"hpo {name} has no {option}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_argument_has_help(name):
    for parameter in COMMANDS[name].params:
        assert getattr(parameter, "help", None), f"hpo {name}: {parameter.opts} has no help"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_names_every_command(name):
    text = README.read_text(encoding="utf-8")
    assert re.search(rf"\bhpo {re.escape(name)}\b", text), f"README.md does not name hpo {name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_invents_no_options(name):
    known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    for line in README.read_text(encoding="utf-8").splitlines():
        typed = re.match(rf"(?:\$ )?hpo {re.escape(name)}\b([^#|]*)", line.strip())
        for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", typed[1] if typed else ""):
            assert option in known | {"--help"}, f"hpo {name} has no {option}: {line}"


def test_the_readme_types_no_command_that_is_not_there():
    typed = re.findall(r"^(?:\$ )?hpo ([a-z]+)\b", README.read_text(encoding="utf-8"), re.M)
    assert set(typed) <= {name.split()[0] for name in COMMANDS}


def test_the_front_door_opens_on_every_name_it_lists():
    for name in hpo.__all__:
        assert getattr(hpo, name), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hpo.nothing
