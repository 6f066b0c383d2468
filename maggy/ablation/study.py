"""An ablation study: what may be left out of the data, of the model, and what else is switched off.

    study = AblationStudy(dataset=frame, label="survived", features="all", components=["augment"], replicates=5)
    result = experiment.lagom(train_fn, study)

It is a searchspace of switches, each with what there is as its first value, and a way to carry them out: train_fn is
given the data without the column and the model without the layer. Which combinations are tried is up to an optimizer,
`"loco"` if none is named.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter
from typing import Any

from maggy import trainfn
from maggy.ablation import data, models
from maggy.ablation.parts import Included, Part, named
from maggy.domains import Categorical, Ordinal
from maggy.effects import SEED
from maggy.errors import ConfigError, nearest
from maggy.searchspace import Searchspace

VARIANT = "variant"
BASE = "base model"
DATA = ("dataset", "dataset_function")
MODEL = ("model", "model_function")


class ModelParts:
    """What may be left out of the model, and what may take its place. Its names are Maggy's."""

    def __init__(self, base: Any, layers: Iterable[Any], steps: Iterable[Any], models: Mapping[str, Any]) -> None:
        self.base = base
        self.layers = Included("layer", layers)
        self.steps = Included("step", steps)
        self.others = dict(models)

    def set_base_model_generator(self, base_model_generator: Any) -> None:
        """Set the function that makes the model, or the model."""
        self.base = base_model_generator

    def add_custom_model_generator(self, custom_model_generator: Any, model_identifier: str) -> None:
        """Add a function that makes another model, to take the place of the whole model in trials of its own."""
        self.others[model_identifier] = custom_model_generator


