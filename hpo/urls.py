"""URLs of files, without the passwords that may be in them.

Does not know: URLs of storages, which SQLAlchemy takes apart.
"""

import re
from urllib.parse import unquote, unquote_plus

IN_USER = re.compile(r"(?<=://)(?P<before>[^/:@]*:)(?!\d+(?:/|$))(?P<password>[^/]*|.*)@")
"""A password as in sftp://USER:PASSWORD@HOST; one that was to be quoted ends at the last @."""
IN_QUERY = re.compile(
    r"(?P<before>[?&;][^=&;]*(?:pass(?!ive)|pwd|secret|token|key|credential|signature|\bsig)[^=&;]*=)"
    r"(?P<password>[^&;#]+)",
    re.IGNORECASE,
)
"""A password as in ?password=PASSWORD."""


def shown(url: str) -> str:
    """A URL as it may be shown."""
    return IN_QUERY.sub(r"\g<before>***", IN_USER.sub(r"\g<before>***@", url))


def passwords(url: str) -> list[str]:
    """A URL's passwords, longest first: as they are written, decoded, and as a parser cuts them."""
    found = [match["password"] for place in (IN_USER, IN_QUERY) for match in place.finditer(url)]
    forms = {form for text in found for form in (text, unquote(text), unquote_plus(text))}
    parts = {part for form in forms for part in re.split("[/?#]", form) if len(part) > 2}
    return sorted((forms | parts) - {""}, key=len, reverse=True)
