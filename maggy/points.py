"""Configurations that the user wants tried first, and those whose values are known already.

The former take the place of what the optimizer suggests, one after the other; the latter stand in the log as trials
that have completed, for models to learn from. Their names are Ray Tune's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from maggy.errors import ConfigError
from maggy.events import Ended, Event, Started, Suggested
from maggy.searchspace import Searchspace
from maggy.study import Study
from maggy.trial import KNOWN, Objective, Status, Suggestion

DRAWS = 1000  # until what a point leaves open fits it


def checked(
    points: Sequence[Mapping[str, Any]] | None, rewards: Sequence[float | None] | None, space: Searchspace
) -> tuple[list[dict[str, Any]], list[tuple[dict[str, Any], float]]]:
    """Return the points to try and those whose values are known. Raises `ConfigError`, naming the point.

    A point to try may leave parameters out, which the optimizer, or chance, fills in; one that is known may not.
    """
    given = list(points or ())
    values = [None] * len(given) if rewards is None else list(rewards)
    if len(values) != len(given):
        raise ConfigError(
            f"points_to_evaluate lists {len(given)}, evaluated_rewards lists {len(values)}; give one for each point, "
            "None where it is not known"
        )
    to_try, known = [], []
    for number, (point, value) in enumerate(zip(given, values, strict=True)):
        what = f"points_to_evaluate[{number}]"
        if not isinstance(point, Mapping):
            raise ConfigError(f"{what} is {point!r}; write a dict such as {{'lr': 0.01}}")
        try:
            if value is not None:
                space.check(point)
                known.append((dict(point), _number(number, value)))
            else:
                completed(space, point, {}, Random(0))
                to_try.append(dict(point))
        except ConfigError as error:
            raise ConfigError(f"{what}: {error}") from None
    return to_try, known


def wished(answer: Suggestion, study: Study, rng: Callable[[], Random]) -> Suggestion:
    """Return the answer with the next point that the user wants tried first, where one is left.

    `rng` makes the random numbers for what the point leaves open.
    """
    if answer.parent is not None or study.sampled >= len(study.points):
        return answer
    point = study.points[study.sampled]
    return replace(answer, params=completed(study.searchspace, point, answer.params, rng()), why="points_to_evaluate")


def completed(
    space: Searchspace, point: Mapping[str, Any], suggested: Mapping[str, Any], rng: Random
) -> dict[str, Any]:
    """Return a configuration with the values of `point`, and others as suggested where they go together.

    Raises `ConfigError` for a point with which no configuration can be.
    """
    for name, value in point.items():
        if (name not in space and not space.open) or (name in space and not space[name].contains(value)):
            space.check({**space.sample(Random(0)), name: value})  # says what is wrong
    for draw in range(DRAWS):
        drawn = space.sample(rng) if draw or not suggested else suggested
        params: dict[str, Any] = {}
        for name, domain in space.items():
            if space.active(name, params):
                params[name] = point[name] if name in point else drawn.get(name, domain.sample(rng))
        params |= point if space.open else {}
        if space.contains(params) and point.keys() <= params.keys():
            return params
    raise ConfigError(f"no configuration that is allowed has the values {dict(point)!r}")


def facts(known: Sequence[tuple[Mapping[str, Any], float]], objective: Objective, at: float) -> list[Event]:
    """Return what a log begins with, after its first event, where values are known."""
    events: list[Event] = []
    for number, (params, value) in enumerate(known, 1):
        events += [
            Suggested(at, number, dict(params), None, None, 1, KNOWN),
            Started(at, number, 1, KNOWN),
            Ended(at, number, 1, Status.COMPLETED, value, {objective.key: value}),
        ]
    return events


def _number(number: int, value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise ConfigError(f"evaluated_rewards[{number}] is {value!r}; it must be a finite number, or None")
