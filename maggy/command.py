"""A trial that is a program: its command, a template, and what goes with it.

The template is Python's `%` on a dict of the trial's values: `"python train.py --lr %(lr)f"`. What a value's text means
to the shell is the template's business, so a value that is text should be quoted: `%(name!q)s` is the value as one word
of the shell, whatever it contains, and numbers, lists and dicts as JSON.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from maggy.domain import Domain
from maggy.errors import ConfigError, nearest
from maggy.jsonvalue import dumps

QUOTED = "!q"
BUDGET = "budget"
OFFERED = (BUDGET, "trial", "attempt")  # names besides the hyperparameters'
RESTARTS = 5  # times that a program is started again that has not kept itself alive
FEW = 100  # values of a parameter that are put into a template before anything starts


@dataclass(frozen=True)
class Command:
    """A program to optimize, in any language: run by bash, once for each trial, in a fresh directory.

    A line that it prints of the form `METRICS: loss=0.25,accuracy=0.9` is a report. Where one of its entries is `step`,
    or else `epoch`, that is the report's step; else reports are counted from 0. A program that should stop gets
    SIGTERM, and 4 s later SIGKILL, and so does all that it has started. Exit code 0 completes the trial, with the last
    value of each metric; any other fails it.

    Arguments:
        script: what bash runs. `%(lr)f` is replaced by the value of the hyperparameter `lr`, formatted as Python does,
            and so are `%(budget)s`, `%(trial)d` and `%(attempt)d`; write `%%` for a percent sign, and `%(name!q)s` for
            text that the shell must not interpret. The environment has MAGGY_PARAMS (the values as JSON), MAGGY_TRIAL,
            MAGGY_ATTEMPT, MAGGY_BUDGET, MAGGY_CHECKPOINT_DIR and MAGGY_PARENT_CHECKPOINT_DIR, where there are such.
        files: paths of files, here, that are put into the program's directory under their last names.
        env: variables for the program's environment.
        preamble: what bash runs before, in the same shell; by default each command is shown, and the first that fails
            ends the program.
        keepalive: seconds, over 0, within which the program must report, or print a line `MAGGY: keepalive=90s`, which
            sets them anew (0 for no limit). Otherwise it is ended and the trial begins again, up to 5 times.

    Raises `ConfigError` for what can never work.

    """

    script: str
    files: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    preamble: str = "set -ex\n"
    keepalive: float | None = None

    def __post_init__(self) -> None:
        for name, text in (("script", self.script), ("preamble", self.preamble)):
            if not isinstance(text, str) or "\0" in text:
                raise ConfigError(f"Command({name}={text!r}); it must be text for bash, without NUL")
        if not self.script.strip():
            raise ConfigError("Command('') has nothing to run; write Command('python train.py --lr %(lr)f')")
        if isinstance(self.files, str) or not all(
            isinstance(name, str) or hasattr(name, "__fspath__") for name in self.files
        ):
            raise ConfigError(f"Command(files={self.files!r}); it must be a list of paths")
        object.__setattr__(self, "files", tuple(str(name) for name in self.files))
        named: dict[str, str] = {}
        for path in self.files:
            name = path.rpartition("/")[2]
            if named.setdefault(name, path) != path:
                both = f"{named[name]!r} and {path!r}"
                raise ConfigError(f"Command(files=…) has {both}, which would be one file, {name!r}")
        if (
            not isinstance(self.env, Mapping)
            or not all(isinstance(text, str) and "\0" not in text for pair in self.env.items() for text in pair)
            or not all(name and "=" not in name for name in self.env)
        ):
            raise ConfigError("Command(env=…) must be {name: text}, without '=' in names, and without NUL")
        object.__setattr__(self, "env", dict(self.env))
        if self.keepalive is not None and not (
            isinstance(self.keepalive, int | float) and 0 < self.keepalive < math.inf
        ):
            raise ConfigError(f"Command(keepalive={self.keepalive!r}); it must be a number of seconds, over 0")

    @property
    def __name__(self) -> str:
        """What a study is called that nobody named: the program's first file, or word."""
        words = re.findall(r"[\w./-]+", self.script) or ["command"]
        word = next((each for each in words if re.search(r"\w\.\w+\Z", each)), words[0])
        return word.rpartition("/")[2].partition(".")[0] or "command"

    def render(self, values: Mapping[str, Any]) -> str:
        """Return the script for these values. Raises `KeyError`, `TypeError` or `ValueError` for what does not fit."""
        return self.script % Values(values)

    def to_json(self) -> dict[str, Any]:
        """Return what a log remembers of it."""
        return {**asdict(self), "files": list(self.files)}

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> Command:
        """Rebuild it from a log."""
        known = {name: described[name] for name in cls.__dataclass_fields__ if name in described}
        return cls(**known)

    def check(self, space: Mapping[str, Domain], *, budgets: bool | None) -> None:
        """Raise `ConfigError` where the template does not fit the searchspace.

        `budgets` tells whether trials have a budget; None where that is not known.
        """
        if "%" in re.sub(r"%%|%\([^)]*\)", "", self.script):
            raise ConfigError(
                "the command has a lone percent sign; write %(name)s for a value, and %% for a percent sign"
            )
        samples = {name: _samples(domain) for name, domain in space.items()}
        usual = {name: several[0] for name, several in samples.items()}
        used = self._names(usual, budgets=budgets)
        for name in used & samples.keys():
            for value in samples[name][1:]:
                self._names({**usual, name: value}, budgets=budgets)
        for name in used:
            if name in space and space[name].when:
                raise ConfigError(
                    f"the command uses %({name})…, which is absent unless {space[name].when}: "
                    "let the program read it from MAGGY_PARAMS, which is the environment's JSON of all values"
                )
        unused = [name for name in space if name not in used and not space[name].when]
        if unused and any(name in space for name in used):
            raise ConfigError(
                f"the command does not use %({unused[0]})…, which the searchspace defines; "
                "write it into the command, or let the program read all values from MAGGY_PARAMS"
            )
        if budgets and BUDGET not in used and "MAGGY_BUDGET" not in self.script:
            raise ConfigError(
                "the optimizer gives each trial a budget, but the command uses neither %(budget)s nor $MAGGY_BUDGET; "
                "add one and train for so many units"
            )

    def _names(self, values: Mapping[str, Any], *, budgets: bool | None) -> set[str]:
        """Return the names that the template uses. Raises `ConfigError` where these values cannot be put into it."""
        offered = {"trial": 1, "attempt": 1, **({} if budgets is False else {BUDGET: 1}), **values}
        recorder = Values(offered)
        try:
            _ = self.script % recorder
        except KeyError as error:
            name = str(error.args[0]).removesuffix(QUOTED)
            if name == BUDGET:
                raise ConfigError("the command uses %(budget)…, but this optimizer gives no budgets") from None
            raise ConfigError(
                f"the command uses %({name})…, which is no hyperparameter; there are: "
                f"{', '.join(offered)}{nearest(name, offered)}"
            ) from None
        except (TypeError, ValueError, OverflowError) as error:
            last = recorder.asked[-1] if recorder.asked else None
            shown = f" (%({last})…, for instance {offered.get(last.removesuffix(QUOTED))!r})" if last else ""
            raise ConfigError(
                f"the command is no template for these values{shown}: {error}; write %% for a percent sign"
            ) from None
        return {name.removesuffix(QUOTED) for name in recorder.asked}


class Values(dict[str, Any]):
    """A trial's values as a template asks for them; `name!q` is a value as one word of the shell."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.asked: list[str] = []

    def __getitem__(self, name: str) -> Any:
        self.asked.append(name)
        if name.endswith(QUOTED) and name not in self:
            value = super().__getitem__(name.removesuffix(QUOTED))
            return shlex.quote(value if isinstance(value, str) else dumps(value))
        return super().__getitem__(name)


def _samples(domain: Domain) -> list[Any]:
    """Return values whose kinds are those of all that the domain has."""
    if domain.size is None:
        return [domain.from_unit(0.5)]
    return [domain.nth(rank) for rank in range(min(domain.size, FEW))]
