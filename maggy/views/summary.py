"""What there is to say about a study: the live line, the closing table, and why there is no best.

Rules of this file:

1. Pure: a study and numbers in, text and values out; no clock, no terminal.
2. What users wrote (names, parameters, errors) passes `plain`, so that nothing in it can drive a terminal.
3. `progress` reads counters and short lists only: another thread may be folding the study meanwhile.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from maggy.effects import Effect, effects
from maggy.errors import amount
from maggy.jsonvalue import dumps
from maggy.study import Study
from maggy.trial import ENDLESS, Status, Trial

DONE = "done"  # what `Study.closed` says of a study that came to its natural end
ABLATORS = ("loco", "pairs", "greedy")  # optimizers that compare with a reference, and search nothing
NAME_WIDTH = 24
TEXT_WIDTH = 160  # characters of an error or a value

# CSI and OSC sequences, then two-character escapes: without this, `\x1b[31m` would leave its `[31m` behind.
_ESCAPES = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?")
_WORDS_TO_SPARE = re.compile(r" at budget \S+|(?<= rep)orts(?=/s)")
_LARGEST_PLAIN = 1e15  # above this, digits before the point are noise


# -- words and numbers ---------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Return `text` on one line, without escape sequences and whatever else has no glyph of its own."""
    text = " ".join(_ESCAPES.sub("", text).split())
    if text.isascii() and text.isprintable():  # a megabyte of it would take a quarter of a second, letter by letter
        return text
    return "".join(filter(_has_glyph, text))


def harmless(line: str) -> str:
    """Return a line as it is laid out, tabs included, without what drives a terminal."""
    return "".join(char for char in _ESCAPES.sub("", line) if char == "\t" or _has_glyph(char))


def _has_glyph(char: str) -> bool:
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co")


def shortened(text: str, width: int) -> str:
    """Return `text`, cut with an ellipsis where it is longer than `width`."""
    return text if len(text) <= width else text[: max(0, width - 1)].rstrip() + "…"


def duration(seconds: float) -> str:
    """Return `0:41` or `1:02:03`."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(value: float, digits: int = 5) -> str:
    """Return the value with so many significant digits, and no exponent where all digits before the point fit."""
    if isinstance(value, int):
        return str(value)
    if math.isfinite(value) and 10 ** (digits - 1) <= abs(value) < _LARGEST_PLAIN:
        return f"{value:.0f}"
    return f"{value:.{digits}g}"


def shown(value: Any) -> str:
    """Return a parameter's value as a person would write it."""
    if isinstance(value, float):
        return number(value, 6)
    return shortened(plain(dumps(value) if isinstance(value, (list, dict)) else str(value)), TEXT_WIDTH)


def title(study: Study) -> str:
    """Return the study's name, fit to print."""
    return shortened(plain(str(study.settings.get("name") or "study")), NAME_WIDTH)


# -- the live line -------------------------------------------------------------------------------------------------


def progress(study: Study, elapsed: float, reports_per_s: float, executors: int, width: int | None = None) -> str:
    """Return the live line; where it is wider than `width`, what matters least is left out first.

    Done are configurations that have come to an end, of those that there will be. A configuration that was promoted
    is not done while its promotion runs, but its promotions are counted apart, for they do not count as `num_trials`.
    """
    counts = study.counts
    promoted = len(study.trials) - study.sampled - study.known
    total = "" if study.num_trials is None or study.num_trials >= ENDLESS else f"/{study.num_trials:,}"
    best = study.best
    value = "no best yet"
    if best is not None and best.value is not None:
        value = f"best {number(best.value)}" + ("" if best.budget is None else f" at budget {number(best.budget)}")
    parts = [
        (0, f"{_done(study):,}{total} done"),
        (6, f"{promoted:,} promoted" if promoted else ""),
        (2, f"{counts[Status.RUNNING]:,} running" if executors else "waiting for executors"),
        (3, f"{counts[Status.STOPPED]:,} stopped"),
        (4, f"{counts[Status.FAILED]:,} failed" if counts[Status.FAILED] else ""),
        (1, value),
        (5, f"{_rate(reports_per_s)} reports/s"),
        (3, duration(elapsed)),
    ]
    return _fitted(title(study), [part for part in parts if part[1]], width)


def _done(study: Study) -> int:
    """Count configurations without a trial that is queued or runs."""
    # Copying a dict's values or a deque is one step of the interpreter, so a fold on another thread does no harm.
    going = [*study.running.values(), *(study.trials[number] for number in list(study.queued))]
    return study.sampled - len({_origin(study, trial) for trial in going})


