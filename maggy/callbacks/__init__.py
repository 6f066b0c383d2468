"""Callbacks that report to a study what a library's training loop measures, and end it when the trial is to stop.

    def train(lr, reporter):
        from maggy.callbacks import KerasEpochEnd
        model.fit(…, callbacks=[KerasEpochEnd(reporter, metric="val_accuracy")])

Each is loaded, with its library, when it is first used. A stop is `StopTrial`, raised by the callback through the
library's loop: no `Exception`, so nobody who catches those holds it up, and where it was caught all the same the next
report raises it again. A metric that there is not is an error that names those that there are.
"""

from importlib import import_module

_HOMES = {
    "KerasBatchEnd": "keras",
    "KerasEpochEnd": "keras",
    "LightGBMIteration": "boosting",
    "LightningEpochEnd": "lightning",
    "XGBoostIteration": "xgboost",
    "fit_epochs": "loops",
    "fit_stages": "loops",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'maggy.callbacks' has no attribute {name!r}; it has {', '.join(_HOMES)}")
    try:
        found = getattr(import_module(f"maggy.callbacks.{home}"), name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"maggy.callbacks.{name} needs {error.name}, which is not installed here: import it within the training "
            "function, where it is",
            name=error.name,
        ) from None
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
