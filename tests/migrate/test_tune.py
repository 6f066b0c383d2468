"""Objectives of Ray Tune: its spaces, its `Tuner`, and what is reported to it."""

from pathlib import Path
from random import Random

import pytest

from maggy import Asha, Median, experiment
from maggy.errors import ConfigError
from maggy.migrate import tune, tunespace

# Ray is 80 MB and more with what it needs, so it is in no extra: these run where somebody has installed it.
ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'ray[tune]'")
theirs = pytest.importorskip("ray.tune", reason="ray is without tune: pip install 'ray[tune]'")

SPACE = {
    "lr": theirs.loguniform(1e-4, 1e-1),
    "momentum": theirs.quniform(0.2, 0.8, 0.2),
    "model": {
        "layers": theirs.randint(1, 5),
        "width": theirs.qrandint(8, 64, 8),
        "act": theirs.choice(["relu", "tanh"]),
    },
    "batch": theirs.lograndint(1, 257),
    "noise": theirs.randn(10, 2),
    "rounded": theirs.qrandn(10, 2, 0.5),
    "head": theirs.choice([{"kind": "a", "p": theirs.uniform(0, 1)}, {"kind": "b", "p": theirs.uniform(5, 6)}]),
    "epochs": 3,
}


@pytest.fixture
def places(tmp_path):
    return {"launcher": "local", "num_executors": 2, "store": tmp_path / "maggy.db", "log_dir": None, "quiet": True}


@pytest.mark.parametrize("number", range(10))
def test_an_objective_is_given_what_ray_gives_it(number):
    """The same names at the same places, each within what Ray would draw."""
    space = tunespace.read(SPACE)
    config = space.form.fill(space.searchspace.sample(Random(number)))
    assert config.keys() == SPACE.keys()
    for name in ("lr", "batch", "noise"):
        assert SPACE[name].is_valid(config[name]), name
    assert config["model"]["layers"] in (1, 2, 3, 4)
    assert config["model"]["width"] in range(8, 65, 8)
    assert config["momentum"] == pytest.approx(0.2 * round(config["momentum"] / 0.2))
    assert config["rounded"] * 2 % 1 == 0
    assert config["head"]["p"] <= 1 if config["head"]["kind"] == "a" else config["head"]["p"] >= 5
    assert config["epochs"] == 3


def train(config):
    for epoch in range(config["epochs"]):
        theirs.report({"loss": config["lr"] / (epoch + 1), "name": "text"})


def ours(config):
    from ray import tune as inside

    inside.report({"loss": config["lr"]})


@pytest.mark.parametrize("objective", [train, ours])
def test_a_tuner_runs_unchanged(objective, places):
    """Reports to Ray's own `report`, at the top of a module or within, are reports here."""
    config = tune.TuneConfig(metric="loss", mode="min", num_samples=4)
    grid = tune.Tuner(objective, param_space=SPACE, tune_config=config).fit(**places)
    assert len(grid) == 4
    best = grid.get_best_result()
    assert best.metrics["loss"] == min(each.metrics["loss"] for each in grid)
    assert best.config["epochs"] == 3
    assert [step for step, _ in best.trial.curve.points()] == ([1, 2, 3] if objective is train else [1])


def test_what_is_read_of_a_grid_afterwards(places):
    """What users of `Tuner.fit` and of `tune.run` type when a study has ended; what maggy has not says so."""

    def objective(config):
        for step in range(2):
            theirs.report({"loss": config["x"] + step, "other": 1.0})
        if config["x"] == 1:
            raise ValueError("bad luck")

    space = {"x": theirs.grid_search([3, 2, 1])}
    found = tune.run(objective, config=space, metric="loss", mode="min", verbose=0, resources_per_trial={}, **places)
    assert found.best_config == found.get_best_config("loss", "min") == {"x": 2}
    assert found.best_result == {"loss": 3.0, "other": 1.0, "config": {"x": 2}}
    assert found.best_trial.last_result["loss"] == found.get_best_trial("loss").metrics["loss"] == 3.0
    assert (found.num_errors, found.num_terminated, len(found.trials)) == (1, 2, 3)
    assert "bad luck" in found.errors[0]
    assert {found[at].config["x"] for at in range(3)} == {1, 2, 3}
    assert list(found.best_trial.metrics_dataframe["value"]) == [2.0, 3.0]
    assert len(found.results_df) == len(found.dataframe()) == 3
    with pytest.raises(ConfigError, match="scope='avg' is not maggy's"):
        found.get_best_config(scope="avg")
    with pytest.raises(AttributeError, match=r"no 'checkpoint' here.*result\.checkpoint"):
        print(found.best_trial.checkpoint)
    with pytest.raises(ConfigError, match="is not maggy's"):
        tune.run(objective, config=space, metric="loss", mode="min", stop={"training_iteration": 3}, **places)


