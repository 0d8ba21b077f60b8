"""The live page in a real browser, beside a campaign that runs; `make test-browser`."""

from __future__ import annotations

import shutil
import threading
import time

import copper
import pytest

uvicorn = pytest.importorskip("uvicorn")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium; `make browser` installs it"),
]
OPTIONS = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""The browser asks for nothing but the page, and draws 3D without a graphics card."""
EVIL = "<img src=x onerror=\"document.title='owned'\"><script>alert(1)</script>"
PATIENCE = 60_000
"""Time to wait for something to be seen (ms)."""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as engine:
        opened = engine.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield opened
        opened.close()


@pytest.fixture
def campaign(database, tmp_path, monkeypatch):
    """A campaign of copper that was submitted; nobody works on it yet."""
    copper.importable(monkeypatch)
    monkeypatch.chdir(tmp_path)
    copper.base_model(tmp_path)
    store, _ = copper.submitted(copper.campaign_file(tmp_path))
    return store


@pytest.fixture
def address(campaign):
    """Address of the campaign's page on a server that runs."""
    from entropy_flows.web.app import make_app
    from entropy_flows.web.source import Source

    source = Source()
    config = uvicorn.Config(make_app(source, every=1), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/campaign/copper"
    server.should_exit = True
    thread.join(10)
    source.close()


@pytest.fixture
def page(browser, address):
    """A page that has to be without errors, and to ask nobody but its server."""
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    opened.set_default_timeout(PATIENCE)
    opened.set_default_navigation_timeout(PATIENCE)
    errors = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda line: errors.append(line.text) if is_error(line) else None)
    opened.on("dialog", lambda dialog: errors.append(dialog.message))
    opened.on("request", lambda request: errors.append(request.url) if foreign(request) else None)
    yield opened
    opened.close()
    assert errors == []


def is_error(line):
    # an answer that never came is the server's fault, which the page is to say
    return line.type == "error" and "net::ERR_" not in line.text


def foreign(request):
    return not request.url.startswith(("http://127.0.0.1:", "data:", "blob:"))


def seen(page, expression):
    """Wait until the page says so; the page's policy lets it evaluate no text by itself."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(100)


def test_the_page_changes_as_the_campaign_runs(page, address, campaign):
    page.goto(address)
    assert page.inner_text("#story").count("Nothing has ended yet.") == 1
    assert "look again" in page.inner_text("#map")
    copper.work("copper", until=copper.is_done("copper", "select"))
    seen(page, "document.querySelectorAll('#loop li.done').length >= 2")
    assert "done" not in page.inner_text("#top .state")
    copper.work("copper")
    seen(page, "document.querySelector('#top .state').textContent === 'done'")
    seen(page, "document.querySelectorAll('#loop li.done').length === 6")
    assert page.locator("figure#errors svg").count() == 1
    campaign.add_failure(1, "label", EVIL, "job-1", EVIL)
    seen(page, "document.querySelector('#failures').textContent.includes('<script>alert(1)')")
    assert page.title() == "copper"
    assert page.locator("#failures img").count() == 0


def test_cells_are_chosen_filtered_and_drawn(page, address, campaign):
    copper.work("copper")
    page.goto(address)
    seen(page, "document.querySelector('[data-part=key]').textContent !== ''")
    labels = {label["key"]: label for label in campaign.labels()}
    first = page.inner_text("[data-part=key]")
    assert first in labels
    seen(page, "document.querySelector('[data-part=cell3d] canvas') !== null")
    page.focus("#explorer canvas[tabindex]")
    page.keyboard.press("ArrowRight")
    seen(page, f"document.querySelector('[data-part=key]').textContent !== '{first}'")
    every = page.request.get(f"{address}/map").json()["keys"]
    others = set(every) - set(labels)
    assert others
    clicked = click_on_a_point(page, others)
    seen(page, f"document.querySelector('[data-part=key]').textContent === '{clicked}'")
    seen(page, "document.querySelector('[data-part=story]').textContent.includes('Not chosen')")
    clicked = click_on_a_point(page, labels)
    seen(page, f"document.querySelector('[data-part=key]').textContent === '{clicked}'")
    seen(
        page, "document.querySelector('[data-part=story]').textContent.includes('Labelled by EMT')"
    )
    page.select_option("[data-part=filter]", "status")
    page.select_option("[data-part=value]", "test")
    held_out = sum(label["split"] == "test" for label in labels.values())
    message = page.inner_text("[data-part=message]")
    assert message == f"{held_out} of {len(every)} cells"
    assert '"split":"test"' in page.inner_text("[data-part=query]")
    page.select_option("[data-part=x]", "pressure")
    page.select_option("[data-part=y]", "energy")
    assert page.inner_text("[data-part=message]") == message
    with page.expect_download() as download:
        page.click("[data-part=download]")
    assert "Lattice=" in download.value.path().read_text()


def click_on_a_point(page, keys):
    """Move over the map until the mouse is at a point of one of these, and click; its key."""
    canvas = page.locator("#explorer canvas[tabindex]")
    box = canvas.bounding_box()
    for down in range(10, int(box["height"]), 6):
        for across in range(60, int(box["width"]), 6):
            page.mouse.move(box["x"] + across, box["y"] + down)
            key = page.text_content("[data-part=tip]").split("\n")[0]
            if key in keys:
                page.mouse.down()
                page.mouse.up()
                return key
    pytest.fail("the mouse met no point")


@pytest.mark.parametrize("width", [400, 640])
def test_nothing_is_wider_than_a_narrow_screen(page, address, width):
    copper.work("copper")
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_says_when_the_server_is_gone(page, address, campaign):
    page.goto(address)
    page.route("**/campaign/copper", lambda route: route.abort())
    seen(page, "!document.getElementById('banner').hidden")
    page.unroute("**/campaign/copper")
    seen(page, "document.getElementById('banner').hidden")
