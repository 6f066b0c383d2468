"""Objectives of Hyperopt: its spaces, its `fmin`, and what it returns."""

import math
from functools import partial
from random import Random

import numpy as np
import pytest

from maggy import experiment
from maggy.errors import ConfigError, StudyFailed
from maggy.migrate import hyperspace
from maggy.migrate.hyperopt import STATUS_FAIL, STATUS_OK, SparkTrials, Trials, fmin

hyperopt = pytest.importorskip("hyperopt", reason="hyperopt is not installed")
hp, scope = hyperopt.hp, hyperopt.pyll.scope

SHARED = hp.uniform("shared", 0, 1)
SPACE = {
    "seed": 7,
    "lr": hp.loguniform("lr", math.log(1e-5), math.log(1e-1)),
    "classifier": hp.choice(
        "classifier",
        [
            {"kind": "svm", "C": hp.lognormal("svm C", 0, 1), "kernel": hp.choice("kernel", ["linear", "rbf"])},
            {"kind": "forest", "depth": scope.int(hp.quniform("depth", 2, 9, 1)), "share": SHARED},
            {"kind": "tree", "share": SHARED, "layers": hp.choice("layers", [(8,), (8, 8), None])},
        ],
    ),
    "batch": hp.pchoice("batch", [(0.9, 16), (0.1, 32)]),
    "nested": [hp.randint("r", 5), hp.randint("r2", 3, 6), hp.uniformint("ui", 1, 4)],
    "q": hp.qloguniform("q", 0, 3, 2),
    "n": hp.qnormal("n", 10, 2, 0.5),
    "twice": hp.uniform("x", -1, 1) * 2 + 1,
}


@pytest.fixture
def places(tmp_path):
    return {
        "launcher": "local",
        "num_executors": 2,
        "store": tmp_path / "maggy.db",
        "log_dir": tmp_path / "logs",
        "quiet": True,
    }


@pytest.mark.parametrize("number", range(30))
def test_an_objective_is_given_what_hyperopt_gives_it(number):
    """A configuration of ours, written as Hyperopt writes it, makes the same argument there as here."""
    space = hyperspace.read(SPACE)
    params = space.searchspace.sample(Random(number))
    theirs = hyperopt.space_eval(SPACE, space.point(params))
    ours = space.form.fill(params)
    assert ours == theirs
    again = space.names(space.point(params))  # rounded, where the objective is given multiples
    assert space.searchspace.contains(again)
    assert {**again, "q": params["q"], "n": params["n"]} == params
    assert space.form.fill(again) == ours


def test_choices_become_conditions():
    """What belongs to one option is part of no trial with another; what two share, of those with either."""
    space = hyperspace.read(SPACE).searchspace
    assert space["svm_C"].when.to_json() == {"classifier": [0]}
    assert space["shared"].when.to_json() == {"classifier": [1, 2]}
    assert space["kernel"].choices == ("linear", "rbf")
    assert space["batch"].weights == (0.9, 0.1)
    assert (space["r"].low, space["r"].high, space["r2"].low, space["r2"].high) == (0, 4, 3, 5)
    assert "q" in space
    assert space["depth"].size == 8


@pytest.mark.parametrize(
    ("space", "why"),
    [
        (
            {"a": scope.log(hp.uniform("a", 1, 2))},
            r"scope\.log, which maggy does not know: compute it in the objective",
        ),
        ({"a": hp.uniform("a b", 0, 1), "b": hp.uniform("a_b", 0, 1)}, "'a_b' and 'a b' would both be called 'a_b'"),
        ({"a": hp.uniform("a", 0, 1), "b": hp.uniform("a", 0, 2)}, "'a' is defined twice"),
        ({"a": hp.loguniform("a", 0, 1000)}, "e to the 0.0 and to the 1000.0 are no bounds"),
    ],
)
def test_what_cannot_be_read_is_refused(space, why):
    """By name, before anything starts."""
    with pytest.raises(ConfigError, match=why):
        hyperspace.read(space)


def loss(params):
    if params["kind"] == "bad":
        return {"status": STATUS_FAIL, "why": "it is bad"}
    return {"loss": (params["x"] - 1) ** 2, "status": STATUS_OK, "seconds": 1.5, "model": object()}


LOSSES = hp.choice("kind", [{"kind": "good", "x": hp.uniform("x", -5, 5)}, {"kind": "bad"}])


