"""Simulates whole studies in virtual time: what 64 workers would do, and what becomes of them if things go wrong.

::

    from maggy.optimizers import Asha
    from maggy.testing.problems import Branin
    from maggy.testing.simulation import Faults, simulate

    simulate(Asha(), Branin(), num_trials=1000, executors=64).makespan
    simulate(Asha(), Branin(), num_trials=1000, executors=64, faults=Faults(crash=0.05)).utilisation

The scheduler, the executors' sessions, the connections between them and the optimizer are the real ones; clock, network
and training are not. The same arguments give the same log, event for event. After every input the scheduler's
invariants are checked, and at the end those of the log: a simulation that returns has found no fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from maggy.driver.terms import Terms
from maggy.earlystop.base import StopRule
from maggy.events import Ended, Event, Lost, Started, StudyOpened
from maggy.optimizers.base import Optimizer
from maggy.study import Study
from maggy.testing.logcheck import check_log, hold
from maggy.testing.virtual import Faults, Problem
from maggy.testing.world import StuckError, World
from maggy.trial import Direction, Trial

__all__ = ["Faults", "Problem", "Simulated", "StuckError", "simulate"]


@dataclass(frozen=True)
class Simulated:
    """How a simulated study went.

    `makespan` is the virtual time in seconds from the start to the study's end. `utilisation` is the share of the
    executors' time, counted from the first trial's start, that they spent on trials. `executors` counts all that
    joined, `seconds` what trials took in all, attempts that were lost included.
    """

    study: Study
    log: list[Event]
    reason: str
    makespan: float
    utilisation: float
    executors: int
    seconds: float

    @property
    def best(self) -> Trial | None:
        """The study's best trial."""
        return self.study.best


def simulate(
    optimizer: Optimizer,
    problem: Problem,
    *,
    num_trials: int | None = 20,
    executors: int = 4,
    direction: Direction | None = None,
    rules: Sequence[StopRule] = (),
    seed: int = 0,
    ask_seconds: float = 0.0,
    lookahead: int | None = None,
    timeout: float | None = None,
    faults: Faults | None = None,
    log: Sequence[Event] = (),
    latency: float = 0.002,
    max_steps: int = 20_000_000,
) -> Simulated:
    """Run a study of `problem` in virtual time.

    Arguments:
        optimizer: a real one; one that `stops` trials, as ASHA's stopping form, is a stop rule as well.
        problem: what trials do and how long that takes (see `maggy.testing.problems`).
        num_trials: configurations to sample; None for as many as the optimizer or the timeout allows.
        executors: slots; one whose executor dies gets another after a second.
        direction: the problem's own where it is not given.
        rules: stop rules.
        seed: the study's seed, and that of its faults.
        ask_seconds: what the optimizer takes for an answer; 0 asks it within the driver's turn.
        lookahead: suggestions to prepare ahead of need; the optimizer's own figure where it is not given.
        timeout: seconds after which the study winds down.
        faults: what goes wrong; nothing by default.
        log: an earlier log of the same study: it is taken up from there, as by `resume`.
        latency: the network's, in seconds, at most.
        max_steps: callbacks in virtual time after which the study counts as stuck.

    Raises `StuckError` for a study that does not end and `AssertionError` for a broken invariant.

    """
    space = problem.searchspace
    if (check := getattr(optimizer, "check", None)) is not None:
        check(space)
    stopper: Any = optimizer
    if getattr(stopper, "stops", False):
        rules = [*rules, stopper]
    terms = Terms(
        rules=rules,
        lookahead=getattr(optimizer, "lookahead", 0) if lookahead is None else lookahead,
        independent=getattr(optimizer, "independent", False),
        timeout=timeout,
    )
    settings = {
        "searchspace": space.to_dict(),
        "metric": None,
        "direction": direction or problem.direction,
        "num_trials": num_trials,
        "seed": seed,
    }
    world = World(optimizer, problem, terms, ask_seconds, faults or Faults(), seed, latency)
    world.log = list(log) or [StudyOpened(0.0, settings)]
    world.run(executors, max_steps, resumed=bool(log))
    return _outcome(world, executors)


def _outcome(world: World, executors: int) -> Simulated:
    """Check what must hold of a finished study, and sum it up."""
    scheduler = world.driver.scheduler
    study = check_log(world.log)
    hold(study.snapshot() == scheduler.study.snapshot(), "the fold of the log is the live study")
    hold(study.closed == scheduler.closed and not study.running, "a closed study has nothing that runs")
    hold(study.closed != "done" or not study.queued, "a study that is done has tried all that was suggested")
    hold(all(executor.left is not None for executor in world.executors), "everybody has gone home")
    started: dict[int, float] = {}
    seconds = 0.0
    for event in world.log:
        if isinstance(event, Started):
            started[event.trial] = event.at
        elif isinstance(event, Ended | Lost):
            seconds += event.at - started[event.trial]
    begin = next((event.at for event in world.log if isinstance(event, Started)), 0.0)
    end = world.log[-1].at
    return Simulated(
        study,
        world.log,
        str(study.closed),
        makespan=end - world.log[0].at,
        utilisation=seconds / ((end - begin) * executors) if end > begin else 0.0,
        executors=len(world.executors),
        seconds=seconds,
    )
