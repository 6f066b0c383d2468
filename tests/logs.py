"""Legal logs, drawn by hypothesis: what a scheduler could have recorded, in any order of things."""

from hypothesis import strategies as st

from maggy import events
from maggy.optimizers.rungs import RANDOM
from maggy.study import Study
from maggy.trial import Status

VALUES = st.sampled_from([0.0, 0.25, 0.5, 0.75, -1.0, float("nan"), float("inf"), float("-inf")])
BUDGETS = st.sampled_from([1, 3, 9, None])


@st.composite
def logs(draw, max_size=40):
    """Draw a log of up to `max_size` events, None for one of an unknown kind among them."""
    study = Study()
    log = []

    def record(event):
        study.apply(event)
        log.append(event)

    settings = {"direction": draw(st.sampled_from(["max", "min"])), "num_trials": draw(st.sampled_from([None, 5]))}
    record(events.StudyOpened(0.0, {"searchspace": {"x": {"type": "integer", "low": 0, "high": 3}}, **settings}))
    for _ in range(draw(st.integers(0, max_size - 1))):
        record(_next(draw, study))
    return log


def _next(draw, study):
    at = float(study.position)
    if study.closed:
        return events.StudyResumed(at, {"num_trials": 9})
    kinds = ["suggest"] + ["start"] * 2 * bool(study.queued) + ["report"] * 6 * bool(study.running)
    kinds += ["end", "lose", "stop"] * bool(study.running) + ["unknown"] + ["close"] * (not study.running)
    kind = draw(st.sampled_from(kinds))
    if kind == "unknown":
        return None
    if kind == "close":
        return events.StudyClosed(at, "done")
    if kind == "suggest":
        parents = [trial.id for trial in study.trials.values() if trial.usable]
        parent = draw(st.sampled_from([None, *parents]))
        if parent is None and not study.remaining:
            return None
        params, why = {"x": draw(st.integers(0, 3))}, draw(st.sampled_from([None, RANDOM]))
        return events.Suggested(at, study.next_id, params, draw(BUDGETS), parent, 1, why=why)
    if kind == "start":
        trial = study.trials[study.queued[0]]
        return events.Started(at, trial.id, trial.attempt, f"executor-{trial.id}")
    trial = study.running[draw(st.sampled_from(sorted(study.running)))]
    if kind == "report":
        return events.Reported(at, trial.id, trial.attempt, draw(st.integers(0, 9)), {"metric": draw(VALUES)})
    if kind == "lose":
        return events.Lost(at, trial.id, trial.attempt, "gone", counts=draw(st.booleans()))
    if kind == "stop" and trial.stop_reason is None:
        return events.StopRequested(at, trial.id, trial.attempt, "bad")
    status = draw(st.sampled_from([Status.COMPLETED] * 3 + [Status.STOPPED, Status.FAILED]))
    value = draw(st.none() | VALUES)
    return events.Ended(at, trial.id, trial.attempt, status.value, value, {} if value is None else {"metric": value})
