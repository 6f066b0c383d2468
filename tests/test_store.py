"""The stores: the contract on each of them, and what is peculiar to files."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import maggy.errors
from maggy import events
from maggy.errors import ConfigError, StoreError, StudyMoved, StudyOwned
from maggy.events import KINDS
from maggy.store import MemoryStore, Owner, Store, open_store, schema, sqlite
from maggy.store.reader import crc_of_report
from maggy.store.sql import SqlStore
from maggy.testing.store_contract import NOW, StoreContract, report

# What every process below begins with: a store at the path that it is given.
BEGIN = """
import os, signal, sys
from maggy.errors import StoreError, StudyOwned
from maggy.events import Ended, Reported, Started
from maggy.store import Owner, open_store
store = open_store(sys.argv[1])
def batch(position):
    return [
        Started(0.0, position, 1, "executor"),
        Reported(0.0, position, 1, 1, {"acc": 0.5}),
        Ended(0.0, position, 1, "completed", 0.5, {}),
    ]
"""
WRITE = """
store.claim("digits", Owner.current(), 0.0)
position = 0
while True:
    position = store.append("digits", position, batch(position))
    print(position, flush=True)
"""
DIE_BEFORE_COMMIT = """
from sqlalchemy import event
store.claim("digits", Owner.current(), 0.0)
store.append("digits", 0, batch(0))
event.listen(store._engine, "commit", lambda connection: os.kill(os.getpid(), signal.SIGKILL))
store.append("digits", 3, batch(3))
"""
CREATE = """
for _ in range(20):
    print(store.create("digits", 0.0))
store.close()
"""
HOLD = """
store.claim("digits", Owner.current(), 0.0)
print("held", flush=True)
signal.pause()
"""
OPEN_AS_NOBODY = """
path = sys.stdin.read()
store.close()  # all modules are loaded by now, which nobody could do
if os.geteuid() == 0:
    os.setuid(65534)
try:
    open_store(path).close()
except StoreError as error:
    print(error)
"""
CLAIM = """
try:
    store.claim("digits", Owner.current(), 0.0)
except StudyOwned as error:
    print(error)