def test_fmin_runs_unchanged(places):
    """Parallel, with Hyperopt's algorithm named, and the answer is what space_eval wants."""
    trials = SparkTrials(parallelism=2)
    algo = partial(hyperopt.tpe.suggest, n_startup_jobs=5)
    best = fmin(
        loss, LOSSES, algo, 30, trials=trials, rstate=np.random.default_rng(3), show_progressbar=False, **places
    )
    assert hyperopt.space_eval(LOSSES, best) == {"kind": "good", "x": best["x"]}
    assert abs(best["x"] - 1) < 1
    assert best == trials.argmin
    assert len(trials) == 30
    assert trials.best_trial["result"] == {"loss": min(filter(None, trials.losses())), "status": "ok", "seconds": 1.5}
    failed = [each for each in trials.result.trials if each.error]
    assert failed
    assert "the objective returned the status 'fail': why='it is bad'" in failed[0].error
    assert {each["status"] for each in trials.results} == set(trials.statuses()) == {"ok", "fail"}
    assert [each["tid"] for each in trials] == trials.tids == list(range(30))
    assert len(trials.vals["kind"]) == 30
    assert best["x"] in trials.vals["x"]
    with pytest.raises(AttributeError, match="Trials has no 'attachments' here, only trials"):
        print(trials.attachments)


def test_trials_of_an_earlier_call_go_on(places):
    """`max_evals` is how many there are in the end, as there, and what was found before counts."""
    trials, seen, rstate = Trials(), [], np.random.default_rng(3)
    for total in (3, 5):
        options = {"trials": trials, "rstate": rstate, "show_progressbar": False}
        fmin(loss, LOSSES, hyperopt.rand.suggest, total, **options, **places)
        seen.append(trials.losses())
    assert len(seen[1]) == 5
    assert seen[1][:3] == seen[0]


def test_points_are_tried_first(places):
    """They are Hyperopt's: labels, and choices by number."""
    points = [{"kind": 0, "x": 1.0}]
    best = fmin(loss, LOSSES, hyperopt.rand.suggest, 2, points_to_evaluate=points, show_progressbar=False, **places)
    assert best == {"kind": 0, "x": 1.0}


def test_an_objective_is_known_by_its_space(places):
    """`lagom` with a space of Hyperopt's minimizes, and calls the objective with what the space makes."""
    result = experiment.lagom(lambda x: x * x, hp.uniform("x", -3, 3), num_trials=5, **places)
    assert result.study.objective.direction == "min"
    assert result.best_value == min(trial.value for trial in result.trials)


def test_an_objective_is_known_by_its_signature(places):
    """One that takes a dict, and returns a loss and a status, minimizes with a searchspace of maggy's."""
    result = experiment.lagom(loss, {"x": (-1.0, 1.0), "kind": ["good"]}, num_trials=3, metric="loss", **places)
    assert result.study.objective.direction == "min"
    assert result.best_value == min(trial.value for trial in result.trials)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"loss_threshold": 0.1}, "loss_threshold is not maggy's"),
        ({"early_stop_fn": max}, "early_stop_fn is not maggy's"),
        ({"space": {"x": (0, 1)}}, r"has no hp\.uniform"),
        ({"trials": hyperopt.Trials()}, "trials= is Hyperopt's own Trials, which would stay empty"),
        ({"algo": hyperopt.mix.suggest}, "algo=mix.suggest is not known"),
    ],
)
def test_what_maggy_has_not_is_refused(options, why):
    """Before anything starts."""
    with pytest.raises(ConfigError, match=why):
        fmin(**{"fn": loss, "space": LOSSES, "max_evals": 1} | options)


def test_nobody_is_best_where_all_fail(places):
    """A sentence, and the result with it."""
    with pytest.raises(StudyFailed, match="no trial has completed") as caught:
        fmin(lambda _: {"status": "fail"}, LOSSES, max_evals=2, show_progressbar=False, **places)
    assert len(caught.value.result.trials) == 2


@pytest.mark.parametrize("objective", [lambda config: 1.0, lambda x, y: 1.0])
def test_an_objective_of_unknown_style_is_refused(objective, places):
    """A function of which nobody can tell what it wants: a sentence, and nothing is started."""
    with pytest.raises(ConfigError, match=r"takes one argument, 'config', and it cannot be told|needs 'x', which"):
        experiment.lagom(objective, **places)
