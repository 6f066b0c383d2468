"""Opening a study: a new one, or one whose log says how it is to go on."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from maggy.collector import no_collections
from maggy.configuration import StudyConfig, reconfigured
from maggy.driver.outage import WORTH_SAYING
from maggy.errors import ConfigError, StoreError, StoreUnavailable
from maggy.events import LOG_VERSION, Event, Reported, Requeued, StudyOpened, StudyResumed
from maggy.optimizers import OPTIMIZERS
from maggy.places import is_url, place, root_of
from maggy.plugins import to_json
from maggy.points import facts
from maggy.searchspace import OPEN, Searchspace
from maggy.store.base import LEASE, Owner, Store, StudyEntry, check_name
from maggy.study import Study
from maggy.trial import KNOWN, Status, Trial

PATIENCE = 60.0  # seconds for which a call waits for a store that is busy, until its driver starts
CLOCKS_APART = 2 * 86_400.0  # seconds by which no two hosts' clocks differ: zones, a wrong day

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Given:
    """What a call named itself; the rest comes from the log when a study is taken up."""

    searchspace: bool = False
    metric: bool = False
    direction: bool = False
    optimizer: bool = False
    rules: bool = False
    num_trials: bool = False
    seed: bool = False
    points: bool = False
    log_dir: bool = False


@dataclass
class Opened:
    """A study that this process owns: as its log has it, where its files are, and its checkpoints if that is elsewhere.

    `facts` are the events of its log but for reports, of which there may be millions.
    """

    name: str
    store: Store
    owner: Owner
    files: Path | None
    checkpoints: str | None = None
    study: Study = field(default_factory=Study)
    facts: list[Event] = field(default_factory=list)
    latest: float = 0.0  # the time of the last event
    say: Callable[[str], None] = lambda _: None

    @no_collections()
    def read(self) -> None:
        """Fold the log. Raises `StoreError` for one that is damaged, or of a later version."""
        self.study = Study.of(self._noted(history(self.store, self.name)))

    def append(self, *events: Event) -> None:
        """Add to the log before the driver starts."""
        patiently(lambda: self.store.append(self.name, self.study.position, events), self.say)
        for event in self._noted(events):
            self.study.apply(event)

    def _noted(self, events: Iterable[Event | None]) -> Iterator[Event | None]:
        for event in events:
            if event is not None:
                self.latest = event.at
                if type(event) is not Reported:
                    self.facts.append(event)
            yield event

    def release(self) -> None:
        """Let the study go; where the store fails, the owner's end does the same."""
        with suppress(StoreUnavailable):
            self.store.release(self.name, self.owner)


def patiently(do: Callable[[], Answer], say: Callable[[str], None]) -> Answer:
    """Do something with a store, again while it is busy: no executor waits yet. Raises `StoreUnavailable` at last."""
    began, told = time.monotonic(), False
    while True:
        try:
            return do()
        except StoreUnavailable as error:
            waited = time.monotonic() - began
            if waited > PATIENCE:
                raise
            if waited > WORTH_SAYING and not told:
                told = True
                say(f"Waiting for the store, {PATIENCE:.0f} s at most: {error}.")
            time.sleep(0.1)


def check_folder(log_dir: Path | None) -> None:
    """Make the folder for all studies' files. Raises `ConfigError` where nothing can be written there."""
    if log_dir is None:
        return
    try:
        _probe(log_dir)
    except (OSError, ValueError) as error:  # ValueError: a null character in it
        raise ConfigError(f"log_dir={str(log_dir)!r} cannot be written ({error}); name another, or None") from None


def check_place(checkpoint_dir: str | Path | None) -> str | None:
    """Return where checkpoints go, as a URL or an absolute path. Raises `ConfigError` where nothing can be kept there.

    The executors' own way to it is their business: a trial that cannot keep its checkpoint says so.
    """
    if checkpoint_dir is None:
        return None
    given = root_of(checkpoint_dir)
    if "memory://" in given:
        raise ConfigError(
            f"checkpoint_dir={given!r} is the memory of one process; no other would find anything there. Name a path "
            "that executors share, or a URL of a file system or object store"
        )
    root = given.rstrip("/") if is_url(given) else str(Path(given).absolute())
    try:
        place(root).probe()
    except Exception as error:  # noqa: BLE001 - fsspec's file systems raise whatever they like
        raise ConfigError(f"checkpoint_dir={given!r} cannot be written from here: {error or repr(error)}") from None
    return root


