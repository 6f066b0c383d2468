"""Code that was written for Hyperopt, Optuna or Ray Tune, with a changed import.

    from maggy.migrate.hyperopt import SparkTrials, fmin, hp, tpe
    from maggy.migrate import optuna
    from maggy.migrate import tune

What these modules do not have themselves they take from the library, so `hp`, `optuna.samplers` and `tune.uniform` are
the real ones, where it is installed. Executors need it only if the objective does.
"""

from importlib import import_module

_HOMES = {
    "hyperopt": "",
    "optuna": "",
    "tune": "",
    "fmin": "hyperopt",
    "SparkTrials": "hyperopt",
    "create_study": "optuna",
    "TrialPruned": "optuna",
    "TuneConfig": "tune",
    "Tuner": "tune",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'maggy.migrate' has no attribute {name!r}")
    found = getattr(import_module(f"maggy.migrate.{home}"), name) if home else import_module(f"maggy.migrate.{name}")
    globals()[name] = found
    return found
