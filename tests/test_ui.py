"""The pages of `maggy ui`: who may see them, what is on them, and that nothing that users wrote is more than text."""

import asyncio
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from html import unescape
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from click.testing import CliRunner
from waiting import until

import maggy
from maggy.cli.app import app
from maggy.events import Drawn, Ended, Reported, Started, StudyClosed, StudyOpened, Suggested
from maggy.optimizers import Loco, RandomSearch
from maggy.searchspace import Searchspace
from maggy.store import Owner, open_reader, open_store
from maggy.testing.play import play
from maggy.ui.guard import Guard

ROOT = Path(maggy.__file__).parents[1]
AT = 1_800_000_000.0
EVIL = "<script>document.title='broken into'</script>"
SPACE = {"lr": {"type": "float", "low": 0.0001, "high": 1.0, "log": True}}
HOST = "127.0.0.1:8265"


# -- the guard -----------------------------------------------------------------------------------------------------


async def _inner(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"secret"})


class Door:
    """A guard before an application that would tell anybody."""

    def __init__(self):
        self.tickets = []
        self.guard = Guard(_inner, 8265, self.tickets.append)

    def ask(self, path="/", query="", method="GET", kind="http", **headers):
        """Send a request; return its status, its headers and its body."""
        told = {"host": HOST} | {name.replace("_", "-"): value for name, value in headers.items()}
        scope = {
            "type": kind,
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
        }
        scope["headers"] = [
            (name.encode(), each.encode("latin-1"))
            for name, value in told.items()
            if value is not None
            for each in (value if isinstance(value, list) else [value])
        ]
        sent = []

        async def send(message):
            sent.append(message)

        asyncio.run(self.guard(scope, None, send))
        found = {name.decode(): value.decode() for name, value in sent[0].get("headers", [])}
        return sent[0].get("status", sent[0]["type"]), found, b"".join(each.get("body", b"") for each in sent[1:])

    def cookie(self):
        """Open the door with the ticket."""
        _, headers, _ = self.ask(query=f"token={self.tickets[-1]}")
        return headers["set-cookie"].partition(";")[0]


def test_a22_without_the_token_there_is_nothing():
    """Other users of the machine reach the port, and are told nothing, whatever they ask for."""
    door = Door()
    for path in ("/", "/study", "/static/maggy.css", "/nowhere"):
        status, _, body = door.ask(path)
        assert (status, b"secret" in body) == (403, False)
    assert door.ask(query="token=")[0] == door.ask(query="token=%C3%A9")[0] == 403
    assert door.ask(cookie="maggy-8265=x; other=y")[0] == door.ask(cookie=f"maggy-8265={door.tickets[0]}")[0] == 403


def test_a17_a_ticket_is_exchanged_for_a_cookie_once():
    """The address with the token leads to one without it; whoever finds it later finds nothing."""
    door = Door()
    ticket = door.tickets[0]
    status, headers, _ = door.ask("/study", query=f"name=a%26b&token={ticket}")
    assert (status, headers["location"]) == (303, "/study?name=a%26b")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(headers["set-cookie"].split("; "))
    assert ticket not in headers["set-cookie"]
    assert door.ask(query=f"token={ticket}")[0] == 403
    assert len(door.tickets) == 2
    assert door.ask(cookie=headers["set-cookie"].partition(";")[0])[2] == b"secret"


def test_a_ticket_is_not_used_up_by_who_is_inside():
    """A browser that opens an old address again sees the pages, and needs no other ticket."""
    door = Door()
    cookie, old = door.cookie(), door.tickets[0]
    status, headers, _ = door.ask(query=f"token={old}", cookie=cookie)
    assert (status, headers["location"], "set-cookie" in headers) == (303, "/", False)
    assert len(door.tickets) == 2


def test_a_ticket_leads_nowhere_else():
    """A path that begins with two slashes would be another host's."""
    door = Door()
    assert door.ask("//evil.example/x", query=f"token={door.tickets[0]}")[1]["location"] == "/evil.example/x"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example:8265"},  # a name that leads to 127.0.0.1 by now
        {"host": "127.0.0.1.evil.example"},
        {"host": "192.168.1.7:8265"},
        {"host": None},
        {"host": [HOST, "evil.example"]},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},  # another server of this machine
        {"origin": "https://127.0.0.1:8265"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_a17_other_pages_are_refused(method, headers):
    """With the cookie and the token too: a browser sends them for whoever asks it to."""
    door = Door()
    cookie = door.cookie()
    status, _, body = door.ask(method=method, cookie=cookie, **headers)
    assert (status, b"secret" in body) == (403, False)
    status, told, _ = door.ask(method=method, query=f"token={door.tickets[-1]}", **headers)
    assert (status, "set-cookie" in told) == (403, False)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "anything"])
