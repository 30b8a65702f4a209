"""A real browser: Debian's Chromium."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support import machine

if TYPE_CHECKING:
    from playwright import sync_api

_ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def chromium(*args: str) -> Iterator["sync_api.Browser"]:
    """Start Chromium, with further arguments."""
    from playwright import sync_api  # its import takes a second

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=machine.program("chromium"), args=[*_ARGS, *args]
        )
        yield browser
        browser.close()
