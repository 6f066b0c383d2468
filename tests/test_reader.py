"""What is read of a store by whoever does not write to it: the reader, the views, and files of earlier versions."""

import json
import math
import os
import re
import sqlite3
import stat
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from maggy.errors import ConfigError, StoreError
from maggy.events import Drawn, Ended, Lost, Reported, Requeued, Started, StudyOpened, Suggested
from maggy.jsonvalue import dumps, loads
from maggy.store import Owner, open_reader, open_store, schema
from maggy.study import Study

NOW = 1_700_000_000.0


def suggested(trial, budget=None, **params):
    return Suggested(NOW + trial, trial, params or {"lr": trial / 10}, budget, None, 0)


def ended(trial, value, status="completed", **metrics):
    return Ended(NOW + trial + 2, trial, 1, status, value, metrics)


def opened(direction="max"):
    settings = {"name": "digits", "metric": "acc", "direction": direction, "num_trials": 9}
    return StudyOpened(NOW, settings)


LOG = [
    opened(),
    suggested(1),
    Started(NOW + 1, 1, 1, "a"),
    Reported(NOW + 2, 1, 1, 0, {"acc": 0.5, "loss": math.nan}),
    suggested(2, 3.0),
    Started(NOW + 2, 2, 1, "b"),
    Lost(NOW + 3, 2, 1, "gone"),
    Reported(NOW + 2, 1, 1, 1, {"acc": 0.7, "loss": math.inf}),
    ended(1, 0.7, acc=0.7),
    suggested(3),
    Started(NOW + 4, 3, 1, "a"),
]


def write(path, events, name="digits"):
    with closing(open_store(path)) as store:
        study = store.create(name, NOW)
        owner = Owner.current()
        store.claim(study, owner, NOW)
        store.append(study, 0, events)
        store.release(study, owner)
    return study


@pytest.fixture
def path(tmp_path):
    return tmp_path / "maggy.db"


@pytest.fixture
def reader(path):
    write(path, LOG)
    with closing(open_reader(path)) as reader:
        yield reader


def ask(path, question, *arguments):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(question, arguments).fetchall()


# -- the reader ----------------------------------------------------------------------------------------------------


def test_a_reader_makes_no_file(path, monkeypatch):
    """Where there is no store, or an empty file, a reader says so and leaves it at that."""
    monkeypatch.chdir(path.parent)
    monkeypatch.delenv("MAGGY_STORE", raising=False)
    with pytest.raises(StoreError, match=r"there is no store at '.*maggy.db'; --store or MAGGY_STORE names it"):
        open_reader()
    assert list(path.parent.iterdir()) == []
    path.touch()
    with pytest.raises(StoreError, match="is empty: no study has been kept in it yet"):
        open_reader(path)
    assert path.read_bytes() == b""


def test_a_reader_leaves_nothing_behind(path, reader):
    """Reading changes no byte of the file, cannot write to it, and leaves no log or shared memory beside it."""
    before = path.read_bytes()
    assert len(list(reader.read("digits"))) == len(LOG)
    with pytest.raises(StoreError, match="cannot be written"), reader._reading() as connection:
        connection.exec_driver_sql("DELETE FROM studies")
    reader.close()
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["maggy.db"]


READ_AS_NOBODY = """
import os, sys
from maggy.store import open_reader, reader, sqlite
if os.geteuid() == 0:
    os.setuid(65534)
print(len(open_reader(sys.argv[1]).studies()))
"""


def test_a_file_that_nobody_may_write_is_read():
    """Who may only read the file and its directory can read the store."""
    home = Path(tempfile.mkdtemp())  # not below pytest's directories, which only their owner may enter
    try:
        write(home / "maggy.db", LOG)
        (home / "maggy.db").chmod(0o444)
        home.chmod(0o555)
        root = Path(schema.__file__).parents[2]
        command = [sys.executable, "-c", READ_AS_NOBODY, str(home / "maggy.db")]
        ran = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=False
        )
        assert (ran.stdout, ran.stderr) == ("1\n", "")
    finally:
        home.chmod(stat.S_IRWXU)


@pytest.mark.parametrize("where", ["memory:", "mysql://h/d"])
def test_what_a_reader_cannot_open(where):
    """A store that nobody else can have, or that there is not, is refused in a sentence."""
    with pytest.raises(ConfigError):
        open_reader(where)


