"""Code that was written for Hyperopt, Optuna or Ray Tune, with a changed import.

    from maggy.migrate.hyperopt import SparkTrials, fmin, hp, tpe
    from maggy.migrate import optuna
    from maggy.migrate import tune

What these modules do not have themselves they take from the library, so `hp`, `optuna.samplers` and `tune.uniform` are
the real ones, where it is installed. Executors need it only if the objective does.
"""

from maggy.lazy import looked_up

_HOMES = {
    "hyperopt": "maggy.migrate.hyperopt",
    "optuna": "maggy.migrate.optuna",
    "tune": "maggy.migrate.tune",
    "fmin": "maggy.migrate.hyperopt",
    "SparkTrials": "maggy.migrate.hyperopt",
    "create_study": "maggy.migrate.optuna",
    "TrialPruned": "maggy.migrate.optuna",
    "TuneConfig": "maggy.migrate.tune",
    "Tuner": "maggy.migrate.tune",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    return looked_up(globals(), _HOMES, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
