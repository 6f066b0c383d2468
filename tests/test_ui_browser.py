"""The pages of `maggy ui`, and a report, in a real browser: headless Chromium, led by its driver."""

import re
import shutil
import threading
import time
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from urllib.parse import quote

import pytest
from test_ui import AT, EVIL, kept, opened, served, trial
from waiting import until

from maggy.events import StudyClosed
from maggy.optimizers import Asha
from maggy.result import Result
from maggy.searchspace import Searchspace
from maggy.store import Owner, open_store
from maggy.testing.play import play

for _package in ("starlette", "uvicorn", "plotly", "selenium"):
    pytest.importorskip(_package, reason=f"{_package} is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and shutil.which("chromedriver")), reason="there is no Chromium with its driver"),
    pytest.mark.filterwarnings("default"),
    pytest.mark.xdist_group("browser"),
]
PHONE, DESK = (390, 800), (1280, 900)


@pytest.fixture(scope="module")
def browser():
    """Start one browser for all tests; it is told where its driver is, and looks for none elsewhere."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    gl = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")  # parallel coordinates are drawn by WebGL
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars", *gl):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.chrome.service.Service(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


def dressed(browser, *, dark=False, size=DESK):
    """Give the browser a size, and the theme that its user prefers; what it complained of before is forgotten."""
    complaints(browser)
    browser.set_window_size(*size)
    feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def complaints(browser):
    """Return what the browser had to say since: refused scripts and styles, errors in ours."""
    return [entry["message"] for entry in browser.get_log("browser") if "404" not in entry["message"]]


@contextmanager
def site(browser, store):
    """Serve the store, let the browser in, and yield where it is."""
    with served(store, "-port", "0") as (_, said):
        address = said[0].split()[-1]
        dressed(browser)
        browser.get(address)
        assert browser.current_url == address.partition("?")[0]
        yield browser.current_url.rstrip("/")


def digits(path, name="digits", num_trials=40):
    """Keep a study with rungs, promoted trials and curves; return its log."""
    space = Searchspace(lr=(0.0, 1.0), kernel=["linear", "poly"], units={"type": "integer", "low": 1, "high": 64})
    log, noise = [], Random(1)

    def curve(each):
        for step in range(1, int(each.budget) + 1):
            yield each.params["lr"] * (1 - 1 / (step + 1)) + noise.random() / 20

    play(Asha(resource_max=27), curve, searchspace=space, num_trials=num_trials, workers=4, log=log)
    with kept(path, name, [*log, StudyClosed(log[-1].at, "done")]):
        return log


@pytest.fixture
def store(tmp_path):
    return tmp_path / "maggy.db"


def test_a18_no_script_of_theirs_runs(browser, store, tmp_path):
    """Whatever a study, its parameters, metrics, errors and prints are called; and ours are not complained of."""
    (tmp_path / "logs" / "1").mkdir(parents=True)
    (tmp_path / "logs" / "1" / "output.log").write_text(EVIL)
    image = "<img src=x onerror=\"document.title='broken into'\">"
    log = [opened("evil", files=str(tmp_path / "logs"), metric=image, optimizer={"name": EVIL, image: EVIL})]
    log += trial(1, name=image, x=EVIL, **{image: image}) + trial(2, None, "failed", error=image, x=image)
    with kept(store, "evil", log, held=True), site(browser, store) as base:
        for page in ("/", "/study?name=evil", "/trials?name=evil", "/plots?name=evil", f"/?q={quote(EVIL)}"):
            browser.get(base + page)
            until(lambda: browser.execute_script("return document.readyState") == "complete")
            assert "broken into" not in browser.title
            assert not browser.find_elements("css selector", "main img, main script")
        for number in (1, 2):
            browser.get(f"{base}/trial?name=evil&trial={number}")
            assert "broken into" in browser.find_element("css selector", "main").text
            assert browser.title == f"evil:{number} · maggy"
        assert complaints(browser) == []


def test_a_page_is_live(browser, store):
    """What happens is seen within seconds, without loading the page again; when the study has ended it rests."""
    log = [opened(), *trial(1, 0.25), *trial(2, None, None)]
    with kept(store, "digits", log, held=True) as writer, site(browser, store) as base:
        browser.get(f"{base}/study?name=digits")
        browser.execute_script("window.stayed = true")

        def text():
            return browser.find_element("css selector", "main").text

        assert "1 completed" in text()
        assert "running" in text()
        writer.append("digits", len(log), [*trial(3, 0.875), StudyClosed(AT + 50, "done")])
        until(lambda: "2 completed" in text() and "0.875" in text())
        owner = Owner.current()
        with closing(open_store(store)) as other:
            until(lambda: not _held(other) or writer.release("digits", other.studies()[0].owner))
        until(lambda: "done" in text())
        owner.retire()
        assert browser.execute_script("return window.stayed")


def _held(store):
    return store.studies()[0].held(time.time())


def drawn(browser):
    """Return which places of pictures have one, and which have a sentence."""
    script = (
        "return [...document.querySelectorAll('.plot')].map(e => [e.dataset.figure, e.dataset.drawn || e.className])"
    )
    return {re.search(r"which=(\w+)", where)[1]: how for where, how in browser.execute_script(script)}


@pytest.mark.parametrize("dark", [False, True])
def test_all_pictures_are_drawn(browser, store, dark):
    """When they come into view, in the colours of the page, and nothing is refused by the page's own policy."""
    digits(store)
    with site(browser, store) as base:
        dressed(browser, dark=dark)
        browser.get(f"{base}/plots?name=digits")
        for number in range(8):
            browser.execute_script(f"document.querySelectorAll('.plot')[{number}].scrollIntoView()")
            until(lambda number=number: list(drawn(browser).values())[number] in ("yes", "plot empty"))
        assert set(drawn(browser).values()) == {"yes"}
        assert browser.find_elements("css selector", ".parcoords")
        colour = browser.execute_script("return document.querySelector('.gtitle').style.fill")
        assert (colour == "rgb(214, 218, 224)") is dark
        assert complaints(browser) == []


