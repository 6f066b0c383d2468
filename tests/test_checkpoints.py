"""Saving and restoring one attempt's checkpoints, with real files: at a shared path, at a URL, and relayed."""

import io
import os
import queue
import re
import stat
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from maggy import places
from maggy.driver.depot import Depot
from maggy.driver.retention import Retention
from maggy.errors import CheckpointError, ConfigError, ProtocolError
from maggy.events import Ended, Lost, Saved, Started, StudyClosed, Suggested
from maggy.executor.checkpoints import Checkpoints, Terms
from maggy.rpc.frames import HEADER
from maggy.rpc.messages import MAX_DATA, Chunk, Fetch, Piece, Run, decode, encode, rebuilt
from maggy.rpc.messages import Saved as SavedMessage
from maggy.study import Study as Fold
from maggy.trial import Objective

LIMIT = 3_000_000
MODES = ["shared", "url", "relay"]
URL = "dir://.::file://"  # a URL like any other, since what begins with file: is a path


def carried(message):
    """Return a message as it comes out of the wire."""
    return decode(encode(message)[HEADER:])


class Study:
    """One driver's depot, and attempts that talk with it as their agents would: in messages, checked as on the wire."""

    def __init__(self, mode, path):
        self.mode = mode
        self.path = path
        self.root = path / "root"
        self.depot = Depot(str(self.root), Retention(Objective()), LIMIT)
        self.depot.open([])
        self.recorded = []  # names
        self.notices = []
        self.allowed = []

    def asked(self, message, *, allowed=True):
        """Return the depot's reply, which comes from its thread."""
        replies = queue.SimpleQueue()
        self.depot.ask(message, replies.put, allowed=allowed)
        return replies.get(timeout=10)

    def attempt(self, number, *restore, trial=1):
        """Return the checkpoints of an attempt that may go on from these."""
        self.allowed = list(restore)
        root = f"{URL}{self.root}" if self.mode == "url" else str(self.root)
        marker = "elsewhere" if self.mode == "relay" else self.depot.marker
        scratch = self.path / f"scratch {number}"
        scratch.mkdir(exist_ok=True)
        terms = Terms(trial, number, root, marker, LIMIT, str(scratch), restore)
        pieces = []

        def tell(kind, body):
            message = carried(rebuilt(kind, {**body, "trial": trial, "attempt": number}))
            match message:
                case Chunk():
                    self.asked(message)
                case SavedMessage():
                    if not self.depot.passes(message) or self.asked(message):
                        self.recorded.append(message.checkpoint)
                case Fetch():
                    piece = self.asked(message, allowed=message.checkpoint in self.allowed)
                    pieces.append({name: getattr(carried(piece), name) for name in Piece.__slots__})
                case _:
                    self.notices.append(message.text)

        return Checkpoints(terms, tell, lambda over: None if over() else pieces.pop())


@pytest.fixture(params=MODES)
def study(request, tmp_path):
    found = Study(request.param, tmp_path)
    yield found
    found.depot.close(10)


@pytest.fixture
def relay(tmp_path):
    found = Study("relay", tmp_path)
    yield found
    found.depot.close(10)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


# -- saving and restoring ----------------------------------------------------------------------------------------------


def test_a_file_comes_back_under_its_name(study, tmp_path):
    """Its content too, however large; the name may have whatever a name may have."""
    content = os.urandom(3 * MAX_DATA + 5)
    (tmp_path / "mein Stand ü\n☃.bin").write_bytes(content)
    study.attempt(1).save(tmp_path / "mein Stand ü\n☃.bin")
    assert study.recorded == ["1/1-1.tar"]
    found = Path(study.attempt(2, "1/1-1.tar").restore())
    assert (found.name, found.read_bytes()) == ("mein Stand ü\n☃.bin", content)
    assert study.notices == []


