"""What every store promises, as tests: inherit `StoreContract`, say how a store is made, and run pytest.

::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self):
            store = MyStore()
            yield store
            store.close()

        def again(self, store):
            return MyStore(store.address)
"""
# ruff: noqa: S101, PLR2004, S106, S107 - pytest classes: asserts, expected numbers; an owner's token is no password

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest

from maggy.errors import ConfigError, StoreError, StudyMoved, StudyOwned
from maggy.events import (
    Ended,
    Event,
    Lost,
    Reported,
    Saved,
    Started,
    StopRequested,
    StudyClosed,
    StudyOpened,
    StudyResumed,
    Suggested,
)
from maggy.store import LEASE, Owner, Store

NOW = 1_700_000_000.0
EXAMPLES: Sequence[Event] = (
    StudyOpened(NOW, {"metric": None, "searchspace": {"x": ["float", 0, 1.5]}}),
    StudyResumed(NOW, {"num_trials": 5}),
    Suggested(NOW, 1, {"x": 0.1, "layers": [1, 2], "name": "Grüße", "on": True, "none": None}, 3.0, None, 2),
    Started(NOW, 1, 1, "executor-1"),
    Reported(NOW, 1, 1, 0, {"acc": 0.25, "loss": math.nan, "norm": -math.inf}),
    Saved(NOW, 1, 1, "1/1-1.tar", 10_240),
    StopRequested(NOW, 1, 1, "below the median"),
    Lost(NOW, 1, 1, "executor died"),
    Ended(NOW, 1, 2, "failed", math.nan, {"acc": math.inf}, "not a number", "Traceback:\n\x00 \udc80 …"),
    StudyClosed(NOW, "done"),
)
NAMES = ("digits", "A", "_", "9", "a.b c-d", "a..", "x" * 100)
NO_NAMES: Sequence[Any] = ("", ".", "..", "../a", "a/b", "-a", " a", "a\n", "é", "x" * 101, "a\x00", "a:b", None, 7)


def elsewhere(token: str = "other") -> Owner:
    """Return an owner on another host: only its lease tells whether it lives."""
    return Owner("elsewhere", 1, "1@elsewhere", token)


def report(step: int) -> Reported:
    """Return a report that can be told from others."""
    return Reported(NOW, 1, 1, step, {"acc": step / 8})


