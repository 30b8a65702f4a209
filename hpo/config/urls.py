"""Hide passwords in URLs and in error messages about them."""

import os
import re
from urllib.parse import unquote, unquote_plus

IN_USER = re.compile(r"(?<=://)(?P<before>[^/:@]*:)(?!\d+(?:/|$))(?P<password>[^/]*|.*)@")
"""A password in sftp://USER:PASSWORD@HOST; an unquoted one ends at the last @."""
_IN_QUERY = re.compile(
    r"(?P<before>[?&;][^=&;]*(?:pass(?!ive)|pwd|secret|token|key|credential|signature|\bsig)[^=&;]*=)"
    r"(?P<password>[^&;#]+)",
    re.IGNORECASE,
)
"""A password in ?password=PASSWORD."""

_IN_HTTP_USER = re.compile(r"(?P<before>https?://)(?P<password>[^/:@?#]+):?(?=@)")
"""A token in https://TOKEN@HOST; with other protocols, a user name is no secret."""
_PLACES = (IN_USER, _IN_HTTP_USER, _IN_QUERY)
_URL = re.compile(r"\w+://[^\s'\"]+")

_SECRET = re.compile(r"AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN")
_SERVER = re.compile(r"AWS_ENDPOINT_URL\w*|\w+_PROXY", re.IGNORECASE)
"""Environment variables that hold a key, or a URL that may contain one."""
_MIN_SECRET = 8
"""Minimum length of a key; hiding shorter words would garble the message."""


def hide_passwords(url: str) -> str:
    """Replace the passwords in a URL by asterisks."""
    url = IN_USER.sub(r"\g<before>***@", _IN_HTTP_USER.sub(r"\g<before>***", url))
    return _IN_QUERY.sub(r"\g<before>***", url)


def passwords(url: str) -> list[str]:
    """The passwords in a URL, longest first: as written, decoded, and as parsers split them."""
    found = [match["password"] for place in _PLACES for match in place.finditer(url)]
    forms = {form for text in found for form in (text, unquote(text), unquote_plus(text))}
    parts = {part for form in forms for part in re.split("[/?#]", form) if len(part) > 2}
    return sorted((forms | parts) - {""}, key=len, reverse=True)


def describe_error(error: Exception, url: str) -> str:
    """A driver's error message about a URL, without passwords of this or any other URL."""
    said = str(error) or type(error).__name__  # a timeout has no message
    if "Redirect" in type(error).__name__:  # aiohttp's message is only the new URL
        said = f"{type(error).__name__}: {said}"
    for password in [*passwords(url), *_environment_secrets()]:
        said = said.replace(password, "***")
    return _URL.sub(lambda match: hide_passwords(match[0]), said)


def _environment_secrets() -> list[str]:
    keys = [value for name, value in os.environ.items() if _SECRET.fullmatch(name)]
    servers = [value for name, value in os.environ.items() if _SERVER.fullmatch(name)]
    return [key for key in keys if len(key) >= _MIN_SECRET] + [
        password for url in servers for password in passwords(url)
    ]
