import math
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from maggy import Result, Searchspace
from maggy.optimizers import RandomSearch
from maggy.testing.play import play

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """Every relative link of a page names a file that is there."""
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_make_target_that_is_named_exists():
    """`make x` in the docs is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        verb
        for page in PAGES
        for verb in re.findall(r"(?:^ +|`)make ([a-z0-9-]+)", page.read_text("utf-8"), re.MULTILINE)
    }
    assert {"demo", "test"} <= named <= targets


def test_every_fault_of_the_table_has_a_test():
    """A row of docs/reliability.md is a promise, and a test's name keeps it: `test_f05_…` is of row F5."""
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    promised = set()
    for row in re.findall(r"^\| ((?:F\d+(?:, | to )?)+) \|", page, re.MULTILINE):
        numbers = [int(number) for number in re.findall(r"\d+", row)]
        promised |= set(range(numbers[0], numbers[-1] + 1)) if " to " in row else set(numbers)
    names = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/test_*.py"))
    tested = {int(number) for name in re.findall(r"def test(\w+)", names) for number in re.findall(r"_f(\d\d)", name)}
    assert len(promised) > 40
    assert promised <= tested, promised - tested


def test_the_searchspace_is_as_its_page_says():
    """The blocks of docs/searchspace.md run, one after the other, and give what stands behind `# →`."""
    page = (ROOT / "docs" / "searchspace.md").read_text(encoding="utf-8")
    names, compared = {"nan": math.nan}, 0
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)  # noqa: S102 - the page is ours
        for said, expected in re.findall(r"^(.*?)  # → (.*)$", block, re.MULTILINE):
            found = eval(said, names)  # noqa: S307
            assert repr(found) == repr(eval(expected, names)), said  # noqa: S307
            compared += 1
    assert compared > 15