def test_a_grid_is_gone_through(places):
    """What is listed is tried once, where nothing is drawn; else it is a choice, and there are as many trials."""
    grid = {"a": theirs.grid_search([1, 2, 3]), "b": theirs.grid_search(["x", "y"])}
    found = tune.run(lambda config: {"loss": config["a"]}, config=grid, metric="loss", mode="max", **places)
    assert sorted((each.config["a"], each.config["b"]) for each in found) == [(a, b) for a in (1, 2, 3) for b in "xy"]
    mixed = {"a": theirs.grid_search([1, 2, 3]), "c": theirs.uniform(0, 1)}
    options = {"metric": "loss", "mode": "max", "num_samples": 2, **places}
    assert len(tune.run(lambda config: {"loss": config["a"]}, config=mixed, **options)) == 6


def test_an_objective_is_known_by_its_space(places):
    """`lagom` with a space of Ray's needs to be told which way is better."""
    result = experiment.lagom(train, SPACE, direction="min", metric="loss", num_trials=2, **places)
    assert len(result.trials) == 2
    with pytest.raises(ConfigError, match="direction='min' or 'max': Ray Tune's spaces"):
        experiment.lagom(train, SPACE, metric="loss", **places)


def test_a_checkpoint_is_kept(places, tmp_path):
    """Ray's checkpoints are directories, and maggy's may be."""

    def keeping(config):
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / "weights").write_text("w")
        assert theirs.get_checkpoint() is None
        theirs.report({"loss": 1.0}, checkpoint=theirs.Checkpoint.from_directory(str(tmp_path / "model")))

    places["log_dir"] = tmp_path / "logs"
    found = tune.run(keeping, config={"x": theirs.uniform(0, 1)}, metric="loss", mode="min", **places)
    assert (Path(found.result.checkpoint()) / "weights").read_text() == "w"


def test_schedulers_and_searches_have_counterparts():
    """As far as maggy has them."""
    asha = theirs.schedulers.ASHAScheduler(max_t=27, grace_period=3, reduction_factor=3)
    assert tune._how(None, asha) == (Asha(3, 3, 27, mode="stopping"), None)
    median = theirs.schedulers.MedianStoppingRule(min_samples_required=4)
    hyperband = theirs.schedulers.HyperBandScheduler(max_t=27, reduction_factor=3)
    assert tune._how("tpe", hyperband) == (Asha(3, 1, 27, searcher="tpe", mode="stopping"), None)
    assert tune._how("tpe", median) == ("tpe", Median(4))
    assert tune._how(None, None) == ("randomsearch", None)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"tune_config": tune.TuneConfig()}, "say what is optimized"),
        ({"run_config": tune.RunConfig(stop={"training_iteration": 3})}, r"RunConfig\(stop=…\) is not maggy's"),
        ({"param_space": {"x": theirs.sample_from(lambda _: 1)}}, "'x' is computed by a function"),
        (
            {
                "tune_config": tune.TuneConfig(
                    "loss",
                    "min",
                    scheduler=theirs.schedulers.PopulationBasedTraining(hyperparam_mutations={"lr": [1, 2]}),
                )
            },
            "PopulationBasedTraining has no counterpart",
        ),
    ],
)
def test_what_maggy_has_not_is_refused(given, why):
    """Before anything starts."""
    usual = {"param_space": {"x": theirs.uniform(0, 1)}, "tune_config": tune.TuneConfig("loss", "min")}
    with pytest.raises(ConfigError, match=why):
        tune.Tuner(train, **usual | given).fit()
