"""The training function of an ablation: given what is left over, in the trial's own process."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from maggy import trainfn
from maggy.ablation.study import BASE, DATA, MODEL, VARIANT, AblationStudy
from maggy.effects import SEED


class Ablated:
    """Calls a training function with the data and the model that an ablation's configuration leaves.

    The function takes, as far as it names them: `dataset` and `model`, or the functions that return them anew at each
    call, `dataset_function` and `model_function`; each component; `seed`; and what any training function may take.
    """

    def __init__(self, train_fn: trainfn.TrainFn, study: AblationStudy) -> None:
        self.train_fn = train_fn
        self.study = study.local()
        self.__name__ = getattr(train_fn, "__name__", "train_fn")

    def __call__(
        self, hparams: Mapping[str, Any], reporter: Any = None, budget: Any = None, trial: Any = None, **constants: Any
    ) -> Any:
        """Run one trial."""
        study, seed = self.study, hparams[SEED]
        taken = trainfn.parameters(self.train_fn)
        gone = study.left_out(hparams)
        begin_random_numbers(seed)
        functions = {
            DATA[1]: partial(study.data_without, gone, seed),
            MODEL[1]: partial(study.model_without, gone, hparams.get(VARIANT, BASE), seed),
        }
        provided = {"reporter": reporter, "budget": budget, "trial": trial, SEED: seed, **constants, **functions}
        wanted, open_ended = taken
        for (name, function), there in (
            ((DATA[0], functions[DATA[1]]), study.dataset is not None),
            ((MODEL[0], functions[MODEL[1]]), study.model.base is not None),
        ):
            if there and (name in wanted or open_ended):
                provided[name] = function()
        components = {name: value for name, value in hparams.items() if name in study.components}
        return self.train_fn(**trainfn.arguments(taken, components, {**provided, "hparams": dict(hparams)}))


def begin_random_numbers(seed: int) -> None:
    """Have the generators that everybody shares begin with the seed, of those libraries that are loaded."""
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed % 2**32)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)
    if keras := sys.modules.get("keras"):
        keras.utils.set_random_seed(seed % 2**32)
