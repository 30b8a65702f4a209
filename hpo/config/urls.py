"""URLs of files, without the passwords that may be in them, and what drivers say of them."""

import os
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

IN_HTTP_USER = re.compile(r"(?P<before>https?://)(?P<password>[^/:@?#]+):?(?=@)")
"""A token in place of the user, as in https://TOKEN@HOST; elsewhere a user alone is no secret."""
PLACES = (IN_USER, IN_HTTP_USER, IN_QUERY)
URL = re.compile(r"\w+://[^\s'\"]+")

SECRET = re.compile(r"AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN")
OF_A_SERVER = re.compile(r"AWS_ENDPOINT_URL\w*|\w+_PROXY", re.IGNORECASE)
"""Variables of the environment that hold a key, and a URL that may hold one."""
MIN_SECRET = 8
"""A key of fewer letters is none: hiding it would only spoil the text."""


def hide_passwords(url: str) -> str:
    """Replace the passwords in a URL by asterisks."""
    url = IN_USER.sub(r"\g<before>***@", IN_HTTP_USER.sub(r"\g<before>***", url))
    return IN_QUERY.sub(r"\g<before>***", url)


def passwords(url: str) -> list[str]:
    """A URL's passwords, longest first: as they are written, decoded, and as a parser cuts them."""
    found = [match["password"] for place in PLACES for match in place.finditer(url)]
    forms = {form for text in found for form in (text, unquote(text), unquote_plus(text))}
    parts = {part for form in forms for part in re.split("[/?#]", form) if len(part) > 2}
    return sorted((forms | parts) - {""}, key=len, reverse=True)


def describe_error(error: Exception, url: str) -> str:
    """Return a driver's message about a URL, without passwords.

    Nor with those of another URL, to which a server may have sent the driver on.
    """
    said = str(error) or type(error).__name__  # a timeout says nothing
    if "Redirect" in type(error).__name__:  # aiohttp's say where to, but not that it is one
        said = f"{type(error).__name__}: {said}"
    for password in [*passwords(url), *_of_the_environment()]:
        said = said.replace(password, "***")
    return URL.sub(lambda match: hide_passwords(match[0]), said)


def _of_the_environment() -> list[str]:
    keys = [value for name, value in os.environ.items() if SECRET.fullmatch(name)]
    servers = [value for name, value in os.environ.items() if OF_A_SERVER.fullmatch(name)]
    return [key for key in keys if len(key) >= MIN_SECRET] + [
        password for url in servers for password in passwords(url)
    ]