def test_a_directory_comes_back_as_it_was(study, tmp_path):
    """A thousand files, folders without any, names that are no text, empty files, and what links point to."""
    state = tmp_path / "state"
    (state / "a" / "b").mkdir(parents=True)
    (state / "none").mkdir()
    for number in range(1000):
        (state / "a" / f"{number} {'x' * (number % 150)}").write_text(str(number))
    (state / "empty").touch()
    Path(os.fsdecode(os.fsencode(state) + b"/\xff\xfe")).write_text("no text")
    (tmp_path / "outside").write_text("outside")
    (state / "link").symlink_to(tmp_path / "outside")
    (state / "run.sh").write_text("exit")
    (state / "run.sh").chmod(0o755)
    study.attempt(1).save(str(state) + "/")
    found = Path(study.attempt(2, "1/1-1.tar").restore())
    assert found.name == "state"
    assert files(found) == files(state)
    assert all((found / name).read_bytes() == (state / name).read_bytes() for name in files(state))
    assert (found / "none").is_dir()
    assert not (found / "link").is_symlink()
    assert os.access(found / "run.sh", os.X_OK)
    assert not os.access(found / "empty", os.X_OK)


def test_the_last_save_counts(study, tmp_path):
    """Each save is a checkpoint of its own; a copy is not changed by what comes after."""
    state = tmp_path / "state"
    attempt = study.attempt(1)
    for number in range(3):
        state.write_text(str(number))
        attempt.save(state)
    assert study.recorded == ["1/1-1.tar", "1/1-2.tar", "1/1-3.tar"]
    assert Path(study.attempt(2, "1/1-3.tar").restore()).read_text() == "2"
    assert [name for name in files(study.root) if name.endswith(".part")] == []


def test_nothing_to_restore(study):
    """Without a checkpoint there is nothing, and nothing is said."""
    assert study.attempt(1).restore() is None
    assert study.notices == []


def test_each_restore_is_a_copy_and_all_end_with_the_trial(study, tmp_path):
    """What the function does to one copy does not show in the next; the scratch directory holds no tar file."""
    (tmp_path / "state").write_text("as it was")
    study.attempt(1).save(tmp_path / "state")
    attempt = study.attempt(2, "1/1-1.tar")
    first = Path(attempt.restore())
    first.write_text("changed")
    second = Path(attempt.restore())
    assert second.read_text() == "as it was"
    assert [name for name in files(tmp_path / "scratch 2") if name.endswith(".tar")] == []
    attempt.clean_up()
    assert files(tmp_path / "scratch 2") == []


def test_threads_take_turns(study, tmp_path):
    """Saves from several threads are whole, each of them."""
    attempt = study.attempt(1)
    contents = {}

    def save(number):
        path = tmp_path / f"state-{number}"
        contents[path.name] = os.urandom(MAX_DATA + number)
        path.write_bytes(contents[path.name])
        attempt.save(path)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(study.recorded) == 6
    found = [Path(study.attempt(2 + number, name).restore()) for number, name in enumerate(study.recorded)]
    assert {path.name: path.read_bytes() for path in found} == contents


def socket_at(path):
    os.mknod(path, stat.S_IFSOCK | 0o600)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda path: None, FileNotFoundError, "there is no such file or directory"),
        (os.mkfifo, CheckpointError, "neither a file nor a directory"),
        (lambda path: (path.mkdir(), os.mkfifo(path / "pipe")), CheckpointError, "neither a file nor a directory"),
        (lambda path: (path.mkdir(), socket_at(path / "socket")), CheckpointError, "neither a file nor a directory"),
        (socket_at, CheckpointError, "'state' is neither a file nor a directory"),
        (lambda path: (path.mkdir(), (path / "gone").symlink_to("nowhere")), CheckpointError, "cannot be kept"),
    ],
)
def test_what_cannot_be_kept_is_said(study, tmp_path, make, error, message):
    """The error is the function's, no checkpoint is recorded, and nothing of it is left."""
    make(tmp_path / "state")
    with pytest.raises(error, match=message):
        study.attempt(1).save(tmp_path / "state")
    assert study.recorded == []
    assert [name for name in files(study.root) if not name.startswith(".maggy-")] == []
    assert files(tmp_path / "scratch 1") == []


def test_an_empty_name_is_not_the_working_directory(study):
    """Where a variable is empty by mistake, all that stands around is not what was meant."""
    with pytest.raises(FileNotFoundError, match=re.escape("reporter.save(''): there is no such file or directory")):
        study.attempt(1).save("")
    assert study.recorded == []


