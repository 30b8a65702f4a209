"""Checks before workers start on several machines: all must reach the storage and the artifacts."""

from collections.abc import Sequence

from hpo.config.errors import InputError
from hpo.files.remote import is_remote
from hpo.storage import dialects
from hpo.study.study import Study


def check_storage(url: str) -> None:
    """Check that workers on several machines can share a storage.

    Raises:
        InputError: it is a SQLite file, or not a URL of a storage.
    """
    parsed = dialects.parse(url)
    if parsed.get_backend_name() == "sqlite":
        raise InputError(
            f"storage {dialects.safe(parsed)}: SQLite serves the workers of one machine; for "
            "several use PostgreSQL (postgresql://USER:PASSWORD@HOST/DATABASE) or MariaDB or MySQL "
            "(mariadb://USER:PASSWORD@HOST/DATABASE), and copy studies there with hpo storage copy"
        )


def artifacts_warning(url: str) -> str | None:
    """Return a warning if artifacts are in a folder, which other machines may not see."""
    if is_remote(url):
        return None
    return f"artifacts {url}: a folder; every machine must see the same folder there, as on NFS"


def storage_warning(url: str) -> str | None:
    """Return a warning if the storage's host is localhost, a different server on each machine."""
    parsed = dialects.parse(url)
    if parsed.host not in (None, "", "localhost", "127.0.0.1", "::1"):
        return None
    return f"storage {dialects.safe(parsed)}: names this machine; other machines cannot reach it"


def why_nothing_to_do(studies: Sequence[Study]) -> str:
    """Say why no study has work for workers; empty if one has, or if none was named."""
    reasons = [study.progress().why_closed for study in studies]
    return "nothing to do: " + "; ".join(reasons) if reasons and all(reasons) else ""