def test_a17_there_is_only_looking(method):
    """Who may look may do nothing else; who may not is refused as for anything."""
    door = Door()
    assert door.ask(method=method)[0] == 403
    assert door.ask(method=method, cookie=door.cookie())[0] == 405


def test_a17_no_websocket_is_opened():
    """There is none, and none that a page of somebody else's could try."""
    door = Door()
    assert door.ask(kind="websocket", cookie=door.cookie())[0] == "websocket.close"


@pytest.mark.parametrize("host", ["127.0.0.1:8265", "localhost:8265", "LOCALHOST:9000", "[::1]:8265", "localhost"])
def test_the_names_of_this_machine_are_good(host):
    """Through a tunnel the port is another one."""
    door = Door()
    assert door.ask(host=host, origin=f"http://{host}", sec_fetch_site="same-origin", cookie=door.cookie())[0] == 200


def test_all_answers_have_the_headers():
    """Refusals too: no script of somebody else's, no frames, no address to others, nothing kept."""
    door = Door()
    for _, headers, _ in (door.ask(), door.ask(cookie=door.cookie()), door.ask(method="PUT", cookie=door.cookie())):
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self' 'unsafe-eval';" in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"


# -- the pages -----------------------------------------------------------------------------------------------------


def opened(name="digits", files=None, **settings):
    told = {"name": name, "metric": "acc", "direction": "max", "searchspace": SPACE, "files": files}
    return StudyOpened(AT, told | {"optimizer": {"name": "asha"}, "num_trials": 9} | settings)


def trial(number, value=0.5, status="completed", reports=3, error=None, reason=None, name="acc", **params):
    found = [Suggested(AT + number, number, {"lr": 0.01, **params}, None, None, 0)]
    found.append(Started(AT + number, number, 1, "host-7-ab"))
    found += [Reported(AT + number + step, number, 1, step, {name: step / 10, "acc": value}) for step in range(reports)]
    if status:
        found.append(Ended(AT + number + 9, number, 1, status, value, {"acc": value}, reason, error))
    return found


@contextmanager
def kept(path, name, events, *, held=False):
    """Keep a study in the store; with `held` this process runs it."""
    with closing(open_store(path)) as store:
        study, owner = store.create(name, AT), Owner.current()
        store.claim(study, owner, time.time())
        store.append(study, 0, events)
        if not held:
            store.release(study, owner)
        try:
            yield store
        finally:
            owner.retire()


class Answer:
    """What an application has answered."""

    def __init__(self):
        self.status_code, self.headers, self.body = 0, {}, b""

    async def send(self, message):
        if message["type"] == "http.response.start":
            self.status_code = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")

    @property
    def text(self):
        return self.body.decode()


async def _nothing_more():
    await asyncio.Event().wait()


class Site:
    """The pages of a store, without a guard: see above for that."""

    def __init__(self, path):
        from maggy.ui.app import application

        self.reader = open_reader(path)
        self.application = application(self.reader)

    def get(self, page, code=200, headers=(), /, **query):
        scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": f"/{page}", "scheme": "http"}
        scope |= {"query_string": urlencode(query).encode(), "root_path": "", "extensions": {}, "client": None}
        scope["headers"] = [(name.encode(), value.encode()) for name, value in dict(headers).items()]
        answer = Answer()
        asyncio.run(self.application(scope, _nothing_more, answer.send))
        assert answer.status_code == code, answer.text
        return answer

    def text(self, page, /, **query):
        return unescape(re.sub(r"<[^>]+>", " ", self.get(page, **query).text))