def test_a_foreign_file_is_refused(path, tmp_path):
    """What is no store is refused as it is for a driver: a directory, another program's file, a text."""
    with pytest.raises(StoreError, match="is no file"):
        open_reader(tmp_path)
    path.write_text("no database, and rather long for a text that is none")
    with pytest.raises(StoreError, match="is not an SQLite file"):
        open_reader(path)
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE a (b)")
    with pytest.raises(StoreError, match="of another program"):
        open_reader(path)


def test_a16_a_reader_refuses_what_maggy_has_not_made(path):
    """A view that bears the name of one of ours, and says something else, is not read."""
    write(path, LOG)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP VIEW best")
        connection.execute("CREATE VIEW best AS SELECT load_extension('x') AS study")
    for opening in (open_reader, open_store):
        with pytest.raises(StoreError, match="holds the view 'best', which maggy has not made so"):
            opening(path)


def test_facts(reader):
    """Lists get the kinds in order, an end's status and value, a budget, and the bodies that they ask for."""
    kinds = [type(event).__name__ for event in LOG if type(event) is not Reported]
    assert [kind for _, kind, *_ in reader.facts("digits")] == kinds
    assert [fact[1:6] for fact in reader.facts("digits", ["Ended"])] == [("Ended", 1, NOW + 3, "completed", 0.7)]
    facts = reader.facts("digits", ["Suggested", "Lost"], bodies=["Suggested"])
    assert [(kind, trial, number, bool(body)) for _, kind, trial, _, _, number, body in facts] == [
        ("Suggested", 1, None, True),
        ("Suggested", 2, 3.0, True),
        ("Lost", 2, None, False),
        ("Suggested", 3, None, True),
    ]


def test_facts_of_what_has_not_ended(path):
    """Of trials that have not ended the log is read from where the oldest of them begins, whoever took it up."""
    write(path, LOG[:6])
    with closing(open_store(path)) as store, closing(open_reader(path)) as reader:
        begins = lambda: reader.facts("digits", unfinished=True)[0][0]  # noqa: E731
        assert begins() == 1  # what was said at the last append was true before it
        store.claim("digits", me := Owner.current(), NOW)
        store.append("digits", 6, [ended(1, 0.5)])
        assert begins() == 2
        store.append("digits", 7, [suggested(3)])
        assert begins() == 5
        store.append("digits", 8, [ended(2, 0.5)])
        store.append("digits", 9, [ended(3, 0.5)])
        store.append("digits", 10, [Started(NOW, 4, 1, "a")])
        assert [fact[0] for fact in reader.facts("digits", unfinished=True)] == [11]
        store.append("digits", 11, [Requeued(NOW, 1)])
        assert begins() == 1  # it may have begun anywhere
        store.release("digits", me)
    with closing(open_store(path)) as store, closing(open_reader(path)) as reader:
        store.claim("digits", Owner.current(), NOW)
        store.append("digits", 12, [Started(NOW, 1, 2, "a")])
        assert reader.facts("digits", unfinished=True)[0][0] == 1


@pytest.mark.parametrize("few", [0, 500])
def test_of_trials(reader, few, monkeypatch):
    """The events of few or many trials come whole and in order, without what was reported."""
    monkeypatch.setattr("maggy.store.reader._FEW", few)
    expected = [event for event in LOG if getattr(event, "trial", None) in (1, 3) and type(event) is not Reported]
    assert list(reader.of_trials("digits", [3, 1])) == expected


def test_reports_of_a_trial(reader):
    """A trial's reports come in order; a trial that never started has none."""
    assert [event.step for event in reader.reports("digits", 1)] == [0, 1]
    assert list(reader.reports("digits", 2)) == []
    assert list(reader.reports("digits", 7)) == []


def test_reports_of_a_trial_that_was_queued_again(path):
    """What it reported before it failed, and what it has reported since."""
    log = [*LOG[:4], ended(1, None, "failed"), Requeued(NOW + 5, 1), Started(NOW + 6, 1, 2, "a")]
    again = [Reported(NOW + 7, 1, 2, 1, {"acc": 0.6})]
    write(path, log + again)
    write(path, [*log, *again, ended(1, 0.6)], "faces")
    with closing(open_reader(path)) as reader:
        for name in ("digits", "faces"):
            assert [event.attempt for event in reader.reports(name, 1)] == [1, 2]


