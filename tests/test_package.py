"""Tests of maggy.driver.package."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from maggy.driver import package


class Context:
    """Has of a SparkContext what `ship` uses."""

    def __init__(self, application: str) -> None:
        self.applicationId = application
        self.added: list[str] = []
        self.sparkContext = self  # it is its own session

    def addPyFile(self, path: str) -> None:  # noqa: N802 - Spark's name
        self.added.append(path)


@pytest.fixture
def sources(monkeypatch, tmp_path):
    """Write a package with a subpackage, a file of data and a compiled one."""
    for name in ("__init__.py", "b.py", "a.py", "data.txt", "sub/__init__.py", "__pycache__/a.cpython-311.pyc"):
        path = tmp_path / "probe_pkg" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"NAME = {name!r}\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "probe_pkg"
    for name in [name for name in sys.modules if name.startswith("probe_pkg")]:
        del sys.modules[name]


def names(content: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(content)).namelist()


def test_only_sources_are_packed(sources):
    """The zip holds the Python files under the package's name, sorted, and nothing else."""
    expected = ["probe_pkg/__init__.py", "probe_pkg/a.py", "probe_pkg/b.py", "probe_pkg/sub/__init__.py"]
    assert names(package.pack("probe_pkg")) == expected


def test_the_same_sources_give_the_same_bytes(sources):
    """Neither the files' dates nor the clock matter, but their content does."""
    first = package.pack("probe_pkg")
    assert {info.date_time for info in zipfile.ZipFile(io.BytesIO(first)).infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert package.pack("probe_pkg") == first
    (sources / "a.py").write_text("NAME = 'other'\n")
    assert package.pack("probe_pkg") != first


def test_a_package_that_runs_from_a_zip_is_packed_again(monkeypatch, sources, tmp_path):
    """Where spark-submit gave the driver a zip, the executors get the same sources."""
    content = package.pack("probe_pkg")
    (tmp_path / "given.zip").write_bytes(content)
    sources.rename(tmp_path / "moved")
    for name in [name for name in sys.modules if name.startswith("probe_pkg")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path / "given.zip")
    assert package.pack("probe_pkg") == content


def test_the_zip_alone_is_enough(tmp_path):
    """A Python without site-packages imports maggy's executor side and cloudpickle from the zip."""
    code = "import maggy.executor, cloudpickle; print(maggy.executor.__file__, cloudpickle.__file__)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(package.archive())},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count(".zip/") == 2


def test_the_archive_is_private_and_goes_with_the_process():
    """Its directory is the user's alone, its name tells version and content, and at exit it is gone."""
    code = "from maggy.driver.package import archive; p = archive(); print(oct(p.parent.stat().st_mode)[-3:], p)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    mode, path = done.stdout.split()
    assert mode == "700"
    assert Path(path).match("maggy-*-????????????.zip")
    assert not Path(path).parent.exists()


def test_each_application_gets_it_once():
    """A second study in the same application adds nothing; a new SparkContext gets the zip again."""
    first, second = Context("app-test-1"), Context("app-test-2")
    for context in (first, first, second):
        package.ship(context)
    assert first.added == second.added == [str(package.archive())]