@pytest.fixture
def store(tmp_path, monkeypatch):
    for package in ("starlette", "uvicorn", "plotly"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MAGGY_STORE", raising=False)
    return tmp_path / "maggy.db"


DIGITS = [
    opened(),
    *trial(1, 0.25),
    *trial(2, 0.75, lr=0.5),
    *trial(3, 0.1, "stopped", reason="median rule: worse"),
    *trial(4, None, "failed", error="Traceback\nValueError: bad"),
]


def test_the_studies_are_listed(store):
    """The latest first, with how they went; a part of a name finds them."""
    with kept(store, "digits", DIGITS), kept(store, "faces", [opened("faces")]):
        site = Site(store)
        told = site.text("")
        assert told.index("faces") < told.index("digits")
        assert re.search(r"digits\s+ended\s+4\s+1\s+0.75\s+maximize\(acc\)\s+asha", told)
        assert "digits" not in site.text("", q="FACE")
        assert "No study is called so" in site.text("", q="nothing")


def test_a_study_page(store):
    """How it stands, its best trials, what it searches."""
    with kept(store, "digits", [*DIGITS, StudyClosed(AT + 99, "done")]):
        told = Site(store).text("study", name="digits")
    for words in (
        "maximize acc · asha",
        "2 completed",
        "best so far",
        "Leaderboard",
        "Float(0.0001, 1",
        "asha",
        "done",
    ):
        assert words in told, words
    assert told.index("0.75") < told.index("0.25")


def test_what_is_live_is_sent_when_it_has_changed(store):
    """While a driver lives the page asks again; what has not changed is not sent twice."""
    with kept(store, "digits", DIGITS, held=True) as writer:
        site = Site(store)
        assert 'data-live="/live?name=digits"' in site.get("study", name="digits").text
        first = site.get("live", name="digits")
        assert first.headers["x-maggy"] == "running"
        writer.append("digits", len(DIGITS), trial(5, 0.9))
        second = site.get("live", 200, {"if-none-match": first.headers["etag"]}, name="digits")
        assert "0.9" in second.text
    with closing(open_store(store)):
        last = site.get("live", name="digits")
        assert last.headers["x-maggy"] == "ended"
        site.get("live", 304, {"if-none-match": last.headers["etag"]}, name="digits")
        assert "data-live" not in site.get("study", name="digits").text


def test_the_trials_are_listed(store):
    """By whatever is asked for, by state, with what became of each; what has no value is last either way."""
    with kept(store, "digits", DIGITS):
        site = Site(store)

        def order(**query):
            return re.findall(r"name=digits&amp;trial=(\d+)", site.get("trials", name="digits", **query).text)

        assert order() == ["1", "2", "3", "4"]
        assert order(sort="-value") == ["2", "1", "3", "4"]
        assert order(sort="value") == ["3", "1", "2", "4"]
        assert order(state="stopped") == ["3"]
        assert order(sort="no such", state="no such", page="-7") == ["1", "2", "3", "4"]
        told = site.text("trials", name="digits")
    assert "median rule: worse" in told
    assert "ValueError: bad" in told


def test_a_trial_page(store, tmp_path):
    """Its values, its curves, why it is what it is, and what it has printed."""
    (tmp_path / "logs" / "2").mkdir(parents=True)
    (tmp_path / "logs" / "2" / "output.log").write_bytes(b"epoch 1\n\x1b[31mred\xff\n")
    with kept(store, "digits", [opened(files=str(tmp_path / "logs")), *DIGITS[1:]]):
        site = Site(store)
        told = site.text("trial", name="digits", trial=2)
        for words in ("Trial 2", "success", "0.75", "by asha, when 0 trials had ended", "epoch 1\nred\ufffd"):
            assert words in told, words
        assert site.get("trial", name="digits", trial=2).text.count("<figure>") == 1
        assert "ValueError: bad" in site.text("trial", name="digits", trial=4)
        assert "It has printed nothing" in site.text("trial", name="digits", trial=4)


def test_the_end_of_a_long_log_is_shown(store, tmp_path):
    """Its last 64 KiB, from the beginning of a line."""
    (tmp_path / "logs" / "1").mkdir(parents=True)
    (tmp_path / "logs" / "1" / "output.log").write_text("".join(f"line {number}\n" for number in range(100_000)))
    with kept(store, "digits", [opened(files=str(tmp_path / "logs")), *trial(1)]):
        page = Site(store).get("trial", name="digits", trial=1).text
    assert "line 99999" in page
    assert "line 10\n" not in page
    assert len(page) < 100_000


def test_a_pipe_in_the_place_of_a_log_holds_nobody_up(store, tmp_path):
    """A stranger's store names any folder; what is no file is not opened."""
    (tmp_path / "logs" / "1").mkdir(parents=True)
    os.mkfifo(tmp_path / "logs" / "1" / "output.log")
    with kept(store, "digits", [opened(files=str(tmp_path / "logs")), *trial(1)]):
        assert "It has printed nothing" in Site(store).text("trial", name="digits", trial=1)


@pytest.mark.parametrize("files", ["pipe", "nul\0"])
def test_a_strangers_folder_holds_no_list_up(store, tmp_path, files):
    """Nor does a trial that runs, whose last line the list of trials tells."""
    (tmp_path / "pipe" / "1").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe" / "1" / "output.log")
    with kept(store, "digits", [opened(files=files), *trial(1, status=None)], held=True):
        assert "running: step 2, acc 0.5" in Site(store).text("trials", name="digits")


def test_what_trials_have_drawn_has_columns(store):
    """In an open searchspace nothing is suggested: trials name their parameters themselves."""
    suggested, *rest = trial(1)
    drawn = Drawn(AT, 1, 1, {"depth": 41}, {"depth": {"type": "integer", "low": 1, "high": 90}})
    with kept(store, "digits", [opened(open=True, searchspace={}), replace(suggested, params={}), drawn, *rest]):
        assert re.search(r"depth.* 41 ", Site(store).text("trials", name="digits"))


def test_pictures_are_figures_of_plotly(store):
    """Each as JSON; where there is nothing of the kind, a sentence."""
    with kept(store, "digits", DIGITS):
        site = Site(store)
        assert site.get("plots", name="digits").text.count("data-figure") == 8
        history = json.loads(site.get("figure", name="digits", which="history").body)
        assert history["data"][0]["y"] is not None
        assert "what matters takes" in site.get("figure", 404, name="digits", which="importance").text
        for which in ("__class__", "effects"):  # of an ablation alone
            assert site.get("figure", 404, name="digits", which=which).text == "There is no such picture."
        assert b"plotly.js" in site.get("static/plotly.js").body[:200]
        site.get("static/../app.py", 404)


@pytest.mark.parametrize(
    ("page", "query", "words"),
    [
        ("study", {"name": "digit"}, "there is no study 'digit'; did you mean 'digits'?"),
        ("study", {}, "there is no study ''"),
        ("trial", {"name": "digits", "trial": "9"}, "there is no trial 'digits:9'"),
        ("trial", {"name": "digits", "trial": "x' OR 1=1"}, "names no trial"),
        ("live", {"name": EVIL}, "there is no study"),
    ],
)
def test_what_is_not_there_is_a_sentence(store, page, query, words):
    """Of the command line's own, as text."""
    with kept(store, "digits", DIGITS):
        answer = Site(store).get(page, 404, **query)
    assert words in unescape(answer.text)
    assert "<script>document" not in answer.text


def test_a18_what_users_wrote_is_text(store, tmp_path):
    """Names, values, metrics, reasons, errors, prints and settings: on no page is there an element of theirs."""
    (tmp_path / "logs" / "1").mkdir(parents=True)
    (tmp_path / "logs" / "1" / "output.log").write_text(EVIL)
    log = [opened(EVIL, files=str(tmp_path / "logs"), metric=EVIL, optimizer={"name": EVIL, EVIL: EVIL})]
    log += trial(1, name=EVIL, x=EVIL, **{EVIL: EVIL}) + trial(2, None, "failed", error=EVIL, name=EVIL, x="y")
    log += trial(3, 0.1, "stopped", reason=EVIL, name=EVIL, x="z")
    with kept(store, "evil", log):
        pass
    with closing(sqlite3.connect(store)) as file:  # maggy refuses such a name; a stranger's store may have it
        file.execute("UPDATE studies SET name = ?, base = ?", (EVIL, EVIL))
        file.commit()
    site = Site(store)
    pages = [("", {}), ("study", {}), ("live", {}), ("trials", {}), ("plots", {}), ("trial", {"trial": 1})]
    pages += [("trial", {"trial": 2}), ("trial", {"trial": 3}), ("log", {"trial": 1}), ("", {"q": EVIL})]
    for page, query in pages:
        text = site.get(page, **({"name": EVIL} | query if page else query)).text
        assert "<script>document" not in text, page
        assert "broken into" in text, page


def test_of_an_ablation_the_effects_are_shown(store):
    """Its best trials are the luckiest, and how parameters relate to the best says nothing."""
    log = []
    space = Searchspace(a=[True, False], b=[True, False], seed=[0, 1, 2])
    play(Loco(), lambda each: 5.0 * each.params["a"], searchspace=space, log=log)
    log[0] = opened(searchspace=space.to_dict(), optimizer={"name": "loco"})
    with kept(store, "digits", log):
        site = Site(store)
        told = site.text("study", name="digits")
        assert "Leaderboard" not in told
        assert re.search(r"without a +3 +0 +-5 +-5 to -5 +needed", told)
        assert site.get("plots", name="digits").text.count("data-figure") == 4
        site.get("figure", name="digits", which="effects")
        site.get("figure", 404, name="digits", which="importance")


def test_a_huge_study_is_turned_page_by_page(store):
    """Of 20,000 trials a page lists a hundred; whatever page is asked for, it is there."""
    log = []
    space = Searchspace(x=(0.0, 1.0))
    play(RandomSearch(), lambda each: each.params["x"], searchspace=space, num_trials=20_000, limit=30_000, log=log)
    with kept(store, "many", log):
        site = Site(store)
        first, last = (site.get("trials", name="many", page=page).text for page in (1, 10**8))
        assert first.count("<tr>") == last.count("<tr>") == 101
        assert "trial=20000" in last
        assert len(site.get("study", name="many").text) < 150_000
        assert len(site.get("figure", name="many", which="history").text) < 1_000_000


def test_many_studies_are_turned_page_by_page(store):
    """Fifty on a page, the latest first."""
    with closing(open_store(store)) as writer:
        for number in range(120):
            writer.create(f"study {number}", AT)
    site = Site(store)
    assert site.get("").text.count("<tr>") == 51
    assert "study 119" in site.get("").text
    assert site.get("", page=3).text.count("<tr>") == 21


def test_looking_leaves_the_store_as_it_is(store):
    """Not a byte of it is another after all pages were seen."""
    with kept(store, "digits", DIGITS):
        pass
    before = store.read_bytes()
    site = Site(store)
    for page in ("", "study", "trials", "plots", "live"):
        site.get(page, name="digits")
    site.get("trial", name="digits", trial=1)
    assert store.read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "tpe"}, "the setting 'optimizer' is 'tpe'"),
        ({"num_trials": {}}, "the setting 'num_trials' is {}"),
        ({"files": 5}, "the setting 'files' is 5"),
        ({"optimizer": {"name": "asha", "resource_max": {}}}, "the optimizer's 'resource_max' is {}"),
        ({"direction": "sideways"}, "the setting 'direction' is 'sideways'"),
    ],
)
def test_what_is_wrong_with_a_strangers_study_is_a_sentence(store, settings, words):
    """On its own pages, and in its line of the list, where the others stand as ever."""
    with kept(store, "digits", [opened(**settings), *DIGITS[1:]]), kept(store, "faces", [opened("faces"), *trial(1)]):
        site = Site(store)
        listed = site.text("")
        assert words in listed
        assert re.search(r"faces\s+ended\s+1\s+0.5", listed)
        for page in ("study", "live", "plots"):
            assert words in unescape(site.get(page, 503, name="digits").text)


