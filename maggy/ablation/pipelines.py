"""Steps of scikit-learn's pipelines, and parts of its unions and column transformers, nested ones included."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from maggy.errors import ConfigError


def names(model: Any) -> list[str]:
    """Return the steps' names, those of nested pipelines as scikit-learn writes them: `outer__inner`."""
    return [name for name, _, _ in _steps(model, "")]


def reduced(model: Any, gone: Collection[str], example: Any, *, check: bool) -> Any:  # noqa: ARG001 - all is seen
    """Return the pipeline with these steps passed through. Raises `ConfigError` for one that does the work."""
    found = {name: (owner, last) for name, owner, last in _steps(model, "")}
    for name in gone:
        owner, last = found[name]
        if last:
            raise ConfigError(
                f"step {name!r} is the last one, whose predictions are the pipeline's: it cannot be left out; "
                "compare it with others by models={'name': function}"
            )
        # A union or column transformer leaves a part's columns out; a pipeline hands on what it was given.
        model.set_params(**{name: "passthrough" if hasattr(owner, "steps") else "drop"})
    return model


def _steps(model: Any, before: str) -> list[tuple[str, Any, bool]]:
    """Return names, whose they are, and whether they are the last that decides what comes out."""
    found: list[tuple[str, Any, bool]] = []
    for attribute in ("steps", "transformer_list", "transformers"):
        listed = getattr(model, attribute, None) or []
        for name, inner, *_ in listed:
            last = attribute == "steps" and name == listed[-1][0] and not before
            found.append((before + name, model, last and not hasattr(inner, "transform")))
            if hasattr(inner, "get_params"):
                found += _steps(inner, f"{before}{name}__")
    return found