def test_an_ablation_is_as_its_page_says(tmp_path):
    """The blocks of docs/ablation.md run, and the first prints such a table."""
    page = (ROOT / "docs" / "ablation.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    code = re.sub(r"(experiment\.lagom\(.*)\)\n", r"\1, launcher='local', num_executors=2, quiet=True)\n", code)
    (tmp_path / "page.py").write_text(code, encoding="utf-8")
    ran = subprocess.run([sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == re.search(r"```\n( +n .*?)```", page, re.DOTALL)[1].splitlines()


def test_code_for_maggy_1_is_as_its_page_says(tmp_path):
    """A study of 1.x, as it was and in today's words, finds the same kind of thing; one warning, at its own line."""
    page = (ROOT / "docs" / "from-maggy.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    for end in ("config=config", "[1, 2, 3]}\n"):
        assert end in code
        code = code.replace(end, f"{end.rstrip()}, launcher='local', num_executors=2, quiet=True")
    (tmp_path / "page.py").write_text(code, encoding="utf-8")
    ran = subprocess.run([sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found = [re.fullmatch(r"\{'lr': (.*)\} (.*)", line) for line in ran.stdout.splitlines()]
    assert [float(each[2]) for each in found] == pytest.approx([6 * float(each[1]) for each in found])
    assert len(found) == 2
    assert re.findall(r"page.py:(\d+): FutureWarning", ran.stderr) == ["2"]


def migrations(before):
    """Return the blocks of docs/migrate.md by their headings; `before` with the imports of the other library."""
    page = (ROOT / "docs" / "migrate.md").read_text(encoding="utf-8")
    found = dict(re.findall(r"^## ([^\n]+)\n[^#]*?```python\n(.*?)```", page, re.DOTALL | re.MULTILINE))
    return {name: re.sub(r"# (.*)\n.*\n", r"\1\n", code, count=1) if before else code for name, code in found.items()}


@pytest.mark.parametrize(
    ("library", "heading"), [("hyperopt", "Hyperopt"), ("optuna", "Optuna"), ("ray.tune", "Ray Tune")]
)
def test_a_migration_is_as_its_page_says(tmp_path, library, heading):
    """The block of docs/migrate.md runs with maggy, and, but for Ray's own processes, with the import before."""
    pytest.importorskip(library, reason=f"{library} is not installed")
    local = "launcher='local', num_executors=2, quiet=True)"
    after = re.sub(r"(fmin\(.*|optimize\(.*)\)\n", rf"\1, {local}\n", migrations(before=False)[heading])
    after = after.replace(".fit()", f".fit({local}")
    before = migrations(before=True)[heading].replace("SparkTrials(parallelism=2)", "None")
    for number, code in enumerate([after] if heading == "Ray Tune" else [after, before]):
        (tmp_path / f"page{number}.py").write_text(code, encoding="utf-8")
        command = [sys.executable, "-W", "ignore", f"page{number}.py"]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        assert re.search("kind|classifier|lr", ran.stdout), ran.stdout
    assert (tmp_path / "maggy.db").exists()


def test_the_site_begins_with_lines_that_run(tmp_path, monkeypatch):
    """The block of docs/index.md finds the best."""
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {}
    monkeypatch.chdir(tmp_path)
    exec(code.replace("=20)", "=20, launcher='local', num_executors=2, quiet=True)"), names)  # noqa: S102 - ours
    assert names["result"].best_params["lr"] == pytest.approx(0.1, abs=0.3)


def test_an_old_objective_is_known_as_the_page_says(tmp_path, monkeypatch):
    """The last block of docs/migrate.md."""
    monkeypatch.chdir(tmp_path)
    names = {}
    code = migrations(before=False)["Without any of this"].replace("=5)", "=5, launcher='local', quiet=True)")
    exec(code, names)  # noqa: S102 - the page is ours
    assert names["result"].best_value <= 1


def test_the_page_of_callbacks_names_those_that_there_are():
    """And no other."""
    from maggy import callbacks

    page = (ROOT / "docs" / "callbacks.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(\w+)\(", page)) >= set(callbacks.__all__)


def test_the_page_of_installing_names_the_extras_that_there_are():
    """And no other."""
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page, re.MULTILINE)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {name for row in rows for name in re.findall(r"\w+", row)} == set(extras)


def test_every_page_is_part_of_the_site():
    """docs/index.md leads to each, and to no other."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = re.findall(
        r"^(?:[\w ]+ <)?([\w./-]+)>?$", "".join(re.findall(r"```{toctree}.*?```", index, re.DOTALL)), re.MULTILINE
    )
    pages = {str(path.relative_to(ROOT / "docs").with_suffix("")) for path in ROOT.glob("docs/[!_]*/*.md")}
    pages |= {path.stem for path in ROOT.glob("docs/*.md")} - {"index"}
    assert {page for page in listed if not page.startswith("..")} == {
        page for page in pages if "decisions/0" not in page
    }


def test_the_page_of_plots_names_those_that_there_are():
    """Each plot of a result is a row of docs/plots.md, and the other way around."""
    page = (ROOT / "docs" / "plots.md").read_text(encoding="utf-8")
    there = {name for name in dir(Result) if name.startswith("plot_")}
    assert set(re.findall(r"^\| `(plot_\w+)", page, re.MULTILINE)) == there


def test_what_follows_a_notebooks_study_is_as_its_page_says(tmp_path, monkeypatch):
    """The block of docs/notebook.md runs on a result."""
    pytest.importorskip("plotly", reason="plotly is not installed")
    page = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")
    space = Searchspace(x=(0.0, 1.0))
    result = Result("digits", play(RandomSearch(), lambda trial: trial.params["x"], searchspace=space))
    monkeypatch.chdir(tmp_path)
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], {"result": result})  # noqa: S102 - the page is ours
    assert (tmp_path / "digits.html").exists()


def test_an_optimizer_is_written_as_its_page_says(tmp_path):
    """The blocks of docs/writing-an-optimizer.md are a test module that passes."""
    page = (ROOT / "docs" / "writing-an-optimizer.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "test_nearby.py").write_text("\n".join(blocks), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_nearby.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    assert len(blocks[0].splitlines()) < 60


VARIES = [  # between two runs of one session
    (r"\d+[A-Z][a-z]{2}\d\d|([A-Z][a-z]{2})?\d+:\d\d[AP]M", "TIME"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+ \S+", "TIME"),
    (r"(?<!\S)(\d+h)?(\d+m)?\d+(\.\d+)?(s|ms|µs)(?!\S)", "FOR"),
    (r"attempt:   1 on .*", "attempt:   1 on EXECUTOR"),
    (r"files: .*", "files: HERE"),
    (r" +", " "),
]


def session(page, folder):
    """Run the study of docs/cli.md, and its commands; return what the page says, and what they print."""
    study = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    (folder / "study.py").write_text(study, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    environment.pop("MAGGY_STORE", None)
    options = {"cwd": folder, "env": environment, "text": True}
    subprocess.run([sys.executable, "study.py"], check=True, **options)
    said = re.search(r"```console\n(.*?)```", page, re.DOTALL)[1]
    printed = []
    for line in re.findall(r"^\$ maggy (.*)$", said, re.MULTILINE):
        command = [sys.executable, "-m", "maggy", *shlex.split(line)]
        ran = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
        printed.append(f"$ maggy {line}\n{ran.stdout}")
    return said, "".join(printed)


def test_the_command_line_is_as_its_page_says(tmp_path):
    """The session of docs/cli.md gives what the page shows, but for times and names of executors."""
    said, printed = session((ROOT / "docs" / "cli.md").read_text(encoding="utf-8"), tmp_path)
    for pattern, word in VARIES:
        said, printed = re.sub(pattern, word, said), re.sub(pattern, word, printed)
    assert printed.splitlines() == said.splitlines()


def test_every_command_is_on_its_page():
    """docs/cli.md names all commands, and no other."""
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    named = {
        row.split()[0]
        for cell in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
        for row in re.findall(r"`([a-z].*?)`", cell)
    }
    assert named == {file.stem.replace("_", "-") for file in (ROOT / "maggy/cli/commands").glob("[a-z]*.py")}


@pytest.mark.spark
def test_the_first_block_of_the_readme_runs(tmp_path):
    """A new user pastes the README's ten lines into a script, and gets a result."""
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "readme.py").write_text(block[1], encoding="utf-8")
    environment = {**os.environ, "MASTER": "local[2]"}
    ran = subprocess.run(
        [sys.executable, "readme.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"\{'lr': .*\} 0\.[6-9]", ran.stdout), ran.stdout
    assert (tmp_path / "maggy.db").exists()


def test_commands_are_as_their_page_says(tmp_path, monkeypatch):
    """The program of docs/commands.md is a trial."""
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    call, program = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(program)
    names = {}
    call = call.replace("num_trials=20", "num_trials=2, num_executors=1, quiet=True")
    exec(call.replace("python train.py", f"{sys.executable} train.py"), names)  # noqa: S102 - the page is ours
    assert [trial.status for trial in names["result"].trials] == ["completed"] * 2
    assert [step for step, _ in names["result"].trials[0].curve.points()] == [0, 1, 2, 3, 4]


def test_study_files_are_as_their_page_says(tmp_path):
    """The file of docs/studyfiles.md defines a study, and the page names all that is there."""
    from maggy.studyfile.file import StudyFile
    from maggy.studyfile.prelude import NAMES

    pytest.importorskip("starlark_go")
    page = (ROOT / "docs" / "studyfiles.md").read_text(encoding="utf-8")
    (tmp_path / "toy.dv").write_text(re.search(r"```\n(.*?)```", page, re.DOTALL)[1])
    with StudyFile(str(tmp_path / "toy.dv")) as file:
        [study] = file.definitions
        assert study.num_trials == 6
        assert "0.500000 / $epoch" in file.run_config(study, {"x": 0.5, "y": "a"}, "toy:1").script
    assert {name for name in NAMES if name not in page} == set()
