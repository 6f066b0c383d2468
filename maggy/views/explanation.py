"""Why a trial is what it is: all from the log, which is folded once. Pure.

Ranks and cut-offs are those of the log's end, but for the words of the optimizer and of stop rules, which are as they
were spoken.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from maggy.errors import amount, last_line
from maggy.events import Ended, Event, Lost, Requeued, Started
from maggy.optimizers.rungs import Milestones, Rungs, levels
from maggy.study import Study
from maggy.trial import AGAIN, KNOWN, Status, Trial


def explained(events: Iterable[Event | None], number: int) -> dict[str, Any]:
    """Return, as JSON values, why this trial was suggested, how it fared, and where it stands.

    Raises `LookupError` where the log has no such trial.
    """
    story: list[Event] = []
    ends: list[int] = []  # positions at which trials have ended

    def overheard() -> Iterator[Event | None]:
        for position, event in enumerate(events, 1):
            if isinstance(event, Ended):
                ends.append(position)
            if getattr(event, "trial", None) == number and event is not None:
                story.append(event)
            yield event

    return explanation(Study.of(overheard()), number, story, ends)


def explanation(study: Study, number: int, story: Iterable[Event], ends: Sequence[int]) -> dict[str, Any]:
    """Return the same of a study that is folded; `story` is the trial's events, `ends` the positions of all ends."""
    trial = study.trials[number]
    return {
        "trial": number,
        "optimizer": optimizer_of(study.settings),
        "suggested": {
            "by": _by(trial),
            "why": trial.why,
            "origin": trial.origin,
            "seen": trial.seen,
            "ended_before": bisect_right(ends, trial.seen),
            "parent": trial.parent,
            "parent_budget": study.trials[trial.parent].budget if trial.parent in study.trials else None,
            "budget": trial.budget,
            "params": dict(trial.params),
            "group": trial.group,
            "replicate": trial.replicate,
        },
        "attempts": _attempts(story),
        "stop": {"reason": trial.stop_reason, "step": trial.stop_step} if trial.stop_reason else None,
        "outcome": {"status": trial.status, "value": trial.value, "error": trial.error},
        "rank": _rank(study, trial),
        "rungs": _milestones(study, trial),
        "continued_by": [each.id for each in study.trials.values() if each.parent == number],
    }


def optimizer_of(settings: Mapping[str, Any]) -> str:
    """Return the name of a study's optimizer."""
    told = settings.get("optimizer") or {}
    return str(told.get("name") or str(told.get("custom") or "").rpartition(".")[2] or "none")


def _by(trial: Trial) -> str:
    """Return who wanted it: `optimizer`, `promotion`, `user`, or `chance` where the optimizer failed."""
    if trial.origin == KNOWN:
        return "user"
    return "chance" if trial.origin else "promotion" if trial.parent is not None else "optimizer"


def _attempts(story: Iterable[Event]) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    latest: Ended | None = None
    for event in story:
        if isinstance(event, Started):
            blank = {"lost": None, "counted": None, "failed": None}
            found[event.attempt] = {"attempt": event.attempt, "executor": event.executor, "at": event.at, **blank}
        elif isinstance(event, Lost) and event.attempt in found:
            found[event.attempt] |= {"lost": event.cause, "counted": event.counts}
        elif isinstance(event, Ended):
            latest = event
        elif isinstance(event, Requeued) and latest is not None and latest.attempt in found:
            found[latest.attempt]["failed"] = latest.error or ""
    return list(found.values())


def _factor(study: Study) -> float | None:
    """Return η, for optimizers with rungs."""
    factor = (study.settings.get("optimizer") or {}).get("reduction_factor")
    return factor if isinstance(factor, float | int) and factor > 1 else None


def _rank(study: Study, trial: Trial) -> dict[str, Any] | None:
    """Return where a completed trial stands among those that it is compared with, and the value that goes on."""
    if not trial.usable:
        return None
    if trial.group is not None:
        return _rank_of_configuration(study, trial.group)
    rung = study.index(Rungs).rung(trial)
    ranked, apart = (study.index(Rungs).at(each) for each in (rung, rung._replace(apart=True)))
    place = next(place for place, (_, number) in enumerate(ranked, 1) if number == trial.id)
    factor, settings = _factor(study), study.settings.get("optimizer") or {}
    climbs = settings.get("mode") != "stopping" and (trial.budget or 0) < settings.get("resource_max", 0)
    allowed, sure = (math.floor(len(each) / factor + 1e-9) if factor and climbs else 0 for each in (ranked, apart))
    placed = set(apart[:sure])  # random ones beside a model's have places of their own
    others = [entry for entry in ranked if entry not in placed]
    cutoff = study.objective.value(others[allowed - sure - 1][0]) if allowed > sure else None
    told: dict[str, Any] = {"budget": trial.budget, "rank": place, "among": len(ranked), "best": allowed - sure or None}
    return told | {"cutoff": cutoff, "random": {"best": sure, "among": len(apart)} if sure else None}