def _probe(folder: Path) -> None:
    """Write something into a folder, which is made if need be. Raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"\0")  # to make an empty file there may be room on a full disk


def begin(
    store: Store,
    base: str,
    config: StudyConfig,
    log_dir: Path | None,
    owner: Owner | None = None,
    checkpoint_dir: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Opened:
    """Create a study under the first free name and record how it is run."""
    now = time.time()
    name = patiently(lambda: store.create(base, now), say)
    opened = Opened(name, store, owner or Owner.current(), _free_folder(log_dir, name), say=say)
    opened.checkpoints = _own_root(checkpoint_dir, name)
    patiently(lambda: store.claim(name, opened.owner, time.time()), say)
    opened.append(StudyOpened(now, _settings(config, opened)), *facts(config.known, config.objective, now))
    return opened


def take_up(
    store: Store,
    name: str,
    config: StudyConfig,
    given: Given,
    log_dir: Path | None,
    say: Callable[[str], None] = lambda _: None,
    owner: Owner | None = None,
    checkpoint_dir: str | None = None,
) -> tuple[Opened, StudyConfig]:
    """Claim a study and work out how it goes on: as its log says, but for what the call may change.

    Raises `ConfigError` where the call contradicts the log: another searchspace, objective, optimizer or seed. So it
    does where the study is to go on, but nothing can be written where its files or checkpoints are.
    """
    check_name(name)  # it may come from a file that somebody else has made, and becomes a path
    opened = Opened(name, store, owner or Owner.current(), log_dir / name if log_dir else None, say=say)
    claim(store, name, opened.owner, say)
    try:
        opened.read()
        study = opened.study
        if not study.position:  # its first driver was killed before it could say what the study is
            opened.checkpoints = _own_root(checkpoint_dir, name)
            _check_places(opened)
            now = time.time()
            opened.append(StudyOpened(now, _settings(config, opened)), *facts(config.known, config.objective, now))
            return opened, config
        moved = given.log_dir and str(opened.files) != str(study.settings.get("files"))
        if not given.log_dir:
            opened.files = Path(study.settings["files"]) if study.settings.get("files") else None
        opened.checkpoints = _known_root(study, name, checkpoint_dir, say, moved=moved)
        config = _reconciled(name, study, config, given)
        if not nothing_left(opened, config):
            _check_places(opened)
    except BaseException:
        opened.release()
        raise
    return opened, config


def claim(store: Store, name: str, owner: Owner, say: Callable[[str], None], patience: float = LEASE) -> None:
    """Claim a study, once it is known whether its holder lives. Raises `StudyOwned` where it does."""
    now = time_of_holder(store, name, say, patience)
    patiently(lambda: store.claim(name, owner, now), say)


def time_of_holder(store: Store, name: str, say: Callable[[str], None], patience: float = LEASE) -> float:
    """Return the time by which the store tells whether a study's holder lives.

    The other host's clock need not agree with ours, so what it wrote of the time tells nothing: only that it writes.
    Where a holder cannot be seen from here, wait until its lease tells.
    """
    held = _entry(store, name)
    if held.owner is None or held.owner.visible or time.time() > held.renewed + CLOCKS_APART:
        return time.time()
    host, pid = held.owner.host, held.owner.pid
    say(f"Study {name!r} was last held by process {pid} on host {host}: waiting for a sign of life of it.")
    until = time.monotonic() + patience
    while (found := _entry(store, name)) == held and time.monotonic() < until:
        time.sleep(patience / 50)
    # Dead by our clock, or alive by its own: unless it has let go, the store refuses the latter.
    return max(time.time(), held.renewed + LEASE) if found == held else found.renewed


def _entry(store: Store, name: str) -> StudyEntry:
    return next(entry for entry in store.studies() if entry.name == name)


def go_on(opened: Opened, config: StudyConfig) -> None:
    """Record that the study is taken up, and what has changed."""
    # What was wished of an earlier driver is over with it.
    patiently(lambda: opened.store.requests(opened.name), opened.say)
    before = opened.study.settings
    settings = _settings(config, opened)
    changed = {key: value for key, value in settings.items() if value != before.get(key)}
    now = max(time.time(), opened.latest)
    again = [Requeued(now, trial.id) for trial in failed(opened.study)] if config.retry else []
    opened.append(StudyResumed(now, changed), *again)


def nothing_left(opened: Opened, config: StudyConfig) -> bool:
    """Whether the study has ended for good and is not asked for more."""
    study = opened.study
    more = (config.num_trials or 0) > (study.num_trials or 0)
    again = config.retry and (failed(study) or study.remaining)  # an interrupt may have kept the optimizer from more
    return study.closed == "done" and not more and not again


def failed(study: Study) -> list[Trial]:
    """Return the trials that have failed."""
    return [trial for trial in study.trials.values() if trial.status is Status.FAILED]


@no_collections()
def folded(store: Store, name: str) -> Study:
    """Return a study as its whole log has it. Raises `StoreError` as `history`, and for a log that is damaged."""
    return Study.of(history(store, name))


def history(store: Store, name: str) -> Iterator[Event | None]:
    """Yield a whole log. Raises `StoreError` for one of a later version."""
    for event in store.read(name):
        if isinstance(event, StudyOpened) and event.version > LOG_VERSION:
            raise StoreError(
                f"study {name!r} was written by a later version of maggy; upgrade this one to go on with it"
            )
        yield event


def _reconciled(name: str, study: Study, config: StudyConfig, given: Given) -> StudyConfig:
    known, wanted = study.searchspace, config.searchspace
    if known.open and wanted.open:  # what trials have named is no difference
        known = Searchspace({name: each for name, each in known.to_dict().items() if name in wanted or name == OPEN})
    if given.searchspace and (differences := known.differences(wanted)):
        raise ConfigError(
            f"study {name!r} has another searchspace: {'; '.join(differences)}. "
            "Go on with its own, or give this study another name"
        )
    for what in ("metric", "direction"):
        has = getattr(study.objective, what)
        if getattr(given, what) and getattr(config.objective, what) != has:
            raise ConfigError(
                f"study {name!r} has another objective, {what}={has!r}. "
                "Go on with its own, or give this study another name"
            )
    if given.seed and config.seed != study.settings["seed"]:
        raise ConfigError(f"study {name!r} has seed={study.settings['seed']}; leave seed= out to go on with it")
    valued = [(trial.params, trial.value) for trial in study.trials.values() if trial.origin == KNOWN]
    if given.points and (list(config.points), list(config.known)) != (study.points, valued):
        raise ConfigError(f"study {name!r} has begun with other points_to_evaluate; leave them out to go on with it")
    num_trials = config.num_trials if given.num_trials else study.num_trials
    if num_trials is None and config.timeout is None:
        raise ConfigError(
            f"study {name!r} is bounded by nothing but a timeout; give this call another (timeout=…), "
            f"or a total (num_trials=…; it has {study.sampled})"
        )
    described = to_json(config.optimizer, OPTIMIZERS)
    if given.optimizer and described != study.settings["optimizer"]:
        raise ConfigError(
            f"study {name!r} has another optimizer: {_brief(study.settings['optimizer'])}, not {_brief(described)}. "
            "Go on with its own, or give this study another name"
        )
    optimizer, rules = reconfigured(
        study.settings,
        config.optimizer if given.optimizer else None,
        config.rules if given.rules else None,
    )
    return replace(
        config,
        searchspace=study.searchspace,
        objective=study.objective,
        optimizer=optimizer,
        rules=rules,
        num_trials=num_trials,
        seed=study.settings["seed"],
    )


def _settings(config: StudyConfig, opened: Opened) -> dict[str, Any]:
    files = str(opened.files) if opened.files else None
    return {"name": opened.name, **config.settings(), "files": files, "checkpoints": opened.checkpoints}


def _known_root(
    study: Study, name: str, checkpoint_dir: str | None, say: Callable[[str], None], *, moved: bool
) -> str | None:
    """Return where a study has its checkpoints. Raises `ConfigError` where the call names another place.

    A call with a `log_dir` of its own (`moved`) does not go where the log says: the log may be somebody else's.
    """
    known = study.settings.get("checkpoints")
    has = known if known is None else root_of(known)
    saved = any(trial.checkpoint is not None for trial in study.trials.values())
    if has is None:
        if saved and (moved or checkpoint_dir is not None):
            say(
                f"The checkpoints of study {name!r} stay in {study.settings.get('files')}: with another place for "
                "them, trials start without."
            )
        return _own_root(checkpoint_dir, name)
    if checkpoint_dir is None and moved:
        raise ConfigError(
            f"study {name!r} has its checkpoints at {has}, by its log; with a log_dir of your own name checkpoint_dir= "
            "as well, that place or another"
        )
    if checkpoint_dir is not None and not has.startswith(f"{checkpoint_dir}/"):
        if moved:
            return _own_root(checkpoint_dir, name)
        raise ConfigError(f"study {name!r} has its checkpoints at {has}; leave checkpoint_dir= out to find them")
    return has


def _check_places(opened: Opened) -> None:
    """Raise `ConfigError` where a study's files or checkpoints cannot be kept: its log may be another machine's."""
    try:
        for folder in (opened.files, opened.files / "checkpoints") if opened.files else ():
            _probe(folder)
    except OSError as error:
        raise ConfigError(
            f"study {opened.name!r} has its files in {opened.files}, and they cannot be written ({error}); go on "
            "elsewhere with log_dir=, or with none (log_dir=None)"
        ) from None
    try:
        if opened.checkpoints is not None:
            place(opened.checkpoints).probe()
    except Exception as error:  # noqa: BLE001 - fsspec's file systems raise whatever they like
        raise ConfigError(
            f"study {opened.name!r} has its checkpoints at {opened.checkpoints}, and nothing can be written there "
            f"({error or repr(error)}); mend that, or go on without them: name log_dir= and checkpoint_dir= anew"
        ) from None


def _own_root(checkpoint_dir: str | None, name: str) -> str | None:
    """Return a root that no other study has, also not one of the same name in another store."""
    return None if checkpoint_dir is None else f"{checkpoint_dir}/{name}-{secrets.token_hex(4)}"


def _brief(described: dict[str, Any]) -> str:
    if "custom" in described:
        return str(described["custom"])
    settings = ", ".join(f"{key}={value!r}" for key, value in described.items() if key != "name")
    return f"{described['name']}({settings})"


def _free_folder(log_dir: Path | None, name: str) -> Path | None:
    """Return a folder that no earlier study has filled, also where its store has been deleted meanwhile."""
    if log_dir is None:
        return None
    for number in count(1):
        folder = log_dir / (name if number == 1 else f"{name}.{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError("unreachable")