class StoreContract:
    """The promises of `maggy.store.Store`. Override `store`, and `again` where two handles can share the data."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """Yield an empty store and close it."""
        raise NotImplementedError

    def again(self, store: Store) -> Store:
        """Return another handle on the same data, as another process would open it."""
        raise NotImplementedError

    @pytest.fixture
    def study(self, store: Store) -> str:
        """Return a study that this process holds."""
        study = store.create("digits", NOW)
        store.claim(study, Owner.current(), NOW)
        return study

    # -- the log ---------------------------------------------------------------------------------------------------

    def test_event_round_trip(self, store: Store, study: str) -> None:
        """Every kind of event is read as it was written, NaN and infinities included."""
        store.append(study, 0, EXAMPLES)
        for found, event in zip(store.read(study), EXAMPLES, strict=True):
            assert repr(found) == repr(event)

    def test_positions_count_from_one(self, store: Store, study: str) -> None:
        """An append returns the new last position, which the list of studies shows too."""
        assert store.append(study, 0, EXAMPLES) == len(EXAMPLES)
        assert store.append(study, len(EXAMPLES), [report(1)]) == len(EXAMPLES) + 1
        assert store.studies()[0].position == len(EXAMPLES) + 1

    def test_reading_keeps_the_order(self, store: Store, study: str) -> None:
        """Reports and other events come back in the order in which they were appended, from any position on."""
        events = [*EXAMPLES, *map(report, range(5)), *EXAMPLES]
        store.append(study, 0, events[:3])
        store.append(study, 3, events[3:])
        for after in range(len(events) + 2):
            assert repr(list(store.read(study, after))) == repr(events[after:])

    def test_reading_a_long_log(self, store: Store, study: str) -> None:
        """A log of ten thousand events is read whole, from its middle, and from its end."""
        events = [report(step) if step % 3 else Started(NOW, step, 1, "e") for step in range(10_000)]
        store.append(study, 0, events)
        assert list(store.read(study)) == events
        assert list(store.read(study, 4_096)) == events[4_096:]
        assert list(store.read(study, 10_000)) == []

    def test_empty_append(self, store: Store, study: str) -> None:
        """Appending nothing changes nothing."""
        assert store.append(study, 0, []) == 0
        assert list(store.read(study)) == []

    def test_append_elsewhere_than_at_the_end(self, store: Store, study: str) -> None:
        """An append behind another position than the last one is refused whole."""
        store.append(study, 0, [report(1), report(2)])
        for after in (0, 1, 3, 7):
            with pytest.raises(StudyMoved, match=f"last position is 2, not {after}"):
                store.append(study, after, [report(3), EXAMPLES[3]])
        assert list(store.read(study)) == [report(1), report(2)]

    def test_studies_do_not_mix(self, store: Store, study: str) -> None:
        """Each study has positions and events of its own."""
        other = store.create("faces", NOW)
        store.claim(other, Owner.current(), NOW)
        store.append(study, 0, [report(1)])
        assert store.append(other, 0, [report(2), EXAMPLES[2]]) == 2
        assert list(store.read(study)) == [report(1)]
        assert list(store.read(other)) == [report(2), EXAMPLES[2]]

    def test_another_handle_reads_at_once(self, store: Store, study: str) -> None:
        """What an append has returned for is seen by everybody."""
        with closing(self.again(store)) as reader:
            store.append(study, 0, [report(1)])
            assert list(reader.read(study)) == [report(1)]

    def test_half_read_log_does_not_block(self, store: Store, study: str) -> None:
        """A reader that stops halfway keeps nobody from writing."""
        store.append(study, 0, EXAMPLES)
        reading = iter(store.read(study))
        next(reading)
        assert store.append(study, len(EXAMPLES), [report(9)]) == len(EXAMPLES) + 1

    def test_threads(self, store: Store, study: str) -> None:
        """A thread reads whole prefixes of the log while another one writes it."""
        seen: list[list[Event | None]] = []
        writer = Thread(target=lambda: [store.append(study, step, [report(step)]) for step in range(100)])
        writer.start()
        while not seen or len(seen[-1]) < 100:
            seen.append(list(store.read(study)))
            assert writer.is_alive() or len(seen[-1]) <= 100
        writer.join()
        events = [report(step) for step in range(100)]
        assert all(log == events[: len(log)] for log in seen)

    # -- names -----------------------------------------------------------------------------------------------------

    def test_first_free_name(self, store: Store) -> None:
        """Studies of one base are called base, base-2, base-3, and skip names that are taken."""
        assert [store.create("a-3", NOW), *(store.create("a", NOW) for _ in range(3))] == ["a-3", "a", "a-2", "a-4"]

    def test_latest(self, store: Store) -> None:
        """The latest of a base is the one with the highest number, ten being higher than nine."""
        for _ in range(11):
            store.create("a", NOW)
        store.create("ab", NOW)
        assert store.latest("a") == "a-11"

    def test_latest_by_full_name(self, store: Store) -> None:
        """A name that is nobody's base stands for the study itself; an unknown one for none."""
        store.create("a", NOW)
        store.create("a", NOW)
        assert (store.latest("a-2"), store.latest("a-3"), store.latest("A")) == ("a-2", None, None)

    def test_studies(self, store: Store) -> None:
        """The list has name, base, number and creation of every study, the oldest first."""
        for index, base in enumerate(["b", "a", "b"]):
            store.create(base, NOW + index)
        found = [(entry.name, entry.base, entry.number, entry.created - NOW) for entry in store.studies()]
        assert found == [("b", "b", 1, 0), ("a", "a", 1, 1), ("b-2", "b", 2, 2)]

    def test_good_names(self, store: Store) -> None:
        """A name that is allowed is taken as it is."""
        assert [store.create(name, NOW) for name in NAMES] == list(NAMES)

    def test_bad_names(self, store: Store) -> None:
        """A name that could leave a directory or break a line is a ConfigError, and makes no study."""
        for name in NO_NAMES:
            with pytest.raises(ConfigError, match="cannot name a study"):
                store.create(name, NOW)
        assert store.studies() == []

    def test_unknown_study(self, store: Store) -> None:
        """Whatever is asked of a study that is not there says so, and names the one that was meant."""
        me = Owner.current()
        store.create("digits", NOW)
        for ask in (
            lambda: store.read("digit"),
            lambda: store.append("digit", 0, []),
            lambda: store.claim("digit", me, NOW),
            lambda: store.renew("digit", me, NOW),
            lambda: store.release("digit", me),
            lambda: store.request("digit", "stop"),
            lambda: store.requests("digit"),
        ):
            with pytest.raises(StoreError, match="no study 'digit'; did you mean 'digits'"):
                ask()

    # -- the owner -------------------------------------------------------------------------------------------------

    def test_unclaimed(self, store: Store) -> None:
        """Nobody appends to a study that he does not hold."""
        study = store.create("digits", NOW)
        with pytest.raises(StudyMoved, match="claim it first"):
            store.append(study, 0, [report(1)])
        assert list(store.read(study)) == []

    def test_living_owner(self, store: Store, study: str) -> None:
        """While its owner's process lives a study is refused to others, however long ago it was heard of."""
        message = r"held by process \d+ on host .* since 2023-11-14 22:13:20 UTC: wait"
        with pytest.raises(StudyOwned, match=message):
            store.claim(study, Owner.current(), NOW + 1e6)
        store.append(study, 0, [report(1)])

    def test_claiming_again(self, store: Store) -> None:
        """An owner may claim what it holds."""
        study, me = store.create("digits", NOW), Owner.current()
        store.claim(study, me, NOW)
        store.claim(study, me, NOW + 1)
        assert store.append(study, 0, [report(1)]) == 1

    def test_lease(self, store: Store) -> None:
        """An owner on another host is refused for the lease since it was last heard of, and no longer."""
        study, me, them = store.create("digits", NOW), Owner.current(), elsewhere()
        store.claim(study, them, NOW)
        store.renew(study, them, NOW + 5)
        with pytest.raises(StudyOwned, match="host elsewhere"):
            store.claim(study, me, NOW + 5 + LEASE - 0.1)
        store.claim(study, me, NOW + 5 + LEASE)
        assert store.studies()[0].owner == me

    def test_dead_owner(self, store: Store) -> None:
        """An owner on this host whose process is gone is dead at once."""
        study, me = store.create("digits", NOW), Owner.current()
        with subprocess.Popen([sys.executable, "-c", ""]) as gone:
            gone.wait()
        store.claim(study, replace(me, pid=gone.pid, token="gone"), NOW)
        store.claim(study, me, NOW)
        assert store.studies()[0].owner == me

    def test_pid_of_another_process(self, store: Store) -> None:
        """A pid that was given to another process since does not keep its former owner alive."""
        study, me = store.create("digits", NOW), Owner.current()
        store.claim(study, replace(me, started="1" + me.started, token="gone"), NOW)
        store.claim(study, me, NOW)
        assert store.studies()[0].owner == me

    def test_former_owner_is_fenced(self, store: Store) -> None:
        """Who was taken for dead can neither write nor renew, even where the log has not moved."""
        study, them = store.create("digits", NOW), elsewhere()
        store.claim(study, them, NOW)
        with closing(self.again(store)) as successor:
            successor.claim(study, elsewhere("third"), NOW + LEASE)
            with pytest.raises(StudyMoved, match="process 1 on host elsewhere has taken it over"):
                store.append(study, 0, [report(1)])
            with pytest.raises(StudyMoved, match="taken it over"):
                store.renew(study, them, NOW + LEASE)
            store.release(study, them)
            assert successor.append(study, 0, [report(2)]) == 1

    def test_release(self, store: Store) -> None:
        """A study that was let go is free at once, and its former owner must claim it again to write."""
        study, them = store.create("digits", NOW), elsewhere()
        store.claim(study, them, NOW)
        store.release(study, them)
        assert store.studies()[0].owner is None
        for refused in (lambda: store.append(study, 0, [report(1)]), lambda: store.renew(study, them, NOW)):
            with pytest.raises(StudyMoved, match="has been released"):
                refused()
        store.claim(study, Owner.current(), NOW)

    def test_entry_shows_the_owner(self, store: Store) -> None:
        """The list of studies says who holds one, since when, and when that was last heard of."""
        study, them = store.create("digits", NOW), elsewhere()
        store.claim(study, them, NOW + 1)
        store.renew(study, them, NOW + 2)
        entry = store.studies()[0]
        assert (entry.owner, entry.since, entry.renewed) == (them, NOW + 1, NOW + 2)
        assert entry.held(NOW + 3)
        assert not entry.held(NOW + 2 + LEASE)

    # -- requests --------------------------------------------------------------------------------------------------

    def test_requests(self, store: Store, study: str) -> None:
        """What others wish of a driver is handed out once, in order, to the study that it is for."""
        other = store.create("faces", NOW)
        with closing(self.again(store)) as others:
            others.request(study, "pause")
            others.request(study, "stop")
        assert store.requests(other) == []
        assert store.requests(study) == ["pause", "stop"]
        assert store.requests(study) == []

    # -- deleting --------------------------------------------------------------------------------------------------

    def test_delete(self, store: Store) -> None:
        """A study is deleted with its log and its requests, and its name is free again; others stay."""
        gone, other = (store.create(base, NOW) for base in ("digits", "faces"))
        for study in (gone, other):
            store.claim(study, Owner.current(), NOW)
            store.append(study, 0, [report(1)])
            store.request(study, "stop")
        with closing(self.again(store)) as others, pytest.raises(StudyOwned, match="'digits' is held by process"):
            others.delete(gone, NOW)
        for entry in store.studies():
            assert entry.owner is not None
            store.release(entry.name, entry.owner)
        store.delete(gone, NOW)
        assert [entry.name for entry in store.studies()] == [other]
        assert len(list(store.read(other))) == 1
        assert store.create("digits", NOW) == gone
        assert (list(store.read(gone)), store.requests(gone)) == ([], [])
