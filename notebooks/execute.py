"""Execute the notebooks beside this file and keep their outputs: `make notebooks`, or name some after the command.

Each runs in a directory of its own, which is removed. All outputs are kept but what goes to stderr, which is Spark's
and says something else each time; the name of the machine is left out. Pictures are kept as PNG, which is shown
wherever notebooks are; kaleido draws them, and needs a Chromium or Chrome. Tests look at no pictures, and have plotly
describe them instead.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PATIENCE = 300  # seconds for a cell
PICTURES = ("image/png", "application/vnd.plotly.v1+json")
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def executed(path: Path, *, pictures: str = "png") -> Any:
    """Return the notebook with new outputs; `pictures` names a renderer of plotly. Raises what a cell raises."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=PATIENCE,
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
        )
        client.execute(env=_environment(Path(folder, ".spark"), pictures))
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    for cell in code(notebook):
        cell.metadata.clear()
        cell.outputs = [_nowhere(output) for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def code(notebook: Any) -> list[Any]:
    """Return the cells that are executed."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def structure(cell: Any) -> list[str]:
    """Return what a cell has shown, one word for each output: two runs show other numbers, and the same words."""
    shown = []
    for output in cell.outputs:
        kinds = output.get("data", {output.get("name", "error"): ""})
        shown.append("picture" if any(kind in kinds for kind in PICTURES) else min(kinds))
    return shown


def _nowhere(output: Any) -> Any:
    """Return an output without the name of this machine, with which executors' names begin."""
    if isinstance(output, str):
        return output.replace(f"{socket.gethostname()}-", "host-")
    return type(output)({key: _nowhere(value) for key, value in output.items()}) if isinstance(output, dict) else output


def _environment(spark: Path, pictures: str) -> dict[str, str]:
    """Return the kernel's environment: this Python's programs first, this maggy, Spark on two cores."""
    import pyspark

    spark.mkdir()
    for part in Path(pyspark.__file__).parent.iterdir():  # links: `local-cluster` writes into SPARK_HOME
        if part.name != "work":
            (spark / part.name).symlink_to(part)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    keep = {key: value for key, value in os.environ.items() if not key.startswith("MAGGY_")}
    ours = {
        "PATH": path,
        "PYTHONPATH": str(HERE.parent),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_HOME": str(spark),
        "PYTHONWARNINGS": "ignore::FutureWarning",  # of PySpark about pandas; spark-submit hands it on as stdout
        "MASTER": "local[2]",
        "COLUMNS": "100",
        "PLOTLY_RENDERER": pictures,
    }
    return keep | ours


def main() -> None:
    """Execute the notebooks that were named, or all."""
    import nbformat

    for path in [Path(name) for name in sys.argv[1:]] or sorted(HERE.glob("*.ipynb")):
        notebook = executed(path)
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