def test_damage_is_noticed(path):
    """A fact that is read whole is checked against its checksum."""
    write(path, LOG)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE events SET body = replace(body, '0.7', '0.9') WHERE kind = 'Ended'")
    with closing(open_reader(path)) as reader, pytest.raises(StoreError, match="position 9 of study 'digits'"):
        list(reader.of_trials("digits", [1]))


# -- views ---------------------------------------------------------------------------------------------------------


def test_view_of_trials(path):
    """`trials` has one line for each trial, as it stands, with texts for numbers that are none."""
    write(path, [*LOG, suggested(4), ended(4, math.nan, "failed", acc=math.nan)])
    found = ask(path, "SELECT trial, status, value, budget, attempts, ended_at FROM trials ORDER BY trial")
    assert found == [
        (1, "completed", 0.7, None, 1, NOW + 3),
        (2, "queued", None, 3.0, 1, None),
        (3, "running", None, None, 1, None),
        (4, "failed", "nan", None, 0, NOW + 6),
    ]
    assert json.loads(ask(path, "SELECT params FROM trials WHERE study = 'digits' AND trial = 2")[0][0]) == {"lr": 0.2}


def test_view_of_a_trial_that_is_queued_again(path):
    """A failed trial that is asked for again has not ended, and then ended as its last attempt did."""
    log = [opened(), suggested(1), Started(NOW + 1, 1, 1, "a"), ended(1, None, "failed"), Requeued(NOW + 4, 1)]
    log += [Started(NOW + 5, 1, 2, "b"), Ended(NOW + 6, 1, 2, "completed", 0.5, {"acc": 0.5})]
    for number in (5, 6, 7):
        write(path, log[:number], f"first-{number}")
    assert ask(path, "SELECT status, value, attempts, ended_at FROM trials ORDER BY study") == [
        ("queued", None, 1, None),
        ("running", None, 2, None),
        ("completed", 0.5, 2, NOW + 6),
    ]


NAMED_ASKED = "SELECT trial, budget, params FROM trials ORDER BY trial"
NAMED = [
    opened(),
    Suggested(NOW, 1, {"lr": 0.5}, 3.0, None, 0),
    Started(NOW + 1, 1, 1, "a"),
    Drawn(NOW + 2, 1, 1, {"lr": 0.5, "units": 3}, {}),
    Drawn(NOW + 3, 1, 1, {"lr": 0.5, "units": 3, "kind": "x"}, {}),
    suggested(2),
    ended(1, 0.9),
]


def test_view_of_what_trials_have_named_themselves(path):
    """The parameters of a trial are all that it has by now, what it has drawn itself included."""
    write(path, NAMED)
    assert [(trial, budget, loads(params)) for trial, budget, params in ask(path, NAMED_ASKED)] == [
        (1, 3.0, {"lr": 0.5, "units": 3, "kind": "x"}),
        (2, None, {"lr": 0.2}),
    ]
    assert loads(ask(path, "SELECT params FROM best")[0][0])["units"] == 3


def test_view_of_metrics(path):
    """`metrics` has one line for each number that was reported."""
    write(path, LOG)
    assert ask(path, "SELECT study, trial, attempt, step, metric, value FROM metrics ORDER BY step, metric") == [
        ("digits", 1, 1, 0, "acc", 0.5),
        ("digits", 1, 1, 0, "loss", "nan"),
        ("digits", 1, 1, 1, "acc", 0.7),
        ("digits", 1, 1, 1, "loss", "inf"),
    ]


def test_what_the_page_of_the_store_asks(path):
    """The questions of docs/store.md are understood, and answered."""
    write(path, [*LOG, suggested(4), ended(4, 0.9)])
    page = (Path(__file__).parents[1] / "docs" / "store.md").read_text(encoding="utf-8")
    questions = re.search(r"```sql\n(.*?)```", page, re.DOTALL)[1].splitlines()
    assert ask(path, questions[0])[-1] == (3, "running", None, '{"lr":0.3}')
    assert ask(path, questions[2]) == [("digits", 4, 0.9, 0.4)]
    assert ask(path, questions[1].replace("trial = 3 AND metric = 'accuracy'", "trial = 1 AND metric = 'acc'")) == [
        (0, 0.5),
        (1, 0.7),
    ]