def test_who_outlives_the_trial_can_neither_save_nor_restore(study, tmp_path):
    """A thread of an ended trial does not speak in the name of the next one."""
    (tmp_path / "state").touch()
    study.attempt(1).save(tmp_path / "state")
    late = study.attempt(2, "1/1-1.tar")
    late.end()
    with pytest.raises(RuntimeError, match="the trial has ended"):
        late.save(tmp_path / "state")
    assert not [name for name in files(study.root) if "2-1.tar" in name and study.mode != "relay"]
    if study.mode == "relay":
        with pytest.raises(RuntimeError, match="the trial has ended"):
            late.restore()


# -- what is missing or damaged (F42) ------------------------------------------------------------------------------


def truncated(path):
    path.write_bytes(path.read_bytes()[:1500])


def without_its_end(path):
    with tarfile.open(path) as tar:
        end = tar.getmembers()[0].offset_data + 2048
    path.write_bytes(path.read_bytes()[:end])


@pytest.mark.parametrize(
    "damage", [Path.unlink, truncated, without_its_end, lambda path: path.write_bytes(b"garbage" * 2000)]
)
def test_f42_a_damaged_checkpoint_is_passed_over(study, tmp_path, damage):
    """F42: the next best is taken, its own before its ancestors', in the end none; the log of the trial says so."""
    parent, own = tmp_path / "parent", tmp_path / "own"
    parent.write_bytes(b"p" * 2048)
    own.write_bytes(b"o" * 2048)
    study.attempt(1, trial=1).save(parent)
    study.attempt(1, trial=2).save(own)
    names = ["2/1-1.tar", "1/1-1.tar"]
    assert Path(study.attempt(2, *names, trial=2).restore()).name == "own"
    damage(study.root / names[0])
    assert Path(study.attempt(3, *names, trial=2).restore()).name == "parent"
    damage(study.root / names[1])
    assert study.attempt(4, *names, trial=2).restore() is None
    assert [re.match(r"Checkpoint \S+", text)[0] for text in study.notices] == [
        "Checkpoint 2/1-1.tar",
        "Checkpoint 2/1-1.tar",
        "Checkpoint 1/1-1.tar",
    ]


# -- hostile tar files (A19) ---------------------------------------------------------------------------------------


def member(name, kind=tarfile.REGTYPE, content=b"evil", **fields):
    made = tarfile.TarInfo(name)
    made.type = kind
    made.size = len(content) if kind == tarfile.REGTYPE else 0
    for field, value in fields.items():
        setattr(made, field, value)
    return made, content


