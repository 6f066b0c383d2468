"""Which maggy this is, and whether two of them understand each other."""

from __future__ import annotations

VERSION = "2.0.0.dev0"
REFUSED = "refused"  # how an executor begins to say that it is none the driver can use, however often it is started


def series(version: str) -> str:
    """Return the first two numbers of a version, of maggy or of Python: those who share them can work together."""
    return ".".join(version.split(".")[:2])


def misfit(what: str, executor: str, driver: str, remedy: str) -> str | None:
    """Say why an executor with this version of something cannot work for this driver, or None."""
    if series(executor) == series(driver):
        return None
    return f"{REFUSED}: the executor has {what} {executor[:40]}, and the driver {driver}; {remedy}"
