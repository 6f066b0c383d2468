"""What was found by running Maggy 1.1.2, by number: each fault has a test here, or one that `HELD` names.

What is a matter of speed (8, and the seconds of 7) is measured, by the benchmarks that are named.
"""

import ast
import contextlib
import os
import sys
from pathlib import Path

import cloudpickle
import pytest

from maggy import Asha, Float, Searchspace, Status, experiment
from maggy.optimizers import Gp, Hyperband
from maggy.testing.problems import Branin
from maggy.testing.simulation import simulate

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # as if this were a notebook
ROOT = Path(__file__).parent.parent.parent
SPACE = Searchspace(x=Float(0, 1))

HELD = {
    1: [  # plain Spark; an optimizer that is an instance
        "tests/spark/test_lagom_spark.py::test_code_of_maggy_1_runs_on_plain_spark",
        "tests/spark/test_spark_session.py::test_executors_need_no_maggy_of_their_own",
    ],
    2: [  # nothing is unpickled for strangers
        "tests/faults/test_attacks_door.py::test_a01_a_pickle_at_the_door_is_not_read",
        "tests/faults/test_attacks_door.py::test_a01_a_study_runs_where_nothing_can_be_unpickled",
    ],
    3: [  # one configuration that raises
        "tests/test_lagom.py::test_every_way_to_fail_is_one_failed_trial",
        "tests/test_ablation.py::test_maggys_fault_3_one_configuration_that_raises_ends_nothing",
    ],
    4: ["tests/test_ablation.py::test_maggys_fault_4_replicates_are_trials_of_their_own"],
    5: [  # a second lagom, after the first and beside it
        "tests/test_lagom.py::test_two_studies_side_by_side",
        "tests/spark/test_lagom_spark.py::test_studies_side_by_side_and_one_after_another",
    ],
    6: [  # ASHA: direction, its end, num_trials, promotion from a checkpoint, the number of rungs
        "tests/test_asha.py::test_the_best_third_goes_on",
        "tests/test_rungs.py::test_promotion_heeds_the_direction",
        "tests/test_asha.py::test_the_study_does_not_end_at_the_first_trial_on_the_top_rung",
        "tests/test_asha.py::test_a_study_from_end_to_end",
        "tests/test_lagom.py::test_asha_promotes_the_best_from_their_checkpoints",
        "tests/test_rungs.py::test_powers_have_their_number_of_levels",
    ],
    7: [  # GP: max, mixed spaces and the number of trials (the contract), the thread, what runs, what was stopped
        "tests/test_plugins_contracts.py::TestGp",
        "tests/test_lagom.py::test_a_slow_optimizer_does_not_slow_what_runs",
        "tests/test_gp.py::test_the_best_of_categories_is_found",
        "tests/test_gp.py::test_pending_trials_are_kept_away_from",
        "tests/test_gp.py::test_the_schedule_of_fits",
        "tests/test_observed.py::test_what_is_stopped_before_the_first_rung_is_measured_where_it_was",
        "benchmarks/ask_latency.py::main",
    ],
    8: [  # turnaround and stop latency; a loop that spins
        "benchmarks/turnaround.py::main",
        "tests/test_session.py::test_the_first_report_goes_at_once",
        "tests/test_scheduler.py::test_wait_for_what_was_seen_does_not_spin",
        "tests/test_scheduler.py::test_a_closed_study_wants_no_tick",
    ],
    9: [  # the metric's name
        "tests/test_lagom.py::test_a_function_takes_what_it_names_and_the_result_tells_all",
        "tests/compat/test_old_code.py::test_maggy_0_5",
        "tests/compat/test_old_code.py::test_maggy_1",
    ],
    10: [  # reports that are lost; the median rule counts steps, and stopped trials as far as they came
        "tests/test_session.py::test_a_burst_of_reports_fits_into_frames",
        "tests/test_median.py::test_the_median_rule",
        "tests/test_median.py::test_who_counts",
    ],
    11: [  # half-open clients
        "tests/faults/test_attacks_door.py::test_a09_whoever_says_nothing_is_turned_away",
        "tests/faults/test_reconnect.py::test_f17_a_peer_that_has_vanished_without_a_word",
    ],
    13: ["tests/test_study.py::test_best"],
    15: [  # `except Exception` around a report
        "tests/test_child.py::test_a_stop_is_raised_at_the_next_report",
        "tests/test_reporter.py::test_a_stop_that_was_caught_is_raised_again",
    ],
}


@pytest.fixture
def lagom(tmp_path):
    """Run a study with two local executors."""

    def run(train_fn, searchspace=SPACE, **options):
        places = {"store": tmp_path / "maggy.db", "log_dir": tmp_path / "logs"}
        how = {"launcher": "local", "num_executors": 2, "seed": 1, "quiet": True}
        return experiment.lagom(train_fn, searchspace, **places | how | options)

    return run