def test_what_cannot_be_foreseen_is_a_sentence_too(store, monkeypatch, caplog):
    """With the trace in the terminal, for it may be a fault of maggy's; and the other studies stand as ever."""
    with kept(store, "digits", DIGITS), kept(store, "faces", [opened("faces")]):
        site = Site(store)
        real = sys.modules["maggy.ui.folds"].compared

        def stumbling(reader, entry, now):
            return real(reader, entry, now) if entry.name == "faces" else {}[f"no \x1b[31m{EVIL}"]

        monkeypatch.setattr("maggy.ui.folds.compared", stumbling)
        monkeypatch.setattr("maggy.ui.app.outlines", lambda *_, **__: [].pop())
        assert "Study 'digits' cannot be read here" in site.text("")
        assert EVIL not in site.get("").text
        assert re.search(r"faces\s+ended", site.text(""))
        assert "pop from empty list" in site.get("trials", 500, name="digits").text
    assert "Traceback" in caplog.text


def test_huge_texts_are_cut_and_to_be_had_whole(store):
    """A page is for looking: it has a part, says so, and leads to the rest, which is plain text."""
    error = "".join(f"line {number} {EVIL}\n" for number in range(60_000))
    huge = {"text": "word " * 400_000} | {f"x{number}": number for number in range(3000)}
    space = {"c": {"type": "categorical", "choices": [f"{number}" * 50 for number in range(5000)]}}
    metrics = {f"{'m' * 300}{number}": 0.5 for number in range(2000)}
    log = [opened(searchspace=space, optimizer={"name": "o" * 500_000, "much": "y" * 500_000})]
    log += [*trial(1, None, None, **huge), Ended(AT + 9, 1, 1, "failed", 0.5, metrics, "r" * 500_000, error)]
    log += [*trial(2, **huge), *trial(3, **huge)]
    with kept(store, "digits", log):
        site = Site(store)
        for page in ("", "study", "live", "trials"):
            assert len(site.get(page, name="digits").body) < 200_000, page
        page = site.get("trial", name="digits", trial=1)
        assert len(page.body) < 200_000
        told = site.text("trial", name="digits", trial=1)
        assert re.search(rf"The last 16,384 of {len(error):,} characters: +all of it", told)
        assert "line 59999" in told
        assert re.search(r"\(2,000,00\d characters\)", told)
        assert re.search("100 of 3,002; long ones are cut: +all as text", told)
        whole = site.get("raw", name="digits", trial=1, part="error")
        assert whole.text == error
        assert whole.headers["content-type"] == "text/plain; charset=utf-8"
        assert json.loads(site.get("raw", name="digits", trial=1).body)["values"]["x2999"] == 2999
        assert len(json.loads(site.get("raw", name="digits").body)["params"]["c"]["choices"]) == 5000
        assert "there is no trial" in unescape(site.get("raw", 404, name="digits", trial=9, part="error").text)