HOSTILE = {
    "climbs": [member("../evil")],
    "climbs from within": [member("state/../../evil")],
    "absolute": [member("/evil")],  # of the test's own directory
    "symlink": [member("state", tarfile.SYMTYPE, linkname="/etc/passwd")],
    "through a symlink": [
        member("state", tarfile.DIRTYPE),
        member("state/way", tarfile.SYMTYPE, linkname="../../.."),
        member("state/way/evil"),
    ],
    "hard link": [member("state", tarfile.LNKTYPE, linkname="../../../evil")],
    "device": [member("state", tarfile.CHRTYPE, devmajor=1, devminor=5)],
    "fifo": [member("state", tarfile.FIFOTYPE)],
    "two entries": [member("state"), member("evil")],
    "twice": [member("state"), member("state")],
    "null": [member("state", pax_headers={"path": "state/\0evil"})],
    "sparse": [member("state", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"})],
    "file as a folder": [member("state"), member("state/evil")],
    "nothing": [],
    "no name": [member(".")],
    "endless": [member("state", size=2**40)],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a19_a_hostile_tar_file_is_refused(tmp_path, kind):
    """A19: nothing lands outside of the directory for it, nothing of it stays, no link or device is made."""
    evil = tmp_path / "evil.tar"
    with tarfile.open(evil, "w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in HOSTILE[kind]:
            if info.name.startswith("/"):
                info.name = f"{tmp_path}{info.name}"
            claimed, info.size = info.size, len(content) if info.isreg() else 0
            if claimed != info.size:
                tar.fileobj.write(tarfile.TarInfo.tobuf(_sized(info, claimed)))
            else:
                tar.addfile(info, io.BytesIO(content) if info.isreg() else None)
    before = files(tmp_path)
    with pytest.raises((CheckpointError, OSError)):
        places.unpack(evil, tmp_path / "a" / "b" / "into")
    assert files(tmp_path) == before
    assert not (tmp_path / "a" / "b" / "into").exists()


def _sized(info, size):
    info.size = size
    return info


def test_a19_what_is_extracted_is_plain(tmp_path):
    """A19: no set-uid bits, nobody else's rights."""
    evil = tmp_path / "evil.tar"
    with tarfile.open(evil, "w") as tar:
        info, content = member("state", mode=0o6777)
        tar.addfile(info, io.BytesIO(content))
    assert places.unpack(evil, tmp_path / "into").stat().st_mode & 0o7777 == 0o700


# -- hostile messages (A19) ----------------------------------------------------------------------------------------

NAMES = [
    "../1-1.tar",
    "1/../../1-1.tar",
    "/etc/passwd",
    "1/1-1.tar\n",
    "1/1-1.tar/../../x",
    "01/1-1.tar",
    "1/1-1",
    "",
    "\u0661/1-1.tar",  # a digit, but not of ours
    "1" * 30 + "/1-1.tar",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["Saved", "Chunk", "Fetch", "Piece", "Run"])
def test_a19_no_name_leads_elsewhere(name, kind):
    """A19: a message with such a name is no message; its connection is dropped."""
    fields = {
        "Saved": {"checkpoint": name, "bytes": 1},
        "Chunk": {"checkpoint": name, "offset": 0, "data": ""},
        "Fetch": {"checkpoint": name, "offset": 0},
        "Piece": {"checkpoint": name, "offset": 0, "data": "", "end": True, "error": None},
        "Run": {"params": {}, "budget": None, "parent": None, "restore": [name], "work": None},
    }
    with pytest.raises(ProtocolError, match="names what is no checkpoint"):
        rebuilt(kind, {"trial": 1, "attempt": 1, **fields[kind]})


@pytest.mark.parametrize("name", NAMES)
def test_a16_no_name_in_a_log_leads_elsewhere(name):
    """A16, A19: a log may be a stranger's: nothing is read, handed out or removed by such a name."""
    events = [Suggested(0, 1, {}, None, None, 1), Started(0, 1, 1, "a"), Saved(0, 1, 1, name, 1)]
    assert Fold.of(events).trials[1].checkpoint is None
    log = Log(keep=1).add(*events).save(1, 1).end(1)
    log.add(StudyClosed(0, "done"))
    assert log.gone == []


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (SavedMessage(1, 2, "1/1-1.tar", 1), "another's"),
        (Chunk(2, 1, "1/1-1.tar", 0, ""), "another's"),
        (SavedMessage(1, 1, "1/1-1.tar", -1), "negative"),
        (Fetch(1, 1, "1/1-1.tar", -1), "negative"),
        (Chunk(1, 1, "1/1-1.tar", 0, "A" * (MAX_DATA * 4 // 3 + 8)), "longer"),
        (Run(1, 1, {}, None, None, [3]), "no checkpoint"),
    ],
)
def test_a19_messages_keep_their_measure(message, why):
    """A19: nobody speaks of another's checkpoint, and sizes are what they can be."""
    with pytest.raises(ProtocolError, match=why):
        carried(message)


# -- the depot -----------------------------------------------------------------------------------------------------


def test_only_what_was_named_can_be_fetched(relay, tmp_path):
    """Another trial's checkpoint is not handed out."""
    (tmp_path / "state").write_text("secret")
    relay.attempt(1, trial=7).save(tmp_path / "state")
    attempt = relay.attempt(1, "7/1-1.tar")
    relay.allowed = []
    assert attempt.restore() is None
    assert "does not go on from it" in relay.notices[0]


@pytest.mark.parametrize("link", ["file", "folder"])
def test_a19_the_driver_follows_no_link(relay, tmp_path, link):
    """A19: what somebody has put into the shared directory opens no other file of the driver's."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "1-1.tar").write_text("the driver's own")
    if link == "file":
        (relay.root / "1").mkdir()
        (relay.root / "1" / "1-1.tar").symlink_to(tmp_path / "outside" / "1-1.tar")
    else:
        (relay.root / "1").symlink_to(tmp_path / "outside")
    assert relay.asked(Fetch(1, 1, "1/1-1.tar", 0)).error == "the driver has no such file"
    (tmp_path / "state").write_text("content")
    if link == "folder":
        relay.attempt(2).save(tmp_path / "state")
        assert relay.recorded == []
        assert files(tmp_path / "outside") == ["1-1.tar"]


def chunk(offset, data, name="1/1-1.tar"):
    return Chunk(1, int(name[2]), name, offset, data)


@pytest.mark.parametrize(
    ("chunks", "size"),
    [
        ([chunk(0, "AAAA"), chunk(4, "AAAA")], 6),  # a gap
        ([chunk(0, "AAAA"), chunk(0, "AAAA")], 6),  # twice the same
        ([chunk(0, "AAAA"), chunk(3, "no base64!")], 6),
        ([chunk(0, "AAAA")], 6),  # some are missing
        ([chunk(0, "AAAA"), chunk(0, "AAAA", "1/1-2.tar")], 3),  # another was begun meanwhile
    ],
)
def test_what_is_not_whole_is_no_checkpoint(relay, chunks, size):
    """The log hears of it only when all of its bytes have come, and nothing of it stays."""
    for each in chunks:
        relay.asked(each)
    saved = relay.asked(SavedMessage(1, 1, "1/1-1.tar", size))
    assert not saved or not (relay.root / "1" / "1-1.tar").exists()
    relay.depot.close(10)
    assert files(relay.root) == []


def test_an_executor_cannot_fill_the_drivers_disk(relay):
    """Whatever it says: a checkpoint that grows over the limit is given up."""
    data, size = "A" * 4000, 3000
    for number in range(LIMIT // size + 10):
        relay.asked(chunk(number * size, data))
    assert sum(path.stat().st_size for path in relay.root.rglob("*")) < 10_000
    assert not relay.asked(SavedMessage(1, 1, "1/1-1.tar", LIMIT + 1))


def test_parts_of_a_lost_attempt_are_removed(relay):
    """When the log says that the attempt is lost, what it had sent is nobody's."""
    relay.depot.recorded([Suggested(0, 1, {}, None, None, 1), Started(0, 1, 1, "a")])
    relay.asked(chunk(0, "AAAA"))
    assert files(relay.root / "1") == ["1-1.tar.part"]
    relay.depot.recorded([Lost(0, 1, 1, "died")])
    relay.asked(Fetch(1, 1, "1/1-1.tar", 0))  # the thread keeps the order
    assert files(relay.root / "1") == []


def test_a_relayed_checkpoint_is_on_the_disk_before_it_counts(relay, tmp_path, monkeypatch):
    """Its content, then its name, and that of its folder: a power cut takes nothing that the log speaks of."""
    synced, sync = [], os.fsync

    def told(descriptor):
        synced.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), list(relay.recorded)))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", told)
    (tmp_path / "state").write_text("content")
    relay.attempt(1).save(tmp_path / "state")
    assert synced == [(str(path), []) for path in (relay.root / "1/1-1.tar.part", relay.root / "1", relay.root)]
    assert relay.recorded == ["1/1-1.tar"]


@pytest.mark.parametrize("slow", [True, False])
def test_what_could_not_be_removed_is_told(relay, monkeypatch, slow):
    """In a sentence at the end: which of it is left, where, and why; nobody waits for longer than is said."""
    go = threading.Event()

    class Stubborn(places.Directory):
        def remove(self, name):
            if slow:
                go.wait(10)
            raise OSError("it sticks")

    monkeypatch.setattr("maggy.driver.depot.place", Stubborn)
    relay.depot.recorded([Suggested(0, 1, {}, None, None, 1), Started(0, 1, 1, "a")])
    relay.depot.recorded([Saved(0, 1, 1, f"1/1-{number}.tar", 1) for number in range(1, 8)])
    assert relay.depot.trouble is None
    relay.depot.close(0.1 if slow else 10)
    go.set()
    why = f"{relay.root} was too slow: 0.1 s after the study's end they were still to be removed"
    assert relay.depot.trouble == (
        f"checkpoints that are needed no longer are left in {relay.root} (1/1-1.tar, 1/1-2.tar, 1/1-3.tar, …): "
        + (why if slow else "it sticks")
    )


def test_over_the_limit_nothing_is_sent(relay, tmp_path):
    """The size is known before; it is said once, with what to do, and the function goes on."""
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "file").write_bytes(bytes(LIMIT + 1))
    (tmp_path / "barely").write_bytes(bytes(LIMIT - 100))  # but not as a tar file
    attempt = relay.attempt(1)
    attempt.save(tmp_path / "large")
    assert list((tmp_path / "scratch 1").iterdir()) == []  # no copy has been made
    for name in ("large", "barely"):
        attempt.save(tmp_path / name)
    assert relay.recorded == []
    assert len(relay.notices) == 1
    assert "more than 3 MB" in relay.notices[0]
    assert "Let checkpoint_dir be a path that executors share, or a URL" in relay.notices[0]
    assert files(tmp_path / "scratch 1") == []
    assert not (relay.root / "1").exists()


def test_a_user_is_told_each_sentence_once(relay):
    """Whoever says it, and without what would drive a terminal."""
    for _ in range(3):
        relay.depot.notice("the \x1b[31mdisk\n is full")
    assert relay.depot.notices() == ["the [31mdisk is full"]
    assert relay.depot.notices() == []


# -- which are needed ----------------------------------------------------------------------------------------------


class Log:
    """Writes a log for a Retention, and keeps what it lets go."""

    def __init__(self, keep=None, **options):
        self.retention = Retention(Objective(), keep, **options)
        self.gone = []
        self.swept = []

    def add(self, *events):
        for event in events:
            due = self.retention.recorded(event)
            self.gone += due.remove
            self.swept += due.sweep
        return self

    def start(self, trial, parent=None, attempt=1, budget=None):
        if attempt == 1:
            self.add(Suggested(0, trial, {}, budget, parent, 1))
        return self.add(Started(0, trial, attempt, "a"))

    def save(self, trial, number, attempt=1):
        return self.add(Saved(0, trial, attempt, f"{trial}/{attempt}-{number}.tar", 1))

    def end(self, trial, value=0.5, status="completed"):
        return self.add(Ended(0, trial, 1, status, value, {}))


def test_f42_the_last_two_checkpoints_of_a_trial_stay_until_it_ends():
    """F42: the last may turn out to be damaged; what is older goes at once, the one before the last at the end."""
    log = Log().start(1).save(1, 1).save(1, 2)
    assert log.gone == []
    log.save(1, 3)
    assert log.gone == ["1/1-1.tar"]
    log.save(1, 4).end(1)
    assert log.gone == ["1/1-1.tar", "1/1-2.tar"]
    assert log.swept == [(1, {"1/1-4.tar"})]


def test_what_an_attempt_goes_on_from_stays_while_it_runs():
    """Its own earlier checkpoint, and that of a parent which saves again."""
    log = Log().start(1).save(1, 1).save(1, 2).add(Lost(0, 1, 1, "died")).start(1, attempt=2)
    log.save(1, 1, attempt=2).save(1, 2, attempt=2)
    assert log.gone == []
    log.start(2, parent=1)
    log.save(1, 3, attempt=2).add(Lost(0, 1, 2, "died"))
    assert log.gone == ["1/1-1.tar", "1/1-2.tar"]
    log.end(2)
    assert log.gone == ["1/1-1.tar", "1/1-2.tar", "1/2-1.tar"]


@pytest.mark.parametrize("continues", [True, False])
def test_of_equals_the_first_that_ended_is_kept(continues):
    """As the study's own best trial: what `result.checkpoint()` returns must be there."""
    log = Log(keep=1, continues=continues).start(1).start(2).save(1, 1).save(2, 1).end(2, 0.9).end(1, 0.9)
    log.add(StudyClosed(0, "done"))
    assert log.gone == ["1/1-1.tar"]


def test_a_trial_that_leaves_nothing_is_not_looked_after():
    """Only who has saved, was lost, has failed or was stopped may have left files."""
    log = Log().start(1).end(1).start(2).end(2, None, "failed").start(3).add(Lost(0, 3, 1, "died"))
    log.start(3, attempt=2).end(3).start(4).end(4, None, "stopped")
    assert [trial for trial, _ in log.swept] == [2, 3, 4]


def test_the_best_keep_theirs():
    """When the study is done: k of those that completed, with the largest budget, then the best value."""
    log = Log(keep=2)
    for trial, (value, budget) in enumerate([(0.9, 1), (0.5, 3), (0.7, 3), (0.6, 3), (0.99, 3)], 1):
        log.start(trial, budget=budget).save(trial, 1).end(trial, value, "failed" if trial == 5 else "completed")
    assert log.gone == []
    log.add(StudyClosed(0, "done"))
    assert log.gone == ["1/1-1.tar", "2/1-1.tar", "5/1-1.tar"]


@pytest.mark.parametrize(("keep", "reason"), [(None, "done"), (1, "interrupted"), (1, "timeout")])
def test_all_keep_theirs_otherwise(keep, reason):
    """Without a number, and where the study may go on."""
    log = Log(keep=keep).start(1).save(1, 1).end(1).start(2).save(2, 1).end(2).add(StudyClosed(0, reason))
    assert log.gone == []


def test_where_no_trial_is_continued_the_rest_goes_at_once():
    """As soon as k better ones are there."""
    log = Log(keep=1, continues=False)
    for trial, value in enumerate([0.5, 0.7, 0.6], 1):
        log.start(trial).save(trial, 1).end(trial, value)
    assert log.gone == ["1/1-1.tar", "3/1-1.tar"]


# -- places ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "root"),
    [
        ("s3://bucket/x", "s3://bucket/x"),
        ("here", "here"),
        ("/a:/b", "/a:/b"),
        ("./s3:/b", "./s3:/b"),
        ("file:///data/x", "/data/x"),
        ("FILE:/data/x", "/data/x"),
        ("file://localhost/data/x y", "/data/x y"),
        ("local:///data/x", "/data/x"),
        ("dir://.::file:///data/x", "dir://.::file:///data/x"),
        ("~/x y", "/home/somebody/x y"),
        (Path("~"), "/home/somebody"),
        ("~backup/x", "~backup/x"),
        ("./~/x", "./~/x"),
    ],
)
def test_a_root_is_a_path_or_a_url(given, root, monkeypatch):
    """What names the file system of whoever looks is a path, of which a marker tells whether it is shared."""
    monkeypatch.setenv("HOME", "/home/somebody")
    assert places.root_of(given) == root


