"""What is said of what a machine lacks, before and in place of tests."""

import pytest

from tests.support import machine
from tests.support.paths import ROOT

CHECK = ROOT / ".ci/run"


def need(**fields) -> machine.Need:
    return machine.Need(**{"name": "Postman", "tests": "some", "packages": {}, **fields})


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
