"""Tests of maggy.opening."""

import os
import re
import shutil
import time
from contextlib import closing
from dataclasses import dataclass, replace

import pytest

from maggy import experiment, opening
from maggy.configuration import configure
from maggy.errors import CheckpointError, ConfigError, StoreError, StoreUnavailable, StudyOwned
from maggy.events import LOG_VERSION, Ended, Saved, Started, StudyClosed, StudyOpened, StudyResumed, Suggested
from maggy.opening import Given, begin, check_folder, claim, go_on, history, nothing_left, take_up
from maggy.optimizers import Asha, RandomSearch
from maggy.result import Result
from maggy.store import MemoryStore, Owner, open_store
from maggy.study import Study
from maggy.trial import DONE

SPACE = {"lr": (0.0, 1.0)}


@dataclass(frozen=True)
class Mine:
    """A user's optimizer."""

    def ask(self, study, rng):
        return DONE


def configured(space=SPACE, **options):
    defaults = {"optimizer": "default", "direction": "max", "metric": None, "num_trials": None, "timeout": None}
    rest = {"es_min": None, "es_interval": None, "hb_interval": None, "max_failures": None, "seed": 1}
    return configure(space, **{**defaults, "earlystop": "default", **rest, **options})


@pytest.fixture
def store(tmp_path):
    with closing(open_store(tmp_path / "maggy.db")) as opened:
        yield opened


@pytest.fixture
def begun(store, tmp_path):
    """Begin the study `digits` with seed 7 and let it go."""
    opened = begin(store, "digits", configured(seed=7, num_trials=2), tmp_path / "logs")
    opened.release()
    return opened


def add(store, opened, *events):
    """Let a driver of its own add to the log."""
    store.claim(opened.name, opened.owner, 0.0)
    opened.append(*events)
    opened.release()


def finished(store, opened):
    """Run the study's two trials to their end, and close it."""
    for number in (1, 2):
        add(store, opened, Suggested(1.0, number, {"lr": 0.5}, None, None, 1), Started(1.0, number, 1, "e"))
        add(store, opened, Ended(2.0, number, 1, "completed", 0.5, {}))
    add(store, opened, StudyClosed(3.0, "done"))


def test_a_name_that_exists_is_numbered(store, tmp_path):
    """The second study of a name is its `-2`, in a folder of its own, and both are there."""
    names = [begin(store, "digits", configured(), tmp_path / "logs").name for _ in range(3)]
    assert names == ["digits", "digits-2", "digits-3"]
    assert sorted(os.listdir(tmp_path / "logs")) == names  # noqa: PTH208 - names, not paths
    assert [entry.name for entry in store.studies()] == names


def test_the_log_begins_with_what_the_study_is(store, begun):
    """Searchspace, optimizer, seed, num_trials and folder are its first fact."""
    (first,) = store.read("digits")
    assert isinstance(first, StudyOpened)
    study = Study.of([first])
    assert (study.searchspace.keys(), study.num_trials) == (["lr"], 2)
    assert (study.settings["seed"], study.settings["name"]) == (7, "digits")
    assert study.settings["optimizer"] == {"name": "randomsearch"}
    assert study.settings["files"] == str(begun.files)


def test_a_folder_of_a_study_that_is_gone_is_not_shared(begun, tmp_path):
    """After the store has been deleted, the next `digits` gets `digits.2` and finds nobody's checkpoints."""
    shutil.rmtree(tmp_path / "maggy.db", ignore_errors=True)
    (begun.files / "checkpoints").mkdir()
    with closing(open_store(tmp_path / "other.db")) as other:
        again = begin(other, "digits", configured(), tmp_path / "logs")
    assert (again.name, again.files.name, list(again.files.iterdir())) == ("digits", "digits.2", [])


def test_without_a_log_dir_there_is_no_folder(tmp_path, monkeypatch):
    """`log_dir=None` writes no file."""
    monkeypatch.chdir(tmp_path)
    assert begin(MemoryStore(), "digits", configured(), None).files is None
    assert list(tmp_path.iterdir()) == []


