"""Names and files: where they lead, what they hold, and who may read them (A14, A16, A21, A23)."""

import ast
import os
import pickle
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import maggy
from maggy import Categorical, Float, Searchspace, experiment
from maggy.errors import ConfigError, StoreError
from maggy.opening import check_name
from maggy.store import open_store

LOCAL = {"launcher": "local", "num_executors": 1, "quiet": True, "earlystop": None}
SPACE = Searchspace(x=Float(0, 1))

STRANGE = [
    "../../etc/x",
    "..",
    ".",
    "",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "a\0b",
    "a\nb",
    "x" * 10_000,
    "a\x1b[31mb",
    "\u0440\u0430ypal",  # looks like paypal
    "a\u202eb",
    "'; DROP TABLE studies; --",
    "<script>alert(1)</script>",
    "=cmd()",
    "-rf",
    "~",
    "$(id)",
    "%2e%2e",
    "a\udcffb",
    ".hidden",
]


def quiet(x):
    return x


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRANGE, ids=ascii)
def test_a14_what_cannot_name_a_study_is_refused(name, tmp_path, monkeypatch):
    """A14: a name that could be a path, a command or a trick is an error before anything is made."""
    monkeypatch.chdir(tmp_path)
    for call in (
        lambda: experiment.lagom(quiet, SPACE, num_trials=1, name=name, **LOCAL),
        lambda: experiment.lagom(quiet, SPACE, num_trials=1, name=name, resume=True, **LOCAL),
    ):
        with pytest.raises(ConfigError, match="cannot name a study"):
            call()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", STRANGE, ids=ascii)
def test_a14_a_study_that_is_not_there_is_an_error(name, tmp_path):
    """A14: reading by a strange name finds nothing and changes nothing."""
    store = tmp_path / "maggy.db"
    with closing(open_store(store)) as opened:
        opened.create("digits", 0.0)
    for read in (lambda: experiment.load(name, store=store), lambda: experiment.resume(name, quiet, store=store)):
        with pytest.raises(ConfigError):
            read()
    with closing(open_store(store)) as opened:
        assert [entry.name for entry in opened.studies()] == ["digits"]


@pytest.mark.parametrize("name", ["CON", "nul", "a.b", "a b", "x" * 100, "_", "0", "a..b"])
def test_a14_odd_names_that_are_fine(name):
    """A14: these are plain folders everywhere that maggy runs."""
    assert check_name(name) == name


@pytest.mark.parametrize("name", [name for name in STRANGE if not name.isidentifier()], ids=ascii)
def test_a14_what_cannot_name_a_parameter_is_refused(name):
    """A14: parameters are keyword arguments; what is none is refused."""
    with pytest.raises(ConfigError):
        Searchspace({name: Float(0, 1)})


def shout(x, reporter):
    strange = ["../../x", "/etc/x", "a\0b", "a\x1b[31mb", "<script>", "=cmd()", "'; DROP TABLE events; --", "\u202e"]
    for step, name in enumerate(strange):
        reporter.report(step=step, metric=0.5, **{name: 1.0})
    print("\x1b[31m", x)
    raise ValueError("\x1b]0;title\x07 \x1b[2J " + x)


def test_a14_strange_values_and_metrics_are_only_data(tmp_path, monkeypatch, capfd):
    """A14: what users and their functions name stays in the study's own folder and does not drive the terminal."""
    monkeypatch.chdir(tmp_path)
    choices = ["../../x", "'; DROP TABLE events; --", "<script>alert(1)</script>", "\x1b[2J", "=cmd()", "a\0b"]
    places = {**LOCAL, "quiet": False, "store": tmp_path / "maggy.db", "log_dir": tmp_path / "logs"}
    result = experiment.lagom(shout, Searchspace(x=Categorical(choices)), "gridsearch", name="s", **places)
    assert [trial.status.value for trial in result.trials] == ["failed"] * len(choices)
    assert {trial.params["x"] for trial in result.trials} == set(choices)
    assert {path.name for path in tmp_path.iterdir()} <= {"maggy.db", "maggy.db-wal", "maggy.db-shm", "logs"}
    numbers = {str(trial.id) for trial in result.trials}
    assert {path.name for path in (tmp_path / "logs" / "s").iterdir()} <= {*numbers, "tensorboard", "checkpoints"}
    assert {path.name for path in (tmp_path / "logs" / "s" / "tensorboard").iterdir()} == {*numbers, "position"}
    assert "\x1b" not in "".join(capfd.readouterr())


# -- a store from a stranger -------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    """Give a file with a study of four trials."""
    path = tmp_path / "maggy.db"
    experiment.lagom(quiet, SPACE, num_trials=4, name="s", seed=1, store=path, log_dir=None, **LOCAL)
    return path


def changed(path, *statements):
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


