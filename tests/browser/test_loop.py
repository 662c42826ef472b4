"""The loop as a person walks it in a browser: import, train, look at the curve, decide a pair, come back later."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from db import connect, verdicts
from tests.browser.conftest import FLAGS, App
from tests.ui.pages.conftest import write_pairs
from ui.processes import Store, open_store

pytestmark = pytest.mark.slow

HOSTILE = (
    '![seen](http://tracker.invalid/pixel.png) <img src="http://tracker.invalid/b.png"> '
    "<script>window.ran = 1</script> "
    "[here](javascript:alert(1)) costs $5 to $10 :material/home: :red[no]"
)
HELD_KEY = """() => { for (let i = 0; i < 7; i++) document.dispatchEvent(
    new KeyboardEvent("keydown", {key: "2", code: "Digit2", keyCode: 50, which: 50, bubbles: true, repeat: i > 0})) }"""
SECOND = 1000
RUN = 180 * SECOND


@pytest.fixture
def page(chromium: str, app: App) -> Iterator[Page]:
    """A tab that fails the test if it asks any other host for anything."""
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        tab = browser.new_page(viewport={"width": 1440, "height": 1000})
        tab.set_default_timeout(30 * SECOND)
        tab.on("request", lambda request: asked.append(request.url))
        yield tab
        browser.close()
    hosts = {urlparse(url).hostname for url in asked if not url.startswith(("data:", "blob:"))}
    assert hosts <= {"localhost"}, sorted(map(str, hosts))


def go(page: Page, name: str) -> None:
    page.get_by_test_id("stSidebarNav").get_by_text(name, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def click(page: Page, key: str) -> None:
    page.locator(f".st-key-{key} button").first.click()


def test_from_a_file_to_a_verdict_that_survives_a_reload(page: Page, app: App, tmp_path: Path):
    file = write_pairs(tmp_path / "things.jsonl")
    hostile = {
        "prompt": f"What is this? {HOSTILE}",
        "response_chosen": HOSTILE,
        "response_rejected": f"{HOSTILE} again",
    }
    file.write_text(json.dumps(hostile) + "\n" + file.read_text(encoding="utf-8"), encoding="utf-8")

    # Import: the hostile pair is the first of the preview, as plain text.
    page.goto(app.url)
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    go(page, "Import")
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text("![seen](http://tracker.invalid/pixel.png)").first).to_be_visible()
    assert page.evaluate("window.ran") is None
    click(page, "import_start")
    expect(page.get_by_text("things is imported")).to_be_visible(timeout=60 * SECOND)

    look_at_two_pages_of_pairs(page)

    # Train: one click, a run of its own that is seen to go without a reload, the curve when it is done.
    go(page, "Train")
    click(page, "train_start")
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
    expect(page.locator(".st-key-run_stop button")).to_be_visible(timeout=60 * SECOND)
    expect(page.get_by_text("On test pairs, against imported")).to_be_visible(timeout=RUN)
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    expect(page.get_by_text("always the longer").first).to_be_visible()

    # Triage: rank, then flip the most doubtful label with one key.
    go(page, "Disagreements")
    click(page, "triage_start")
    expect(page.get_by_label("Your name")).to_be_visible(timeout=RUN)
    page.get_by_label("Your name").fill("ann")
    page.keyboard.press("Enter")
    expect(page.locator(".st-key-verdict_flip button")).to_be_visible()
    expect(page.get_by_text("None yet. Each is written at once")).to_be_visible()
    page.wait_for_timeout(500)  # a person reads the pair: a key that comes before is refused
    page.keyboard.press("2")
    expect(page.get_by_role("button", name="Retrain with 1 verdict")).to_be_visible()

    # A reload, as after a crash or on another day.
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Disagreements")
    expect(page.get_by_role("button", name="Retrain with 1 verdict")).to_be_visible()
    store = open_store(str(app.store))
    with connect.read(store.engine) as conn:
        (written,) = verdicts.latest(conn)
    assert written.label_side is not None
    assert {written.decision.value, written.label_side.value} == {"a", "b"}

    # A held key is many presses; only the first is for a pair that could be read.
    page.wait_for_timeout(500)
    page.evaluate(HELD_KEY)
    expect(page.get_by_role("button", name="Retrain with 2 verdicts")).to_be_visible()
    page.wait_for_timeout(SECOND)
    with connect.read(store.engine) as conn:
        assert verdicts.count(conn) == 2

    press_fast(page, store)


def look_at_two_pages_of_pairs(page: Page) -> None:
    """An open row leaves the pager within reach."""
    go(page, "Browse")
    page.get_by_test_id("stDataFrame").first.click(position={"x": 15, "y": 55})
    expect(page.get_by_role("heading", name="Pair things:1")).to_be_visible()
    click(page, "browse_next")
    expect(page.get_by_text("51 to 85 of 85 pairs")).to_be_visible()


def press_fast(page: Page, store: Store) -> None:
    """Different keys, each of which interrupts the drawing of the page: no pair gets two verdicts."""
    page.wait_for_timeout(500)
    for key in "12121212":
        page.keyboard.press(key)
        page.wait_for_timeout(120)
    page.wait_for_timeout(2 * SECOND)
    with connect.read(store.engine) as conn:
        decided = [one.pair_id for one in verdicts.latest(conn)]
    assert len(decided) == len(set(decided)) > 2
