"""The notebooks run, and what is kept of them is what they show."""

import re

import pytest
from execute import HERE, PICTURES, code, executed, structure

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
NOTEBOOKS = sorted(HERE.glob("*.ipynb"))
NEEDS = {"ablation": ["pandas", "torch"], "hyperopt": ["hyperopt", "pandas"], "quickstart": ["pandas"]}
every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def kept(path):
    return nbformat.read(path, as_version=4)


def test_there_are_those_that_the_docs_name():
    """Each notebook is a page of the site, and the other way around."""
    index = (HERE.parent / "docs" / "index.md").read_text(encoding="utf-8")
    assert {f"../notebooks/{path.stem}" for path in NOTEBOOKS} == set(
        re.findall(r"^\.\./notebooks/\w+", index, re.MULTILINE)
    )


@every
def test_a_notebook_is_small_and_says_nothing_of_where_it_ran(path):
    """300 kB at most; no paths, no errors, nothing of stderr; each cell was executed, in its order."""
    assert path.stat().st_size < 300_000
    cells = code(kept(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        shown = str([{**output.get("data", output), **dict.fromkeys(PICTURES)} for output in cell.outputs])
        assert not re.search(r"(?<![\w.])/(home|root|tmp|var|work|usr|Users)/|Traceback|'stderr'", shown)


@every
def test_links_of_a_notebook_lead_somewhere(path):
    """Relative links name files that are there."""
    for cell in kept(path).cells:
        for target in re.findall(r"\]\((?!http)([^)#]+)", cell.source if cell.cell_type == "markdown" else ""):
            assert (path.parent / target).exists(), target


@every
@pytest.mark.chaos
@pytest.mark.spark
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("default")
def test_a_notebook_shows_what_was_kept(path):
    """Cell for cell the same kinds of output; the numbers may differ."""
    for package in ["hyperopt" if path.stem == "hyperopt" else "plotly", *NEEDS.get(path.stem, [])]:
        pytest.importorskip(package, reason=f"{package} is not installed")
    found = executed(path, pictures="plotly_mimetype")
    assert [structure(cell) for cell in code(found)] == [structure(cell) for cell in code(kept(path))]
