"""The dashboard in a real browser: login, pages, downloads, refusals, logout."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hpo.dashboard import detail
from hpo.dashboard.application import ServerSettings, application
from hpo.dashboard.view import DashboardStorage
from hpo.storage.engine import open_storage
from tests.support import machine
from tests.support.browser import chromium
from tests.support.dashboard import WEIGHTS, make_study, served, store_at

if TYPE_CHECKING:
    from playwright import sync_api

pytestmark = pytest.mark.slow

REBINDING = "--host-resolver-rules=MAP evil.example 127.0.0.1"
FORGERY = """async (url) => {
    const sent = await fetch(url, {method: "DELETE", mode: "no-cors"}).catch(String);
    const form = document.createElement("form");
    Object.assign(form, {method: "post", action: url + "/rename", target: "_self"});
    document.body.append(form);
    form.submit();
    return String(sent.type ?? sent);
}"""


@pytest.fixture(scope="module")
def port(tmp_path_factory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("browser")
    storage, store = open_storage(f"sqlite:///{folder / 'hpo.db'}"), store_at(folder)
    make_study(storage, store)
    settings = ServerSettings(password="sesame", read_only=True)
    with served(application(DashboardStorage(storage, store), settings)) as port:
        yield port


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    machine.CHROMIUM.or_skip()
    pytest.importorskip("playwright")
    with chromium(REBINDING) as browser:
        yield browser


@pytest.fixture
def page(browser) -> Iterator["sync_api.Page"]:
    with browser.new_context() as context:
        context.set_default_timeout(120_000)
        yield context.new_page()


def log_in(page: "sync_api.Page", address: str) -> None:
    page.goto(address)
    page.get_by_label("Password").fill("sesame")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(address)


def test_a_study_is_looked_at_after_the_login(page, port):
    refused = []
    page.on("response", lambda got: refused.append(got.url) if got.status >= 400 else None)
    log_in(page, f"http://localhost:{port}/dashboard/studies/1")
    page.locator("#graph-intermediate-values .scatterlayer .trace").nth(2).wait_for()
    history = page.locator(".js-plotly-plot").filter(has=page.locator(".ytitle", has_text="rmse"))
    history.locator(".scatterlayer .point").nth(2).wait_for()
    importances = page.locator("#graph-hyperparameter-importances")
    importances.get_by_text("optimizer.learning_rate").wait_for()
    page.goto(f"http://localhost:{port}/dashboard/studies/1/note")
    page.get_by_role("cell", name="3 of 4: 3 complete").wait_for()
    assert "***@data.example" in page.content()
    assert refused == []


def test_a_trials_files_are_shown_and_saved(page, port, tmp_path):
    log_in(page, f"http://localhost:{port}/dashboard/studies/1/trials")
    page.goto(f"http://localhost:{port}/dashboard/studies/1/trials?numbers=1")
    picture = page.get_by_role("img", name="trial-00001-learning-curve.svg")
    picture.wait_for()
    page.wait_for_function("i => i.naturalWidth > 0", arg=picture.element_handle())
    with page.expect_download() as download:
        page.locator("a[download$='model.safetensors']").click()
    assert download.value.suggested_filename == "trial-00001-model.safetensors"
    assert Path(download.value.path()).read_bytes() == WEIGHTS
    with page.expect_download():  # opening its address downloads it too
        page.evaluate("location = document.querySelector('a[download$=\"svg\"]').href")


def test_a_long_study_is_drawn_without_curves(page, tmp_path, monkeypatch):
    monkeypatch.setattr(detail, "MAX_CURVES", 100)
    storage, store = open_storage(f"sqlite:///{tmp_path / 'hpo.db'}"), store_at(tmp_path)
    make_study(storage, store, n_trials=120)
    with served(application(DashboardStorage(storage, store), ServerSettings())) as port:
        page.goto(f"http://localhost:{port}/dashboard/studies/1")
        history = page.locator(".js-plotly-plot").filter(
            has=page.locator(".ytitle", has_text="rmse")
        )
        history.locator(".scatterlayer .point").nth(119).wait_for()
        page.locator("#graph-hyperparameter-importances .bars").first.wait_for()
        assert page.locator("#graph-intermediate-values").count() == 0
        timeline = page.locator(".js-plotly-plot").filter(
            has=page.locator(".xtitle", has_text="Datetime")
        )
        assert timeline.locator(".barlayer .point").count() == 100
    storage.close()


def test_who_only_reads_is_told_so(page, port):
    log_in(page, f"http://localhost:{port}/dashboard/studies/1/note")
    page.get_by_text("Read-only").wait_for()
    page.locator("[data-testid=EditIcon]").click()
    page.locator("textarea").first.fill("mine")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Failed: This dashboard is read-only.").wait_for()


def test_nobody_looks_without_the_login(page, port):
    page.goto(f"http://localhost:{port}/dashboard/studies/1")
    assert re.search(r"/login\?next=/dashboard/studies/1$", page.url)
    page.get_by_label("Password").fill("guess")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("alert").get_by_text("That is not the password.").wait_for()
    log_in(page, f"http://localhost:{port}/dashboard")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")
    assert page.goto(f"http://localhost:{port}/api/studies").status == 401


def test_another_name_for_this_server_is_refused(page, port):
    got = page.goto(f"http://evil.example:{port}/dashboard/studies/1")
    assert got.status == 403
    assert "This server has another name" in page.content()


def test_another_page_changes_nothing(page, port):
    def evil(environ, start):
        start("200 OK", [("Content-Type", "text/html")])
        return [b"<!DOCTYPE html><title>evil</title>"]

    study = f"http://localhost:{port}/api/studies/1"
    log_in(page, f"http://localhost:{port}/dashboard")
    with served(evil) as other:
        page.goto(f"http://localhost:{other}/")  # same site, so its requests carry cookies
        answers = []
        page.on("response", lambda got: answers.append((got.url, got.status)))
        with page.expect_navigation():
            page.evaluate(FORGERY, study)
    assert (f"{study}/rename", 403) in answers
    assert "Another page sent this request." in page.content()
    assert page.goto(study).status == 200
