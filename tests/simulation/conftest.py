"""Studies of every kind, drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest

from maggy.earlystop import Median
from maggy.optimizers import Asha, GridSearch, Hyperband, RandomSearch, Tpe
from maggy.testing.problems import Branin, Choices, Hartmann6, Mixed
from maggy.testing.simulation import Faults, Simulated, simulate


@dataclass(frozen=True)
class Uneven(Mixed):
    """Trials of milliseconds, of which executors are given several at once; now and then one takes a second."""

    epochs: int = 2
    epoch_seconds: float = 0.005

    def curve(
        self, params: Mapping[str, Any], budget: float | None, done: float = 0.0
    ) -> Iterator[tuple[float, int, dict[str, float]]]:
        """Yield the same curve, for one configuration in ten more slowly."""
        slow = 200 if Random(f"slow {sorted(params.items())}").random() < 0.1 else 1
        for seconds, step, metrics in super().curve(params, budget, done):
            yield slow * seconds, step, metrics


KINDS: dict[str, dict[str, Any]] = {
    "random": {"optimizer": RandomSearch(), "problem": Hartmann6(epochs=6), "num_trials": 15},
    "grid": {"optimizer": GridSearch(), "problem": Choices(epochs=4), "num_trials": None},
    "asha": {"optimizer": Asha(resource_max=9), "problem": Branin(), "num_trials": 20},
    "asha-stopping": {"optimizer": Asha(resource_max=9, mode="stopping"), "problem": Mixed(), "num_trials": 15},
    "hyperband": {"optimizer": Hyperband(resource_max=9), "problem": Branin(), "num_trials": 20},
    "tpe-asha": {
        "optimizer": Asha(resource_max=9, searcher=Tpe(startup=4)),
        "problem": Mixed(),
        "num_trials": 15,
    },
    "median": {
        "optimizer": RandomSearch(),
        "problem": Mixed(epochs=6),
        "num_trials": 15,
        "rules": [Median(min_trials=4)],
    },
    "short": {
        "optimizer": RandomSearch(),
        "problem": Uneven(),
        "num_trials": 80,
        "rules": [Median(min_trials=4)],
    },
}


def drawn(kind: str, seed: int, **fixed: Any) -> dict[str, Any]:
    """Return the arguments of a study: its faults, size, pace and direction are drawn from the seed."""
    rng = Random(f"{kind} {seed}")
    pick = rng.choice
    faults = Faults(
        crash=pick([0.0, 0.1, 0.2]),
        freeze=pick([0.0, 0.1]),
        cut=pick([0.0, 0.2]),
        partition=pick([0.0, 0.1]),
        death=0.05,
        torn=0.2,
        error=0.05,
        nan=0.05,
        deaf=0.2,
        late=pick([0.0, 0.5, 1.0]),
        echo=pick([0.0, 0.3]),
        restarts=rng.randrange(3),
        lag=pick([0.0, 2.0]),
        behind=pick([0.001, 0.3]),
    )
    chosen = {
        "problem": replace(KINDS[kind]["problem"], direction=pick(["min", "max"])),
        "executors": pick([1, 3, 8, 30]),
        "ask_seconds": pick([0.0, 0.5, 3.0]),
        "lookahead": pick([0, 1, 3]),
        "timeout": pick([None, None, None, 10.0]),
        "faults": faults if rng.random() < 0.8 else Faults(),
        "seed": seed,
        "max_steps": 100_000,
    }
    return {**KINDS[kind], **chosen, **fixed}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def study_of() -> Callable[..., Simulated]:
    """Simulate a study of a kind, drawn from a seed; keyword arguments fix what is otherwise drawn."""
    return lambda kind, seed, **fixed: simulate(**drawn(kind, seed, **fixed))
