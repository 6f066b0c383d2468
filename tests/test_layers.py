"""Who may import whom: every module is parsed, and every import, wherever it stands, goes downwards."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import maggy

ROOT = Path(maggy.__file__).parent
MAX_LINES = 400

# The rows of docs/decisions. A module that stands in no row fails the test until somebody gives it one; `folder.*` are
# the modules of a folder that have no row of their own.
ROWS = {
    "0": ["errors", "jsonvalue", "version"],
    "1": [
        "conditions",
        "scales",
        "domain",
        "numeric",
        "choices",
        "domains",
        "combinations",
        "searchspace",
        "trial",
        "events",
        "study",
        "effects",
        "points",
        "trainfn",
        "command",
    ],
    "2a": [
        "rpc",
        "rpc.messages",
        "rpc.frames",
        "rpc.connection",
        "rpc.channel",
        "optimizers.rungs",
        "plugins",
        "compat.views",
    ],
    "2a numbers": ["optimizers.bayes", "optimizers.bayes.*"],
    "2a bases": ["optimizers.model", "optimizers.base"],
    "2a libraries": ["optimizers.foreign", "optimizers.foreign.*"],
    "2b": ["optimizers", "optimizers.*", "earlystop", "earlystop.*"],
    "2c": ["ablation", "ablation.*", "migrate.forms", "migrate.hyperspace", "migrate.tunespace"],
    "3": ["configuration"],
    "4": [
        "driver.scheduler",
        "driver.terms",
        "driver.crew",
        "driver.actions",
        "driver.outcome",
        "driver.asking",
        "driver.outage",
        "driver.roll",
        "driver.strangers",
        "driver.invariants",
        "driver.retention",
        "executor.orders",
        "executor.session",
        "executor.link",
        "executor.output",
        "studyfile.definition",
        "studyfile.oracle",
        "studyfile.prelude",
        "views.summary",
        "views.markup",
        "views.sketches",
        "views.live",
    ],
    "5a": ["rpc.stream", "rpc.door", "places", "store", "store.*"],
    "5a pictures": ["views.plots", "views.plots.*"],
    "5b": ["ablation.trials", "collector", "driver", "driver.*", "executor", "executor.*", "lazy", "views", "views.*"],
    "5c": ["compat", "compat.*", "migrate.objectives", "migrate.styles", "callbacks", "callbacks.*"],
    "6": ["experiment", "call", "opening", "platforms", "run", "result", "testing", "testing.*"],
    "6b": ["studyfile", "studyfile.*"],
    "7": ["cli", "cli.*", "migrate", "migrate.*"],
    "7 old paths": [
        "optimizer",
        "optimizer.bayes",
        "config",
        "experiment_config",
        "pruner",
        "tensorboard",
        "ablation.ablator",
    ],
    "7 pages": ["ui", "ui.*"],
    "8": ["cli.commands", "cli.commands.*", "__main__"],
}
ORDER = list(ROWS)
PURE = ORDER[: ORDER.index("4") + 1]
EVERYBODY = ("experiment", "call", "platforms", "run")  # the composition roots
EXEMPT = "maggy"  # the package itself looks names up when they are used

WALLS = {
    "executor": ("driver", "store", "views", "optimizers"),
    "driver": ("executor",),
    "optimizers": ("driver",),
}

CLOCKS = {"time", "datetime"}
CHANCE = {"secrets", "uuid"}  # and random, of which the class is an argument
FILES = {"os", "sys", "io", "pathlib", "shutil", "tempfile", "glob", "sqlite3", "shelve", "pickle", "importlib"}
SOCKETS = {"socket", "ssl", "select", "selectors", "urllib", "http", "platform", "getpass"}
THREADS = {"threading", "_thread", "queue", "asyncio", "concurrent", "subprocess", "multiprocessing", "signal"}
NUMBERS = {"numpy", "scipy", "sklearn"}  # pure, but heavy: for one row, whose modules are loaded at the first ask
HEAVY = {"sqlalchemy", "pyspark", "cloudpickle", "tensorboardX", "rich", "click"} | NUMBERS
IMPURE = CLOCKS | CHANCE | FILES | SOCKETS | THREADS | HEAVY | {"logging", "warnings"}


def name_of(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def short(name):
    return name.removeprefix("maggy.")


def row_of(name):
    for wanted in (short(name), short(name).rpartition(".")[0] + ".*"):
        for row, names in ROWS.items():
            if wanted in names:
                return row
    return None


def folder(name):
    """Return the folder of a module: a package belongs to its own."""
    path = MODULES[name]
    return path.parent.relative_to(ROOT.parent).as_posix()


def imports(tree, name):
    """Yield (module, name or None) for every import in a module, at its top and inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            yield from ((node.module, alias.name) for alias in node.names)


def own(name):
    """Return which of maggy's modules a module imports; `from maggy import x` means x."""
    found = set()
    for module, part in imports(TREES[name], name):
        if module.partition(".")[0] == "maggy":
            found.add(f"{module}.{part}" if f"{module}.{part}" in MODULES else module)
    return found


def foreign(name):
    return {(module, part) for module, part in imports(TREES[name], name) if module.partition(".")[0] != "maggy"}


