"""Parameters that trials name themselves: `reporter.suggest` in an open searchspace, and the fact `Drawn`."""

from random import Random

import pytest
from click.testing import CliRunner

from maggy import Float, Integer, Searchspace, experiment
from maggy.cli.app import app
from maggy.driver.outcome import told
from maggy.errors import ConfigError
from maggy.events import Drawn, StudyOpened, Suggested
from maggy.executor.draws import Draws
from maggy.optimizers import Foreign, RandomSearch, Tpe
from maggy.optimizers.base import rng_for
from maggy.rpc import messages
from maggy.searchspace import OPEN
from maggy.store import open_store
from maggy.study import Study

SPACE = Searchspace({OPEN: True})
X = Float(0, 1).to_json()


def train(reporter):
    kind = reporter.suggest("kind", ["line", "plane"])
    x = reporter.suggest("x", Float(-1, 1))
    reporter.broadcast(-(x**2))
    return -(x**2) - (reporter.suggest("y", (0, 3)) if kind == "plane" else 0)


@pytest.fixture
def run(tmp_path):
    def lagom(function=train, space=SPACE, **options):
        places = {"store": tmp_path / "maggy.db", "log_dir": tmp_path / "logs", "name": "draws"}
        how = {"launcher": "local", "num_executors": 2, "quiet": True, "seed": 3, "num_trials": 20}
        return experiment.lagom(function, space, **places | how | options)

    return lagom


@pytest.fixture
def facts():
    return []


def draws(params, facts, seed=7, trial=1):
    return Draws(params, trial, seed, facts.append)


# -- in the trial ------------------------------------------------------------------------------------------------------


def test_what_the_optimizer_knows_is_its_own(facts):
    """A value that is one of the domain's is what the trial gets, and nothing is told."""
    mine = draws({"x": 0.25}, facts)
    assert mine.value("x", Float(0, 1)) == 0.25
    mine.settle()
    assert facts == []


def test_what_it_does_not_know_is_drawn_and_told(facts):
    """Also where its value is none of the domain's; the fact has all that the trial has by now."""
    mine = draws({"x": 5.0, "n": 2}, facts)
    x = mine.value("x", Float(0, 1))
    assert 0 <= x <= 1
    assert facts == [{"params": {"x": x, "n": 2}, "domains": {"x": X}}]


def test_an_attempt_that_begins_anew_draws_the_same(facts):
    """The numbers depend on seed, trial and name, not on what was drawn before."""
    first, second = draws({}, facts), draws({}, facts)
    second.value("other", Float(0, 1))
    assert first.value("x", Float(0, 1)) == second.value("x", Float(0, 1))
    assert first.value("x", Float(0, 1)) != draws({}, facts, trial=2).value("x", Float(0, 1))
    assert first.value("x", Float(0, 1)) != draws({}, facts, seed=8).value("x", Float(0, 1))


def test_asked_twice_it_is_the_same_parameter(facts):
    """With a domain that has no such value it would be another one."""
    mine = draws({"x": 0.25}, facts)
    assert mine.value("x", Float(0, 1)) == mine.value("x", Float(0, 2)) == 0.25
    with pytest.raises(ConfigError, match=r"'x' is 0.25 in this trial, which is no value of Float"):
        mine.value("x", Float(3, 4))


def test_a_list_stays_the_trials_own(facts):
    """Who changes a value does not change the parameter."""
    mine = draws({}, facts)
    mine.value("shape", [[8, 8]]).append(9)
    assert mine.value("shape", [[8, 8]]) == [8, 8]


def test_at_its_end_a_trial_has_what_it_had_use_for(facts):
    """What was suggested and not asked for is gone, but for what the function was called with."""
    mine = draws({"x": 0.25, "given": 1, "unused": 2}, facts)
    mine.taken(["given"])
    mine.value("x", Float(0, 1))
    mine.settle()
    assert facts == [{"params": {"x": 0.25, "given": 1}, "domains": {}}]


def test_a_function_that_names_nothing_tells_nothing(facts):
    """It has what it was given."""
    draws({"x": 1}, facts).settle()
    assert facts == []


def test_a_closed_searchspace_stays_closed(facts):
    """A name that it has is there; another is an error that says how to open it."""
    mine = draws({"x": 0.25, "y": 1}, facts, seed=None)
    assert mine.value("x", Float(0, 1)) == 0.25
    with pytest.raises(ConfigError, match=r"no parameter 'z'.*Searchspace\(\{'!open': True\}\)"):
        mine.value("z", Float(0, 1))
    mine.settle()
    assert facts == []


@pytest.mark.parametrize("name", ["a b", "trial", "class"])
def test_names_are_those_of_a_searchspace(facts, name):
    """They may become arguments of a function."""
    with pytest.raises(ConfigError, match="cannot name a parameter"):
        draws({}, facts).value(name, Float(0, 1))


# -- in the study ------------------------------------------------------------------------------------------------------


def study(*events, space=SPACE):
    opened = StudyOpened(0.0, {"searchspace": space.to_dict(), "seed": 1, "num_trials": 9})
    return Study.of([opened, Suggested(0.0, 1, {}, None, None, 1), *events])


DRAWN = Drawn(1.0, 1, 1, {"x": 0.5}, {"x": X})


