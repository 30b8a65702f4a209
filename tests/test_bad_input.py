"""Bad input is used or refused in a sentence; `scripts/bench bad-input` tries thousands."""

from pathlib import Path

import pytest

from tests.support.bad_input import files, requests
from tests.support.bad_input.trying import Kind, run


@pytest.mark.parametrize(
    ("kind", "n"),
    [
        (files.studies, 60),
        (files.search_spaces, 150),
        (files.configurations, 60),
        (files.tables, 80),
        (files.model_files, 80),
        (requests.requests, 250),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
def test_bad_input_is_used_or_refused_in_a_sentence(kind: Kind, n: int, tmp_path: Path) -> None:
    tally = run(kind, range(n), tmp_path)
    assert tally.failures == []
    assert tally.ends.total() == n
    assert len(tally.ends) > 1, "everything was refused"