store.close()
"""


def process(code, path):
    root = Path(maggy.errors.__file__).parents[1]
    command = [sys.executable, "-c", BEGIN + code, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, **pipes, text=True, env={**os.environ, "PYTHONPATH": str(root)})


def pragma(path, name):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


def execute(path, *statements):
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "maggy.db"


@pytest.fixture
def store(path):
    with closing(open_store(path)) as store:
        yield store


@pytest.fixture
def study(store):
    return store.create("digits", NOW)


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self):
        return MemoryStore()

    def again(self, store):
        other = MemoryStore()
        other._studies, other._lock = store._studies, store._lock
        return other


class TestSqlStore(StoreContract):
    @pytest.fixture
    def store(self, path):
        with closing(open_store(path)) as store:
            yield store

    def again(self, store):
        return open_store(str(store))


class TestSqlStoreWithRollbackJournal(StoreContract):
    """The same promises where SQLite has no shared memory, as on network file systems."""

    @pytest.fixture
    def store(self, path, monkeypatch):
        monkeypatch.setattr(sqlite, "_on_network", lambda path: True)
        with closing(self.warned(path)) as store:
            yield store

    def again(self, store):
        return self.warned(str(store))

    def warned(self, path):
        with pytest.warns(UserWarning, match="cannot use its write-ahead log"):
            return open_store(path)


# -- every event ---------------------------------------------------------------------------------------------------

times = st.floats(0, 1e11)
counts = st.integers(0, 2**62)
texts = st.text()
names = texts.filter(lambda name: name != "$f")  # the mark of `jsonvalue`
metrics = st.dictionaries(names, st.floats() | st.integers(), max_size=3)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
settings_ = st.dictionaries(names, values, max_size=3)
FIELDS = {  # behind the time of each kind
    events.Reported: (counts, counts, counts, metrics),
    events.Suggested: (
        *(counts, settings_, st.none() | st.floats(), st.none() | counts, counts),
        *(st.none() | texts, st.none() | texts, st.none() | counts, st.none() | counts, st.none() | settings_),
    ),
    events.Ended: (counts, counts, texts, st.none() | st.floats(), settings_, st.none() | texts, st.none() | texts),
    events.StudyOpened: (settings_, counts),
    events.StudyResumed: (settings_,),
    events.Drawn: (counts, counts, settings_, settings_),
    events.Started: (counts, counts, texts),
    events.Saved: (counts, counts, texts, counts),
    events.StopRequested: (counts, counts, texts),
    events.Lost: (counts, counts, texts, st.booleans()),
    events.Requeued: (counts,),
    events.StudyClosed: (texts,),
}
EVENTS = {kind: st.builds(kind, times, *fields) for kind, fields in FIELDS.items()}
assert set(EVENTS) == set(KINDS.values())


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(logged=st.lists(st.lists(st.one_of(*EVENTS.values()), max_size=5), max_size=4))
def test_any_event_round_trip(store, logged):
    """Whatever the events hold, what is read is what was written, in its order."""
    study, me, position = store.create("digits", NOW), Owner.current(), 0
    store.claim(study, me, NOW)
    for turn in logged:
        position = store.append(study, position, turn)
    assert repr(list(store.read(study))) == repr([event for turn in logged for event in turn])


def test_unknown_kind(store, study, path):
    """An event of a later version is read as None in its place, and an unknown field of a known one is ignored."""
    store.claim(study, Owner.current(), NOW)
    store.append(study, 0, [report(1), events.Started(NOW, 1, 1, "e"), report(2)])
    execute(
        path,
        "UPDATE events SET kind = 'Teleported', crc = NULL WHERE position = 2",
        """INSERT INTO events VALUES (1, 4, 0.0, 'StudyClosed', NULL, '{"reason": "done", "mood": 3}', NULL)""",
    )
    found = list(store.read(study))
    assert found[:3] == [report(1), None, report(2)]
    assert found[3].reason == "done"


def test_what_json_cannot_hold(store, study):
    """An event without a JSON form is refused, and nothing of its turn is written."""
    store.claim(study, Owner.current(), NOW)
    with pytest.raises(TypeError):
        store.append(study, 0, [report(1), events.StudyOpened(NOW, {"model": object()})])
    with pytest.raises(OverflowError):
        store.append(study, 0, [report(1), report(2**70)])
    assert store.append(study, 0, [report(3)]) == 1


# -- processes -----------------------------------------------------------------------------------------------------


def test_kill_loses_nothing_acknowledged(store, study, path):
    """After a kill -9 amid appends the log holds all that was acknowledged, and whole turns only."""
    with process(WRITE, path) as writer:
        lines = [writer.stdout.readline() for _ in range(100)]
        writer.kill()
        acknowledged = int([*lines, *writer.stdout][-1])
    log = list(store.read(study))
    assert len(log) in (acknowledged, acknowledged + 3)
    store.claim(study, Owner.current(), NOW)
    assert store.append(study, len(log), [report(1)]) == len(log) + 1


def test_kill_before_commit_leaves_nothing(store, study, path):
    """A process that is killed between the writing of a turn and its commit leaves nothing of that turn."""
    with process(DIE_BEFORE_COMMIT, path) as writer:
        assert writer.wait() == -signal.SIGKILL
    assert len(list(store.read(study))) == 3
    assert store.studies()[0].position == 3


def test_reading_while_another_process_writes(store, study, path):
    """A reader meets no error and no gap, and sees more each time, while another process writes."""
    lengths = []
    with process(WRITE, path) as writer:
        for line in iter(writer.stdout.readline, ""):
            lengths.append(len(list(store.read(study))))
            assert lengths[-1] >= int(line)
            if len(lengths) == 50:
                break
        writer.kill()
        writer.stdout.read()
    assert lengths == sorted(lengths)


def test_reading_within_anothers_transaction(store, study, path):
    """A reader does not wait for a transaction that is open, and sees nothing of it."""
    store.claim(study, Owner.current(), NOW)
    with closing(open_store(path)) as reader, store._writing() as connection:
        connection.exec_driver_sql("UPDATE studies SET position = 7")
        assert reader.studies()[0].position == 0


def test_names_from_two_processes(path):
    """Processes that make a file and studies of one base at the same time get one name each."""
    processes = [process(CREATE, path) for _ in range(3)]
    found = [name for one in processes for name in one.communicate()[0].split()]
    assert [one.returncode for one in processes] == [0, 0, 0]
    assert sorted(found) == sorted(["digits", *(f"digits-{number}" for number in range(2, 61))])


def test_second_driver(study, path):
    """A driver in another process is refused, and told who holds the study; after a kill -9 it is let in at once."""
    with process(HOLD, path) as first:
        assert first.stdout.readline() == "held\n"
        with process(CLAIM, path) as second:
            assert f"'digits' is held by process {first.pid} on host" in second.stdout.read()
        first.kill()
        os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)  # dead, though its parent has not noticed
        with process(CLAIM, path) as second:
            assert second.stdout.read() == ""


def test_two_drivers_in_one_process(store, study, path):
    """Two drivers in one process exclude each other like two processes."""
    with closing(open_store(path)) as other:
        store.claim(study, Owner.current(), NOW)
        with pytest.raises(StudyOwned):
            other.claim(study, Owner.current(), NOW)
        with pytest.raises(StudyMoved):
            other.append(study, 0, [report(1)])


# -- files ---------------------------------------------------------------------------------------------------------


def test_settings_of_the_file(store, path):
    """The file says whose it is, keeps a write-ahead log, and forces each commit to the disk."""
    with store._reading() as connection:
        ask = lambda name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()  # noqa: E731
        assert (ask("journal_mode"), ask("synchronous"), ask("foreign_keys"), ask("trusted_schema")) == ("wal", 2, 1, 0)
    assert (pragma(path, "application_id"), pragma(path, "user_version")) == (0x6D616767, schema.VERSION)


def test_opening_again(store, study, path):
    """A store that is opened again holds what it held."""
    store.close()
    with closing(open_store(f"sqlite:///{path}")) as again:
        assert [entry.name for entry in again.studies()] == ["digits"]


def test_closed_store(store, study):
    """A store that was closed says so, and closing it again does nothing."""
    reading = store.read(study)
    store.close()
    store.close()
    for ask in (store.studies, lambda: store.create("a", NOW), lambda: next(reading)):
        with pytest.raises(StoreError, match=r"store='.*maggy.db' has been closed: open it again"):
            ask()


def refused(path, kind, match):
    """Assert that the file is refused with that sentence, and left as it is."""
    before = path.read_bytes()
    with pytest.raises(kind, match=match):
        open_store(path)
    assert path.read_bytes() == before


def test_foreign_sqlite_file(path):
    """An SQLite file of another program is refused and left as it is."""
    execute(path, "CREATE TABLE studies (name TEXT)")
    refused(path, StoreError, "is an SQLite file of another program; it was left as it is: name another file")


def test_empty_foreign_sqlite_file(path):
    """A mark of another program is enough to leave a file alone."""
    execute(path, "PRAGMA application_id = 7")
    refused(path, StoreError, "is an SQLite file of another program")


@pytest.mark.parametrize("content", ["name,score\nada,3\n", "x" * 10_000])
def test_file_of_another_kind(path, content):
    """A file that is no SQLite file is refused and left as it is."""
    path.write_text(content)
    refused(path, StoreError, r"store='.*maggy.db' is not an SQLite file; it was left as it is")


def test_empty_file(path):
    """An empty file, as `mktemp` makes it, becomes a store."""
    path.touch()
    open_store(path).close()
    assert pragma(path, "application_id") == 0x6D616767


def test_newer_schema(store, path):
    """A store of a later version is refused and left as it is."""
    store.close()
    execute(path, f"PRAGMA user_version = {schema.VERSION + 1}")
    refused(path, StoreError, r"by a later maggy \(its schema is 6, this one knows 5\); .*: upgrade maggy")


def test_truncated_file(store, study, path):
    """A file that lost its end is called damaged."""
    store.close()
    os.truncate(path, path.stat().st_size // 2)
    refused(path, StoreError, "is damaged: go back to a copy of it, or save what is left")


def test_damage_in_the_middle(store, study, path):
    """Damage that shows only when a page is read is called so then."""
    store.claim(study, Owner.current(), NOW)
    store.append(study, 0, [report(step) for step in range(5_000)])
    store.close()
    with path.open("r+b") as file:
        file.seek(4096 * 10)
        file.write(b"\xff" * (path.stat().st_size - 4096 * 10))
    with closing(open_store(path)) as again, pytest.raises(StoreError, match="is damaged"):
        list(again.read(study))


def test_missing_position(store, study, path):
    """A log with a hole is not read past it: positions would no longer be what the study says."""
    store.claim(study, Owner.current(), NOW)
    store.append(study, 0, [report(1), report(2), report(3)])
    execute(path, "DELETE FROM reports WHERE position = 2")
    reading = store.read(study)
    assert next(reading) == report(1)
    with pytest.raises(StoreError, match="position 2 of study 'digits' is missing"):
        next(reading)


@pytest.mark.parametrize("bodies", [['{"loss":1.0},{"loss":2.0}'], ['{"loss":1.0', '"more":2.0}'], ["[", "]"]])
def test_reports_that_only_make_sense_together(store, study, path, bodies):
    """Reports are decoded many at a time; what stands before the first spoilt one is read, and that one is named."""
    store.claim(study, Owner.current(), NOW)
    store.append(study, 0, [report(step) for step in range(1, 6)])
    for position, body in enumerate(bodies, 3):
        crc = crc_of_report(1, position, NOW, body, 1, 1, position)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE reports SET metrics = ?, crc = ? WHERE position = ?", (body, crc, position))
    reading = store.read(study)
    assert [next(reading), next(reading)] == [report(1), report(2)]
    with pytest.raises(StoreError, match="position 3 of study 'digits' is no Reported event"):
        next(reading)


def test_reports_of_before_checksums(store, study, path):
    """A report without a checksum, as they were once, is read beside others."""
    store.claim(study, Owner.current(), NOW)
    store.append(study, 0, [report(step) for step in range(1, 6)])
    execute(path, "UPDATE reports SET crc = NULL WHERE position = 3")
    assert list(store.read(study)) == [report(step) for step in range(1, 6)]


@pytest.mark.parametrize("body", ["{", "{}", "[1]", '{"attempt": NaN}'])
def test_spoilt_event(store, study, path, body):
    """An event whose body is not what its kind needs is named by its position."""
    store.claim(study, Owner.current(), NOW)
    store.append(study, 0, [events.Started(NOW, 1, 1, "e")])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE events SET body = ?, crc = NULL", (body,))
    with pytest.raises(StoreError, match="position 1 of study 'digits' is no Started event"):
        list(store.read(study))


def test_directory(tmp_path):
    """A directory is not taken for a file; the sentence names one that would do."""
    with pytest.raises(ConfigError, match=r"store='.*' is a directory: name a file in it, such as '.*/maggy.db'"):
        open_store(tmp_path)


@pytest.mark.parametrize("where", ["missing/maggy.db", "file/maggy.db"])
def test_no_directory(tmp_path, where):
    """A file in a directory that does not exist, or below a file, is refused before anything is made."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"store='.*maggy.db' is in '.*', which is no directory: make it"):
        open_store(tmp_path / where)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_directory_that_nobody_can_write():
    """A directory where not even root can make a file is refused with the store's name."""
    with pytest.raises(StoreError, match=r"store='/proc/maggy.db' cannot be opened for writing: name a file in a"):
        open_store("/proc/maggy.db")


