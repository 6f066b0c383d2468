"""The model that fits the study: chosen by evidence, and said; the choice stands in `maggy.optimizers.bayes.choice`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from maggy.optimizers.cqr import Cqr
from maggy.optimizers.gp import Gp
from maggy.optimizers.model import Model
from maggy.optimizers.sobol import Sobol
from maggy.optimizers.tpe import Tpe
from maggy.study import Study
from maggy.trial import DONE, Answer, Suggestion


@dataclass(frozen=True)
class Auto(Model):
    """Asks quasi-random search, a Gaussian process, TPE or conformal quantile regression, whichever the study is for.

    At first it is a Gaussian process, which in our comparisons finds most in any kind of searchspace. From 20
    measurements on it is what foresees measurements of the study that it has not seen: a forest, where it is clearly
    ahead; TPE, where neither foresees anything. TPE, too, from 1,000 measurements on. Each trial's `why` says what was
    chosen and for what reason.

    Arguments:
        random: whether no model may be the choice, where so many trials run at once that none could learn much.

    """

    random: bool = True

    def ask(self, study: Study, rng: Random) -> Suggestion | Answer:
        """Suggest what the chosen model proposes, until `num_trials` are suggested."""
        if not study.remaining:
            return DONE
        name, reason = self._choice(study)
        return Suggestion(self._proposed(name, study, rng), why=f"{name}: {reason}")

    def propose(self, study: Study, rng: Random) -> Mapping[str, Any]:
        """Return what the chosen model proposes."""
        return self._proposed(self._choice(study)[0], study, rng)

    def _choice(self, study: Study) -> tuple[str, str]:
        from maggy.optimizers.bayes.choice import Choices

        choice = study.index(Choices).now(random=self.random)
        return choice.name, choice.reason

    def _proposed(self, name: str, study: Study, rng: Random) -> Mapping[str, Any]:
        models: dict[str, Model | Sobol] = {"gp": Gp(), "tpe": Tpe(), "cqr": Cqr(), "sobol": Sobol()}
        return models[name].propose(study, rng)
