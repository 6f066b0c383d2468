"""The docs site: `make docs`. The root of the repository is the source, so that links lead where they do on GitHub."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

project = "maggy"
author = "the maggy authors"
copyright = author  # noqa: A001 - Sphinx's name
version = release = re.search(r'^VERSION = "(.*)"', (ROOT / "maggy/version.py").read_text("utf-8"), re.MULTILINE)[1]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
root_doc = "docs/index"
include_patterns = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**", "notebooks/*.ipynb"]
exclude_patterns = ["docs/_build", ".venv*", ".git", "maggy", "tests", "benchmarks", "**.ipynb_checkpoints"]

myst_heading_anchors = 3
nb_execution_mode = "off"  # their outputs are committed, and tests execute them
nb_merge_streams = True

default_role = "code"  # single backticks in docstrings, as in Markdown
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say them in words
add_module_names = False
napoleon_custom_sections = [("Arguments", "params_style")]

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "maggy"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1f5fae", "color-brand-content": "#1f5fae"},
    "dark_css_variables": {"color-brand-primary": "#8ab8f0", "color-brand-content": "#8ab8f0"},
}
html_static_path = ["_static"]
html_css_files = ["maggy.css"]
html_extra_path = ["_extra"]
autodoc_mock_imports = ["keras", "lightgbm", "lightning", "pytorch_lightning", "xgboost"]
