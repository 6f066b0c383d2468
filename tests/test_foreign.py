"""Optimizers of other libraries: the log is replayed into them."""

import logging
from collections import Counter
from random import Random

import pytest

from maggy import experiment
from maggy.domains import Float, Integer
from maggy.errors import ConfigError
from maggy.events import Ended, Started, StudyOpened, Suggested
from maggy.optimizers import Foreign, RandomSearch, Wrapped
from maggy.optimizers.foreign import Replay
from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.testing.contracts import OptimizerContract
from maggy.testing.play import play


class TestOptunaTpe(OptimizerContract):
    def optimizer(self):
        return Foreign("optuna:TPESampler", {"n_startup_trials": 4})


class TestOptunaCma(OptimizerContract):
    def optimizer(self):
        return Foreign("optuna:CmaEsSampler", {"n_startup_trials": 2})


# What the libraries say of what is missing beside them, of large losses, and of spaces that are soon exhausted.
quietly = pytest.mark.filterwarnings("ignore:Could not import matplotlib", "ignore:Clipping very high value")
exhausting = pytest.mark.filterwarnings("ignore:The objective has been evaluated at point")
FEW_POINTS = {"n_initial_points": 3, "acq_optimizer_kwargs": {"n_points": 100}}


@quietly
class TestNevergrad(OptimizerContract):
    def optimizer(self):
        return Foreign("nevergrad:NGOpt")


@quietly
class TestNevergradDe(OptimizerContract):
    def optimizer(self):
        return Foreign("nevergrad:DE")


@exhausting
class TestSkoptGp(OptimizerContract):
    num_trials = 5

    def optimizer(self):
        return Foreign("skopt:GP", {**FEW_POINTS, "acq_func": "EI", "acq_optimizer": "sampling"})


@exhausting
class TestSkoptForest(OptimizerContract):
    num_trials = 5

    def optimizer(self):
        return Foreign("skopt:ET", {**FEW_POINTS, "acq_func": "EI"})


class Memory:
    """Draws at random, and keeps a diary."""

    def __init__(self, searchspace, seed):
        self.searchspace = searchspace
        self.rng = Random(seed)
        self.diary = []

    def ask(self):
        params = self.searchspace.sample(self.rng)
        self.diary.append(params)
        return params

    def tell(self, params, loss):
        self.diary.append((params, loss))


class TestWrapped(OptimizerContract):
    def optimizer(self):
        return Wrapped(Memory)


def test_an_object_hears_all_in_order():
    """What is told lies between the asks where it lay in the log; a trial without a value is told as None."""
    made = []

    def make(searchspace, seed):
        made.append(Memory(searchspace, seed))
        return made[-1]

    space = Searchspace(x=Float(0, 1))

    def train(trial):
        if trial.id == 2:
            raise RuntimeError
        return trial.params["x"]

    study = play(Wrapped(make), train, searchspace=space, num_trials=4, direction="min")
    x = [{"x": trial.params["x"]} for trial in study.trials.values()]
    told = [(x[0], x[0]["x"]), (x[1], None), (x[2], x[2]["x"])]
    assert len(made) == 1
    assert made[0].diary == [x[0], told[0], x[1], told[1], x[2], told[2], x[3]]


def test_an_answer_that_is_not_tried_has_no_value():
    """Where the user wanted another configuration first, the object's own is told as None, and that one as it is."""
    made = []

    def make(searchspace, seed):
        made.append(Memory(searchspace, seed))
        return made[-1]

    settings = {"searchspace": Searchspace(x=Float(0, 1)).to_dict(), "num_trials": 3, "direction": "min"}
    log = [
        StudyOpened(0.0, settings),
        Suggested(0.0, 1, {"x": 0.5}, None, None, 1),
        Started(0.0, 1, 1, "player"),
        Ended(0.0, 1, 1, "completed", 7.0, {"metric": 7.0}),
    ]
    Wrapped(make).ask(Study.of(log), Random(0))
    asked, answer = made[0].diary[0], made[0].diary[-1]
    assert made[0].diary == [asked, (asked, None), ({"x": 0.5}, 7.0), answer]


class Unread(dict):
    """Trials that nobody may go through."""

    def __iter__(self):
        raise AssertionError

    values = items = keys = __iter__


def test_an_ask_goes_through_no_trials():
    """What is to be asked and told is kept as the log grows: a study of 1,000 trials costs an ask no more than one."""
    study = play(Wrapped(Memory), lambda _: 0.0, searchspace=Searchspace(x=Float(0, 1)), num_trials=3)
    study.num_trials = 5
    optimizer = Wrapped(Memory)
    optimizer.ask(study, Random(0))
    study.trials = Unread(study.trials)
    assert optimizer.ask(study, Random(0)).params
    assert study.index(Replay).proposed("another", Memory) == optimizer.ask(study, Random(0)).params


class Exhausted(Memory):
    """Has ten answers and no more."""

    calls = 0

    def ask(self):
        Exhausted.calls += 1
        if sum(isinstance(each, dict) for each in self.diary) == 10:
            raise ValueError("nothing is left")
        return super().ask()


def test_one_that_raises_for_ever_is_not_replayed_for_ever():
    """It raises at each ask, and the log is replayed into a new one now and then, not each time."""
    optimizer, asks = Wrapped(Exhausted), Counter()

    def ask(study):
        try:
            optimizer.ask(study, Random(0))
            asks["answered"] += 1
        except ValueError:
            asks["raised"] += 1

    space = Searchspace(x=Float(0, 1))
    Exhausted.calls = 0
    play(RandomSearch(), lambda _: 0.0, searchspace=space, num_trials=200, watch=lambda study, *_: ask(study))
    assert asks["raised"] > 180
    assert Exhausted.calls < 1000


