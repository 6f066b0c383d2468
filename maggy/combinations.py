"""Which configurations there are where parameters depend on one another: judged, counted and numbered.

A *case* is a condition bound to domains: some parameters, each with one of some ranks. A parameter is active where its
case holds; a configuration is forbidden where one of the forbidden cases does. An inactive parameter is absent, so a
case that names it does not hold.

`Grid` goes through the parameters in order, and at each one knows of the past only which cases are broken: its
state. Only cases that have begun and not yet ended count, and parameters that no case connects stand in groups of their
own, so the states are few: a grid of 10^33 configurations is counted, and its k-th found, without being gone through.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from maggy.conditions import Condition
from maggy.domain import Domain
from maggy.errors import ConfigError, nearest

MOST_STATES = 4096
"""States at one parameter beyond which nothing is counted: it takes 13 cases that all cross one another."""

_LISTED = 1000

Cases = int
"""A set of cases, as bits: the case number n is 1 << n."""


@dataclass(frozen=True, slots=True)
class Case:
    """A condition bound to the domains of the parameters that it names."""

    ranks: Mapping[str, frozenset[int]]
    domains: Mapping[str, Domain]

    def holds(self, params: Mapping[str, Any]) -> bool:
        """Tell whether each of the parameters is there and has one of its values."""
        for name, ranks in self.ranks.items():
            domain = self.domains[name]
            if name not in params or not domain.contains(params[name]) or domain.rank(params[name]) not in ranks:
                return False
        return True


def bind(what: str, condition: Condition, domains: Mapping[str, Domain], later: Iterable[str] = ()) -> Case:
    """Return the condition's case. ConfigError, beginning with `what`, where a parameter or value of it cannot be.

    `later` are the names that will be defined only after it.
    """
    ranks: dict[str, frozenset[int]] = {}
    for name, values in condition.items():
        if name in later:
            raise ConfigError(f"{what} {name!r}, which is defined after it; define {name!r} first")
        domain = domains.get(name)
        if domain is None:
            known = ", ".join(domains) or "none"
            raise ConfigError(f"{what} {name!r}, but the parameters are, so far: {known}{nearest(name, domains)}")
        if domain.size is None:
            raise ConfigError(f"{what} values of {name!r}, which is continuous; give it a step, or list its values")
        for value in values:
            if not domain.contains(value):
                raise ConfigError(
                    f"{what} {name!r} being {value!r}, which is not a value of {domain!r}{_near(value, domain)}"
                )
        ranks[name] = frozenset(map(domain.rank, values))
    return Case(ranks, {name: domains[name] for name in ranks})


def _near(value: Any, domain: Domain) -> str:
    if not isinstance(value, str) or (domain.size or 0) > _LISTED:
        return ""
    return nearest(value, [each for each in domain.grid() or () if isinstance(each, str)])


def contradiction(case: Case, conditions: Mapping[str, Case]) -> str | None:
    """Return a parameter to which the case, with the conditions of those that it names, and so on, leaves no value."""
    allowed: dict[str, frozenset[int]] = {}
    todo: list[Case | None] = [case]
    while todo:
        each = todo.pop()
        for parent, ranks in each.ranks.items() if each else ():
            allowed[parent] = allowed.get(parent, ranks) & ranks
            if not allowed[parent]:
                return parent
            todo.append(conditions.get(parent))
    return None


@dataclass(frozen=True, slots=True)
class _Axis:
    """One parameter of a grid, with the cases that concern it, by number."""

    name: str
    domain: Domain
    own: Cases  # the case on which it depends
    named: Cases  # the cases that name it
    fatal: Cases  # the forbidden cases of which it is the last parameter
    vital: Cases  # the case that has to hold, if any
    runs: Sequence[tuple[int, int, Cases]]  # first rank, how many, which of the cases that name it they match

    def branches(self, broken: Cases) -> list[tuple[int, int, Cases]]:
        """Return (first rank, how many, what is broken behind) for what is allowed; one where it is inactive."""
        found = []
        for first, width, matched in [(0, 1, 0)] if self.own & broken else self.runs:
            after = broken | self.named & ~matched
            holds, lacks = self.fatal & ~after, self.vital & after
            if not holds and not lacks:
                found.append((first, width, after & ~(self.own | self.fatal)))
        return found


class Grid:
    """The configurations of a searchspace: how many there are, and which is the k-th.

    The last parameter goes fastest, and those that cases connect go together. A continuous one counts as one value.
    With a case that is `required`, only configurations count in which it holds.
    """

    def __init__(
        self,
        domains: Mapping[str, Domain],
        conditions: Mapping[str, Case],
        forbidden: Sequence[Case],
        required: Case | None = None,
    ) -> None:
        needed = [required] if required else []
        cases = {1 << number: case for number, case in enumerate([*conditions.values(), *forbidden, *needed])}
        own = dict(zip(conditions, cases, strict=False))
        vital = max(cases) if required else 0
        links = [{name, *case.ranks} for name, case in conditions.items()] + [set(case.ranks) for case in forbidden]
        self._names = list(domains)
        self._axes = []
        order = _together(self._names, links)
        place = {name: rank for rank, name in enumerate(order)}
        last = {bit: max(case.ranks, key=place.__getitem__) for bit, case in cases.items() if bit not in own.values()}
        for name in order:
            ranks = {bit: case.ranks[name] for bit, case in cases.items() if name in case.ranks}
            fatal = sum(bit for bit in ranks if last.get(bit) == name) & ~vital
            runs = _runs(domains[name].size or 1, ranks)
            self._axes.append(_Axis(name, domains[name], own.get(name, 0), sum(ranks), fatal, vital, runs))
        self._counts = self._counted()

    def _counted(self) -> list[dict[Cases, int]] | None:
        """Return for each parameter how many ways lead on from each state; None where there are too many states."""
        reached = [{0}]
        for axis in self._axes:
            reached.append({after for state in reached[-1] for _, _, after in axis.branches(state)})
            if len(reached[-1]) > MOST_STATES:
                return None
        counts = [{0: 1}]
        for axis, states in zip(reversed(self._axes), reversed(reached[:-1]), strict=True):
            ways = {
                state: sum(width * counts[-1][after] for _, width, after in axis.branches(state)) for state in states
            }
            counts.append(ways)
        return counts[::-1]

    @property
    def size(self) -> int | None:
        """How many configurations there are; None where there are too many states to tell."""
        return self._counts[0][0] if self._counts else None

    def nth(self, rank: int) -> dict[str, Any]:
        """Return the configuration number `rank`, from 0 and below `size`; asked where all domains are discrete."""
        params = {}
        state = 0
        for axis, counts in zip(self._axes, (self._counts or [])[1:], strict=True):
            for first, width, after in axis.branches(state):
                ways = counts[after]
                if rank < width * ways:
                    digit, rank = divmod(rank, ways)
                    if not axis.own & state:
                        params[axis.name] = axis.domain.nth(first + digit)
                    state = after
                    break
                rank -= width * ways
        return {name: params[name] for name in self._names if name in params}


def _together(names: Sequence[str], links: Iterable[set[str]]) -> list[str]:
    """Return the names with those that links connect side by side, and else in their order."""
    group = {name: {name} for name in names}
    for link in links:
        merged = set().union(*(group[name] for name in link))
        group |= dict.fromkeys(merged, merged)
    place = {name: rank for rank, name in enumerate(names)}
    order: dict[str, None] = {}
    for name in names:
        if name not in order:
            order |= dict.fromkeys(sorted(group[name], key=place.__getitem__))
    return list(order)


def _runs(size: int, cases: Mapping[Cases, frozenset[int]]) -> list[tuple[int, int, Cases]]:
    """Return the ranks below `size` as runs (first, how many, cases), of which the same cases have all ranks."""
    edges = sorted({0, size, *(edge for ranks in cases.values() for rank in ranks for edge in (rank, rank + 1))})
    starts = ((start, sum(bit for bit, ranks in cases.items() if start in ranks)) for start in edges[:-1])
    runs = [next(same) for _, same in groupby(starts, key=lambda start: start[1])]
    ends = [first for first, _ in runs[1:]] + [size]
    return [(first, end - first, matched) for (first, matched), end in zip(runs, ends, strict=True)]