@pytest.mark.parametrize("given", ["", b"/tmp/x", 3, True, io.BytesIO()])
def test_what_is_no_path_is_none(given):
    """And no folder of that name is made."""
    with pytest.raises(ConfigError, match=re.escape(f"log_dir={given!r} is neither a path nor a URL")):
        places.root_of(given, "log_dir")


@pytest.mark.parametrize(
    ("given", "message"), [("s3:/bucket/x", "pass the text 's3://bucket/x'"), ("file://a/b", "names the host 'a'")]
)
def test_a_url_without_its_slashes_is_no_path(given, message):
    """Or the folder `s3:` of the working directory would be filled."""
    with pytest.raises(ConfigError, match=message):
        places.root_of(given)


@pytest.mark.parametrize("url", [False, True])
def test_a_place_tells_its_own_files_from_others(tmp_path, url):
    """What users keep there is not maggy's to remove."""
    where = places.place(f"{URL}{tmp_path}" if url else str(tmp_path))
    where.probe()
    assert where.names(1) == []
    (tmp_path / "1" / "files").mkdir(parents=True)
    ours = ["1-1.tar", "2-13.tar", "1-2.tar.part", "1-2.tar.0123abcd.part"]
    for name in (*ours, "model.tar", "1-1.tar.gz", "notes"):
        (tmp_path / "1" / name).touch()
    assert sorted(where.names(1)) == sorted(f"1/{name}" for name in ours)
    for name in (*where.names(1), "1/9-9.tar", "8/1-1.tar"):
        where.remove(name)
    assert files(tmp_path) == ["1/1-1.tar.gz", "1/model.tar", "1/notes"]


def test_a_missing_fsspec_is_one_clear_error(tmp_path, monkeypatch):
    """On an executor: named, with what to install; saving and restoring do not pass it over."""
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    terms = Terms(1, 1, "s3://bucket/x", "", 0, str(tmp_path / "scratch"), ("1/1-1.tar",))
    checkpoints = Checkpoints(terms, lambda *_: None, lambda _: None)
    (tmp_path / "state").touch()
    for use in (lambda: checkpoints.save(tmp_path / "state"), checkpoints.restore):
        with pytest.raises(CheckpointError, match="pip install fsspec here, on the driver and on every executor"):
            use()