def flaw(name, target):
    """Say why a module may not import another, or None."""
    if target not in MODULES:
        return f"there is no {target}"
    if target == EXEMPT:
        return "the package's own names are for users"
    mine, other = ORDER.index(row_of(name)), ORDER.index(row_of(target))
    if other > mine:
        return f"row {row_of(target)} is above row {row_of(name)}"
    if other == mine and folder(name) != folder(target):
        return f"both are of row {row_of(name)}, in different folders"
    if short(target).partition(".")[0] in WALLS.get(short(name).partition(".")[0], ()):
        return "there is a wall between them"
    return None


# -- the rule --------------------------------------------------------------------------------------


def test_every_module_has_its_row():
    """A new module has to be given a place before anything can use it."""
    assert [name for name in MODULES if name != EXEMPT and row_of(name) is None] == []


def test_every_row_has_modules():
    """A row does not name what is long gone."""
    named = {name for names in ROWS.values() for name in names if not name.endswith("*") and names is not ROWS["7"]}
    assert {name for name in named if f"maggy.{name}" not in MODULES} == set()


@pytest.mark.parametrize("name", [name for name in MODULES if name != EXEMPT])
def test_imports_go_downwards(name):
    """A module imports from lower rows, or from its own folder; walls hold inside functions too."""
    flaws = {short(target): why for target in own(name) if target != name and (why := flaw(name, target))}
    if short(name) in EVERYBODY:
        flaws = {target: why for target, why in flaws.items() if "above" in why}
    assert flaws == {}


def test_there_is_no_cycle():
    """The modules can be sorted so that each imports only what stands before it."""
    graph = {name: own(name) - {name} for name in MODULES if name != EXEMPT}
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("name", [name for name in MODULES if row_of(name) in PURE])
def test_pure_rows_touch_nothing(name):
    """Rows 0 to 4 read no clock, global random numbers, file, socket, environment or logger."""
    refused = IMPURE - NUMBERS if row_of(name) == "2a numbers" else IMPURE
    assert {module for module, _ in foreign(name) if module.partition(".")[0] in refused} == set()


@pytest.mark.parametrize("name", [name for name in MODULES if row_of(name) in PURE])
def test_random_numbers_are_an_argument(name):
    """Of the module random the pure rows use the class only, never the generator that everybody shares."""
    assert {part for module, part in foreign(name) if module == "random"} <= {None, "Random"}
    used = {
        node.attr
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random"
    }
    assert used <= {"Random"}


def test_no_import_hides():
    """No import stands behind TYPE_CHECKING: cycles must show."""
    hidden = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if "TYPE_CHECKING" in (getattr(node, "id", None), getattr(node, "attr", None))
    }
    assert hidden == set()


def test_no_file_is_too_long():
    """A file over 400 lines is a design question."""
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


# -- at run time -----------------------------------------------------------------------------------


def loaded_by(statement):
    """Return the modules that a fresh interpreter has after a statement and had not before."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["worker", "child", "process", "reporter", "devices", "inline"])
def test_the_executor_needs_the_standard_library_only(module):
    """The driver ships maggy to executors that have nothing but Python, and nothing heavy is loaded there."""
    loaded = loaded_by(f"import maggy.executor.{module}")
    assert {name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names} == {
        name for name in loaded if name.partition(".")[0] == "maggy"
    }
    assert f"maggy.executor.{module}" in loaded
    assert not [name for name in loaded if name.startswith(("maggy.driver", "maggy.store", "maggy.optimizers"))]


def test_importing_maggy_is_light():
    """The names of the package are looked up when they are used."""
    assert {name for name in loaded_by("import maggy") if name.startswith("maggy")} == {"maggy", "maggy.lazy"}


# -- the rule can fail -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "target", "why"),
    [
        ("maggy.trial", "maggy.study", None),  # one folder, one row
        ("maggy.study", "maggy.trial", None),
        ("maggy.study", "maggy.configuration", "row 3 is above row 1"),
        ("maggy.study", "maggy.experiment", "row 6 is above row 1"),
        ("maggy.optimizers.rungs", "maggy.optimizers.asha", "row 2b is above row 2a"),
        ("maggy.optimizers.asha", "maggy.optimizers.rungs", None),
        ("maggy.optimizers.asha", "maggy.earlystop.base", "both are of row 2b, in different folders"),
        ("maggy.optimizers.asha", "maggy.driver.actions", "row 4 is above row 2b"),
        ("maggy.executor.worker", "maggy.driver.actions", "there is a wall between them"),
        ("maggy.executor.worker", "maggy.optimizers.base", "there is a wall between them"),
        ("maggy.executor.worker", "maggy.store.base", "there is a wall between them"),
        ("maggy.driver.server", "maggy.executor.session", "there is a wall between them"),
        ("maggy.driver.server", "maggy.driver.scheduler", None),
        ("maggy.driver.scheduler", "maggy.driver.server", "row 5b is above row 4"),
        ("maggy.configuration", "maggy", "the package's own names are for users"),
        ("maggy.configuration", "maggy.nowhere", "there is no maggy.nowhere"),
    ],
)
def test_the_rule_tells_right_from_wrong(name, target, why):
    """Some imports that are allowed, and one for each way to break the rule."""
    assert flaw(name, target) == why


def test_imports_inside_functions_count():
    """An import is found wherever it stands."""
    tree = ast.parse("import a.b\ndef f():\n    if x:\n        from c import d as e, g\n")
    assert list(imports(tree, "test")) == [("a.b", None), ("c", "d"), ("c", "g")]
