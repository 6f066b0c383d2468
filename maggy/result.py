"""What a study has found."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from maggy.errors import CheckpointError, amount
from maggy.places import is_url, place, root_of, unpack
from maggy.study import Study
from maggy.trial import Params, Status, Trial
from maggy.views.effects import Ablation


class Result(Mapping[str, Any]):
    """What a study has found: attributes for what is new, a mapping for what Maggy's users know.

    The mapping has `best_id, best_val, best_config, best_hp, worst_id, worst_val, worst_config, avg, metric_list,
    num_trials, early_stopped`.
    """

    def __init__(
        self, name: str, study: Study, *, store: str = "", log_dir: str | None = None, loaded: bool = False
    ) -> None:
        self.name = name
        self.store = store
        self.log_dir = log_dir
        self.study = study
        self._loaded = loaded  # from a log that may be somebody else's

    @property
    def trials(self) -> list[Trial]:
        """All trials in the order of their numbers; promotions are trials of their own, with a `parent`."""
        return list(self.study.trials.values())

    @property
    def best_trial(self) -> Trial | None:
        """The best completed trial at the largest budget that any completed; None where none did."""
        return self.study.best

    @property
    def best_params(self) -> Params | None:
        """The best trial's parameters."""
        return self.best_trial.params if self.best_trial else None

    @property
    def best_value(self) -> float | None:
        """The best trial's value of the objective."""
        return self.best_trial.value if self.best_trial else None

    @property
    def ablation(self) -> Ablation:
        """What each change has done to the objective, against the reference; print it, plot it, `to_pandas()`."""
        return Ablation(self.study)

    # -- pictures and tables: plotly figures, and pandas' data frames, where these are installed -------------------

    def plot_history(self) -> Any:
        """Draw each trial's value in the order in which they ended, and the best so far: a plotly figure.

        Like all pictures, `ConfigError` where plotly is not installed or there is nothing to draw.
        """
        from maggy.views.plots import trials

        return trials.history(self.study)

    def plot_curves(self) -> Any:
        """Draw what trials have reported at each step."""
        from maggy.views.plots import trials

        return trials.curves(self.study)

    def plot_timeline(self) -> Any:
        """Draw when each trial ran, a row for each executor: where time went."""
        from maggy.views.plots import trials

        return trials.timeline(self.study)

    def plot_rungs(self) -> Any:
        """Draw values by budget, and which trial continues which."""
        from maggy.views.plots import trials

        return trials.rungs(self.study)

    def plot_importance(self) -> Any:
        """Draw how much each parameter has to do with being among the best (PED-ANOVA)."""
        from maggy.views.plots import params

        return params.importance(self.study)

    def plot_slice(self, *names: str) -> Any:
        """Draw the objective over each of these parameters, over all by default."""
        from maggy.views.plots import params

        return params.slices(self.study, names or None)

    def plot_parallel(self, *names: str) -> Any:
        """Draw each trial as a line over these parameters, over all by default."""
        from maggy.views.plots import params

        return params.parallel(self.study, names or None)

    def plot_contour(self, *names: str) -> Any:
        """Draw what a model makes of two parameters, by default the two that matter most."""
        from maggy.views.plots import params

        return params.contour(self.study, names or None)

    def to_html(self, path: str | Path) -> str:
        """Write a report of the study, one HTML file that needs nothing else (5 to 10 MB), and return its path."""
        from maggy.views.report import report

        Path(path).write_text(report(self.study), encoding="utf-8")
        return str(path)

    def to_pandas(self, *, reports: bool = False) -> Any:
        """Return a data frame with a row for each trial, or for each report of the objective.

        Of a trial: what it was and did, `params_<name>` and `metrics_<name>`; times are seconds since the epoch. Of a
        report: `trial`, `step`, `value`. pandas has to be installed.
        """
        import pandas as pd

        if reports:
            points = [(trial.id, step, value) for trial in self.trials for step, value in trial.curve.points()]
            return pd.DataFrame(points, columns=["trial", "step", "value"])
        return pd.DataFrame([_row(trial) for trial in self.trials])

    # -- what trials have kept --------------------------------------------------------------------------------------

    @property
    def checkpoint_dir(self) -> str | None:
        """Where the log says that the checkpoints are, a path or a URL; None where they ended with the study."""
        kept: str | None = self.study.settings.get("checkpoints")
        return kept or (str(Path(self.log_dir) / "checkpoints") if self.log_dir else None)

    def checkpoint(
        self, trial: int | None = None, to: str | Path | None = None, *, checkpoint_dir: str | Path | None = None
    ) -> str:
        """Return the path of a copy of a trial's last checkpoint, the best trial's by default.

        It goes into the directory `to`, or a new one for temporary files, under the name with which it was saved.
        `checkpoint_dir` is where to look: `result.checkpoint_dir` by default, but a study that was loaded may be
        somebody else's, and then no URL is opened that is not named here. Raises `CheckpointError` where there is none,
        `FileExistsError` where `to` has something of that name.
        """
        chosen = self.best_trial if trial is None else self.study.trials.get(trial)
        if chosen is None:
            raise CheckpointError("no trial has completed" if trial is None else f"there is no trial {trial}")
        if chosen.checkpoint is None:
            raise CheckpointError(f"trial {chosen.id} has saved none: let train_fn call reporter.save(path)")
        root = self.checkpoint_dir if checkpoint_dir is None else root_of(checkpoint_dir)
        if not root:
            raise CheckpointError("checkpoints ended with the study, which had log_dir=None and no checkpoint_dir")
        if self._loaded and checkpoint_dir is None and is_url(root):
            raise CheckpointError(
                f"the checkpoints of study {self.name!r} are at {root!r}, by its log; if you trust it, name the place: "
                "result.checkpoint(checkpoint_dir=result.checkpoint_dir)"
            )
        folder = Path(tempfile.mkdtemp(prefix="maggy-") if to is None else to)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            try:
                local = place(root).get(chosen.checkpoint, Path(scratch))
                found = unpack(local, Path(scratch, "content"))
            except OSError as error:
                raise CheckpointError(
                    f"trial {chosen.id}'s checkpoint is no longer kept (keep_checkpoints), or out of reach: {error}"
                ) from error
            final = folder / found.name
            if final.exists():
                raise FileExistsError(f"{final} exists; name another directory with to=")
            return str(found.rename(final))

    @property
    def interrupted(self) -> bool:
        """Whether the study was broken off and `resume=True` would go on with it."""
        return self.study.closed not in ("done", "timeout")

    def __getitem__(self, key: str) -> Any:
        return self._mapping()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mapping())

    def __len__(self) -> int:
        return len(self._mapping())

    def __repr__(self) -> str:
        best = f"best {self.best_value} with {self.best_params}"
        return f"<Result of {self.name!r}: {amount(len(self.study.trials), 'trial')}, {best}>"

    def _mapping(self) -> dict[str, Any]:
        valued = [trial for trial in self.trials if trial.usable and self.best_trial]
        finals = [trial for trial in valued if trial.budget == (self.best_trial.budget if self.best_trial else None)]
        worst = max(finals, key=self.study.loss, default=None)
        values = [trial.value for trial in valued if trial.value is not None]
        return {
            "best_id": self.best_trial.id if self.best_trial else None,
            "best_val": self.best_value,
            "best_config": self.best_params,
            "best_hp": self.best_params,
            "worst_id": worst.id if worst else None,
            "worst_val": worst.value if worst else None,
            "worst_config": worst.params if worst else None,
            "avg": math.fsum(values) / len(values) if values else None,
            "metric_list": values,
            "num_trials": self.study.sampled,
            "early_stopped": self.study.counts[Status.STOPPED],
        }


_OF_A_TRIAL = ("status", "value", "budget", "parent", "attempt", "executor", "started", "ended", "duration")
_WHY = ("stop_reason", "error", "why")


def _row(trial: Trial) -> dict[str, Any]:
    return {
        "trial": trial.id,
        **{name: getattr(trial, name) for name in _OF_A_TRIAL},
        "status": str(trial.status),
        **{f"params_{name}": value for name, value in trial.params.items()},
        **{f"metrics_{name}": value for name, value in trial.metrics.items()},
        **{name: getattr(trial, name) for name in _WHY},
    }
