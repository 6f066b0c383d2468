"""What another library's objective is called with, made from a configuration of ours.

Hyperopt's and Ray Tune's searchspaces are nested: dicts and lists of parameters, choices between whole subspaces. Here
such a space is a flat `Searchspace`, with conditions, and a *form* that a configuration fills in. Forms travel with the
objective: executors need the other library only where the objective itself does.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from maggy.domains import Categorical, Domain, Float
from maggy.errors import ConfigError
from maggy.jsonvalue import identity, is_json
from maggy.searchspace import Searchspace

Params = Mapping[str, Any]
SPREAD = 4.0  # standard deviations to which a normal distribution is cut: maggy's searchspaces have bounds


class Form(Protocol):
    """What becomes a value when a configuration is filled in."""

    def fill(self, params: Params) -> Any:
        """Return the value that belongs to a configuration."""


@dataclass(frozen=True)
class Constant:
    """The same value in each trial; a copy of its own."""

    value: Any

    def fill(self, params: Params) -> Any:  # noqa: ARG002 - it depends on nothing
        """Return the value."""
        return copy.deepcopy(self.value)


@dataclass(frozen=True)
class Value:
    """A parameter's value, rounded to multiples of `q` where there is one."""

    name: str
    q: float | None = None
    kind: Callable[[Any], Any] | None = None

    def fill(self, params: Params) -> Any:
        """Return the value."""
        value = params[self.name] if self.q is None else multiple(params[self.name], self.q)
        return value if self.kind is None else self.kind(value)


@dataclass(frozen=True)
class Choice:
    """One of several forms: the one whose number, or value, the parameter has."""

    name: str
    options: Sequence[Form]
    values: Sequence[Any]

    def fill(self, params: Params) -> Any:
        """Return what was chosen."""
        return self.options[self.number(params)].fill(params)

    def number(self, params: Params) -> int:
        """Return the number of what was chosen, from 0."""
        return [identity(value) for value in self.values].index(identity(params[self.name]))


@dataclass(frozen=True)
class Items:
    """A dict."""

    parts: Mapping[Any, Form]

    def fill(self, params: Params) -> Any:
        """Return the dict."""
        return {key: part.fill(params) for key, part in self.parts.items()}


@dataclass(frozen=True)
class Applied:
    """A function of other forms, such as a tuple or a sum."""

    function: Callable[..., Any]
    parts: Sequence[Form]

    def fill(self, params: Params) -> Any:
        """Return what the function returns."""
        return self.function(*(part.fill(params) for part in self.parts))


def sequence(*parts: Any) -> tuple[Any, ...]:
    """Return the arguments: what Hyperopt makes of lists and tuples."""
    return parts


def listed(*parts: Any) -> list[Any]:
    """Return the arguments as a list, which Ray Tune's stay."""
    return list(parts)