# -- the command ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "plotly"])
def test_what_is_missing_is_said(tmp_path, monkeypatch, missing):
    """One sentence, with the command that installs it."""
    for name in [name for name in sys.modules if name.startswith(("maggy.ui.app", "maggy.ui.server", missing))]:
        monkeypatch.delitem(sys.modules, name)
    present = {"starlette", "uvicorn", "plotly"} - {missing}
    for package in present:
        pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(app, ["ui"])
    assert ran.exit_code == 2
    assert re.fullmatch(rf"maggy: maggy ui needs {missing}[\w.]*: pip install 'maggy\[ui\]'\n", ran.output)


@contextmanager
def served(store, *arguments):
    """Run `maggy ui`; yield its process, and the lines that it has said."""
    command = [sys.executable, "-m", "maggy", "-db", str(store), "ui", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    said = []
    listening = threading.Thread(target=lambda: said.extend(iter(process.stderr.readline, "")))
    listening.start()
    try:
        until(lambda: said or process.poll() is not None)
        yield process, said
    finally:
        process.kill()
        process.wait()
        listening.join()
        process.stderr.close()


def test_a17_a22_the_pages_are_served_on_the_loopback(store):
    """To whoever has the address from the terminal, with a cookie from then on; Ctrl-C ends it."""
    with kept(store, "digits", DIGITS), served(store, "-port", "0") as (process, said):
        host, ticket = re.fullmatch(r"Open: http://(127\.0\.0\.1:\d+)/\?token=(\S+)\n", said[0]).groups()
        status, _, _ = _asked(host, "/")
        assert status == 403
        status, headers, _ = _asked(host, f"/?token={quote(ticket)}")
        assert (status, headers["location"]) == (303, "/")
        status, headers, body = _asked(host, "/", cookie=headers["set-cookie"].partition(";")[0])
        assert (status, b"digits" in body, "server" in headers) == (200, True, False)
        until(lambda: len(said) > 1)
        assert said[1].startswith(f"For another browser: http://{host}/?token=")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    assert "Traceback" not in "".join(said)


def _asked(host, path, **headers):
    with closing(HTTPConnection(host, timeout=30)) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def test_a_port_that_is_taken_is_a_sentence(store):
    """One that was named; the usual one gives way to any that is free."""
    with kept(store, "digits", DIGITS), served(store, "-port", "0") as (_, said):
        port = re.search(r":(\d+)/", said[0])[1]
        ran = CliRunner().invoke(app, ["-db", str(store), "ui", "-port", port])
    assert ran.exit_code == 2
    assert f"port {port} cannot be had" in ran.output