@pytest.mark.parametrize(("file", "directory"), [(0o444, 0o777), (0o666, 0o555), (0o444, 0o555)])
def test_read_only(tmp_path, file, directory):
    """A file that may only be read, or is in such a directory, is refused when it is opened."""
    home = Path(tempfile.mkdtemp())  # not below pytest's directories, which only their owner may enter
    try:
        open_store(home / "maggy.db").close()
        (home / "maggy.db").chmod(file)
        home.chmod(directory)
        with process(OPEN_AS_NOBODY, tmp_path / "own.db") as opening:
            said = opening.communicate(str(home / "maggy.db"))[0]
        assert f"store='{home}/maggy.db' cannot be " in said
    finally:
        home.chmod(0o755)
        shutil.rmtree(home)


def test_odd_names_of_files(tmp_path):
    """A path may hold what means something in a URL."""
    for name in ("a b?c=d#e%20.db", "sqlite:x.db", "é.db"):
        open_store(tmp_path / name).close()
        assert pragma(tmp_path / name, "user_version") == schema.VERSION


def test_journal_waits_for_others(store, path, monkeypatch):
    """A file that another process writes just now gets its write-ahead log as soon as that is done."""
    store._writer.exec_driver_sql("PRAGMA journal_mode = DELETE")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(sqlite.time, "sleep", lambda seconds: other.rollback())
        sqlite._set_journal(store._writer, path)
    assert pragma(path, "journal_mode") == "wal"