def _origin(study: Study, trial: Trial) -> int:
    while trial.parent is not None and trial.parent in study.trials:
        trial = study.trials[trial.parent]
    return trial.id


def _rate(per_s: float) -> str:
    return f"{per_s:.1f}" if 0 < per_s < 10 else f"{per_s:,.0f}"  # noqa: PLR2004 - below ten, a tenth is news


def _fitted(name: str, parts: list[tuple[int, str]], width: int | None) -> str:
    """Join the parts; to fit, leave out words first, then the parts with the highest numbers."""
    line = _joined(name, parts)
    if width is None or len(line) <= width:
        return line
    parts = [(rank, _WORDS_TO_SPARE.sub("", text)) for rank, text in parts]
    while len(line := _joined(name, parts)) > width and len(parts) > 1:
        parts.remove(max(parts))
    return shortened(line, width)


def _joined(name: str, parts: list[tuple[int, str]]) -> str:
    return f"{name}  " + " · ".join(text for _, text in parts)


# -- the closing table ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """So many trials have this in common; `example` is the first of them."""

    what: str
    count: int
    example: int


@dataclass(frozen=True, slots=True)
class Table:
    """What the closing table shows. `counts` is by final status; `cut_short` says why the study ended early, or ""."""

    name: str
    metric: str | None
    trials: int
    sampled: int
    known: int
    counts: Mapping[Status, int]
    unfinished: int
    best: Trial | None
    default: Trial | None
    why_no_best: str
    rungs: str
    stops: tuple[Group, ...]
    failures: tuple[Group, ...]
    cut_short: str
    effects: tuple[Effect, ...] = ()  # of an ablation, the reference first

    def headline(self, seconds: float, executors: int | None = None) -> str:
        """Return what was done in how long, and how it came out."""
        promoted = self.trials - self.sampled - self.known
        what = amount(self.sampled, "configuration" if promoted else "trial")
        more = f" and {amount(promoted, 'promotion')}" if promoted else ""
        more += f" ({self.known:,} more known before)" if self.known else ""
        where = f" on {amount(executors, 'executor')}" if executors is not None else ""
        outcomes = [f"{count:,} {status}" for status, count in self.counts.items() if count]
        outcomes += [f"{self.unfinished:,} unfinished"] if self.unfinished else []
        colon = ": " if outcomes else ""
        return f"{what}{more} in {duration(seconds)}{where}{colon}{', '.join(outcomes)}"


def table(study: Study, default: Trial | None = None) -> Table:
    """Gather what the closing table shows; `default` is the trial of the configuration to compare the best with."""
    final = (Status.COMPLETED, Status.STOPPED, Status.FAILED)
    return Table(
        name=title(study),
        metric=plain(study.objective.metric) if study.objective.metric else None,
        trials=len(study.trials),
        sampled=study.sampled,
        known=study.known,
        counts={status: study.counts[status] for status in final},
        unfinished=study.counts[Status.QUEUED] + study.counts[Status.RUNNING],
        best=study.best,
        default=default,
        why_no_best=why_no_best(study),
        rungs=rungs(study),
        stops=stops(study),
        failures=failures(study),
        cut_short="" if study.closed in (None, DONE) else plain(study.closed or ""),
        effects=tuple(effects(study)) if is_ablation(study) else (),
    )


def is_ablation(study: Study) -> bool:
    """Whether its trials compare with a reference, one part at a time."""
    return ablates(study.settings)


def ablates(settings: Mapping[str, Any]) -> bool:
    """Whether a study with these settings is an ablation."""
    return (settings.get("optimizer") or {}).get("name") in ABLATORS


def called(executors: Iterable[str]) -> dict[str, str]:
    """Return what executors are called side by side: `host-pid`, and `process 4711` where there is but one host."""
    parts = {name: name.rsplit("-", 2)[0] for name in executors}
    alone = len(set(parts.values())) == 1
    found = {}
    for name, host in parts.items():
        pid = name.removeprefix(f"{host}-").partition("-")[0]
        found[name] = (f"process {pid}" if alone else f"{host}-{pid}") if pid.isdigit() else name
    twice = {told for told, times in Counter(found.values()).items() if times > 1}
    return {name: plain(name if told in twice else told) for name, told in found.items()}