MOVED = ["ALTER TABLE reports RENAME TO hidden", "CREATE VIEW reports AS SELECT * FROM hidden"]


@pytest.mark.parametrize(
    ("statements", "what"),
    [
        (["CREATE TRIGGER evil AFTER INSERT ON events BEGIN DELETE FROM studies; END"], "trigger 'evil'"),
        (["CREATE VIEW evil AS SELECT load_extension('x')"], "view 'evil'"),
        (MOVED, "table 'hidden'|view 'reports'"),
        (["CREATE TABLE more (x)"], "table 'more'"),
        (["CREATE INDEX evil ON events (abs(at))"], "index 'evil'"),
        (
            ["DROP INDEX ix_studies_base", "CREATE INDEX ix_studies_base ON studies (hex(base))"],
            "index 'ix_studies_base",
        ),
        (["ALTER TABLE studies ADD COLUMN evil AS (hex(name))"], "table 'studies'"),
        (["ALTER TABLE events ADD COLUMN evil INTEGER CHECK (evil < 3)"], "table 'events'"),
    ],
)
def test_a16_a_store_that_would_run_something_is_refused(store, statements, what):
    """A16: triggers, views, computed columns and indexes that we did not make: nothing is done with the file."""
    changed(store, *statements)
    before = store.read_bytes()
    for use in (
        lambda: experiment.load("s", store=store),
        lambda: experiment.lagom(quiet, SPACE, num_trials=8, name="s", resume=True, store=store, **LOCAL),
        lambda: open_store(store),
    ):
        with pytest.raises(StoreError, match=f"holds the ({what}).*, which maggy has not made so"):
            use()
    assert store.read_bytes() == before


def test_a16_a_virtual_table_is_refused(store):
    """A16: a table whose content is a program's."""
    try:
        changed(store, "CREATE VIRTUAL TABLE evil USING fts5(x)")
    except sqlite3.OperationalError:
        pytest.skip("this SQLite has no virtual tables")
    with pytest.raises(StoreError, match="holds the table 'evil"):
        open_store(store)


def test_a16_what_sqlite_adds_is_fine(store):
    """A16: the statistics of ANALYZE, as a careful user may run it, are no tables of a stranger."""
    changed(store, "ANALYZE")
    assert len(experiment.load("s", store=store).trials) == 4


class Evil:
    def __reduce__(self):
        return os.mkdir, (os.environ["MAGGY_TEST_EVIL"],)


def test_a16_pickles_in_a_store_are_not_read(store, tmp_path, monkeypatch):
    """A16: a pickle in the place of an event's body is an error, and is not executed."""
    monkeypatch.setenv("MAGGY_TEST_EVIL", str(tmp_path / "evil"))
    bomb = pickle.dumps(Evil(), 0)
    with closing(sqlite3.connect(store)) as connection:
        last = "(SELECT max(position) FROM events)"
        for column, content in (("kind", bomb.decode()), ("body", bomb), ("body", bomb.decode())):
            connection.execute(f"UPDATE events SET {column} = ? WHERE position = {last}", (content,))  # noqa: S608
            connection.commit()
            try:
                experiment.load("s", store=store)
            except StoreError:
                continue
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("name", ["../../evil", "/evil", "a/../../evil"])
def test_a16_a_strangers_study_leads_nowhere_else(store, tmp_path, name):
    """A16, A14: a study's name that is a path, in a file that somebody else has made, is refused."""
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("UPDATE studies SET name = ?", (name,))
        connection.commit()
    logs = tmp_path / "deep" / "logs"
    options = {**LOCAL, "store": store, "log_dir": logs}
    with pytest.raises(ConfigError, match="cannot name a study"):
        experiment.lagom(quiet, SPACE, num_trials=8, name="s", resume=True, **options)
    assert sorted(path.name for path in tmp_path.rglob("*evil*")) == []


def test_a16_a_strangers_optimizer_is_a_name_of_ours(store):
    """A16: what the log says of the optimizer chooses among maggy's own; nothing is imported."""
    evil = '{"name": "os.system", "command": "true"}'
    with closing(sqlite3.connect(store)) as connection:
        replaced = "UPDATE events SET body = json_set(body, '$.settings.optimizer', json(?)) WHERE position = 1"
        connection.execute(replaced, (evil,))
        connection.commit()
    with pytest.raises((ConfigError, StoreError), match=r"os\.system|checksum"):
        experiment.resume("s", quiet, num_trials=8, store=store, **LOCAL)


# -- modes -------------------------------------------------------------------------------------------------------------

