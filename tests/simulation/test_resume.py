"""Resume is replay: from every prefix of a log the study goes on, and what was recorded stays as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import KINDS, drawn

from maggy.events import Started, StudyClosed, Suggested
from maggy.optimizers.base import rng_for
from maggy.study import Study
from maggy.testing.problems import Branin, Mixed
from maggy.testing.simulation import Faults, simulate
from maggy.trial import Suggestion

STORM = Faults(crash=0.1, freeze=0.1, death=0.05, error=0.05, nan=0.05, deaf=0.2, echo=0.3, restarts=1)
SHORT = {
    "asha": {"problem": Branin(), "num_trials": 10},
    "asha-stopping": {"problem": Mixed(), "num_trials": 7},
    "hyperband": {"problem": Branin(), "num_trials": 8},
    "tpe-asha": {"problem": Branin(), "num_trials": 10},
}


def short(kind, seed, **fixed):
    """Return the arguments of a study of some hundred events."""
    sized = {"num_trials": 10, "problem": replace(KINDS[kind]["problem"], epochs=5)} | SHORT.get(kind, {})
    small = {"executors": 3, "faults": STORM, "timeout": None, "lookahead": seed % 2}
    return drawn(kind, seed, **small, **sized, **fixed)


@pytest.mark.parametrize("ask_seconds", [0.0, 0.7])
def test_a_study_resumes_from_every_prefix_of_its_log(kind, ask_seconds):
    """A new driver on any prefix finishes the study, and keeps every suggestion that was recorded."""
    given = short(kind, 3, ask_seconds=ask_seconds)
    log = simulate(**given).log
    assert len(log) > 60
    for position in range(1, len(log) + 1):
        prefix = log[:position]
        resumed = simulate(**{**given, "faults": Faults()}, log=prefix)
        assert resumed.reason == "done", position
        assert repr(resumed.log[:position]) == repr(prefix), "what is written stays"
        assert all(trial.status.final for trial in resumed.study.trials.values()), position
        if kind in ("random", "grid", "median"):
            assert params(resumed.log) == params(log), f"the configurations are the same, resumed from {position}"


def params(log):
    return [event.params for event in log if isinstance(event, Suggested)]


@pytest.mark.parametrize("seed", range(6))
def test_every_recorded_suggestion_is_given_again(kind, seed):
    """Asked again at its recorded `seen` with its number, a fresh optimizer gives the same answer."""
    given = drawn(kind, seed, faults=replace(STORM, lag=2.0, restarts=2), timeout=None)
    log = simulate(**given).log
    suggested = [event for event in log if isinstance(event, Suggested)]
    assert len(suggested) >= 15
    for event in suggested:
        answer = replace(given["optimizer"]).ask(Study.of(log[: event.seen]), rng_for(seed, event.trial))
        assert answer == Suggestion(event.params, event.budget, event.parent, event.why), f"suggestion {event.trial}"


def test_with_one_executor_the_whole_study_is_the_same(kind):
    """One executor, nothing asked ahead: a study that was interrupted anywhere gets the same suggestions."""
    given = short(kind, 5) | {"executors": 1, "lookahead": 0, "ask_seconds": 0.0, "faults": Faults()}
    log = simulate(**given).log
    for position in range(1, len(log), 7):
        resumed = simulate(**given, log=log[:position]).log
        assert [(e.params, e.budget, e.parent) for e in resumed if isinstance(e, Suggested)] == [
            (e.params, e.budget, e.parent) for e in log if isinstance(e, Suggested)
        ]


def test_a_finished_study_resumes_to_the_same_end(kind):
    """There is nothing left to do: nothing is started, and the study closes again."""
    given = short(kind, 1) | {"faults": Faults()}
    log = simulate(**given).log
    again = simulate(**given, log=log).log[len(log) :]
    assert not [event for event in again if isinstance(event, (Started, Suggested))]
    assert isinstance(again[-1], StudyClosed)
