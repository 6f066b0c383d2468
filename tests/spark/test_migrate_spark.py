"""Objectives of other libraries on Spark: executors have maggy, and what the objective itself needs: here, nothing."""

import pytest

from maggy.migrate import optuna

pytestmark = pytest.mark.spark


def test_an_objective_of_optunas_runs_on_spark(spark, tmp_path):
    """It names its parameters there, and is pruned there."""

    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        trial.report(x, 0)
        if x > 0.9:
            raise optuna.TrialPruned
        return x

    study = optuna.create_study(direction="minimize", study_name="pruned", storage=str(tmp_path / "maggy.db"))
    study.optimize(objective, n_trials=8, seed=1, log_dir=tmp_path, quiet=True)
    assert len(study.trials) == 8
    assert {str(trial.status) for trial in study.trials} <= {"completed", "stopped"}
    assert all(trial.params.keys() == {"x"} for trial in study.trials)
    assert study.best_value == min(trial.value for trial in study.trials if trial.usable)