@pytest.mark.parametrize("direction", ["max", "min"])
def test_view_of_the_best_is_that_of_the_fold(path, direction):
    """`best` has each study's best trial as a result has it: completed, of the largest budget, finite."""
    log = [opened(direction)]
    ends = [(1, 0.9, "completed"), (3, 0.5, "completed"), (3, 0.6, "completed"), (3, 0.6, "completed")]
    ends += [(9, 0.7, "stopped"), (9, math.inf, "failed"), (9, None, "failed")]
    for trial, (budget, value, status) in enumerate(ends, 1):
        log += [suggested(trial, float(budget)), ended(trial, value, status)]
    write(path, log)
    best = Study.of(log).best
    assert ask(path, "SELECT study, trial, value, budget FROM best") == [("digits", best.id, best.value, 3.0)]


# -- files of earlier versions -------------------------------------------------------------------------------------

# The tables as the versions 1 to 4 made them, and the views of trials of versions 3 and 4.
LOG_TABLES = """
CREATE TABLE studies (id INTEGER NOT NULL, name TEXT NOT NULL, base TEXT NOT NULL, number INTEGER NOT NULL,
  created DOUBLE NOT NULL, position INTEGER DEFAULT '0' NOT NULL, token TEXT DEFAULT '' NOT NULL,
  host TEXT DEFAULT '' NOT NULL, pid INTEGER DEFAULT '0' NOT NULL, started TEXT DEFAULT '' NOT NULL,
  since DOUBLE DEFAULT '0' NOT NULL, renewed DOUBLE DEFAULT '0' NOT NULL, PRIMARY KEY (id), UNIQUE (name));
CREATE INDEX ix_studies_base ON studies (base);
CREATE TABLE events (study INTEGER NOT NULL, position INTEGER NOT NULL, at DOUBLE NOT NULL, kind TEXT NOT NULL,
  trial INTEGER, body TEXT NOT NULL, {crc} PRIMARY KEY (study, position),
  FOREIGN KEY(study) REFERENCES studies (id) ON DELETE CASCADE) WITHOUT ROWID;
CREATE TABLE reports (study INTEGER NOT NULL, position INTEGER NOT NULL, at DOUBLE NOT NULL, trial INTEGER NOT NULL,
  attempt INTEGER NOT NULL, step INTEGER NOT NULL, metrics TEXT NOT NULL, {crc} PRIMARY KEY (study, position),
  FOREIGN KEY(study) REFERENCES studies (id) ON DELETE CASCADE) WITHOUT ROWID;
CREATE TABLE requests (id INTEGER NOT NULL, study INTEGER NOT NULL, what TEXT NOT NULL, PRIMARY KEY (id),
  FOREIGN KEY(study) REFERENCES studies (id) ON DELETE CASCADE);
CREATE INDEX ix_requests_study ON requests (study);
PRAGMA application_id = 1835100007;
"""
TRIALS_3 = """CREATE VIEW trials AS
SELECT study, trial,
       coalesce(status, CASE WHEN given > queued THEN 'running' ELSE 'queued' END) AS status,
       coalesce(json_extract(ended, '$.value."$f"'), json_extract(ended, '$.value')) AS value,
       json_extract(suggested, '$.budget') AS budget,
       json_extract(suggested, '$.parent') AS parent,
       json_extract(suggested, '$.params') AS params,
       json_extract(ended, '$.metrics') AS metrics,
       json_extract(ended, '$.reason') AS reason,
       json_extract(ended, '$.error') AS error,
       attempts, created_at, started_at, ended_at
  FROM (SELECT studies.name AS study, trial,
               max(CASE kind WHEN 'Ended' THEN json_extract(body, '$.status') END) AS status,
               max(CASE kind WHEN 'Suggested' THEN body END) AS suggested,
               max(CASE kind WHEN 'Ended' THEN body END) AS ended,
               max(CASE kind WHEN 'Started' THEN events.position END) AS given,
               max(CASE WHEN kind IN ('Suggested', 'Lost') THEN events.position END) AS queued,
               sum(kind = 'Started') AS attempts,
               max(CASE kind WHEN 'Suggested' THEN at END) AS created_at,
               max(CASE kind WHEN 'Started' THEN at END) AS started_at,
               max(CASE kind WHEN 'Ended' THEN at END) AS ended_at
          FROM events JOIN studies ON studies.id = events.study
         WHERE trial IS NOT NULL GROUP BY events.study, trial)"""
