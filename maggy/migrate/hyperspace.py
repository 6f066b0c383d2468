"""Hyperopt's searchspaces: what `hp.choice`, `hp.uniform` and the others make, read without Hyperopt.

They are graphs of nodes with a name and arguments. Unbounded distributions are cut at four standard deviations.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from maggy.domains import Domain, Float, Integer
from maggy.errors import ConfigError
from maggy.migrate.forms import (
    SPREAD,
    Applied,
    Builder,
    Constant,
    Form,
    Items,
    Space,
    Value,
    Where,
    exponential,
    sequence,
)

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "pos_args": sequence,
    "int": int,
    "float": float,
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": operator.truediv,
    "div": operator.truediv,
    "floordiv": operator.floordiv,
    "pow": operator.pow,
    "neg": operator.neg,
    "getitem": operator.getitem,
}


def is_node(value: object) -> bool:
    """Whether this is a part of one of Hyperopt's searchspaces."""
    return any(kind.__name__ == "Apply" and kind.__module__.startswith("hyperopt") for kind in type(value).__mro__)


def has_nodes(space: object) -> bool:
    """Whether this is one of Hyperopt's searchspaces, a dict or list of nodes included."""
    if isinstance(space, Mapping):
        return any(map(has_nodes, space.values()))
    return any(map(has_nodes, space)) if isinstance(space, list | tuple) else is_node(space)


def read(space: Any) -> Space:
    """Return Hyperopt's searchspace as ours. Raises `ConfigError` for what it cannot be."""
    builder = Builder()
    return builder.space(_read(space, None, builder))


def _read(node: Any, where: Where, builder: Builder) -> Form:
    if isinstance(node, Mapping):
        return Items({key: _read(each, where, builder) for key, each in node.items()})
    if isinstance(node, list | tuple):
        return Applied(sequence, [_read(each, where, builder) for each in node])
    if not is_node(node):
        return Constant(node)
    if node.name == "literal":
        return Constant(node.obj)
    if node.name == "dict" and not node.pos_args:
        return Items({key: _read(each, where, builder) for key, each in node.named_args})
    if node.name == "switch":
        return _choice(node, where, builder)
    if node.name == "hyperopt_param":
        return _value(node, where, builder)
    if node.name in FUNCTIONS and not node.named_args:
        return Applied(FUNCTIONS[node.name], [_read(each, where, builder) for each in node.pos_args])
    raise ConfigError(
        f"the searchspace has scope.{node.name}, which maggy does not know: compute it in the objective "
        f"(it knows {', '.join(FUNCTIONS)})"
    )


def _choice(node: Any, where: Where, builder: Builder) -> Form:
    chosen, *options = node.pos_args
    if chosen.name != "hyperopt_param" or chosen.arg["obj"].name not in ("randint", "categorical"):
        raise ConfigError("the searchspace has scope.switch without hp.choice: write hp.choice(label, options)")
    drawn = chosen.arg["obj"]
    weights = [float(each) for each in _given(drawn, "p")] if drawn.name == "categorical" else None
    plain = [option.obj if is_node(option) and option.name == "literal" else option for option in options]
    return builder.choose(
        str(chosen.arg["label"].obj), plain, weights, where, lambda option, here: _read(option, here, builder)
    )


def _value(node: Any, where: Where, builder: Builder) -> Form:
    label, drawn = str(node.arg["label"].obj), node.arg["obj"]
    domain, q = _domain(drawn, f"hp.{drawn.name}({label!r}, …)")
    name = builder.add(label, domain, where)
    if q is not None:
        builder.rounded[name] = q
    return Value(name, q)


def _domain(drawn: Any, what: str) -> tuple[Domain, float | None]:
    """Return the domain of a distribution, and to what multiples its values are rounded in the objective only."""
    kind = drawn.name.removeprefix("q")
    q = float(_given(drawn, "q")) if drawn.name != kind else None
    if drawn.name == "randint":
        first, end = int(_given(drawn, "low")), _given(drawn, "high")
        return Integer(0, first - 1) if end is None else Integer(first, int(end) - 1), None
    if kind in ("uniform", "loguniform"):
        low, high = float(_given(drawn, "low")), float(_given(drawn, "high"))
        if kind == "loguniform":
            return Float(*exponential(low, high, what), log=True), q
        if q is None:
            return Float(low, high), None
        lowest, highest = round(low / q) * q, round(high / q) * q
        return Float(lowest, highest, step=q if highest > lowest else None), None
    if kind in ("normal", "lognormal"):
        mu, sigma = float(_given(drawn, "mu")), float(_given(drawn, "sigma"))
        low, high = mu - SPREAD * sigma, mu + SPREAD * sigma
        if kind == "normal":
            return Float(low, high, mean=mu, sd=sigma), q
        return Float(*exponential(low, high, what), log=True, mean=math.exp(mu), sd=sigma), q
    raise ConfigError(f"{what} is no distribution that maggy knows")


def _given(drawn: Any, name: str) -> Any:
    """Return an argument of a distribution; None where it has none. Raises `ConfigError` for a computed one."""
    found = drawn.arg.get(name)
    if found is None or not is_node(found):
        return None
    if found.name == "pos_args":
        return [each.obj for each in found.pos_args]
    if found.name != "literal":
        raise ConfigError(f"{name} of hp.{drawn.name} is computed in the searchspace: write a number")
    return found.obj