class AblationStudy:
    """What may be left out. `experiment.lagom(train_fn, study)` runs it.

    Arguments:
        dataset: the data: a data frame (pandas, polars, Spark), an array, a mapping of columns, a tuple that begins
            with one of these, or a function that returns such; it may name `seed`, and `without`: then it is given the
            list of features that it is to leave out. A Spark data frame is collected once, when the study starts.
        label: the column that is never left out; `label_name` is another name for it.
        features: columns to leave out, each by itself, those in a list together; `"all"` for each but the label.
            Of an array by number, or by name if all are named.
        model: the model, or a function that makes it; it may name `seed`. A PyTorch module, a Keras model, or a
            scikit-learn pipeline.
        layers: layers to leave out, each by itself, those in a list together; `layers.include_groups(prefix=…)`.
        steps: the same of a scikit-learn pipeline.
        models: by name, functions that make other models, each in the model's place once.
        components: names of switches that train_fn takes as parameters, True or False; or a mapping from names to the
            values that each may have, the first of which is the reference.
        replicates: how many seeds each trial is run with, or a list of them. train_fn is given each as `seed`, and the
            random numbers of random, NumPy, PyTorch and Keras begin with it, as far as these are loaded.
        example: an input of the PyTorch model, or a tuple of several: with it, what a layer's absence would do is seen
            exactly before anything starts.
        training_dataset_name, training_dataset_version, dataset_generator: Maggy's; a name of a data set stands in the
            place of `dataset` and is only remembered, `dataset_generator` is another name for a function there.

    Raises:
        ConfigError: for what cannot be left out.

    """

    def __init__(
        self,
        dataset: Any = None,
        training_dataset_version: int | None = None,
        label_name: str | None = None,
        dataset_generator: Callable[..., Any] | None = None,
        *,
        label: str | None = None,
        features: str | Sequence[Any] = (),
        model: Any = None,
        layers: Sequence[Any] = (),
        steps: Sequence[Any] = (),
        models: Mapping[str, Any] | None = None,
        components: Sequence[str] | Mapping[str, Any] = (),
        replicates: int | Sequence[int] = 1,
        example: Any = None,
        training_dataset_name: str | None = None,
    ) -> None:
        self.training_dataset_name = dataset if isinstance(dataset, str) else training_dataset_name
        self.training_dataset_version = training_dataset_version
        self.label_name = label if label is not None else label_name
        self.dataset = dataset_generator if dataset is None or isinstance(dataset, str) else dataset
        self.seeds = _seeds(replicates)
        self.example = example
        self._columns: list[str] | None = None
        self.features = Included("feature", self._features(features))
        self.model = ModelParts(model, layers, steps, models or {})
        self.components: dict[str, Any] = _components(components)

    def set_dataset_generator(self, dataset_generator: Any) -> None:
        """Set the function that returns the data."""
        self.dataset = dataset_generator

    def _features(self, given: Any) -> Sequence[Any]:
        has = None if callable(self.dataset) else data.columns(self.dataset)
        if isinstance(given, str):
            if given != "all":
                return [given]
            if has is None:
                raise ConfigError("features='all' needs data whose columns can be seen: pass dataset=, or name them")
            return [name for name in has if name != self.label_name]
        names = list(given)
        if has and isinstance(has[0], int) and len(names) == len(has) and all(isinstance(each, str) for each in names):
            self._columns = names  # those of an array
        return names

    # -- as a searchspace --------------------------------------------------------------------------------------------

    def parts(self) -> Mapping[str, Part]:
        """Return the parts of data and model by the names of their parameters."""
        return named([*self.features, *self.model.layers, *self.model.steps], {*self.components, VARIANT, SEED})

    def searchspace(self) -> Searchspace:
        """Return the switches: of each part its name or None, of each component its values, and the seeds."""
        space: dict[str, Any] = {}
        when = None
        if self.model.others:
            space[VARIANT] = Categorical([BASE, *self.model.others])
            when = {VARIANT: BASE}
        for name, part in self.parts().items():
            space[name] = Categorical([part.label, None], when=None if part.kind == "feature" else when)
        for name, values in self.components.items():
            if name == SEED or name in space:
                raise ConfigError(f"a component cannot be called {name!r}, since the study gives something else so")
            space[name] = values
        return Searchspace({**space, SEED: Ordinal(self.seeds)})

    def left_out(self, params: Mapping[str, Any]) -> list[Part]:
        """Return the parts of data and model that a configuration is without."""
        return [part for name, part in self.parts().items() if name in params and params[name] is None]

    def local(self) -> AblationStudy:
        """Return the study as it can travel: a Spark data frame is collected."""
        other = copy.copy(self)
        other.dataset, other.example = data.local(self.dataset), None
        return other

    # -- carried out, in the trial's process ---------------------------------------------------------------------

    def data_without(self, gone: Sequence[Part], seed: int, *args: Any, **named: Any) -> Any:
        """Return the data without these features; arguments are for the function that returns it."""
        names = [name for part in gone if part.kind == "feature" for name in part.members]
        found = self.dataset
        if callable(found) and data.columns(found) is None:
            takes, _ = trainfn.parameters(found)
            offered = {"without": names, SEED: seed}
            found = found(*args, **{name: each for name, each in offered.items() if name in takes}, **named)
            if "without" in takes:
                return found
        return data.without(found, self._numbers(names))

    def model_without(self, gone: Sequence[Part], variant: str, seed: int, *args: Any, **named: Any) -> Any:
        """Return a model of the trial's own without these layers or steps, or the one that takes its place."""
        base = self.model.base if variant == BASE else self.model.others[variant]

        def make(function: Callable[..., Any]) -> Any:
            takes, _ = trainfn.parameters(function)
            return function(*args, **({SEED: seed} if SEED in takes else {}), **named)

        parts = [part for part in gone if part.kind != "feature"] if variant == BASE else []
        return models.without(models.built(base, make), parts)

    def _numbers(self, names: Sequence[Any]) -> list[Any]:
        known = self._columns
        return list(names) if known is None else [known.index(name) if name in known else name for name in names]

    # -- checked, before anything starts -----------------------------------------------------------------------------

    def check(self, train_fn: trainfn.TrainFn, train_args: Mapping[str, Any]) -> None:
        """Raise `ConfigError` for what cannot be left out, or would be without train_fn's noticing."""
        self._check_function(train_fn, train_args)
        self._check_features()
        self._check_layers()

    def _check_function(self, train_fn: trainfn.TrainFn, train_args: Mapping[str, Any]) -> None:
        takes, open_ended = trainfn.parameters(train_fn)
        what, of = trainfn.label(train_fn), "AblationStudy"
        has = dict.fromkeys(DATA, self.dataset is not None) | dict.fromkeys(MODEL, self.model.base is not None)
        for name, there in has.items():
            if name in train_args:
                raise ConfigError(f"train_args has {name!r}, which the study gives; choose another name")
            if name in takes and takes[name].default is Parameter.empty and not there:
                given = f"{of}({name.removesuffix('_function')}=…)"
                raise ConfigError(f"{what} takes {name!r}, but the study has none: give it as {given}")
        for parts, names in (
            ([*self.features], DATA),
            ([*self.model.layers, *self.model.steps, *self.model.others], MODEL),
        ):
            if not parts:
                continue
            if not has[names[0]]:
                given = f"{of}({names[0]}=…)"
                more = f" ({self.training_dataset_name!r} is in no feature store that maggy reads)" * (
                    names is DATA and self.training_dataset_name is not None
                )
                raise ConfigError(f"there is no {names[0]} to leave anything out of: give it as {given}{more}")
            if not open_ended and takes.keys().isdisjoint(names):
                raise ConfigError(
                    f"{what} would not notice what is left out of the {names[0]}: let it take {names[0]!r}, which is "
                    f"the {names[0]} without it, or {names[1]!r}, which returns it"
                )
        own = [name for name in (*DATA, *MODEL, SEED) if name in takes]
        trainfn.check(train_fn, self.components, [*train_args, *own])

    def _check_features(self) -> None:
        has = None if self.dataset is None else data.columns(self.dataset)
        whole = not isinstance(self.dataset, tuple | list)  # else the label is what comes beside the features
        if has and whole and self.features and self.label_name is not None and self.label_name not in has:
            known = nearest(str(self.label_name), map(str, has))
            raise ConfigError(f"the data has no column {self.label_name!r}, which is named as the label{known}")
        for part in self.features:
            if part.prefix is not None:
                raise ConfigError("groups of features are lists: features=[['a', 'b'], 'c']")
            if self.label_name in part.members:
                raise ConfigError(f"{self.label_name!r} is the label, which cannot be left out")
            if has is not None:
                data.check(self._numbers(part.members), has)

    def _check_layers(self) -> None:
        parts = [*self.model.layers, *self.model.steps]
        if not parts:
            return
        if models.surgeon_for(self.model.base) is None and callable(self.model.base):
            takes, _ = trainfn.parameters(self.model.base)
            if any(each.default is Parameter.empty for name, each in takes.items() if name != SEED):
                return  # train_fn calls it with arguments of its own
        try:
            whole = self.model_without([], BASE, self.seeds[0])
        except ModuleNotFoundError:
            return  # what executors have need not be here
        for part in parts:
            models.without(copy.deepcopy(whole), [part], self.example, check=True)


def _seeds(replicates: int | Sequence[int]) -> list[int]:
    if type(replicates) is int and replicates > 0:
        return list(range(replicates))
    if isinstance(replicates, Sequence) and replicates and all(type(each) is int and each >= 0 for each in replicates):
        return list(replicates)
    raise ConfigError(f"replicates={replicates!r}; it must be a number of seeds, as in replicates=5, or a list of them")


def _components(given: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(given)
    names = [given] if isinstance(given, str) else list(given)
    return {name: Categorical([True, False]) for name in names}