def test_what_trials_name_becomes_the_searchspace():
    """From then on optimizers suggest it, and a study that is resumed still knows it."""
    found = study(DRAWN)
    assert found.searchspace == Searchspace({"x": Float(0, 1), OPEN: True})
    assert found.trials[1].params == {"x": 0.5}
    assert found.trials[1].suggested == {}
    assert Searchspace.from_json(found.settings["searchspace"]) == found.searchspace
    assert found.snapshot() == study(DRAWN).snapshot()


def test_the_first_domain_of_a_name_stands():
    """Values of another are the trial's; to optimizers they say nothing of this parameter."""
    found = study(DRAWN, Drawn(2.0, 1, 1, {"x": 3.5}, {"x": Float(3, 4).to_json()}))
    assert found.searchspace["x"] == Float(0, 1)
    assert str(found.searchspace.to_unit(found.trials[1].params)) == "[nan]"


def test_a_message_is_taken_at_its_word_where_it_may_be():
    """A12: in a closed searchspace nothing is recorded; of domains nothing that is none."""
    message = messages.Drawn(1, 1, {"x": 0.5}, {"x": X, "trial": X, "y": {"type": "evil"}, "z": 1})
    assert told(message, study(space=Searchspace(a=Float(0, 1))), 1.0) == []
    assert told(message, study(), 1.0) == [Drawn(1.0, 1, 1, {"x": 0.5}, {"x": X})]


def test_an_open_searchspace_asks_for_no_more_than_there_is():
    """A configuration may lack names and have others; values of those known are checked."""
    space = Searchspace({"x": Float(0, 1), OPEN: True})
    assert space.contains({})
    assert space.contains({"x": 0.5, "other": 1})
    assert not space.contains({"x": 2.0})
    assert space.size is None
    assert Searchspace.from_json(space.json()) == space == Searchspace(space)
    assert space != Searchspace(x=Float(0, 1))
    assert eval(repr(space)) == space  # noqa: S307
    assert space.sample(Random(0)).keys() == {"x"}


# -- from end to end ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["randomsearch", "tpe", "asha", "optuna:TPESampler", "sobol", "de", "auto"])
def test_optimizers_search_what_trials_name(run, optimizer):
    """Each of them, from nothing; none fails, and each trial has what it has named."""
    result = run(optimizer=optimizer, num_trials=16)
    assert [(trial.origin, trial.error) for trial in result.trials if trial.origin or trial.error] == []
    for trial in result.trials:
        assert set(trial.params) == {"kind", "x", "y"} - ({"y"} if trial.params["kind"] == "line" else set())
    assert set(result.study.searchspace.keys()) == {"kind", "x", "y"}


@pytest.mark.parametrize(
    "optimizer", [RandomSearch(), Tpe(startup=4), Foreign("optuna:TPESampler", {"n_startup_trials": 4})]
)
def test_each_suggestion_can_be_asked_for_again(run, tmp_path, optimizer):
    """The replay promise: from the log up to what was seen, the same answer, whatever was drawn since."""
    run(optimizer=optimizer, earlystop=None)
    store = open_store(tmp_path / "maggy.db")
    log = list(store.read("draws"))
    store.close()
    asked = [event for event in log if isinstance(event, Suggested)]
    assert len(asked) == 20
    for event in asked:
        again = optimizer.ask(Study.of(log[: event.seen]), rng_for(3, event.trial))
        assert again.params == event.params, event.trial


def test_a_study_goes_on_with_what_was_named(run):
    """Resumed, it suggests it from the first trial on; its searchspace is no other one."""
    before = run(num_trials=5)
    result = run(num_trials=10, resume=True)
    assert len(result.trials) == 10
    assert result.trials[5].suggested is None or result.trials[5].suggested.keys() == {"kind", "x", "y"}
    assert result.study.searchspace == before.study.searchspace
    with pytest.raises(ConfigError, match="has another searchspace"):
        run(space=Searchspace(z=Integer(0, 1)), resume=True, num_trials=11, function=lambda z: z)


def test_points_may_name_what_nobody_knows(run):
    """They are tried first."""
    result = run(points_to_evaluate=[{"x": 0.0, "kind": "line"}], num_trials=3)
    assert result.trials[0].params == {"x": 0.0, "kind": "line"}


def test_views_show_what_trials_have_named(run, tmp_path):
    """The command line, TensorBoard, the report."""
    result = run(num_trials=6)
    result.to_html(tmp_path / "report.html")
    best = CliRunner().invoke(app, ["-db", str(tmp_path / "maggy.db"), "best", "--json", "draws"])
    assert best.exit_code == 0, best.output
    assert '"kind":"line"' in best.output
    for command in ("leaderboard", "info", "list"):
        shown = CliRunner().invoke(app, ["-db", str(tmp_path / "maggy.db"), command, "draws"])
        assert shown.exit_code == 0, shown.output
    files = (tmp_path / "logs" / "draws" / "tensorboard" / "1").iterdir()
    assert b"kind" in next(files).read_bytes()


def test_where_all_has_to_be_known_it_is_refused(run):
    """Grid search goes through what there is; optimizer=None searches nothing."""
    with pytest.raises(ConfigError, match="grid search needs to know all parameters before the first trial"):
        run(optimizer="gridsearch")
    with pytest.raises(ConfigError, match="optimizer=None runs the function as it is"):
        run(optimizer=None)
