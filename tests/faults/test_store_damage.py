"""F37: files that are damaged or cut short: refused with a sentence, or read as they were written, never mended."""

import sqlite3
from contextlib import closing
from random import Random

import pytest
from driving import python

from maggy.errors import StoreError
from maggy.events import Ended, Reported, Started, StudyOpened, Suggested
from maggy.store import Owner, open_store, sqlite
from maggy.testing.store_contract import NOW, report

FLIPS = 150


def turns():
    """Yield turns as a driver appends them."""
    yield [StudyOpened(NOW, {"name": "s", "num_trials": 100, "searchspace": {"x": {"type": "float", "low": 0}}})]
    for trial in range(1, 101):
        at = NOW + trial
        yield [Suggested(at, trial, {"x": trial / 7}, None, None, 1), Started(at, trial, 1, f"executor-{trial % 4}")]
        yield [Reported(at + 0.5, trial, 1, step, {"accuracy": trial / (step + 8), "loss": 1.5}) for step in range(20)]
        yield [Ended(at + 0.9, trial, 1, "completed", trial / 28, {"accuracy": trial / 28})]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Return the bytes of a store with a study, and the study's log."""
    path = tmp_path_factory.mktemp("sound") / "maggy.db"
    with closing(open_store(path)) as store:
        store.create("s", NOW)
        owner, position = Owner.current(), 0
        store.claim("s", owner, NOW)
        for turn in turns():
            position = store.append("s", position, turn)
        store.release("s", owner)
    return path.read_bytes(), [event for turn in turns() for event in turn]


def tried(path):
    """Do with a file what `resume` does before it writes; return the log, or the error that refused it."""
    try:
        with closing(open_store(path)) as store:
            log = list(store.read("s"))
            store.claim("s", Owner.current(), NOW)
    except StoreError as error:
        return error
    return log


def judge(path, damaged, log):
    """Check that a damaged file is refused and left alone, or read as it was written; return whether it was refused."""
    path.write_bytes(damaged)
    found = tried(path)
    if isinstance(found, StoreError):
        assert path.read_bytes() == damaged
        assert "Traceback" not in str(found)
    else:
        assert found == log
    for file in path.parent.iterdir():
        file.unlink()
    return isinstance(found, StoreError)


def test_f37_bytes_that_have_changed(tmp_path, sound):
    """F37: at many random places: no event is ever read that was not written, and none is missing."""
    data, log = sound
    rng, refused = Random(37), 0
    for _ in range(FLIPS):
        damaged = bytearray(data)
        at = rng.randrange(len(data))
        damaged[at] ^= rng.randrange(1, 256)
        refused += judge(tmp_path / "maggy.db", bytes(damaged), log)
    assert refused > FLIPS / 2  # the others fell on unused room


def test_f37_whole_blocks_that_have_changed(tmp_path, sound):
    """F37: zeros, noise, or another block of the file where a block should be."""
    data, log = sound
    rng, refused = Random(38), 0
    for _ in range(60):
        damaged = bytearray(data)
        at, size = rng.randrange(0, len(data), 512), rng.choice([512, 4096])
        other = rng.randrange(0, len(data), 4096)
        content = rng.choice([bytes(size), rng.randbytes(size), data[other : other + size]])
        damaged[at : at + size] = content[: len(data) - at]
        refused += judge(tmp_path / "maggy.db", bytes(damaged), log)
    assert refused > 40


def test_f37_files_cut_short(tmp_path, sound):
    """F37: wherever the end is lost."""
    data, log = sound
    rng = Random(39)
    for length in [1, 15, 99, 100, 4095, 4096, len(data) - 1, *(rng.randrange(1, len(data)) for _ in range(40))]:
        assert judge(tmp_path / "maggy.db", data[:length], log)


def test_f37_a_digit_that_has_become_another(tmp_path, sound):
    """F37: damage that makes sense as JSON and to SQLite is found out by the row's checksum."""
    data, _ = sound
    path = tmp_path / "maggy.db"
    for old, new in (
        (b'"accuracy":12.5', b'"accuracy":92.5'),
        (b"executor-3", b"executor-2"),
        (b"Suggested", b"suggested"),
    ):
        at = data.index(old)
        path.write_bytes(data[:at] + new + data[at + len(old) :])
        found = tried(path)
        assert isinstance(found, StoreError)
        assert "its checksum is another" in str(found)