def test_a_log_dir_that_cannot_be_written_is_an_error(tmp_path):
    """The error names it; one that can be written is made."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"log_dir='.*file' cannot be written \(.*\); name another, or None"):
        check_folder(tmp_path / "file")
    check_folder(None)
    check_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a").rglob("*")) == [tmp_path / "a" / "b"]


def test_a_study_goes_on_as_its_log_says(store, begun, tmp_path):
    """What the call does not name comes from the log: searchspace, optimizer, rules, seed, num_trials, folder."""
    opened, config = take_up(store, "digits", configured(None), Given(), tmp_path / "elsewhere")
    assert opened.files == begun.files
    assert (config.searchspace.keys(), config.optimizer, config.seed, config.num_trials) == (
        ["lr"],
        RandomSearch(),
        7,
        2,
    )
    assert config.rules == configured().rules
    assert not nothing_left(opened, config)


def test_a_log_dir_that_is_named_again_is_obeyed(store, begun, tmp_path):
    """Then files go on there, and the log says so."""
    opened, config = take_up(store, "digits", configured(None), Given(log_dir=True), tmp_path / "elsewhere")
    go_on(opened, config)
    assert opened.study.settings["files"] == str(tmp_path / "elsewhere" / "digits")


@pytest.fixture
def elsewhere(store, tmp_path):
    """Begin `digits` with checkpoints of their own, and a place where nothing can be made."""
    (tmp_path / "home").touch()

    def begin_at(log_dir, checkpoint_dir=None):
        opened = begin(store, "digits", configured(num_trials=2), None, checkpoint_dir=checkpoint_dir)
        opened.files = log_dir
        go_on(opened, configured(num_trials=2))
        opened.release()
        return opened

    return begin_at


@pytest.mark.parametrize(
    ("log_dir", "checkpoint_dir", "said"),
    [
        (
            "home/logs/digits",
            None,
            r"has its files in .*home/logs/digits, .*Not a directory.*; go on elsewhere with log_dir=",
        ),
        (
            None,
            "home/data",
            r"has its checkpoints at .*home/data/digits-.*; mend that, or .*log_dir= and checkpoint_dir=",
        ),
        ("logs", "made://of/nothing", r"has its checkpoints at made://of/nothing/digits-.*; mend that"),
    ],
)
def test_places_that_cannot_be_used_here_are_refused_unrecorded(
    store, elsewhere, tmp_path, log_dir, checkpoint_dir, said
):
    """F35, F37: a log from another machine names folders of that machine; the study is let go as it was."""
    where = checkpoint_dir if "://" in str(checkpoint_dir) else checkpoint_dir and str(tmp_path / checkpoint_dir)
    before = elsewhere(log_dir and tmp_path / log_dir, where).facts
    with pytest.raises(ConfigError, match=said):
        take_up(store, "digits", configured(None), Given(), tmp_path / "maggy_logs")
    assert list(store.read("digits")) == before
    assert store.studies()[0].owner is None
    assert not (tmp_path / "maggy_logs").exists()


def test_a_finished_study_is_read_wherever_its_files_are(store, elsewhere, tmp_path):
    """Nothing is written for it, so nothing has to be writable."""
    opened = elsewhere(tmp_path / "home" / "logs")
    finished(store, opened)
    assert nothing_left(*take_up(store, "digits", configured(None), Given(), None))


def test_only_changes_are_recorded(store, begun):
    """Going on as before adds an empty `StudyResumed`; a raised num_trials is the only thing in the next one."""
    for num_trials, changed in ((2, {}), (5, {"num_trials": 5})):
        opened, config = take_up(store, "digits", configured(num_trials=num_trials), Given(num_trials=True), None)
        go_on(opened, config)
        opened.release()
        last = list(store.read("digits"))[-1]
        assert isinstance(last, StudyResumed)
        assert last.changed == changed


def test_wishes_of_an_earlier_driver_are_forgotten(store, begun):
    """Who wanted the last driver to stop has nothing against the next one."""
    store.request("digits", "stop")
    go_on(*take_up(store, "digits", configured(None), Given(), None))
    assert store.requests("digits") == []


def test_a_finished_study_has_nothing_left_until_it_is_asked_for_more(store, begun):
    """`num_trials` is a total: the same or fewer is nothing, more goes on."""
    finished(store, begun)
    for num_trials, nothing in ((None, True), (1, True), (2, True), (3, False)):
        given = Given(num_trials=num_trials is not None)
        opened, config = take_up(store, "digits", configured(num_trials=num_trials), given, None)
        opened.release()
        assert nothing_left(opened, config) is nothing


@pytest.mark.parametrize("reason", ["interrupted", "timeout", "failed: 3 trials have failed"])
def test_a_study_that_was_broken_off_has_something_left(store, begun, reason):
    """Only one that was done is finished."""
    add(store, begun, StudyClosed(3.0, reason))
    assert not nothing_left(*take_up(store, "digits", configured(None), Given(), None))


@pytest.mark.parametrize(
    ("options", "given", "sentence"),
    [
        (
            {"space": {"lr": (0.0, 2.0)}},
            Given(searchspace=True),
            "study 'digits' has another searchspace: 'lr' was Float(0.0, 1.0) and is now Float(0.0, 2.0). Go on",
        ),
        (
            {"space": {"lr": (0.0, 1.0), "units": (1, 2)}},
            Given(searchspace=True),
            "'units' is new: Integer(1, 2)",
        ),
        ({"direction": "min"}, Given(direction=True), "another objective, direction='max'. Go on"),
        ({"metric": "loss"}, Given(metric=True), "another objective, metric=None. Go on"),
        ({"seed": 8}, Given(seed=True), "study 'digits' has seed=7; leave seed= out to go on with it"),
        (
            {"optimizer": "asha"},
            Given(optimizer=True),
            "study 'digits' has another optimizer: randomsearch(), not asha(reduction_factor=3, resource_min=1",
        ),
        ({"optimizer": Mine()}, Given(optimizer=True), "another optimizer: randomsearch(), not "),
    ],
)
def test_what_contradicts_the_log_is_refused_and_the_study_let_go(store, begun, options, given, sentence):
    """The sentence names the difference; a resume that does not contradict works right after it."""
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        take_up(store, "digits", configured(**options), given, None)
    opened, config = take_up(store, "digits", configured(), Given(searchspace=True, optimizer=False), None)
    go_on(opened, config)


def test_settings_of_an_optimizer_are_compared(store, tmp_path):
    """Another η is another optimizer; the same settings are the same one."""
    begin(store, "digits", configured(optimizer=Asha(4)), None).release()
    with pytest.raises(ConfigError, match=r"asha\(reduction_factor=4, .*\), not asha\(reduction_factor=3, "):
        take_up(store, "digits", configured(optimizer="asha"), Given(optimizer=True), None)
    _, config = take_up(store, "digits", configured(optimizer=Asha(4)), Given(optimizer=True), None)
    assert config.optimizer == Asha(4)


def test_a_custom_optimizer_is_passed_again(store):
    """The log knows its class alone, so a resume without it is refused with that class's name."""
    begin(store, "digits", configured(optimizer=Mine()), None).release()
    with pytest.raises(ConfigError, match=r"the study's optimizer is .*Mine, which no log can hold: pass it again"):
        take_up(store, "digits", configured(None), Given(), None)
    assert take_up(store, "digits", configured(optimizer=Mine()), Given(optimizer=True), None)[1].optimizer == Mine()