def test_a_stand_in_was_asked_of_nobody():
    """An answer that came too late never was: the object is made anew, as it would be from the log."""
    made = []

    def make(searchspace, seed):
        made.append(Memory(searchspace, seed))
        return made[-1]

    space = Searchspace(x=Float(0, 1)).to_dict()
    study = Study.of([StudyOpened(0.0, {"searchspace": space, "num_trials": 3})])
    optimizer = Wrapped(make)
    first = optimizer.ask(study, Random(0)).params
    study.apply(Suggested(0.0, 1, {"x": 0.5}, None, None, 1, "the optimizer has not answered for 60 s"))
    study.apply(Ended(0.0, 1, 1, "failed", None, {}))
    assert optimizer.ask(study, Random(0)).params == first
    assert [each.diary for each in made] == [[first], [({"x": 0.5}, None), first]]


def test_who_has_raised_is_made_anew():
    """What an object drew before it raised stands in no log: after a resume it would not have been drawn."""
    broken = []

    class Broken(Memory):
        def ask(self):
            params = super().ask()
            if broken:
                raise MemoryError(broken.pop())
            return params

    space = Searchspace(x=Float(0, 1)).to_dict()
    log = [StudyOpened(0.0, {"searchspace": space, "num_trials": 3})]
    study, optimizer = Study.of(log), Wrapped(Broken)
    broken.append("for the moment")
    with pytest.raises(MemoryError):
        optimizer.ask(study, Random(0))
    log.append(Suggested(0.0, 1, {"x": 0.5}, None, None, 1, "the optimizer failed"))
    study.apply(log[-1])
    assert optimizer.ask(study, Random(0)) == optimizer.ask(Study.of(log), Random(0))


def test_a_sampler_of_optunas_does_not_tell_at_each_trial_what_it_draws_at_random(caplog):
    """CMA-ES knows no categories, and would log a warning for each trial; who wants it asks for it."""
    space = Searchspace(x=Float(0, 1), kind=["a", "b"])

    def warnings(**settings):
        caplog.clear()
        play(Foreign("optuna:CmaEsSampler", settings), lambda _: 0.0, searchspace=space, num_trials=4)
        return len(caplog.records)

    logger = logging.getLogger("optuna")
    logger.addHandler(caplog.handler)
    try:
        assert warnings() == 0
        assert warnings(warn_independent_sampling=True) > 0
    finally:
        logger.removeHandler(caplog.handler)


def test_what_is_forbidden_is_asked_for_again():
    """An object that does not know of forbidden combinations is told that they failed."""
    space = Searchspace(a=[0, 1], b=[0, 1])
    unbound = space.copy()
    space.forbid(a=0, b=0)
    study = play(Wrapped(lambda _, seed: Memory(unbound, seed)), lambda _: 0.0, searchspace=space, num_trials=20)
    assert len(study.trials) == 20


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("optuna:TPESample", "optuna has no optimizer 'TPESample'; did you mean 'TPESampler'"),
        ("nevergrad:NGOtp", "nevergrad has no optimizer 'NGOtp'; did you mean 'NGOpt'"),
        ("skopt:GPP", r"skopt has no optimizer 'GPP'; did you mean 'GP'\? \(it has GP, RF, ET, GBRT\)"),
        ("skopt", "write the library and its optimizer"),
        ("optna:TPESampler", "did you mean 'optuna'"),
        ("optuna:", "write the library and its optimizer"),
    ],
)
def test_unknown_names(name, said):
    """The nearest right name is told, before anything starts."""
    with pytest.raises(ConfigError, match=said):
        Foreign(name).check(Searchspace(x=Float(0, 1)))


@pytest.mark.parametrize("name", ["optuna:TPESampler", "nevergrad:OnePlusOne", "skopt:ET"])
def test_settings_that_there_are_not(name):
    """What a library's optimizer does not take is refused before anything starts."""
    with pytest.raises(ConfigError, match=f"optimizer='{name}' cannot be made: .*startups"):
        Foreign(name, {"startups": 5}).check(Searchspace(x=Float(0, 1)))


@pytest.mark.parametrize("name", ["BruteForceSampler", "GridSampler"])
def test_what_cannot_search_the_space_is_refused_before_anything_starts(name):
    """One ask shows it."""
    with pytest.raises(ConfigError, match=f"optimizer='optuna:{name}' cannot"):
        Foreign(f"optuna:{name}").check(Searchspace(x=Float(0, 1)))


def test_an_object_of_a_library_is_asked_for_by_name():
    """What it was made for is not our searchspace, and its answers are not our parameters."""
    sampler = pytest.importorskip("optuna").samplers.TPESampler()
    with pytest.raises(ConfigError, match="write 'optuna:TPESampler'"):
        experiment.lagom(lambda x: x, Searchspace(x=Float(0, 1)), optimizer=sampler)


@pytest.mark.parametrize("name", ["optuna:RandomSampler", "nevergrad:OnePlusOne", "skopt:ET"])
def test_a_configuration_may_be_tried_twice_at_once(name):
    """With as many executors as there are values and more, each end is told of one of the trials of a configuration."""
    study = play(Foreign(name), lambda _: 0.0, searchspace=Searchspace(x=["a", "b"]), num_trials=7, workers=5)
    assert study.counts["completed"] == 7


@quietly
@pytest.mark.parametrize("name", ["optuna:TPESampler", "nevergrad:NGOpt", "skopt:ET"])
def test_a_parameter_may_have_one_value(name):
    """A range that has been narrowed to one value is still a parameter."""
    space = Searchspace(x=Float(0, 1), units=Integer(5, 5), layers=Integer(3, 3, log=True), kind=["a"])
    study = play(Foreign(name), lambda _: 0.0, searchspace=space, num_trials=4)
    assert study.counts["completed"] == 4
