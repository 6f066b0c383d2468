"""Objectives of other libraries as training functions. What is here runs in the trial's process; it needs none of them.

A stop is never lost: Optuna's `report` keeps it for `should_prune`, which is where its objectives expect it, and where
that is not heeded the next report raises it. It is no `Exception`, so what an objective catches does not hold it up.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import CodeType
from typing import Any, Self

from maggy.domains import Categorical, Domain, Float, Integer
from maggy.errors import StopTrial
from maggy.executor.reporter import Reporter, as_number
from maggy.jsonvalue import is_json
from maggy.migrate.forms import Form, name_of

STATUS_OK = "ok"
STATUS_FAIL = "fail"


class Objective:
    """An objective of another library; `fn` is the user's function."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn
        self.__name__ = getattr(fn, "__name__", type(fn).__name__)


class WithDict(Objective):
    """Calls an objective with one argument, made from the configuration: by a form, or the dict of all parameters.

    Of what it returns, numbers are metrics; Hyperopt's `status` is heeded.
    """

    def __init__(self, fn: Callable[..., Any], form: Form | None = None) -> None:
        super().__init__(fn)
        self.form = form

    def __call__(self, hparams: Mapping[str, Any], reporter: Reporter) -> Any:
        """Run one trial."""
        given = dict(hparams) if self.form is None else self.form.fill(hparams)
        with _Reporting(self.fn, reporter) as reporting:
            try:
                returned = self.fn(given)
            except _Enough:
                returned = None  # its last report counts
        return judged(returned) if returned is not None or not reporting.done else None


def judged(returned: Any) -> Any:
    """Return the numbers of a dict that an objective has returned, and anything else as it is.

    Raises `RuntimeError` where it says, as Hyperopt's may, that it has failed.
    """
    if not isinstance(returned, Mapping):
        return returned
    status = returned.get("status", STATUS_OK)
    if status == STATUS_FAIL:
        raise RuntimeError(f"the objective returned the status {status!r}: {_brief(returned)}")
    return {str(key): value for key, value in returned.items() if _is_number(value)} or dict(returned)


class WithTrial(Objective):
    """Calls an objective with a trial as Optuna's are: it names its parameters while it runs."""

    def __call__(self, reporter: Reporter, trial: int) -> Any:
        """Run one trial."""
        given = Trial(reporter, trial)
        try:
            returned = self.fn(given)
        except Exception as error:
            if is_pruned(error):
                raise StopTrial(str(error) or "the objective raised TrialPruned") from error
            raise
        key = reporter.objective.key
        kept = {str(name): value for name, value in given.user_attrs.items() if _is_number(value) and name != key}
        return {**kept, key: returned} if kept and _is_number(returned) else returned


class TrialPruned(Exception):  # noqa: N818 - Optuna's name
    """What an objective raises to end its trial early; Optuna's own does the same."""


def is_pruned(error: BaseException) -> bool:
    """Whether this is `TrialPruned`, Optuna's or ours."""
    return any(kind.__name__ == "TrialPruned" for kind in type(error).__mro__)


class Trial:
    """What an objective of Optuna's has in its hands. Names of parameters may be any; here they become identifiers."""

    def __init__(self, reporter: Reporter, number: int) -> None:
        self._reporter = reporter
        self._stop: StopTrial | None = None
        self._names: dict[str, str] = {}
        self.number = number - 1  # Optuna counts from 0
        self.params: dict[str, Any] = {}
        self.distributions: dict[str, Domain] = {}
        self.user_attrs: dict[str, Any] = {}
        self.datetime_start = datetime.now(UTC)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return a float from `low` to `high`."""
        alone = step is not None and step > high - low  # then there is one value
        value: float = self._suggested(name, Float(low, low if alone else high, step=None if alone else step, log=log))
        return value

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Return an integer from `low` to `high`, both included."""
        last = low + (high - low) // step * step
        value: int = self._suggested(name, Integer(low, last, step=step if last > low else None, log=log))
        return value

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Return one of the choices; what is no JSON value, such as a tuple, stands in the log by its text."""
        known = list(choices)
        if all(is_json(choice) for choice in known):
            return self._suggested(name, Categorical(known))
        by_text = {choice if isinstance(choice, str) else str(choice): choice for choice in known}
        if len(by_text) < len(known):
            raise ValueError(f"the choices of {name!r} are not told apart by their texts: {', '.join(by_text)}")
        self.params[name] = by_text[self._suggested(name, Categorical(list(by_text)))]
        return self.params[name]

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        """As `suggest_float`: an older name."""
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        """As `suggest_float` with `log`: an older name."""
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        """As `suggest_float` with `step`: an older name."""
        return self.suggest_float(name, low, high, step=q)

    def report(self, value: float, step: int) -> None:
        """Report a value at a step; whether to stop is asked of `should_prune`. One that was reported is skipped."""
        if self._stop is not None:
            raise self._stop  # it was asked to stop, and goes on
        if not self._reporter.follows(step):
            return
        try:
            self._reporter.broadcast(value, step)
        except StopTrial as stop:
            self._stop = stop

    def should_prune(self) -> bool:
        """Whether the trial should end now, by raising `TrialPruned`."""
        if self._stop is None:
            try:
                self._reporter.check()
            except StopTrial as stop:
                self._stop = stop
        return self._stop is not None

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep a number with the trial, as one of its metrics; all else is kept while it runs, and in its log."""
        self.user_attrs[key] = value
        self._reporter.log(f"{key}: {value!r}")

    def _suggested(self, name: str, domain: Domain) -> Any:
        ours = name_of(name)
        if self._names.setdefault(ours, name) != name:
            raise ValueError(f"{name!r} and {self._names[ours]!r} would both be called {ours!r}: rename one of them")
        value = self.params[name] = self._reporter.suggest(ours, domain)
        self.distributions[name] = domain
        return value