@pytest.mark.parametrize("size", [PHONE, DESK])
@pytest.mark.parametrize("dark", [False, True])
def test_pages_fit_their_window(browser, store, dark, size):
    """No page is wider than the window, on a phone either; ground and words are of the theme."""
    digits(store)
    with site(browser, store) as base:
        dressed(browser, dark=dark, size=size)
        for page in ("/", "/study?name=digits", "/trials?name=digits", "/trial?name=digits&trial=40"):
            browser.get(base + page)
            assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth"), page
            ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
            assert ground == ("rgb(20, 23, 28)" if dark else "rgb(255, 255, 255)")
        assert complaints(browser) == []


@contextmanager
def elsewhere(page):
    """Serve a page of somebody else's, on another port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a17_a_page_of_somebody_elses_sees_nothing(browser, store):
    """From a browser that has the cookie: neither a request, nor a frame, nor a link shows a study."""
    digits(store, "private-study")
    with site(browser, store) as base, elsewhere("<a id=go>go</a><iframe></iframe>") as other:
        browser.get(other)
        fetched = browser.execute_async_script(
            "const done = arguments[1]; fetch(arguments[0], {credentials: 'include'})"
            ".then(a => a.text(), e => 'refused: ' + e).then(done)",
            base + "/",
        )
        assert fetched.startswith("refused")
        browser.execute_script("document.querySelector('iframe').src = arguments[0]", base + "/")
        until(lambda: any("frame" in each or "403" in each for each in complaints(browser)))
        browser.switch_to.frame(0)
        assert "private-study" not in browser.page_source
        browser.switch_to.default_content()
        browser.execute_script("const a = document.querySelector('#go'); a.href = arguments[0]; a.click()", base + "/")
        until(lambda: browser.current_url.startswith(base))
        assert "Another page has asked for this" in browser.find_element("css selector", "body").text
        browser.get(base)
        assert "private-study" in browser.page_source


@pytest.mark.parametrize("dark", [False, True])
def test_a_report_is_whole(browser, tmp_path, dark):
    """All its pictures are drawn from the one file, in the colours of the theme, and none is refused."""
    from maggy.study import Study

    result = Result("digits", Study.of(digits(tmp_path / "maggy.db")))
    path = result.to_html(tmp_path / "digits.html")
    dressed(browser, dark=dark)
    browser.get(f"file://{path}")
    until(lambda: len(browser.find_elements("css selector", ".js-plotly-plot .main-svg")) >= 8)
    until(lambda: browser.find_elements("css selector", ".parcoords"))
    ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 23, 28)" if dark else "rgb(255, 255, 255)")
    assert complaints(browser) == []