WATCHED = """
import os, sys, tempfile
from pathlib import Path
os.umask(0)
made = []
real = os.open, os.mkdir

def hook(event, arguments):
    if event in ("open", "os.mkdir") and isinstance(arguments[0], str):
        made.append(arguments[0])

sys.addaudithook(hook)
from maggy import Float, Searchspace, experiment

def train_fn(x, reporter):
    import tempfile, os
    open(os.path.join(reporter.checkpoint_dir, "w"), "w").close()
    return x

if sys.argv[1] == "spark":
    from maggy.driver.package import archive
    archive()
experiment.lagom(train_fn, Searchspace(x=Float(0, 1)), num_trials=2, name="s", launcher="local", num_executors=1,
                 tls=True, quiet=True, log_dir=None)
temporary = tempfile.gettempdir()
for name in sorted(set(made)):
    path = Path(name)
    if name.startswith(temporary) and name != temporary and path.parent == Path(temporary) and path.exists():
        print(oct(path.stat().st_mode & 0o777), name)
print("made", sum(name.startswith(temporary + "/maggy-") for name in made))
"""


def test_a21_what_is_made_for_a_while_is_ours_alone(tmp_path):
    """A21: with the most careless umask, whatever stands in the temporary folder is closed to others, while it does."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    (tmp_path / "study.py").write_text(WATCHED)
    environment = {**os.environ, "TMPDIR": str(temporary)}
    ran = subprocess.run(
        [sys.executable, "study.py", "spark"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    *modes, last = ran.stdout.splitlines()
    assert last.startswith("made ")
    assert int(last.split()[1]) >= 3  # the certificate's folder, the checkpoints', the archive's
    assert all(line.startswith("0o700 ") for line in modes), modes
    assert list(temporary.iterdir()) == []


def test_a21_a_key_is_ours_alone_while_it_is_a_file(tmp_path, monkeypatch):
    """A21: the certificate's private key is 0600 in a folder of 0700, whatever the umask, and is gone at once."""
    import ssl

    from maggy.driver.certificate import server_context

    seen = []
    real = ssl.SSLContext.load_cert_chain

    def load(context, file):
        seen.append(
            (Path(file), stat.S_IMODE(Path(file).stat().st_mode), stat.S_IMODE(Path(file).parent.stat().st_mode))
        )
        real(context, file)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load)
    before = os.umask(0)
    try:
        server_context()
    finally:
        os.umask(before)
    [(path, mode, folder)] = seen
    assert (mode, folder) == (0o600, 0o700)
    assert not path.exists()


@pytest.mark.parametrize(("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_a21_what_stays_is_as_open_as_the_user_wishes(tmp_path, umask, file, folder):
    """A21: the store and the logs hold no secret; the user's umask says who may read them, and nothing widens it."""
    before = os.umask(umask)
    try:
        places = {"store": tmp_path / "maggy.db", "log_dir": tmp_path / "logs"}
        experiment.lagom(print_it, SPACE, num_trials=2, name="s", **LOCAL, **places)
    finally:
        os.umask(before)
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & ~(folder if path.is_dir() else file) == 0, path


def print_it(x):
    print(x)
    return x


# -- the code itself ---------------------------------------------------------------------------------------------------

SOURCES = sorted(Path(maggy.__file__).parent.rglob("*.py"))
MAY_UNPICKLE = {"executor/child.py", "driver/local.py"}  # in the trial's process, and in the code that an executor runs
MAY_EXECUTE = {"studyfile/python.py"}  # a study file that is a program, in a process of its own
MAY_PICKLE = {*MAY_UNPICKLE, "driver/pickling.py", "run.py"}


def called(tree):
    """Yield the dotted name of everything that is called, and the call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a23_nothing_runs_text(path):
    """A23: no shell, no eval or exec, no YAML or pickle that makes objects, no temporary name that can be guessed."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for name, call in called(tree):
        wanted = path.relative_to(SOURCES[0].parent).as_posix() in MAY_EXECUTE and name in ("exec", "compile")
        runs = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "tempfile.mktemp"}
        assert wanted or name not in runs, name
        assert not name.startswith(("yaml.", "marshal.", "shelve.", "joblib.", "dill.")), name
        assert not name.endswith(("check_output", "getoutput", "getstatusoutput")), name
        shell = [keyword for keyword in call.keywords if keyword.arg == "shell"]
        assert not shell, f"line {call.lineno} goes through a shell"
        if name.endswith((".loads", ".load", ".Unpickler")) and "pickle" in name:
            assert path.relative_to(SOURCES[0].parent).as_posix() in MAY_UNPICKLE, f"line {call.lineno} unpickles"
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not imported & {"yaml", "marshal", "shelve", "dill", "joblib"}


def test_a23_what_may_unpickle_runs_in_executors():
    """A23, A1: the one call on the driver's side of the house stands in the text that an executor's process runs."""
    root = SOURCES[0].parent
    tree = ast.parse((root / "driver" / "local.py").read_text(encoding="utf-8"))
    assert [name for name, _ in called(tree) if "pickle" in name] == ["pickle.dumps"]
