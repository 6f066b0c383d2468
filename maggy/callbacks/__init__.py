"""Callbacks that report to a study what a library's training loop measures, and end it when the trial is to stop.

    def train(lr, reporter):
        from maggy.callbacks import KerasEpochEnd
        model.fit(…, callbacks=[KerasEpochEnd(reporter, metric="val_accuracy")])

Each is loaded, with its library, when it is first used. A stop is `StopTrial`, raised by the callback through the
library's loop: no `Exception`, so nobody who catches those holds it up, and where it was caught all the same the next
report raises it again. A metric that there is not is an error that names those that there are.
"""

from maggy.lazy import looked_up

_HOMES = {
    "KerasBatchEnd": "maggy.callbacks.keras",
    "KerasEpochEnd": "maggy.callbacks.keras",
    "LightGBMIteration": "maggy.callbacks.boosting",
    "LightningEpochEnd": "maggy.callbacks.lightning",
    "XGBoostIteration": "maggy.callbacks.xgboost",
    "fit_epochs": "maggy.callbacks.loops",
    "fit_stages": "maggy.callbacks.loops",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    return looked_up(globals(), _HOMES, name, ": import it within the training function, where it is")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