def test_f37_a_log_that_lacks_its_end(tmp_path, sound):
    """F37: rows that are gone without a trace in the file's structure are missed all the same."""
    path = tmp_path / "maggy.db"
    path.write_bytes(sound[0])
    last = len(sound[1])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM events WHERE position = ?", (last,))
    found = tried(path)
    assert f"position {last} of study 's' is missing: go back to a copy" in str(found)


def test_f37_a_damaged_index_stops_who_would_add_to_the_log(tmp_path, sound):
    """F37: reading needs no index, but nothing is added to a file that is not sound."""
    path = tmp_path / "maggy.db"
    path.write_bytes(sound[0])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, '(base)', '(number)') WHERE type = 'index'")
    with closing(open_store(path)) as store:
        assert list(store.read("s")) == sound[1]
        with pytest.raises(StoreError, match="is damaged: go back to a copy"):
            store.claim("s", Owner.current(), NOW)


def test_f37_a_name_that_is_none(tmp_path, sound):
    """F37: where a study's name has become something else there is no such study, and a sentence says so."""
    path = tmp_path / "maggy.db"
    path.write_bytes(sound[0])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'name TEXT NOT NULL', 'name TEXT')")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE studies SET name = NULL")
    assert "the store has no study 's'" in str(tried(path))


def test_f37_bytes_that_are_no_text(tmp_path):
    """F37: damage that SQLite cannot even name, since what it would quote is no text, is damage."""
    with pytest.raises(StoreError, match="is damaged: go back to a copy"), sqlite.File(tmp_path / "a.db").explained():
        b"\xff".decode()


WRITE = """
import sys
from maggy.store import Owner, open_store
from maggy.testing.store_contract import report
store = open_store(sys.argv[1])
store.create("s", 0.0)
store.claim("s", Owner.current(), 0.0)
position = 0
for turn in range(200):
    position = store.append("s", position, [report(position + number) for number in range(1, 6)])
print(position, flush=True)
sys.stdin.read()
"""


def test_f37_damage_to_what_a_killed_driver_left_behind(tmp_path):
    """F37: SQLite ends its write-ahead log where that is damaged; what is left is a whole and shorter log.

    That turns are missing cannot be seen in the file: nothing else says how many there were.
    """
    path = tmp_path / "maggy.db"
    with python(WRITE, path) as writer:
        assert writer.stdout.readline() == "1000\n"
        writer.kill()
    main, wal = path.read_bytes(), (tmp_path / "maggy.db-wal").read_bytes()
    rng, lengths = Random(40), set()
    for _ in range(40):
        for file in tmp_path.iterdir():
            file.unlink()
        damaged = bytearray(wal)
        damaged[rng.randrange(len(wal))] ^= rng.randrange(1, 256)
        path.write_bytes(main)
        (tmp_path / "maggy.db-wal").write_bytes(damaged)
        found = tried(path)
        if not isinstance(found, StoreError):
            assert found == [report(step) for step in range(1, len(found) + 1)]
            assert len(found) % 5 == 0
            lengths.add(len(found))
    assert len(lengths) > 5


def test_f37_a_file_of_the_version_before(tmp_path, sound):
    """F37: it is brought up to date when it is opened, its log is read as it is, and it is added to."""
    path = tmp_path / "maggy.db"
    path.write_bytes(sound[0])
    with closing(sqlite3.connect(path)) as connection, connection:
        for view in ("best", "trials", "metrics"):
            connection.execute(f"DROP VIEW {view}")
        for table, column in (("events", "crc"), ("reports", "crc"), ("studies", "low")):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.execute("PRAGMA user_version = 1")
    with closing(open_store(path)) as store:
        assert list(store.read("s")) == sound[1]
        store.claim("s", Owner.current(), NOW)
        assert store.append("s", len(sound[1]), [report(7)]) == len(sound[1]) + 1
    with closing(open_store(path)) as store:
        assert list(store.read("s")) == [*sound[1], report(7)]


def test_f37_a_network_disk_whose_locks_do_not_work(tmp_path, monkeypatch):
    """F37: there the older journal serves, with one warning; a lock that fails is refused with what would be right."""
    monkeypatch.setattr(sqlite, "_on_network", lambda _: True)
    path = tmp_path / "maggy.db"
    with pytest.warns(UserWarning, match="cannot use its write-ahead log") as warned:
        open_store(path).close()
    assert len(warned) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["maggy.db"]
    sentence = "is on a file system without working locks: name a file on a local disk"
    with pytest.raises(StoreError, match=sentence), sqlite.File(path).explained():
        raise sqlite3.OperationalError("locking protocol")
