import ast
import subprocess
import sys
from pathlib import Path

import pytest

import maggy

STUB = Path(maggy.__file__).with_suffix(".pyi")


def stub_names():
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    return {alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_the_stub_names_what_the_package_exports():
    """Type checkers see exactly the names that exist."""
    assert stub_names() == set(maggy.__all__)


@pytest.mark.parametrize("name", maggy.__all__)
def test_every_name_is_there(name):
    """Each exported name can be used, and shows in `dir`."""
    assert getattr(maggy, name) is not None
    assert name in dir(maggy)


def test_an_unknown_name_is_an_attribute_error():
    """A name that is not there fails as in any module."""
    with pytest.raises(AttributeError, match="no attribute 'Seachspace'"):
        maggy.Seachspace  # noqa: B018


def test_importing_is_light():
    """`import maggy` loads nothing but the package itself, and what looks its names up."""
    code = "import sys; before = set(sys.modules); import maggy; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names] == ["maggy", "maggy.lazy"]
