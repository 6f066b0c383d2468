"""Quasi-random search; the sequence stands in `maggy.optimizers.bayes.sobol`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from maggy.study import Study
from maggy.trial import DONE, Answer, Suggestion


@dataclass(frozen=True)
class Sobol:
    """Spreads configurations evenly over the searchspace: better than random ones, and independent of all results.

    The sequence is scrambled, differently for each seed, and the same whatever happens to the study.
    """

    lookahead = 0
    independent = True
    quick = False  # the first ask loads SciPy
    continues = False

    def ask(self, study: Study, rng: Random) -> Suggestion | Answer:
        """Suggest the next point of the sequence, until `num_trials` are suggested."""
        return Suggestion(self.propose(study, rng)) if study.remaining else DONE

    def propose(self, study: Study, rng: Random) -> Mapping[str, Any]:
        """Return the next point of the sequence; a random one where it is forbidden."""
        from maggy.optimizers.bayes.encoding import Encoding
        from maggy.optimizers.bayes.sobol import point

        encoding = Encoding(study.searchspace)
        if not len(encoding):
            return study.searchspace.sample(rng)
        params = encoding.params(point(encoding, study.settings.get("seed") or 0, study.sampled))
        return params if study.searchspace.contains(params) else study.searchspace.sample(rng)
