"""MLflow: runs in a real store, and one that is not there."""

import math
import socket
import sys
import types

import pytest

from maggy import Float, Searchspace, experiment
from maggy.errors import ConfigError
from maggy.events import Drawn, Ended, Lost, Reported, Started, StudyClosed, Suggested
from maggy.views import mlflow as view
from maggy.views.mlflow import MLflow

AT = 1_700_000_000.0
quietly = pytest.mark.filterwarnings("ignore")  # what MLflow and SQLAlchemy's migrations advise


@pytest.fixture
def client(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed: pip install 'maggy[mlflow]'")
    pytest.importorskip("alembic", reason="alembic is not installed: MLflow's SQLite store needs it")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    return mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")


@pytest.fixture
def files(client, tmp_path, monkeypatch):
    """Return a client of a store in files, which keeps what it is sent twice."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return type(client)(tracking_uri=(tmp_path / "runs").as_uri())


def written(client, files, *events, began=AT, **options):
    sink = MLflow(client.tracking_uri, "digits", began, files, **options)
    sink.recorded(list(events))
    sink.close(60)
    return sink


def runs(client, name="digits"):
    experiment_id = client.get_experiment_by_name(name).experiment_id
    found = client.search_runs([experiment_id])
    return {(int(run.data.tags["maggy.trial"]), int(run.data.tags["maggy.attempt"])): run for run in found}


def history(client, run, metric="acc"):
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, metric)]


BEGUN = (Suggested(AT, 1, {"lr": 0.1, "act": "relu"}, 9.0, None, 1), Started(AT + 1, 1, 1, "e"))
POINTS = tuple(Reported(AT + 2 + step, 1, 1, step, {"acc": step / 10}) for step in range(3))
ENDED = Ended(AT + 9, 1, 1, "completed", 0.7, {"acc": 0.7})


@quietly
def test_a_trial_is_a_run(client, tmp_path):
    """Its parameters, its curve, its end, and the times at which they were recorded."""
    sink = written(client, tmp_path, *BEGUN, *POINTS, ENDED)
    assert sink.trouble is None
    assert sink.complete() == 6
    [run] = runs(client).values()
    assert run.info.run_name == "digits:1"
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", (AT + 1) * 1000, (AT + 9) * 1000)
    assert run.data.params == {"lr": "0.1", "act": "relu", "budget": "9.0"}
    assert history(client, run) == [(0, 0.0), (1, 0.1), (2, 0.2), (2, 0.7)]
    assert run.data.tags["maggy.status"] == "completed"


@quietly
def test_an_attempt_that_is_lost_is_a_run_of_its_own(client, tmp_path):
    """Its curve does not mix with the next one's; late words of it are nobody's."""
    lost = Lost(AT + 5, 1, 1, "the executor is gone")
    late = Reported(AT + 7, 1, 1, 2, {"acc": 0.9})
    again = (Started(AT + 6, 1, 2, "f"), late, Reported(AT + 8, 1, 2, 0, {"acc": 0.5}))
    failed = Ended(AT + 9, 1, 2, "failed", None, {}, None, "Traceback\nValueError: no")
    written(client, tmp_path, *BEGUN, POINTS[0], lost, *again, failed)
    found = runs(client)
    assert (found[1, 1].info.status, found[1, 2].info.status) == ("KILLED", "FAILED")
    assert found[1, 1].data.tags["maggy.lost"] == "the executor is gone"
    assert found[1, 2].data.tags["maggy.why"] == "ValueError: no"
    assert history(client, found[1, 2]) == [(0, 0.5)]


@quietly
@pytest.mark.parametrize("store", ["client", "files"])
def test_f41_a_resumed_study_has_no_doubles(store, request):
    """What is shown again, since it is not known how far MLflow was told, is there once; runs that ended stay so."""
    client = request.getfixturevalue(store)
    written(client, None, *BEGUN, *POINTS)
    written(client, None, *BEGUN, *POINTS, ENDED)
    written(client, None, *BEGUN, *POINTS, ENDED)
    [run] = runs(client).values()
    assert history(client, run) == [(0, 0.0), (1, 0.1), (2, 0.2), (2, 0.7)]
    assert run.info.status == "FINISHED"


@quietly
@pytest.mark.parametrize("store", ["client", "files"])
def test_f41_a_quick_end_is_not_taken_for_the_last_report(store, request):
    """Both may be of one millisecond; where the first is known, the value at the end is logged all the same."""
    client = request.getfixturevalue(store)
    odd = tuple(Reported(AT + 4, 1, 1, 2 + n, {"acc": value}) for n, value in enumerate((math.inf, math.nan, 0.2)))
    written(client, None, *BEGUN, *odd)
    written(client, None, *BEGUN, *odd, Ended(AT + 4, 1, 1, "completed", 0.7, {"acc": 0.7}))
    [run] = runs(client).values()
    assert [step for step, _ in history(client, run)] == [2, 3, 4, 4]
    assert history(client, run)[2:] == [(4, 0.2), (4, 0.7)]


@quietly
def test_a_study_of_the_same_name_is_another(client):
    """One that began at another time: its trials have runs of their own."""
    written(client, None, *BEGUN, ENDED)
    written(client, None, *BEGUN, ENDED, began=AT + 99)
    experiment_id = client.get_experiment_by_name("digits").experiment_id
    assert len(client.search_runs([experiment_id])) == 2


@quietly
def test_parameters_that_a_trial_has_named_come_with_its_end(client):
    """Since MLflow forgets none; and what still runs when the study is let go has been killed."""
    drawn = Drawn(AT + 1, 1, 1, {"lr": 0.1}, {})
    second = (Suggested(AT, 2, {}, None, None, 1), Started(AT, 2, 1, "e"), StudyClosed(AT + 9, "interrupted"))
    written(client, None, *BEGUN, drawn, ENDED, *second, late=True)
    found = runs(client)
    assert found[1, 1].data.params == {"lr": "0.1", "budget": "9.0"}
    assert found[2, 1].info.status == "KILLED"


@quietly
def test_names_and_values_are_what_mlflow_takes(client):
    """Any name, long values, what is not finite, more points than fit a request."""
    odd = {"a/b: c": 1.0, "nan": float("nan"), "up": float("inf")}
    many = [Reported(AT + 2, 1, 1, step, {"acc": 0.1}) for step in range(2500)]
    long = Suggested(AT, 1, {"text": "x" * 9000}, None, None, 1)
    sink = written(client, None, long, BEGUN[1], Reported(AT + 2, 1, 1, 0, odd), *many)
    assert sink.trouble is None
    [run] = runs(client).values()
    assert set(run.data.metrics) == {"a_b_ c", "nan", "up", "acc"}
    assert len(history(client, run)) == 2500
    assert len(run.data.params["text"]) == view.LONGEST


@quietly
def test_a_study_is_logged_as_it_runs(client, tmp_path):
    """From end to end: a run for each trial, and again none twice after a resume."""
    options = {"launcher": "local", "num_executors": 2, "store": tmp_path / "maggy.db", "log_dir": tmp_path / "logs"}
    options |= {"quiet": True, "name": "digits", "mlflow": client.tracking_uri, "earlystop": None}

    def train(x, reporter):
        for step in range(3):
            reporter.broadcast(x + step, step)

    experiment.lagom(train, Searchspace(x=Float(0, 1)), num_trials=3, **options)
    experiment.lagom(train, Searchspace(x=Float(0, 1)), num_trials=5, resume=True, **options)
    found = runs(client)
    assert sorted(found) == [(number, 1) for number in range(1, 6)]
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    assert all([step for step, _ in history(client, run, "metric")] == [0, 1, 2] for run in found.values())


# -- where there is no server ------------------------------------------------------------------------------------------


@pytest.fixture
def nobody():
    """Return an address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://user:secret@127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def library(monkeypatch):
    """Put something in MLflow's place, which is not asked for anything."""
    if "mlflow" not in sys.modules:
        stub = types.ModuleType("mlflow")
        stub.__spec__ = types.SimpleNamespace(name="mlflow")
        monkeypatch.setitem(sys.modules, "mlflow", stub)


def test_f41_a_server_that_is_not_there_costs_no_trial(nobody, library, tmp_path, capsys):
    """The study runs as it would; that is said once, with the address and without the password."""
    options = {"launcher": "local", "num_executors": 1, "store": tmp_path / "maggy.db", "log_dir": None}
    result = experiment.lagom(lambda x: x, Searchspace(x=Float(0, 1)), num_trials=4, mlflow=nobody, **options)
    assert [str(trial.status) for trial in result.trials] == ["completed"] * 4
    said = capsys.readouterr()
    told = " ".join((said.out + said.err).split())
    assert told.count("are not up to date") == 1
    assert "the runs in MLflow at http://127.0.0.1" in told
    assert "the study goes on" in told
    assert "secret" not in told


@quietly
def test_what_could_not_be_sent_is_sent_when_the_server_is_back(client, monkeypatch):
    """Nothing is lost, nothing is double, and there is no trouble any more."""
    knocks = iter([OSError("refused"), OSError("refused"), None, None, None])

    def knock(_):
        if error := next(knocks):
            raise error

    monkeypatch.setattr(view.Runs, "_knock", knock)
    sink = MLflow(client.tracking_uri, "digits", AT, None)
    runs_of = sink.opened()
    for event in BEGUN:
        runs_of.take(event)
    assert not runs_of.flush()
    assert "are not up to date: refused; the study goes on" in sink.trouble
    runs_of.take(POINTS[0])
    assert not runs_of.flush()
    runs_of.take(ENDED)
    assert runs_of.flush()
    assert sink.trouble is None
    [run] = runs(client).values()
    assert history(client, run) == [(0, 0.0), (0, 0.7)]
    sink.close(60)


@pytest.mark.parametrize(("given", "why"), [("", "must be the URI of a tracking server"), (3, "must be the URI")])
def test_what_is_no_address_is_refused(given, why):
    """Before anything starts."""
    with pytest.raises(ConfigError, match=why):
        experiment.lagom(lambda: 1.0, mlflow=given)


def test_a_missing_library_is_named(monkeypatch):
    """With what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs MLflow, which is missing: pip install 'maggy\[mlflow\]'"):
        experiment.lagom(lambda: 1.0, mlflow=True)