def test_rules_may_change(store, begun):
    """What stops trials is the user's to change, also to none."""
    opened, config = take_up(store, "digits", configured(earlystop=None), Given(rules=True), None)
    go_on(opened, config)
    assert config.rules == ()
    assert opened.study.settings["earlystop"] == []


def test_a_study_that_another_driver_holds_is_refused(store, begun):
    """The error names host and pid of the living owner, here this very process."""
    store.claim("digits", Owner.current(), 0.0)
    with pytest.raises(StudyOwned, match=rf"'digits' is held by process {os.getpid()} on host .* since 1970-01-01"):
        take_up(store, "digits", configured(), Given(), None)


def test_a_holder_that_cannot_be_seen_is_waited_for(store, begun):
    """One on another host that gives no sign of life is dead after its lease, whatever its clock says."""
    told = []
    store.claim("digits", Owner("far", 7, "1@elsewhere", "theirs"), time.time() + 1000)
    claim(store, "digits", begun.owner, told.append, patience=0.1)
    assert told == ["Study 'digits' was last held by process 7 on host far: waiting for a sign of life of it."]
    begun.append(StudyClosed(1.0, "done"))


def test_f38_a_holder_that_is_dead_here_is_followed_at_once(store, begun):
    """F38: its end shows, however fresh its claim is, so nothing is waited for."""
    told = []
    store.claim("digits", replace(Owner.current(), pid=2**22 + 1), time.time())  # a number that no process has
    claim(store, "digits", begun.owner, told.append)
    assert told == []
    assert store.studies()[0].owner == begun.owner


def test_a_holder_that_gives_a_sign_of_life_keeps_its_study(store, begun):
    """One that renews its claim while we wait is a living driver."""
    far = Owner("far", 7, "1@elsewhere", "theirs")
    store.claim("digits", far, time.time())
    with pytest.raises(StudyOwned, match="held by process 7 on host far"):
        claim(store, "digits", begun.owner, lambda _: store.renew("digits", far, time.time() + 1), patience=5)
    assert store.studies()[0].owner == far


class Busy:
    """A store that is busy at the first call of each of its methods that write."""

    def __init__(self, store):
        self._store, self.called = store, []

    def __getattr__(self, name):
        self.called.append(name)
        if name in ("create", "claim", "append", "requests") and self.called.count(name) == 1:
            return busy
        return getattr(self._store, name)


def busy(*_):
    raise StoreUnavailable("it is locked")


