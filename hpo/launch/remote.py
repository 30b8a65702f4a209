"""What workers on several machines need: a storage and an artifact store that all of them reach.

Does not know: what starts them there.
"""

from hpo.errors import InputError
from hpo.storage import dialects


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
    if "://" in url and not url.startswith(("file://", "local://")):
        return None
    return f"artifacts {url}: a folder; every machine must see the same one there, as on NFS"
