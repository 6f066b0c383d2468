"""maggy: asynchronous hyperparameter optimization and ablation studies on Apache Spark.

    from maggy import Searchspace, Float, Integer, Categorical, experiment

    result = experiment.lagom(train_fn, searchspace, optimizer="asha")

Names are looked up when they are first used (PEP 562), so importing maggy is light, on executors above all.
"""

from maggy.lazy import looked_up

_HOMES = {
    "experiment": "maggy.experiment",
    "Searchspace": "maggy.searchspace",
    "Float": "maggy.domains",
    "Integer": "maggy.domains",
    "Categorical": "maggy.domains",
    "Ordinal": "maggy.domains",
    "Command": "maggy.command",
    "Result": "maggy.result",
    "Suggestion": "maggy.trial",
    "Trial": "maggy.trial",
    "Status": "maggy.trial",
    "WAIT": "maggy.trial",
    "DONE": "maggy.trial",
    "AblationStudy": "maggy.ablation",
    "Asha": "maggy.optimizers",
    "RandomSearch": "maggy.optimizers",
    "GridSearch": "maggy.optimizers",
    "Hyperband": "maggy.optimizers",
    "Extrapolation": "maggy.earlystop",
    "Median": "maggy.earlystop",
    "NoProgress": "maggy.earlystop",
    "Percentile": "maggy.earlystop",
    "Threshold": "maggy.earlystop",
    "MaggyError": "maggy.errors",
    "CheckpointError": "maggy.errors",
    "ConfigError": "maggy.errors",
    "LauncherError": "maggy.errors",
    "StoreError": "maggy.errors",
    "StudyFailed": "maggy.errors",
    "StopTrial": "maggy.errors",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    return looked_up(globals(), _HOMES, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