def named(path):
    """Return the names of the functions and classes at the top of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_every_fault_has_a_test():
    """Fifteen were found; what holds one elsewhere is there."""
    here = {
        int(name[11:13]) for name in named("tests/compat/test_faults_of_maggy.py") if name.startswith("test_fault_")
    }
    assert here | HELD.keys() == set(range(1, 16))
    held = [test.split("::") for tests in HELD.values() for test in tests]
    assert [(path, name) for path, name in held if name not in named(path)] == []


def test_fault_02_a_study_of_this_machine_listens_to_it_alone(lagom):
    """The driver's sockets are bound to the loopback interface, not to all addresses."""
    driver = os.getpid()

    def train(x):
        own = set()
        for each in Path(f"/proc/{driver}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                own.add(str(each.readlink()))
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        listening = [line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in own]
        return {"all": len(listening), "loopback": len([each for each in listening if each.startswith("0100007F:")])}

    metrics = lagom(train, num_trials=1, metric="all").best_trial.metrics
    assert metrics["all"] == metrics["loopback"] >= 1


def test_fault_04_equal_configurations_are_trials_of_their_own(lagom):
    """Of five draws from two values all five are run and kept."""
    result = lagom(lambda n, trial: trial, {"n": [1, 2]}, num_trials=5)
    assert [trial.value for trial in result.trials] == [1, 2, 3, 4, 5]
    assert len({tuple(trial.params.items()) for trial in result.trials}) < 5


def test_fault_06_num_trials_is_a_total(lagom):
    """So many configurations begin, however many of them go on."""
    result = lagom(lambda x, budget: x, optimizer=Asha(2, 1, 4), num_trials=8)
    assert result["num_trials"] == len([trial for trial in result.trials if trial.parent is None]) == 8
    assert len([trial for trial in result.trials if trial.parent is not None]) >= 4 + 2


def test_fault_07_a_gaussian_process_runs_as_many_as_were_asked_for(lagom):
    """Executors that ran beside the last trial got one too many each; here what is asked for ahead counts as well."""
    result = lagom(lambda x: -((x - 0.3) ** 2), optimizer=Gp(startup=4), num_trials=9, num_executors=3)
    assert (len(result.trials), result.study.counts[Status.COMPLETED]) == (9, 9)
    assert result.best_params["x"] == pytest.approx(0.3, abs=0.1)


def test_fault_10_every_report_arrives_and_stops_are_counted_once(lagom):
    """All 250, in their order, with their steps; early_stopped counts trials."""

    def train(n, reporter):
        for step in range(250):
            reporter.broadcast(n * step, step=2 * step)
        while n < 8:  # waits for its stop
            step += 1
            reporter.broadcast(-1.0, step=2 * step)
        return n

    result = lagom(train, {"n": [9, 8, 1, 2]}, optimizer="gridsearch", es_min=1, num_executors=1)
    for trial in result.trials[:2]:
        n = trial.params["n"]
        assert trial.curve.points() == [(2 * step, n * step) for step in range(250)]
    assert [trial.status for trial in result.trials[2:]] == [Status.STOPPED] * 2
    assert result["early_stopped"] == result.study.counts[Status.STOPPED]


@pytest.mark.parametrize("executors", [4, 9, 16, 27])
def test_fault_12_hyperbands_rungs_wait_for_nobody(executors):
    """In simulated time, with as many workers as left 17, 48, 70 and 82 % of Maggy's idle."""
    study = simulate(Hyperband(3, 1, 27), Branin(), num_trials=400, executors=executors)
    assert study.utilisation > 0.8


def test_fault_13_the_best_is_best_at_the_largest_budget(lagom):
    """A value that was reached with little budget is not compared with those of more."""
    result = lagom(lambda x, budget: x / budget, optimizer=Asha(2, 1, 4), num_trials=8)
    assert result.best_trial.budget == 4
    assert result["best_val"] < max(result["metric_list"])
    assert result["worst_val"] <= result["best_val"]


@pytest.mark.parametrize("callback", ["KerasBatchEnd", "KerasEpochEnd"])
def test_fault_14_a_metric_that_is_not_there_is_an_error(callback):
    """A misspelt name reported 0; it names those that there are."""
    pytest.importorskip("keras", reason="Keras is not installed")
    callbacks = pytest.importorskip("maggy.callbacks")
    reports = []

    class Reporter:
        def broadcast(self, metric, step=None):
            reports.append(metric)

    made = getattr(callbacks, callback)(Reporter(), metric="val_acuracy")
    end = made.on_train_batch_end if callback == "KerasBatchEnd" else made.on_epoch_end
    with pytest.raises(Exception, match="val_acuracy"):
        end(0, {"val_accuracy": 0.5})
    assert reports == []


def test_fault_15_an_except_exception_around_all_swallows_no_stop(lagom):
    """Nor does a callback's: the stop is no Exception, and comes again with the next report."""

    def train(n, reporter):
        while n < 1:
            with contextlib.suppress(Exception):
                reporter.broadcast(n)
        reporter.broadcast(n)
        return n

    result = lagom(train, {"n": [1, 0]}, optimizer="gridsearch", es_min=1, num_executors=1)
    assert [trial.status for trial in result.trials] == [Status.COMPLETED, Status.STOPPED]