class Checkpoint:
    """A directory, as Ray Tune's checkpoints are."""

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    def from_directory(cls, path: str) -> Checkpoint:
        """Return the checkpoint that a directory is."""
        return cls(str(path))

    def to_directory(self, path: str | None = None) -> str:  # noqa: ARG002 - it is a copy of the trial's own already
        """Return the directory."""
        return self.path

    def as_directory(self) -> Checkpoint:
        """Return what a `with` statement turns into the directory."""
        return self

    def __enter__(self) -> str:
        return self.path

    def __exit__(self, *_: object) -> None:
        """Leave it: it ends with the trial."""


class _Enough(BaseException):
    """Ends an objective that has reported as often as its budget allows; no `Exception`, as with `StopTrial`."""


class Session:
    """What Ray's `report` and `get_checkpoint` look for: the line from the trial that runs."""

    world_rank = None

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.iterations = 0

    @property
    def loaded_checkpoint(self) -> Checkpoint | None:
        """The checkpoint to go on from, if there is one."""
        found = self._reporter.restore()
        return None if found is None else Checkpoint(found)

    def report(self, metrics: Mapping[str, Any], checkpoint: Any = None, **_: Any) -> None:
        """Report the numbers among the metrics, at the next iteration; the first is 1."""
        if self._reporter.budget is not None and self.iterations >= self._reporter.budget:
            raise _Enough  # Ray's schedulers end a trial at max_t, and its objective may well be endless
        if checkpoint is not None:
            self._reporter.save(checkpoint.path)
        while True:  # a trial that goes on from a checkpoint counts on
            self.iterations += 1
            if self._reporter.follows(self.iterations):
                break
        self._reporter.report(self.iterations, **{str(k): v for k, v in metrics.items() if _is_number(v)})


current: Session | None = None  # of the trial that runs in this process


class _Reporting:
    """While an objective runs, what it reports to Ray Tune is reported here."""

    def __init__(self, fn: Callable[..., Any], reporter: Reporter) -> None:
        self._session = Session(reporter)
        self._theirs = _ray_session() if "ray" in sys.modules or "ray" in set(names_in(fn)) else None

    @property
    def done(self) -> bool:
        return self._session.iterations > 0

    def __enter__(self) -> Self:
        global current  # noqa: PLW0603 - as Ray has it: `tune.report` is told of no trial
        current = self._session
        if self._theirs is not None:
            setattr(self._theirs, "_session", self._session)  # noqa: B010 - Ray's own
        return self

    def __exit__(self, *_: object) -> None:
        global current  # noqa: PLW0603
        current = None
        if self._theirs is not None:
            setattr(self._theirs, "_session", None)  # noqa: B010


def _ray_session() -> Any:
    """Return the module in which Ray keeps its session, if Ray is here."""
    if importlib.util.find_spec("ray") is None:
        return None
    import ray.train._internal.session as theirs

    return theirs


# -- what an objective looks like --------------------------------------------------------------------------------------


def names_in(fn: Any) -> Iterator[str]:
    """Yield the names and words that a function's code has, and those of functions of its module that it calls."""
    seen: set[int] = set()
    todo = [getattr(fn, "func", fn) if not hasattr(fn, "__code__") else fn]
    while todo:
        each = todo.pop()
        each = getattr(each, "__func__", each)
        if not hasattr(each, "__code__") and hasattr(type(each), "__call__"):  # noqa: B004 - whose code is wanted
            each = getattr(type(each).__call__, "__func__", type(each).__call__)
        if id(each) in seen or not hasattr(each, "__code__"):
            continue
        seen.add(id(each))
        inside = set(_words(each.__code__))
        yield from inside
        called = (each.__globals__.get(name) for name in each.__code__.co_names)
        todo += [other for other in called if getattr(other, "__module__", None) == each.__module__]
        todo += [cell.cell_contents for cell in each.__closure__ or () if callable(_content(cell))]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _words(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, tuple):
            yield from (each for each in constant if isinstance(each, str))
        elif isinstance(constant, CodeType):
            yield from _words(constant)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool | str | bytes):
        return False
    try:
        as_number(value, "")
    except TypeError:
        return False
    return True


def _brief(returned: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}"[:200] for key, value in returned.items() if key != "status")