TRIALS_4 = """CREATE VIEW trials AS
SELECT studies.name AS study, life.trial,
       CASE WHEN latest.body IS NOT NULL THEN json_extract(latest.body, '$.status')
            WHEN given > queued THEN 'running' ELSE 'queued' END AS status,
       coalesce(json_extract(latest.body, '$.value."$f"'), json_extract(latest.body, '$.value')) AS value,
       json_extract(suggested, '$.budget') AS budget,
       json_extract(suggested, '$.parent') AS parent,
       json_extract(suggested, '$.params') AS params,
       json_extract(latest.body, '$.metrics') AS metrics,
       json_extract(latest.body, '$.reason') AS reason,
       json_extract(latest.body, '$.error') AS error,
       attempts, created_at, started_at, latest.at AS ended_at
  FROM (SELECT study, trial,
               max(CASE kind WHEN 'Suggested' THEN body END) AS suggested,
               max(CASE kind WHEN 'Started' THEN position END) AS given,
               max(CASE WHEN kind IN ('Suggested', 'Lost', 'Requeued') THEN position END) AS queued,
               max(CASE kind WHEN 'Ended' THEN position END) AS ended,
               sum(kind = 'Started') AS attempts,
               max(CASE kind WHEN 'Suggested' THEN at END) AS created_at,
               max(CASE kind WHEN 'Started' THEN at END) AS started_at
          FROM events WHERE trial IS NOT NULL GROUP BY study, trial) AS life
  JOIN studies ON studies.id = life.study
  LEFT JOIN events AS latest ON latest.study = life.study AND latest.position = ended AND ended > queued"""


def earlier(path, version):
    """Make a file as an earlier version has left it: a study of two facts and a report."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(LOG_TABLES.format(crc="" if version == 1 else "crc INTEGER,"))
        if version >= 3:
            connection.execute("ALTER TABLE studies ADD COLUMN low INTEGER NOT NULL DEFAULT 0")
            for view in (schema.VIEWS | {"trials": TRIALS_3 if version == 3 else TRIALS_4}).values():
                connection.execute(view)
        connection.execute(
            "INSERT INTO studies (id, name, base, number, created, position) VALUES (1, 'a', 'a', 1, 0, 3)"
        )
        add = "INSERT INTO events (study, position, at, kind, trial, body) VALUES (1, ?, ?, ?, ?, ?)"
        connection.execute(add, (1, NOW, "StudyOpened", None, dumps({"settings": {"name": "a"}, "version": 1})))
        body = {"params": {"lr": 0.5}, "budget": None, "parent": None, "seen": 1, "origin": None, "why": None}
        connection.execute(add, (2, NOW, "Suggested", 1, dumps(body)))
        add = "INSERT INTO reports (study, position, at, trial, attempt, step, metrics) VALUES (1, 3, ?, 1, 1, 0, ?)"
        connection.execute(add, (NOW, '{"acc":0.5}'))
        connection.execute(f"PRAGMA user_version = {version}")


@pytest.mark.parametrize("version", range(1, schema.VERSION))
def test_an_earlier_file_is_taken_along(path, version):
    """A file of each earlier version is read, goes on, and has the views, once it was opened for writing."""
    earlier(path, version)
    before = path.read_bytes()
    with pytest.raises(
        StoreError, match=r"written by an earlier maggy, and reading leaves it as it is: .* create-table"
    ):
        open_reader(path)
    assert path.read_bytes() == before
    with closing(open_store(path)) as store:
        store.claim("a", Owner.current(), NOW)
        assert store.append("a", 3, [ended(1, 0.5)]) == 4
    with closing(open_reader(path)) as reader:
        assert [type(event).__name__ for event in reader.read("a")] == ["StudyOpened", "Suggested", "Reported", "Ended"]
    assert ask(path, "SELECT trial, status FROM trials") == [(1, "completed")]


def test_an_earlier_file_becomes_what_a_new_one_is(tmp_path):
    """A file that was brought up to date has the same tables, columns, indexes and views as a new one."""

    def shape(path):
        open_store(path).close()
        columns = {
            (table, column[1])
            for (table,) in ask(path, "SELECT name FROM sqlite_master WHERE type = 'table'")
            for column in ask(path, f"PRAGMA table_info({table})")
        }
        return (
            columns,
            ask(path, "SELECT type, name FROM sqlite_master ORDER BY name"),
            ask(path, "SELECT sql FROM sqlite_master WHERE type = 'view' ORDER BY name"),
            ask(path, "PRAGMA user_version"),
        )

    for version in range(1, schema.VERSION):
        earlier(tmp_path / f"{version}.db", version)
        assert shape(tmp_path / f"{version}.db") == shape(tmp_path / "new.db")