def test_f36_whatever_a_call_begins_with_waits_for_a_busy_store(store):
    """F36: a new study, and one that goes on."""
    begin(Busy(store), "digits", configured(seed=7, num_trials=2), None).release()
    opened, config = take_up(Busy(store), "digits", configured(None), Given(), None)
    go_on(opened, config)
    assert [type(event) for event in store.read("digits")] == [StudyOpened, StudyResumed]


def test_a_study_whose_first_driver_died_at_birth_begins_anew(store):
    """A study without a single fact becomes what this call says."""
    store.create("digits", 0.0)
    opened, config = take_up(store, "digits", configured(seed=3), Given(), None)
    assert isinstance(opened.facts[0], StudyOpened)
    assert config.seed == opened.study.settings["seed"] == 3


def test_a_log_of_a_later_version_is_left_alone(store, begun):
    """Who cannot know what it means must not add to it; the study is let go."""
    later = store.create("later", 0.0)
    store.claim(later, begun.owner, 0.0)
    store.append(later, 0, [StudyOpened(0.0, {}, LOG_VERSION + 1)])
    store.release(later, begun.owner)
    with pytest.raises(StoreError, match="study 'later' was written by a later version of maggy; upgrade this one"):
        take_up(store, "later", configured(), Given(), None)
    with pytest.raises(StoreError):
        list(history(store, "later"))
    store.claim(later, Owner.current(), 0.0)


def test_reading_makes_no_store(tmp_path):
    """Who asks for a study in a file that is not there is told so, and the file is still not there."""
    for read in (
        lambda: experiment.load("x", tmp_path / "no.db"),
        lambda: experiment.resume("x", abs, store=tmp_path / "no.db"),
    ):
        with pytest.raises(StoreError, match=r"there is no store at .*no\.db"):
            read()
    assert not (tmp_path / "no.db").exists()


@pytest.fixture
def logged():
    """Give a study with a checkpoint, and the place that its log names for it."""

    def study(root):
        settings = {"searchspace": {}, "files": "/logs/s", "checkpoints": root}
        events = [Suggested(0.0, 1, {}, None, None, 1), Started(0.0, 1, 1, "e"), Saved(0.0, 1, 1, "1/1-1.tar", 1)]
        return Study.of([StudyOpened(0.0, settings), *events])

    return study


def test_checkpoints_that_stay_behind_are_said(logged):
    """With another place for them trials start without, and the user hears of it; where nothing changes, not."""
    told = []
    assert opening._known_root(logged(None), "s", None, told.append, moved=False) is None
    assert told == []
    assert opening._known_root(logged(None), "s", "/new", told.append, moved=False).startswith("/new/s-")
    assert opening._known_root(logged(None), "s", None, told.append, moved=True) is None
    assert (
        told == ["The checkpoints of study 's' stay in /logs/s: with another place for them, trials start without."] * 2
    )


def test_a16_a_loaded_log_opens_no_url(logged, monkeypatch):
    """A16: what it names is told as text; the user opens it, or does not. A path is this machine's own."""
    opened = []

    def place(root):
        opened.append(root)
        raise OSError("nothing is here")

    monkeypatch.setattr("maggy.result.place", place)
    theirs = Result("s", logged("http://169.254.169.254/s"), loaded=True)
    assert theirs.checkpoint_dir == "http://169.254.169.254/s"
    with pytest.raises(CheckpointError, match="name the place"):
        theirs.checkpoint(1)
    assert opened == []
    for result, options in (
        (theirs, {"checkpoint_dir": "s3://mine"}),
        (Result("s", logged("s3://bucket/s")), {}),
        (Result("s", logged("/data/s"), loaded=True), {}),
    ):
        with pytest.raises(CheckpointError, match="out of reach"):
            result.checkpoint(1, **options)
    assert opened == ["s3://mine", "s3://bucket/s", "/data/s"]


def test_a16_a_log_chooses_no_place_against_the_call(logged):
    """A16: who names a log_dir, since the log is somebody else's, goes nowhere that the log says."""
    study = logged("/home/you/data/s-1234")
    assert opening._known_root(study, "s", None, print, moved=False) == "/home/you/data/s-1234"
    with pytest.raises(ConfigError, match="name checkpoint_dir= as well"):
        opening._known_root(study, "s", None, print, moved=True)
    assert opening._known_root(study, "s", "/mine", print, moved=True).startswith("/mine/s-")
    assert opening._known_root(study, "s", "/home/you/data", print, moved=True) == "/home/you/data/s-1234"
    with pytest.raises(ConfigError, match="leave checkpoint_dir= out"):
        opening._known_root(study, "s", "/mine", print, moved=False)
