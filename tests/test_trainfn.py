import functools

import pytest

from maggy.conditions import Condition
from maggy.errors import ConfigError
from maggy.trainfn import arguments, check, label, names_any, parameters

PARAMS = {"lr": 0.1, "units": 8}
PROVIDED = {"hparams": PARAMS, "reporter": "the reporter", "budget": 3, "trial": 7}


class Model:
    def __call__(self, lr, units):
        return lr

    def train(self, lr, units, reporter):
        return lr

    @classmethod
    def build(cls, lr, units):
        return lr

    @staticmethod
    def fit(lr, units):
        return lr


def plain(lr, units):
    return lr


def kwargs(**kwargs):
    return kwargs


@functools.wraps(plain)
def wrapping(*args, **kwargs):
    return plain(*args, **kwargs)


FORMS = {
    "by name": (plain, {"lr", "units"}),
    "keyword-only": (lambda *, lr, units: lr, {"lr", "units"}),
    "with a default": (lambda lr, units=4: lr, {"lr", "units"}),
    "with the reporter": (lambda lr, units, reporter: lr, {"lr", "units", "reporter"}),
    "with all that there is": (lambda units, trial, budget, lr, reporter: lr, {"lr", "units", *PROVIDED} - {"hparams"}),
    "hparams": (lambda hparams: hparams, {"hparams"}),
    "hparams and reporter": (lambda hparams, reporter: hparams, {"hparams", "reporter"}),
    "hparams and one by name": (lambda hparams, lr: lr, {"hparams", "lr"}),
    "hparams and **": (lambda hparams, **more: more, {"hparams"}),
    "**kwargs": (kwargs, {"lr", "units"}),
    "** of any name": (lambda **hparams: hparams, {"lr", "units"}),
    "one by name and **": (lambda lr, **rest: rest, {"lr", "units"}),
    "** and the reporter": (lambda reporter, **rest: rest, {"lr", "units", "reporter"}),
    "*args too": (lambda lr, units, *args: lr, {"lr", "units"}),
    "an object": (Model(), {"lr", "units"}),
    "a method": (Model().train, {"lr", "units", "reporter"}),
    "a class method": (Model.build, {"lr", "units"}),
    "a static method": (Model.fit, {"lr", "units"}),
    "a partial by position": (functools.partial(lambda data, lr, units: lr, "data"), {"lr", "units"}),
    "a partial by name": (functools.partial(lambda lr, units, data: lr, data="data"), {"lr", "units"}),
    "a partial of a hyperparameter": (functools.partial(plain, lr=0.5), {"lr", "units"}),
    "a wrapped function": (wrapping, {"lr", "units"}),
    "a partial of positional-only": (functools.partial(lambda data, /, lr, units: lr, "data"), {"lr", "units"}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_function_gets_what_it_names(form):
    """The function is accepted, gets exactly what it names, as it was given, and can be called with it."""
    train_fn, filled = FORMS[form]
    check(train_fn, PARAMS)
    given = arguments(parameters(train_fn), PARAMS, PROVIDED)
    assert given.keys() == filled
    assert given.items() <= {**PARAMS, **PROVIDED}.items()
    train_fn(**given)


def test_defaults_stand_where_nothing_is_given():
    """A parameter with a default that the searchspace does not define keeps it."""
    check(lambda lr, momentum=0.9: momentum, ["lr"])
    assert arguments(parameters(lambda lr, momentum=0.9: momentum), {"lr": 0.1}, PROVIDED) == {"lr": 0.1}


@pytest.mark.parametrize(
    ("train_fn", "filled"),
    [
        (lambda lr, units, data: lr, {"lr": 0.1, "units": 8, "data": "…"}),
        (lambda hparams, data: hparams, {"hparams": PARAMS, "data": "…"}),
        (lambda **kwargs: kwargs, {"lr": 0.1, "units": 8, "data": "…"}),
        (lambda hparams, **kwargs: kwargs, {"hparams": PARAMS, "data": "…"}),
    ],
)
def test_train_args_are_passed(train_fn, filled):
    """Constants reach a parameter of their name or, as hyperparameters do, a **kwargs."""
    check(train_fn, PARAMS, ["data"])
    assert arguments(parameters(train_fn), PARAMS, {"data": "…", **PROVIDED}) == filled


def test_without_a_searchspace_nothing_is_needed():
    """A function without parameters is one that is just run."""
    check(lambda: 1.0, [])
    check(lambda reporter: 1.0, [])
    assert arguments(parameters(lambda: 1.0), {}, PROVIDED) == {}


# -- errors ----------------------------------------------------------------------------------------


def train(batch, reporter):
    return batch


def fit(batch, x):
    return batch


def positional(lr, /):
    return lr


@pytest.mark.parametrize(
    ("train_fn", "names", "train_args", "message"),
    [
        (
            train,
            ["lr", "batch"],
            [],
            "train() has no parameter 'lr', which the searchspace defines; it takes: batch, reporter",
        ),
        (
            fit,
            ["bach"],
            [],
            "fit() has no parameter 'bach', which the searchspace defines; did you mean 'batch'?; it takes: batch, x",
        ),
        (
            plain,
            ["lr"],
            [],
            "plain() needs 'units', which the searchspace does not define; it defines: lr",
        ),
        (
            lambda hparams, data: data,
            ["lr"],
            [],
            "<lambda>() needs 'data', which the searchspace does not define; it defines: lr",
        ),
        (train, [], [], "train() needs 'batch', which the searchspace does not define; it defines: nothing"),
        (
            lambda *args: args,
            ["args"],
            [],
            "<lambda>() has no parameter 'args', which the searchspace defines; it takes: nothing",
        ),
        (positional, ["lr"], [], "positional() takes 'lr' by position only; maggy passes parameters by name"),
        (
            train,
            ["batch"],
            ["data"],
            "train() has no parameter 'data', which train_args gives; it takes: batch, reporter",
        ),
        (train, ["batch"], ["batch"], "train_args has 'batch', which maggy fills itself; choose another name"),
        (kwargs, [], ["reporter"], "train_args has 'reporter', which maggy fills itself; choose another name"),
        (3, [], [], "train_fn is of type int; it must be a function"),
        (max, ["lr"], [], "max() hides its signature; wrap it in a Python function"),
    ],
)
def test_a_function_that_cannot_be_called_is_refused(train_fn, names, train_args, message):
    """Each misfit is one sentence that says what was met, where, and what would be right."""
    with pytest.raises(ConfigError) as caught:
        check(train_fn, names, train_args)
    assert str(caught.value) == message


CONDITIONS = {"degree": Condition({"kernel": ["poly", "rbf"]})}


@pytest.mark.parametrize(
    "train_fn",
    [
        lambda kernel, degree=None: degree,
        lambda kernel, *, degree=3: degree,
        lambda hparams: hparams,
        lambda **kwargs: kwargs,
        lambda kernel, **rest: rest,
        functools.partial(lambda kernel, degree: degree, degree=3),
    ],
)
def test_a_parameter_that_may_be_absent_can_be_left_out(train_fn):
    """A default, hparams and **kwargs all do without it, and get it where it is there."""
    check(train_fn, ["kernel", "degree"], [], CONDITIONS)
    for params in ({"kernel": "linear"}, {"kernel": "poly", "degree": 4}):
        train_fn(**arguments(parameters(train_fn), params, {"hparams": params}))


def needy(kernel, degree):
    return degree


@pytest.mark.parametrize(
    "train_fn",
    [
        needy,
        functools.wraps(needy)(lambda *args, **kwargs: (args, kwargs)),
        functools.update_wrapper(functools.partial(needy, kernel="poly"), needy),
    ],
)
def test_a_parameter_that_may_be_absent_needs_a_default(train_fn):
    """The sentence says when it is absent, and what to write."""
    with pytest.raises(ConfigError) as caught:
        check(train_fn, ["kernel", "degree"], [], CONDITIONS)
    assert str(caught.value) == (
        "needy() needs 'degree', which is absent unless kernel is 'poly' or 'rbf': give it a default, as in degree=None"
    )


def test_parameters_tell_an_open_end():
    """What a **kwargs or *args is called is no parameter's name."""
    assert [list(parameters(kwargs)[0]), parameters(kwargs)[1]] == [[], True]
    assert [list(parameters(plain)[0]), parameters(plain)[1]] == [["lr", "units"], False]


def test_a_label_reads_as_a_call():
    """Functions by their name, objects by their class."""
    assert [label(each) for each in (plain, Model(), Model().train)] == ["plain()", "Model()", "train()"]


def test_what_a_function_names_is_told():
    """A function that cannot report is told before anything starts."""
    assert names_any(train, ("reporter",))
    assert not names_any(kwargs, ("reporter", "kwargs"))
    assert names_any(lambda budget: budget, ("reporter", "budget"))
