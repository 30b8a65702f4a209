"""The login page: one field, one button, no scripts."""

from html import escape
from wsgiref.types import StartResponse

from hpo.dashboard.responses import Header, respond

_POLICY: Header = (
    "Content-Security-Policy",
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
)
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in - hpo dashboard</title>
<style>
:root {{ color-scheme: light dark; --main: light-dark(#1565c0, #90caf9); }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 16px;
  background: light-dark(#f5f5f5, #121212); font: 16px/1.5 Roboto, system-ui, sans-serif; }}
main {{ width: 100%; max-width: 360px; padding: 32px; border-radius: 4px;
  background: light-dark(#fff, #1e1e1e); box-shadow: 0 1px 4px rgba(0, 0, 0, .3); }}
h1 {{ margin: 0 0 24px; font-size: 24px; font-weight: 500; }}
label {{ display: block; margin-bottom: 4px; }}
input, button {{ width: 100%; padding: 12px; border-radius: 4px; font: inherit; }}
input {{ border: 1px solid light-dark(#767676, #9e9e9e); background: transparent; }}
button {{ margin-top: 16px; border: 0; background: var(--main); color: light-dark(#fff, #121212);
  font-weight: 500; cursor: pointer; }}
:focus-visible {{ outline: 3px solid var(--main); outline-offset: 2px; }}
.wrong {{ margin: 0 0 16px; color: light-dark(#b71c1c, #ff8a80); }}
</style>
</head>
<body>
<main>
<h1>hpo dashboard</h1>
{wrong}<form method="post" action="/login">
<input type="hidden" name="next" value="{target}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required
  autofocus{described}>
<button type="submit">Log in</button>
</form>
</main>
</body>
</html>
"""


def send_login_page(
    start: StartResponse, status: str, target: str, wrong: str = "", *headers: Header
) -> list[bytes]:
    """Send the login page.

    Args:
        start: WSGI's `start_response`.
        status: HTTP status.
        target: path of the page to open after the login.
        wrong: what was wrong with the last attempt; empty at the first.
        headers: further headers.
    """
    alert = f'<p class="wrong" id="wrong" role="alert">{escape(wrong)}</p>\n' if wrong else ""
    described = ' aria-describedby="wrong" aria-invalid="true"' if wrong else ""
    body = _PAGE.format(wrong=alert, target=escape(target), described=described).encode()
    return respond(start, status, body, "text/html; charset=utf-8", _POLICY, *headers)
