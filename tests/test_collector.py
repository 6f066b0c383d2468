"""No collections while a log is read, short ones while a study runs, and the collector as it was afterwards."""

import gc

import pytest

from maggy import Float, Searchspace, experiment
from maggy.collector import no_collections, short_collections
from maggy.opening import folded
from maggy.store.memory import MemoryStore


@pytest.fixture(autouse=True)
def thawed():
    assert gc.get_freeze_count() == 0
    yield
    gc.unfreeze()


def test_what_was_there_is_left_out_until_the_last_of_overlapping_studies_has_ended():
    with short_collections():
        frozen = gc.get_freeze_count()
        assert frozen > 0
        with short_collections():
            assert gc.get_freeze_count() == frozen  # what the first study has made meanwhile can be collected
        assert gc.get_freeze_count() == frozen
    assert gc.get_freeze_count() == 0


def test_what_a_study_makes_is_collected_while_it_runs():
    class Knot:
        left = 0

        def __init__(self):
            self.me = self

        def __del__(self):
            Knot.left += 1

    with short_collections():
        Knot()
        gc.collect()
        assert Knot.left == 1


def test_who_has_frozen_something_finds_it_frozen():
    gc.freeze()
    before = gc.get_freeze_count()
    with short_collections():
        assert gc.get_freeze_count() == before
    assert gc.get_freeze_count() == before


def test_an_error_thaws():
    with pytest.raises(KeyError), short_collections():
        raise KeyError
    assert gc.get_freeze_count() == 0


def test_a_study_is_run_so(tmp_path):
    seen = []

    class Watching:
        """Stops nothing, and sees what the driver's process is like."""

        def reason_to_stop(self, trial, study):
            seen.append(gc.get_freeze_count())

    def train_fn(x, reporter):
        reporter.broadcast(x, step=0)
        return x

    experiment.lagom(
        train_fn,
        Searchspace(x=Float(0, 1)),
        num_trials=2,
        launcher="local",
        num_executors=1,
        earlystop=Watching(),
        store=tmp_path / "maggy.db",
        log_dir=None,
        quiet=True,
    )
    assert seen
    assert all(seen)
    assert gc.get_freeze_count() == 0


def test_nothing_is_collected_while_a_log_is_read():
    seen = []

    class Watched(MemoryStore):
        def read(self, study, after=0):
            seen.append(gc.isenabled())
            yield from super().read(study, after)

    store = Watched()
    folded(store, store.create("a", 0.0))
    assert seen == [False]
    assert gc.isenabled()


def test_collections_go_on_when_the_last_of_overlapping_readings_has_ended():
    with no_collections():
        with no_collections():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_who_has_turned_the_collector_off_finds_it_off():
    gc.disable()
    try:
        with no_collections():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_an_error_turns_it_on_again():
    with pytest.raises(KeyError), no_collections():
        raise KeyError
    assert gc.isenabled()
