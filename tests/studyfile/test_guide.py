"""What stands between an optimizer and a study: replicates, repetitions, and each trial's work."""

from random import Random

import pytest

from maggy import DONE, WAIT, Float, GridSearch, Integer, RandomSearch, Searchspace
from maggy.events import Ended, Lost, Requeued, Started, StudyOpened, StudyResumed, Suggested
from maggy.optimizers import Gp
from maggy.optimizers.base import rng_for
from maggy.study import Study
from maggy.studyfile.guide import Guided, aggregated
from maggy.testing.logcheck import check_log
from maggy.trial import AGAIN, Status

SPACE = Searchspace(x=Integer(1, 3))


def work(values, run, replicate):
    return {"script": f"{run} {dict(values)} {replicate}"}


class Played:
    """A study that is played out, one trial after the other."""

    def __init__(self, num_trials, space=SPACE):
        settings = {
            "name": "s",
            "searchspace": space.to_dict(),
            "num_trials": num_trials,
            "direction": "min",
            "seed": 1,
        }
        self.log = [StudyOpened(0.0, settings)]

    @property
    def study(self):
        return check_log(self.log)

    def asked(self, optimizer):
        study = self.study
        answer = optimizer.ask(study, rng_for(1, study.next_id))
        if answer not in (WAIT, DONE):
            more = answer.group, answer.replicate, answer.work
            event = Suggested(0.0, study.next_id, answer.params, None, None, study.position, None, answer.why, *more)
            self.log += [event, Started(0.0, study.next_id, 1, "executor")]
        return answer

    def ended(self, value, status="completed"):
        self.log.append(Ended(0.0, self.study.next_id - 1, 1, status, value, {}))

    def trials(self):
        return [(trial.params["x"], trial.group, trial.replicate) for trial in self.study.trials.values()]


def test_d11_each_configuration_is_tried_so_often():
    """One replicate after the other, in a group that is called after its first trial."""
    played = Played(6)
    guided = Guided(GridSearch(), work, replicates=2)
    while played.asked(guided) is not DONE:
        played.ended(1.0)
    assert played.trials() == [(1, 1, 0), (1, 1, 1), (2, 3, 0), (2, 3, 1), (3, 5, 0), (3, 5, 1)]
    assert played.study.trials[4].work == {"script": "s:4 {'x': 2} 1"}


def test_an_optimizer_sees_groups_and_their_means():
    """Complete once all replicates are, failed where one has, running until then."""
    played = Played(8)
    guided = Guided(GridSearch(), work, replicates=2)
    for value, status in (
        (1.0, "completed"),
        (3.0, "completed"),
        (1.0, "completed"),
        (None, "failed"),
        (1.0, "completed"),
    ):
        played.asked(guided)
        played.ended(value, status)
    seen = aggregated(played.study, 2)
    assert [(trial.status, trial.value) for trial in seen.trials.values()] == [
        (Status.COMPLETED, 2.0),
        (Status.FAILED, None),
        (Status.RUNNING, None),
    ]
    assert (seen.num_trials, seen.remaining) == (4, 1)


def test_without_replicates_it_sees_the_study_itself():
    """Nothing is folded again."""
    played = Played(3)
    played.asked(Guided(GridSearch(), work))
    study = played.study
    assert aggregated(study, 0) is study
    assert played.trials() == [(1, None, None)]


def test_d23_repetitions_are_not_the_optimizers():
    """They come instead of what it would suggest, and it does not count them."""
    played = Played(3)
    for _ in range(2):
        played.asked(Guided(GridSearch(), work))
        played.ended(1.0)
    again = Guided(GridSearch(), work, again=(2, 1))
    played.log[0].settings["num_trials"] = 4
    assert played.asked(again).why == f"{AGAIN}2"
    played.ended(1.0)
    assert played.asked(again).params == {"x": 1}
    played.ended(1.0)
    assert played.asked(again) is DONE
    played.log[0].settings["num_trials"] = 6
    assert played.asked(Guided(GridSearch(), work, again=(1,))).why == f"{AGAIN}1"  # as often as one likes
    assert played.asked(Guided(GridSearch(), work)).params == {"x": 3}


def test_d23_a_replicate_that_is_repeated_is_its_groups_and_no_beginning():
    """Of its configuration no further replicates are tried for that, and those that are missing come in their turn."""
    played = Played(6)
    for _ in range(3):
        played.asked(Guided(GridSearch(), work, replicates=2))
        played.ended(1.0)
    played.log[0].settings["num_trials"] = 4
    again = played.asked(Guided(GridSearch(), work, replicates=2, again=(1,)))
    assert (again.group, again.replicate, again.params) == (1, 0, {"x": 1})
    played.ended(1.0)
    played.log[0].settings["num_trials"] = 7
    missing = played.asked(Guided(GridSearch(), work, replicates=2))
    assert (missing.group, missing.replicate, missing.params) == (3, 1, {"x": 2})
    played.ended(1.0)
    assert played.asked(Guided(GridSearch(), work, replicates=2)).replicate == 0


def test_nothing_is_suggested_while_it_is_held():
    """What runs may end."""
    assert Played(3).asked(Guided(GridSearch(), work, held=lambda: True)) is WAIT


@pytest.mark.parametrize("optimizer", [RandomSearch(), Gp(startup=2)])
def test_an_answer_depends_on_the_study_alone(optimizer):
    """Asked again at the same position it is the same, also by another instance."""
    played = Played(20, Searchspace(x=Float(0, 1)))
    for number in range(9):
        first = Guided(optimizer, work, replicates=2).ask(played.study, rng_for(1, played.study.next_id))
        assert played.asked(Guided(optimizer, work, replicates=2)).params == pytest.approx(first.params)
        played.ended((played.study.trials[number + 1].params["x"] - 0.3) ** 2)


def test_d12_a_failed_trial_that_is_queued_again_begins_anew():
    """Under its number, at the next attempt, with all its chances; only one that has failed is."""
    played = Played(2)
    played.asked(Guided(GridSearch(), work))
    played.log += [
        Lost(0.0, 1, 1, "why"),
        Started(0.0, 1, 2, "other"),
        Ended(1.0, 1, 2, "failed", None, {}, None, "no"),
    ]
    played.log += [StudyResumed(2.0, {}), Requeued(2.0, 1)]
    [trial] = played.study.trials.values()
    assert (trial.status, trial.attempt, trial.lost, trial.error, trial.ended) == (Status.QUEUED, 3, 0, None, None)
    assert list(played.study.queued) == [1]
    assert played.study.counts[Status.FAILED] == 0
    with pytest.raises(AssertionError, match="has not failed"):
        check_log([*played.log, Requeued(3.0, 1)])


def test_random_numbers_are_the_asks():
    """Two seeds, two answers."""
    played = Played(5, Searchspace(x=Float(0, 1)))
    guided = Guided(RandomSearch(), work)
    assert guided.ask(played.study, Random(1)) != guided.ask(played.study, Random(2))
    assert isinstance(played.study, Study)
