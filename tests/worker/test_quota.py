import subprocess
import sys

import pytest

from hpo.config.errors import InputError
from hpo.worker.quota import Quota

TAKER = """
import sys
from hpo.worker.quota import Quota
quota = Quota((int(sys.argv[1]), int(sys.argv[2])))
taken = 0
while quota.take():
    taken += 1
print(taken)
"""


def test_what_was_given_back_can_be_taken_again() -> None:
    quota = Quota.limited(2)
    assert [quota.take(), quota.take(), quota.take()] == [1, 1, 0]
    assert quota.is_spent()
    quota.give_back()
    assert not quota.is_spent()
    assert quota.take()


def test_many_are_taken_as_far_as_there_are_so_many() -> None:
    quota = Quota.limited(5)
    assert [quota.take(3), quota.take(3), quota.take(3)] == [3, 2, 0]


def test_without_a_limit_there_is_always_one_more() -> None:
    quota = Quota()
    assert all(quota.take(64) == 64 for _ in range(10))
    assert not quota.is_spent()


def test_processes_share_one_quota_exactly() -> None:
    quota = Quota.limited(5_000)
    assert quota.pipe is not None
    arguments = [sys.executable, "-c", TAKER, *map(str, quota.pipe)]
    takers = [
        subprocess.Popen(arguments, pass_fds=quota.pipe, stdout=subprocess.PIPE) for _ in range(3)
    ]
    taken = [int(taker.communicate()[0]) for taker in takers]
    assert sum(taken) == 5_000


def test_more_than_a_pipe_holds_is_refused() -> None:
    with pytest.raises(InputError, match="from 1 to 65536, but got 70000"):
        Quota.limited(70_000)