def _rank_of_configuration(study: Study, group: int) -> dict[str, Any] | None:
    """Return where the mean of replicates stands among those of which as many have completed."""
    values: dict[int, list[float]] = {}
    for trial in study.trials.values():
        if trial.usable and trial.group is not None:
            values.setdefault(trial.group, []).append(trial.value or 0.0)
    wanted = study.settings.get("replicates") or len(values[group])
    means = {each: sum(found) / len(found) for each, found in values.items() if len(found) >= wanted}
    if group not in means:
        return None
    ranked = sorted(means, key=lambda each: means[each], reverse=study.objective.direction == "max")
    place = ranked.index(group) + 1
    among = {"budget": None, "rank": place, "among": len(ranked), "best": None, "cutoff": None}
    return among | {"mean": means[group], "of": len(values[group])}


def _milestones(study: Study, trial: Trial) -> list[dict[str, Any]]:
    """Return where a trial stood at each rung that it has reached, where rungs stop trials instead of ending them."""
    told = study.settings.get("optimizer") or {}
    factor = _factor(study)
    if told.get("mode") != "stopping" or factor is None:
        return []
    found = []
    for level in levels(told.get("resource_min", 1), told.get("resource_max", 1), factor)[:-1]:
        ranked = study.index(Milestones).at(level)
        place = next((place for place, (_, number) in enumerate(ranked, 1) if number == trial.id), None)
        if place is not None:
            allowed = -int(-len(ranked) // factor)
            value, cutoff = (study.objective.value(ranked[at - 1][0]) for at in (place, allowed))
            rung = {"budget": level, "value": value, "rank": place, "among": len(ranked)}
            found.append(rung | {"best": allowed, "cutoff": cutoff})
    return found


def told(why: dict[str, Any], study: str) -> list[tuple[str, str]]:
    """Return the same for people: labels and sentences, which may hold what users wrote."""
    asked, outcome = why["suggested"], why["outcome"]
    ends, before = amount(asked["ended_before"], "trial"), _short(asked["parent_budget"])
    seen = f"when {ends} had ended (position {asked['seen']:,} of the log)"
    by = {
        "user": "given with its value; it was not run",
        "chance": f"a random configuration in the optimizer's place: {asked['origin']}",
        "promotion": f"continues {study}:{asked['parent']}, which had budget {before}, {seen}",
        "optimizer": f"by {why['optimizer']}, {seen}",
    }[asked["by"]]
    reason = asked["why"]
    if reason and reason.startswith(AGAIN):
        by, reason = f"repeats {study}:{reason.removeprefix(AGAIN)}, {seen}", None
    lines = [("suggested", by)]
    if asked["group"] is not None:
        lines.append(("replicate", f"{asked['replicate']} of the configuration of {study}:{asked['group']}"))
    lines += [("why", reason)] if reason else []
    lines += [("budget", _short(asked["budget"]))] if asked["budget"] is not None else []
    for each in why["attempts"]:
        blame = "" if each["counted"] else ", which does not count against it"
        how = f", lost: {each['lost']}{blame}" if each["lost"] is not None else ""
        how = how if each["failed"] is None else f", failed, and asked for again: {last_line(each['failed'])}"
        lines.append(("attempt", f"{each['attempt']} on {each['executor']}{how}"))
    lines += [("rung", _place(each)) for each in why["rungs"]]
    if why["stop"]:
        step = f"at step {why['stop']['step']}, " if why["stop"]["step"] is not None else ""
        lines.append(("stopped", f"{step}{why['stop']['reason']}"))
    value = "" if outcome["value"] is None else f" with {_short(outcome['value'])}"
    error = (outcome["error"] or "").strip().rpartition("\n")[2]
    lines.append(("outcome", f"{outcome['status']}{value}{': ' + error if error else ''}"))
    if why["rank"]:
        lines.append(("rank", _place(why["rank"])))
    if why["continued_by"]:
        lines.append(("continued", f"by {', '.join(f'{study}:{each}' for each in why['continued_by'])}"))
    elif why["rank"] and why["rank"]["best"] and outcome["status"] == Status.COMPLETED:
        lines.append(("continued", "by none"))
    return lines


def _place(rank: dict[str, Any]) -> str:
    at = "" if rank["budget"] is None else f" with budget {_short(rank['budget'])}"
    value = f"{_short(rank['value'])}, " if "value" in rank else ""
    if "mean" in rank:
        value = f"{_short(rank['mean'])}, the mean of {rank['of']} replicates, "
    best = f"; the best {rank['best']} go on, cut-off {_short(rank['cutoff'])}" if rank["best"] else ""
    if sure := rank.get("random"):
        best += f"; of the {sure['among']} random ones the best {sure['best']} do"
    return f"{value}{rank['rank']} of {rank['among']}{at}{best}"


def _short(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"
