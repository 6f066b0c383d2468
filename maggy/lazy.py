"""Names of a package that are looked up when they are first used (PEP 562): importing the package is light."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any


def looked_up(package: dict[str, Any], homes: Mapping[str, str], name: str, hint: str = "") -> Any:
    """Return what a package's name stands for, and keep it there.

    Arguments:
        package: the package's `globals()`.
        homes: the module in which each name is; one that is called as the name is meant itself.
        name: the name.
        hint: what to do where a library is missing.

    Raises:
        AttributeError: for a name that the package has not; it says which ones there are.
        ModuleNotFoundError: where what it needs is not installed.

    """
    called = package["__name__"]
    home = homes.get(name)
    if home is None:
        raise AttributeError(f"module {called!r} has no attribute {name!r}; it has {', '.join(homes)}")
    try:
        module = import_module(home)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{called}.{name} needs {error.name}, which is not installed here{hint}", name=error.name
        ) from None
    found = package[name] = module if home.endswith(f".{name}") else getattr(module, name)
    return found
