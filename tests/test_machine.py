"""What is said of what a machine lacks, before and in place of tests."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support import machine
from tests.support.paths import ROOT
from tests.support.started import Started, started

CHECK = ROOT / ".ci/run"


def need(**fields) -> machine.Need:
    return machine.Need(**{"name": "Postman", "tests": "some", "packages": {}, **fields})


@contextmanager
def no_server() -> Iterator[None]:
    raise OSError("no letters")
    yield


def test_what_is_missing_is_named_with_its_packages(monkeypatch):
    packages = {"coreutils": ("ls",), "post": ("postmand", "cat"), "man": ("postman",)}
    missing = need(packages=packages)
    said = "Postman is missing (postmand, postman): apt-get install post man"
    assert missing.lack == said
    with pytest.raises(pytest.skip.Exception, match=r"apt-get install post man"):
        missing.or_skip()
    forbidden = need(permits=lambda: machine.works("false"))
    assert forbidden.lack == "Postman cannot be had on this machine"
    here = need(name="ls", packages={"coreutils": ("ls",)}, permits=lambda: machine.works("true"))
    here.or_skip()
    monkeypatch.setattr(machine, "NEEDS", (here, missing))
    assert machine.report() == ["machine: ls", f"SKIPPED: {said} [some]"]


def test_the_whole_check_installs_what_tests_look_for():
    lines = CHECK.read_text().splitlines()
    wanted = {
        f"want {package} {' '.join(programs)}"
        for each in machine.NEEDS
        for package, programs in each.packages.items()
    }
    assert wanted == {line for line in lines if line.startswith("want ")}


def test_a_server_that_does_not_start_fails_one_test_by_what_it_said():
    with started("Postman", no_server()) as server:
        with pytest.raises(pytest.fail.Exception, match=r"Postman did not start: .*no letters"):
            server.get()
        for _ in range(2):
            with pytest.raises(pytest.skip.Exception, match="as the error of an earlier test says"):
                server.get()
    assert Started("Postman", 1, "").get() == 1
