import pytest

from hpo.config import errors
from hpo.config.errors import HpoError, InputError, nearest


def tree() -> list[type[HpoError]]:
    return [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, HpoError)
    ]


def test_what_the_user_gave_ends_with_2_and_all_else_with_1():
    for kind in tree():
        assert kind.exit_code == (2 if issubclass(kind, InputError) else 1), kind


def test_the_docstring_draws_every_error():
    for kind in tree():
        assert f" {kind.__name__} " in errors.__doc__, f"{kind.__name__} is missing in the tree"


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("sampelr", ' (did you mean "sampler"?)'),
        ("sampler", ' (did you mean "sampler"?)'),
        ("x", ""),
    ],
)
def test_nearest_names_the_closest_word_or_nothing(word, hint):
    assert nearest(word, ["pruner", "sampler"]) == hint
