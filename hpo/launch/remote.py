"""What workers on several machines need: a storage and an artifact store that all of them reach."""

from collections.abc import Sequence

from hpo.config.errors import InputError
from hpo.files.remote import is_remote
from hpo.files.store import ArtifactStore
from hpo.storage import dialects
from hpo.storage.engine import Storage, open_storage
from hpo.study.catalog import open_study
from hpo.study.study import Study


def check_storage(url: str) -> None:
    """Refuse a storage that the workers of several machines cannot share.

    Raises:
        InputError: it is a SQLite file, or no storage's URL.
    """
    parsed = dialects.parse(url)
    if parsed.get_backend_name() == "sqlite":
        raise InputError(
            f"storage {dialects.safe(parsed)}: SQLite serves the workers of one machine; for "
            "several use PostgreSQL (postgresql://USER:PASSWORD@HOST/DATABASE) or MariaDB or MySQL "
            "(mariadb://USER:PASSWORD@HOST/DATABASE), to which hpo storage copy takes studies over"
        )


def artifacts_warning(url: str) -> str | None:
    """What to see to where artifacts are in a folder, in a sentence; None where they are not."""
    if is_remote(url):
        return None
    return f"artifacts {url}: a folder; every machine must see the same one there, as on NFS"


def storage_warning(url: str) -> str | None:
    """What to see to where a storage's host is every machine itself, in a sentence."""
    parsed = dialects.parse(url)
    if parsed.host not in (None, "", "localhost", "127.0.0.1", "::1"):
        return None
    return f"storage {dialects.safe(parsed)}: names this machine; others would look on themselves"


def open_shared(
    names: Sequence[str], storage: str, artifacts: str
) -> tuple[Storage, ArtifactStore, list[Study]]:
    """Open what workers elsewhere will, so that what is wrong is said at once.

    Raises:
        StudyNotFoundError: there is no such study.
        InputError: the artifact store is another one.
        StorageError: the storage is not there, or out of reach.
    """
    opened = open_storage(storage, create=False)
    store = ArtifactStore(artifacts, create=False)
    studies = [open_study(opened, name) for name in names]
    for study in studies:
        study.check_store(store.id)
    return opened, store, studies


def nothing_left(studies: Sequence[Study]) -> str | None:
    """Why there is nothing to do, in a sentence; None where a study is left, or none was named."""
    found = [study.progress() for study in studies]
    if not found or not all(status.is_finished for status in found):
        return None
    return "nothing to do: " + ", ".join(
        f"{status.name} is stopped, hpo resume {status.name} opens it again"
        if status.state == "stopped"
        else f"{status.name} is finished, hpo extend {status.name} lets it search further"
        for status in found
    )