def rungs(study: Study) -> str:
    """Return how many trials had which budget, lowest first: `81 with budget 1 → 27 with 3`; "" where all had one."""
    counts = Counter(trial.budget for trial in study.trials.values() if trial.budget is not None)
    if len(counts) < 2:  # noqa: PLR2004 - one rung is no ladder
        return ""
    steps = [f"{counts[budget]:,} with {number(budget)}" for budget in sorted(counts)]
    return " → ".join([steps[0].replace("with", "with budget"), *steps[1:]])


def stops(study: Study) -> tuple[Group, ...]:
    """Group the stopped trials by rule, the words of the reason before its colon; the most frequent first."""
    return _groups(
        (plain((trial.stop_reason or "no reason given").partition(":")[0]), trial.id)
        for trial in study.trials.values()
        if trial.status is Status.STOPPED
    )


def failures(study: Study) -> tuple[Group, ...]:
    """Group the failed trials by the last line of their error; the most frequent first."""
    return _groups(
        (last_line(trial.error), trial.id) for trial in study.trials.values() if trial.status is Status.FAILED
    )


def last_line(error: str | None) -> str:
    """Return the line of a traceback that names the error."""
    lines = [line for line in map(plain, (error or "").splitlines()) if line]
    return shortened(lines[-1], TEXT_WIDTH) if lines else "no error given"


def _groups(found: Iterable[tuple[str, int]]) -> tuple[Group, ...]:
    counts: Counter[str] = Counter()
    first: dict[str, int] = {}
    for what, trial in found:
        counts[what] += 1
        first.setdefault(what, trial)
    return tuple(Group(what, count, first[what]) for what, count in counts.most_common())


# -- what should not go unsaid -------------------------------------------------------------------------------------


def why_no_best(study: Study) -> str:
    """Return a sentence that says why there is no best trial, or "" where there is one."""
    if study.best is not None:
        return ""
    counts, trials = study.counts, len(study.trials)
    if not trials:
        return "No trial was started."
    if counts[Status.FAILED] == trials:
        return f"{_all(trials)} failed{_commonest(failures(study))}."
    if counts[Status.STOPPED] == trials:
        return f"{_all(trials)} stopped before the end{_commonest(stops(study))}; only completed trials can be best."
    if counts[Status.COMPLETED]:
        return "No completed trial has a finite value."
    ended = [f"{counts[status]:,} {status}" for status in (Status.STOPPED, Status.FAILED) if counts[status]]
    if not ended:
        return f"None of {amount(trials, 'trial')} had ended when the study did."
    unfinished = trials - counts[Status.STOPPED] - counts[Status.FAILED]
    ended += [f"{unfinished:,} unfinished"] if unfinished else []
    return f"No trial completed: {', '.join(ended)}."


def _all(trials: int) -> str:
    return "The only trial" if trials == 1 else f"All {trials:,} trials"


def _commonest(groups: tuple[Group, ...]) -> str:
    first = groups[0]
    often = "" if len(groups) == 1 else f", {first.count:,} of them"
    return f"{often} with: {first.what} (trial {first.example})"


def resuming(name: str, options: Mapping[str, Any], *, command: bool = False) -> str:
    """Return the line that goes on with a study; what is no plain value stands there by its name, as train_fn does.

    A `command` stands in the study's log.
    """
    told = {key: repr(value) if isinstance(value, str | int | float) else key for key, value in options.items()}
    who = "" if command else ", train_fn"
    return f"experiment.resume({name!r}{who}{''.join(f', {key}={value}' for key, value in told.items())})"


def never_reported(study: Study) -> bool:
    """Whether trials have run to their end and none has ever reported the objective: no stop rule can act on them."""
    if not study.counts[Status.COMPLETED] + study.counts[Status.STOPPED]:
        return False
    return not study.reports or not any(map(_has_curve, list(study.trials.values())))


def why_no_reports(study: Study) -> str:
    """Return the sentence for a study that `never_reported`, or ""."""
    if not never_reported(study):
        return ""
    who, how = "train_fn", "Call reporter.broadcast(value, step=…)"
    if "command" in study.settings:
        who, how = "the program", f"Print METRICS: {plain(study.objective.key)}=…"
    if study.reports:
        what = f"{who} reports, but never {plain(study.objective.key)!r}, the metric that is optimized"
    else:
        what = f"{who} never reports"
    return f"{what}: no trial can be stopped early. {how} once per epoch."


def _has_curve(trial: Trial) -> bool:
    return len(trial.curve) > 0