@dataclass(frozen=True)
class Space:
    """Another library's searchspace as ours. `labels` has what that library calls each parameter.

    `rounded` are parameters of which the objective is given multiples; our domains have all between.
    """

    searchspace: Searchspace
    form: Form
    labels: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, Choice] = field(default_factory=dict)
    rounded: Mapping[str, float] = field(default_factory=dict)

    def names(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Return a point as that library writes it, choices by number, as a configuration of ours."""
        by_label = {label: name for name, label in self.labels.items()}
        named = {by_label.get(label, label): value for label, value in point.items()}
        return {name: self._inside(name, value) for name, value in named.items()}

    def point(self, params: Params) -> dict[str, Any]:
        """Return a configuration of ours as that library writes it, choices by number."""
        return {self.labels.get(name, name): self._outside(name, params) for name in params}

    def _inside(self, name: str, value: Any) -> Any:
        if name in self.choices:
            return self.choices[name].values[int(value)]
        domain = self.searchspace[name] if name in self.rounded else None
        if not isinstance(domain, Float):
            return value
        nearest = min(max(value, domain.low), domain.high)  # the multiple next to a bound may be beyond it
        return nearest if multiple(nearest, self.rounded[name]) == value else value

    def _outside(self, name: str, params: Params) -> Any:
        if name in self.choices:
            return self.choices[name].number(params)
        return multiple(params[name], self.rounded[name]) if name in self.rounded else params[name]


Where = tuple[str, Any] | None  # the choice, and its value, on which a parameter depends


class Builder:
    """Collects the parameters of a space while it is read."""

    def __init__(self) -> None:
        self._domains: dict[str, Domain] = {}
        self._depends: dict[str, list[Where]] = {}
        self.labels: dict[str, str] = {}
        self.choices: dict[str, Choice] = {}
        self.rounded: dict[str, float] = {}

    def add(self, label: str, domain: Domain, where: Where) -> str:
        """Add a parameter where a choice has a certain value, and return its name; or what is there again elsewhere.

        Raises `ConfigError` where two that differ have one name.
        """
        name = name_of(label)
        if self.labels.setdefault(name, label) != label:
            raise ConfigError(f"{label!r} and {self.labels[name]!r} would both be called {name!r}: rename one of them")
        if self._domains.setdefault(name, domain) != domain:
            raise ConfigError(f"{label!r} is defined twice, as {self._domains[name]!r} and as {domain!r}")
        self._depends.setdefault(name, []).append(where)
        return name

    def choose(
        self,
        label: str,
        options: Sequence[Any],
        weights: Sequence[float] | None,
        where: Where,
        read: Callable[[Any, Where], Form],
    ) -> Choice:
        """Add a choice between options, which `read` reads; options that can be a parameter's values are its values."""
        known = self.choices.get(name_of(label))
        constants = [option for option in options if option is None or isinstance(option, str | bool | int | float)]
        plain = len({identity(each) for each in constants if is_json(each)}) == len(options)
        values = list(options) if plain else list(range(len(options)))
        name = self.add(label, Categorical(values, weights=weights), where)
        found = Choice(
            name, [read(option, (name, value)) for option, value in zip(options, values, strict=True)], values
        )
        self.choices[name] = known or found
        return found

    def space(self, form: Form) -> Space:
        """Return what was collected."""
        domains: dict[str, Domain] = {}
        for name, domain in self._domains.items():
            domains[name] = replace(domain, when=self._when(name))  # choices come before what depends on them
        return Space(Searchspace(domains), form, self.labels, self.choices, self.rounded)

    def _when(self, name: str) -> dict[str, list[Any]] | None:
        """Say on what a parameter depends: on one choice, else on nothing, and then some trials have no use for it."""
        depends = self._depends[name]
        choices = {where[0] for where in depends if where is not None}
        if None in depends or len(choices) != 1:
            return None
        [choice] = choices
        values = [where[1] for where in depends if where is not None]
        if len({identity(value) for value in values}) == len(self.choices[choice].values):
            return self._when(choice)
        return {choice: [[value] if isinstance(value, list) else value for value in values]}


def multiple(value: float, q: float) -> float:
    """Return the multiple of `q` that is nearest."""
    return round(value / q) * q


def name_of(label: str) -> str:
    """Return what a parameter is called here: something that can name an argument of a function."""
    name = re.sub(r"\W", "_", label) or "_"
    name = name if name.isidentifier() else f"_{name}"
    try:
        Searchspace({name: [0]})
    except ConfigError:
        name += "_"
    return name


def exponential(low: float, high: float, what: str) -> tuple[float, float]:
    """Return the bounds of what has its logarithm between these. Raises `ConfigError` where there are none."""
    try:
        bounds = math.exp(low), math.exp(high)
    except OverflowError:
        bounds = 0.0, math.inf
    if not 0 < bounds[0] <= bounds[1]:
        raise ConfigError(
            f"{what}: e to the {low} and to the {high} are no bounds; the bounds of a logarithm are small"
        )
    return bounds