def test_full_disk(store, study):
    """A turn that finds no room is not written at all, and the writer can go on when there is some."""
    store.claim(study, Owner.current(), NOW)
    store._writer.exec_driver_sql("PRAGMA max_page_count = 1")  # SQLite takes the present size instead
    turn = [report(step) for step in range(1_000)]
    with pytest.raises(StoreError, match="has no room left: make room on the disk"):
        store.append(study, 0, turn)
    assert list(store.read(study)) == []
    store._writer.exec_driver_sql("PRAGMA max_page_count = 1000000")
    assert store.append(study, 0, turn) == 1_000


def test_locked_file(store, path, monkeypatch):
    """A file that another process does not let go of is opened, and who would write is refused after a while."""
    monkeypatch.setattr(sqlite, "PATIENCE", 0.01)
    with (
        store._writing(),
        closing(open_store(path)) as other,
        pytest.raises(StoreError, match="was locked by another process"),
    ):
        other.create("s", NOW)


MOUNTS = r"""/dev/sda / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb /home/ada/local xfs rw 0 0
s3 /mnt/my\040bucket fuse.s3fs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/maggy.db", "ext4"),
        ("/homes/maggy.db", "ext4"),
        ("/home/maggy.db", "nfs4"),
        ("/home/ada/local/maggy.db", "xfs"),
        ("/mnt/my bucket/maggy.db", "fuse.s3fs"),
    ],
)
def test_filesystem(path, kind):
    """A file is on the file system of the deepest mount point above it."""
    assert sqlite.filesystem(Path(path), MOUNTS) == kind


# -- open_store ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["{}", "sqlite:///{}", "local,{}"])
def test_forms(path, form):
    """A path may be given as it is, as a URL, or as Diviner writes it."""
    with closing(open_store(form.format(path))) as store:
        assert isinstance(store, SqlStore)
    assert path.exists()


def test_default(tmp_path, monkeypatch):
    """Without a word the store is ./maggy.db, and stays where it was opened."""
    monkeypatch.delenv("MAGGY_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    with closing(open_store()) as store:
        monkeypatch.chdir("/")
        store.create("digits", NOW)
    assert [file.name for file in tmp_path.iterdir()] == ["maggy.db"]


def test_environment(path, monkeypatch):
    """MAGGY_STORE names the store where the call does not."""
    monkeypatch.setenv("MAGGY_STORE", str(path))
    open_store().close()
    assert path.exists()


def test_store_passes_through():
    """A store is taken as it is, and a MemoryStore is made by its name."""
    store = open_store("memory:")
    assert isinstance(store, MemoryStore)
    assert isinstance(store, Store)
    assert open_store(store) is store


@pytest.mark.parametrize(
    ("where", "match"),
    [
        ("mysql://ada:secret@host/maggy", "store='mysql://…' is none of the stores"),
        ("sqlite://", "none of the stores"),
        ("sqlite:///", "none of the stores"),
        ("dynamodb,secret", "no studies in DynamoDB"),
        (":memory:", "none of the stores"),
        ("local,", "none of the stores"),
        ("", "none of the stores"),
        (7, "store=7 is a int"),
    ],
)
def test_other_stores(where, match):
    """What is no store of ours is refused with what there is, and no password is repeated."""
    with pytest.raises(ConfigError, match=match) as caught:
        open_store(where)
    assert "'memory:'" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_without_sqlalchemy(path, monkeypatch):
    """Without SQLAlchemy a file is refused with what to install."""
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    for name in ("schema", "sqlite", "sql", "reader"):
        monkeypatch.delitem(sys.modules, f"maggy.store.{name}")
    with pytest.raises(ConfigError, match="pip install sqlalchemy"):
        open_store(path)


def test_import_is_light():
    """Importing maggy.store imports no SQLAlchemy and no sqlite3."""
    code = "import sys, maggy.store; sys.exit(any(name in sys.modules for name in ('sqlalchemy', 'sqlite3')))"
    root = Path(maggy.errors.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
