import contextlib
import copy
import dataclasses
import itertools
import json
import math
import pickle
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maggy import combinations
from maggy.domains import Categorical, Float, Integer, Ordinal
from maggy.errors import ConfigError
from maggy.searchspace import RESERVED, Searchspace, parse_domain


def example():
    return Searchspace(
        lr=Float(1e-5, 0.1, log=True),
        dropout=Float(0, 0.5, step=0.1),
        units=Integer(16, 512, log=True),
        layers=(1, 4),
        batch=Ordinal([16, 64, 256]),
        activation=["relu", "gelu", None],
    )


def svm():
    space = Searchspace(
        kernel=["linear", "poly", "rbf"],
        degree=Integer(2, 5, when={"kernel": "poly"}),
        gamma=Float(1e-4, 1, log=True, when={"kernel": ["poly", "rbf"]}),
        scale=Categorical([True, 1, None], when={"degree": [4, 5]}),
        c=Float(0.1, 10, log=True, mean=1, sd=1),
    )
    space.forbid(kernel="poly", degree=[2, 5])
    return space


names = st.from_regex(r"x[a-z0-9_]{0,6}", fullmatch=True)
domains = st.sampled_from(example().values())
plain = st.lists(st.tuples(names, domains), max_size=6, unique_by=lambda pair: pair[0]).map(dict).map(Searchspace)

PARENTS = [
    Categorical(["a", True, 1]),
    Integer(0, 2),
    Float(0, 1, step=0.5),
    Ordinal([3, 1]),
    Categorical(["x", "y", "x"]),
]


def entangled(seed, kinds):
    """Return a space of up to six parameters that depend on one another, some of whose combinations are forbidden."""
    rng, space = random.Random(seed), Searchspace()

    def some(most):
        known = [name for name, domain in space.items() if domain.size is not None]
        named = rng.sample(known, min(len(known), rng.randint(0, most)))
        return {name: rng.choices(space[name].grid()[:9], k=rng.randint(1, 3)) for name in named}

    # What contradicts itself, or leaves nothing, is refused: see the tests of that.
    for number in range(rng.randint(1, 6)):
        with contextlib.suppress(ConfigError):
            space.add(f"x{number}", dataclasses.replace(rng.choice(kinds), when=some(2)))
    for _ in range(rng.randint(0, 3)):
        with contextlib.suppress(ConfigError):
            space.forbid(**some(3))
    return space


seeds = st.integers(0, 2**32)
spaces = plain | seeds.map(lambda seed: entangled(seed, PARENTS + example().values()))


# -- what can be written ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "domain"),
    [
        (Float(0, 1), Float(0, 1)),
        (("DOUBLE", [0.01, 0.99]), Float(0.01, 0.99)),
        (("double", (0, 1)), Float(0, 1)),
        (["Integer", [2, 8]], Integer(2, 8)),
        (("DISCRETE", [64, 16, 32]), Ordinal([64, 16, 32])),
        (("DISCRETE", [1, 4]), Ordinal([1, 4])),
        (("CATEGORICAL", ["relu", "gelu"]), Categorical(["relu", "gelu"])),
        (("CATEGORICAL", [True]), Categorical([True])),
        ((1, 5), Integer(1, 5)),
        ((1, 5.0), Float(1, 5)),
        ((0.1, 1), Float(0.1, 1)),
        ((np.int64(1), np.int64(5)), Integer(1, 5)),
        ((np.float64(0.1), 1), Float(0.1, 1)),
        (["a", "b", 3], Categorical(["a", "b", 3])),
        ([1, 5], Categorical([1, 5])),
        (["a", "b"], Categorical(["a", "b"])),
        ([[1, 2], [3]], Categorical([[1, 2], [3]])),
        (range(5), Integer(0, 4)),
        (range(16, 65, 16), Integer(16, 64, step=16)),
        (range(0, 20, 10), Integer(0, 10, step=10)),
        (range(10, 0, -3), Integer(1, 10, step=3)),
        (range(3, 4, 7), Integer(3, 3)),
        (range(10**11), Integer(0, 10**11 - 1)),
        ({"type": "float", "low": 1, "high": 2, "log": True}, Float(1, 2, log=True)),
    ],
)
def test_a_domain_can_be_written_in_short(spec, domain):
    """Maggy's tuples, Python literals and JSON all stand for a domain."""
    assert parse_domain("lr", spec) == domain


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (("a", "b"), r"write choices as a list: \['a', 'b'\]"),
        ((1, 2, 3), r"write choices as a list: \[1, 2, 3\]"),
        ((True, False), r"write choices as a list: \[True, False\]"),
        ((), "a tuple is .*two numbers"),
        (("DUOBLE", [0, 1]), "'DUOBLE' is no type of parameter.*did you mean 'DOUBLE'"),
        (["adam", [0.9, 0.99]], r"if these are two choices, write Categorical\(\['adam', \[0\.9, 0\.99\]\]\)"),
        (("DOUBLE", 0, 1), r"values beside the type; write \('DOUBLE', \[0, 1\]\)"),
        (("DOUBLE", [0, 1, 2]), r"DOUBLE takes \[low, high\], not \[0, 1, 2\]"),
        (("INTEGER", [0, 1.5]), r"Integer's high is 1\.5; write a whole number"),
        (("CATEGORICAL", []), "has no choices"),
        ((5, 1), r"low 5 is above its high 1; write Integer\(1, 5\)"),
        ((0.0, float("nan")), "Float's high is nan"),
        ([], "has no choices"),
        ([(1, 2), (3, 4)], "write a list for a tuple"),
        (range(0), r"range\(0, 0\) is no domain"),
        (0.1, r"0\.1 is no domain; write .*a list of choices, which may be a single one"),
        ("relu", "'relu' is no domain"),
        ({"a", "b"}, "is no domain"),
        (None, "None is no domain"),
        ({"type": "flaot"}, "did you mean 'float'"),
    ],
)
def test_an_error_in_a_domain_names_its_parameter(spec, sentence):
    """What stands for no domain is refused with the parameter's name and what to write instead."""
    with pytest.raises(ConfigError, match=r"^parameter 'lr': .*" + sentence):
        Searchspace(units=(1, 2), lr=spec)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("learning-rate", "cannot name an argument of a function; write 'learning_rate'"),
        ("lambda", "write 'lambda_'"),
        ("2nd", "write '_2nd'"),
        ("", "'' cannot name a parameter.*write '_'"),
        (3, "3 cannot name a parameter; write a string"),
        *((name, f"'{name}' cannot name a parameter.*also reserved.*write another") for name in sorted(RESERVED)),
    ],
)
def test_a_name_must_do_as_an_argument(name, sentence):
    """Names that a training function cannot take, or takes for something else, are refused with a better one."""
    with pytest.raises(ConfigError, match=sentence):
        Searchspace({name: (0, 1)})


def test_the_reserved_names_are_what_training_functions_may_ask_for():
    """The list is public: a name more or less breaks users."""
    assert {"reporter", "budget", "trial", "hparams", "model", "dataset"} == RESERVED


def test_a_name_is_defined_once():
    """A second definition is refused, by `add` and across the two arguments, and changes nothing."""
    space = Searchspace(lr=(0.0, 1.0))
    with pytest.raises(ConfigError, match=r"'lr' is defined twice: first as Float\(0\.0, 1\.0\)"):
        space.add("lr", (0, 5))
    with pytest.raises(ConfigError, match="'lr' is defined twice"):
        Searchspace(space, lr=(0, 5))
    assert space == Searchspace(lr=(0.0, 1.0))


@pytest.mark.parametrize("given", [[("lr", (0, 1))], "lr", 3, None])
def test_a_searchspace_is_made_of_a_mapping(given):
    """A positional argument that is no mapping is refused."""
    with pytest.raises(ConfigError, match="a searchspace is a mapping"):
        Searchspace(given)


def test_a_searchspace_is_built_in_any_way():
    """Keywords, a mapping, both, another searchspace and `add` give the same space."""
    space = Searchspace(lr=(0.0, 1.0), units=(1, 8))
    grown = Searchspace()
    grown.add("lr", (0.0, 1.0))
    grown.add("units", ("INTEGER", [1, 8]))
    mixed = Searchspace({"lr": (0.0, 1.0)}, units=(1, 8))
    assert space == grown == mixed == Searchspace(space) == Searchspace(**space)


@pytest.mark.parametrize("name", ["self", "params", "name", "names", "size", "add", "json", "copy", "keys", "_domains"])
def test_methods_do_not_take_names_away(name):
    """A parameter may be called like a method or an argument of ours; brackets reach it."""
    space = Searchspace(**{name: (1, 8)})
    assert space[name] == Integer(1, 8)
    assert space.copy() == Searchspace(**space.to_dict()) == space
    assert space.keys() == [name]


# -- Maggy's methods -------------------------------------------------------------------------------


def test_maggys_views():
    """The views that scripts written for Maggy use."""
    space = Searchspace(kernel=("INTEGER", [2, 8]), dropout=("DOUBLE", [0.01, 0.99]))
    space.add("pool", ("DISCRETE", [2, 4]))
    space.add("act", ("CATEGORICAL", ["relu"]))
    assert space.names() == {"kernel": "INTEGER", "dropout": "DOUBLE", "pool": "DISCRETE", "act": "CATEGORICAL"}
    assert list(space) == [
        {"name": "kernel", "type": "INTEGER", "values": [2, 8]},
        {"name": "dropout", "type": "DOUBLE", "values": [0.01, 0.99]},
        {"name": "pool", "type": "DISCRETE", "values": [2, 4]},
        {"name": "act", "type": "CATEGORICAL", "values": ["relu"]},
    ]


def test_maggys_json_is_read():
    """A searchspace that Maggy wrote as JSON is understood."""
    text = '{"dropout": ["DOUBLE", [0.01, 0.99]], "kernel": ["INTEGER", [2, 8]]}'
    assert Searchspace.from_json(text) == Searchspace(dropout=(0.01, 0.99), kernel=(2, 8))


def test_a_searchspace_reads_like_a_dict():
    """Names lead to domains, in the order of their definition."""
    space = Searchspace(units=(1, 8), lr=(0.0, 1.0))
    assert space.keys() == ["units", "lr"]
    assert space.values() == [Integer(1, 8), Float(0, 1)]
    assert space.items() == [("units", Integer(1, 8)), ("lr", Float(0, 1))]
    assert space.get("lr") == space["lr"] == space.lr == Float(0, 1)
    assert (space.get("x"), space.get("x", 3)) == (None, 3)
    assert "lr" in space
    assert "x" not in space
    assert len(space) == 2
    assert "units" in dir(space)


def test_a_wrong_name_is_met_with_the_nearest():
    """Attributes and brackets raise what Python raises, and help."""
    space = Searchspace(units=(1, 8), lr=(0.0, 1.0))
    with pytest.raises(AttributeError, match="no parameter 'unit', only: units, lr; did you mean 'units'"):
        _ = space.unit
    with pytest.raises(KeyError, match="did you mean 'units'"):
        space["unit"]


# -- configurations --------------------------------------------------------------------------------


@given(spaces, st.integers(0, 2**32))
def test_a_sample_is_a_configuration_of_the_space(space, seed):
    """Samples belong to the space and depend on the generator alone."""
    params = space.sample(random.Random(seed))
    assert space.contains(params)
    assert list(params) == [name for name in space.keys() if space.active(name, params)]  # noqa: SIM118 - not a dict
    assert params == space.copy().sample(random.Random(seed))


@given(spaces, st.data())
def test_a_point_of_the_cube_leads_to_a_configuration_and_back(space, data):
    """Points have one coordinate in [0, 1] per parameter, and lead back to the same configuration."""
    point = data.draw(st.lists(st.floats(0, 1), min_size=len(space), max_size=len(space)))
    params = space.from_unit(point)
    again = space.to_unit(params)
    assert space.contains(params) or space.forbidden
    assert all(0 <= u <= 1 if name in params else math.isnan(u) for name, u in zip(space.keys(), again, strict=True))
    assert space.from_unit(again) == {
        name: pytest.approx(value) if isinstance(value, float) else value for name, value in params.items()
    }


@given(spaces, st.integers(0, 2**32))
def test_a_draw_costs_one_random_number_a_parameter(space, seed):
    """Active or not, and as many again for each configuration that was forbidden."""
    used, expected = random.Random(seed), random.Random(seed)
    params = space.sample(used)
    while not space.contains(drawn := space.from_unit([expected.random() for _ in range(len(space))])):
        pass
    assert json.dumps(drawn) == json.dumps(params)
    assert used.random() == expected.random()


@pytest.mark.parametrize("point", [[], [0.5], [0.5, 0.5, 0.5], [0.5, 1.5]])
def test_a_point_of_another_cube_is_refused(point):
    """The number of coordinates is that of the parameters, and none lies outside."""
    with pytest.raises(ValueError, match=r"zip|from 0 to 1"):
        Searchspace(lr=(0.0, 1.0), units=(1, 8)).from_unit(point)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"lr": 2.0, "units": 4}, r"^parameter 'lr' is 2\.0, which is not a value of Float\(0\.0, 1\.0\)$"),
        ({"lr": 0.5, "units": 4.0}, r"^parameter 'units' is 4\.0, which is not a value of Integer\(1, 8\)$"),
        ({"lr": 0.5}, r"^parameter 'units' is missing; it takes a value of Integer\(1, 8\)$"),
        ({"lr": 0.5, "unit": 4}, "no parameter 'unit', only: lr, units; did you mean 'units'"),
        ({"lr": 0.5, "units": 4, 7: 1}, "no parameter 7"),
        ([0.5, 4], r"a configuration is a mapping from names to values, not \[0\.5, 4\]"),
        (None, "a configuration is a mapping"),
    ],
)
def test_check_says_what_is_wrong(params, sentence):
    """A configuration that is not of the space is refused by `check` and not contained."""
    space = Searchspace(lr=(0.0, 1.0), units=(1, 8))
    assert not space.contains(params)
    with pytest.raises(ConfigError, match=sentence):
        space.check(params)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        (
            {"kernel": "linear", "degree": 3, "c": 1.0},
            "parameter 'degree' is 3, but it is absent unless kernel is 'poly'",
        ),
        (
            {"kernel": "linear", "gamma": 0.1, "c": 1.0},
            "parameter 'gamma' is 0.1, but .* unless kernel is 'poly' or 'rbf'",
        ),
        (
            {"kernel": "poly", "gamma": 0.1, "c": 1.0},
            r"parameter 'degree' is missing; it takes a value of Integer\(2, 5, ",
        ),
        ({"kernel": "rbf", "c": 1.0}, "parameter 'gamma' is missing"),
        (
            {"kernel": "poly", "degree": 3, "gamma": 0.1, "scale": 1, "c": 1.0},
            "parameter 'scale' is 1, but .* degree is 4 or 5",
        ),
        (
            {"kernel": "poly", "degree": 4, "gamma": 0.1, "scale": 1.0, "c": 1.0},
            "parameter 'scale' is 1.0, which is not a value",
        ),
        (
            {"kernel": "poly", "degree": 2, "gamma": 0.1, "c": 1.0},
            "it is forbidden that kernel is 'poly', and degree is 2 or 5",
        ),
    ],
)
def test_check_knows_conditions_and_what_is_forbidden(params, sentence):
    """A missing active parameter and a present inactive one are flaws, and so is a forbidden combination."""
    assert not svm().contains(params)
    with pytest.raises(ConfigError, match=f"^{sentence}"):
        svm().check(params)


@pytest.mark.parametrize(
    "params",
    [
        {"kernel": "linear", "c": 1.0},
        {"kernel": "rbf", "gamma": 0.1, "c": 1.0},
        {"kernel": "poly", "degree": 3, "gamma": 0.1, "c": 1.0},
        {"kernel": "poly", "degree": 4, "gamma": 0.1, "scale": True, "c": 1.0},
    ],
)
def test_an_inactive_parameter_is_absent(params):
    """What is not active is not in the configuration, and its axis of the cube says nothing."""
    space = svm()
    space.check(params)
    there = space.to_unit(params)
    assert [name for name, u in zip(space.keys(), there, strict=True) if not math.isnan(u)] == list(params)
    anywhere = [0.3 if math.isnan(u) else u for u in there]
    assert space.from_unit(there) == space.from_unit(anywhere) == pytest.approx(params)
    assert [name for name in space.keys() if space.active(name, params)] == list(params)  # noqa: SIM118 - not a dict


def test_what_is_inactive_has_no_position_and_what_is_unknown_no_activity():
    """A configuration that is not of the space is an error, and so is an axis that is NaN and should not be."""
    with pytest.raises(ValueError, match="'degree' is 3, but it is absent unless kernel is 'poly'"):
        svm().to_unit({"kernel": "linear", "degree": 3, "c": 1.0})
    with pytest.raises(KeyError, match="degree"):
        svm().to_unit({"kernel": "poly", "gamma": 0.1, "c": 1.0})
    with pytest.raises(ValueError, match="from 0 to 1, not nan"):
        svm().from_unit([math.nan] * 5)
    with pytest.raises(KeyError, match="did you mean 'gamma'"):
        svm().active("gama", {})


def test_a_condition_knows_a_value_however_it_is_written():
    """0.1 + 0.2 is the 0.3 of a grid, and 1 its 1.0; True is not 1."""
    space = Searchspace(
        x=Float(0, 1, step=0.1), y=Integer(1, 2, when={"x": [0.3, 1]}), z=[1, True], w=Integer(1, 2, when={"z": True})
    )
    assert [space.active("y", {"x": x}) for x in (0.3, 0.1 + 0.2, 1, 1.0, 0.4, True)] == [True] * 4 + [False] * 2
    assert [space.active("w", {"z": z}) for z in (True, 1)] == [True, False]


@pytest.mark.parametrize(
    ("define", "sentence"),
    [
        (
            lambda: Searchspace(kernel=["a"], d=Integer(1, 2, when={"kernl": "a"})),
            "parameter 'd' depends on 'kernl', but the parameters are, so far: kernel; did you mean 'kernel'?",
        ),
        (
            lambda: Searchspace(d=Integer(1, 2, when={"kernel": "a"}), kernel=["a"]),
            "parameter 'd' depends on 'kernel', which is defined after it; define 'kernel' first",
        ),
        (
            lambda: Searchspace(d=Integer(1, 2, when={"d": 1})),
            "parameter 'd' depends on itself; leave it out of its when",
        ),
        (
            lambda: Searchspace(x=(0.0, 1.0), d=Integer(1, 2, when={"x": 0.5})),
            "parameter 'd' depends on values of 'x', which is continuous; give it a step, or list its values",
        ),
        (
            lambda: Searchspace(kernel=["poly", "rbf"], d=Integer(1, 2, when={"kernel": "polly"})),
            "parameter 'd' depends on 'kernel' being 'polly', which is not a value of Categorical(['poly', 'rbf']); "
            "did you mean 'poly'?",
        ),
        (
            lambda: Searchspace(n=(1, 10**9), d=Integer(1, 2, when={"n": "1"})),
            "parameter 'd' depends on 'n' being '1', which is not a value of Integer(1, 1000000000)",
        ),
        (
            lambda: Searchspace(
                a=[1, 2],
                b=Integer(1, 2, when={"a": 1}),
                c=Integer(1, 2, when={"a": 2}),
                d=Integer(1, 2, when={"b": 1, "c": 1}),
            ),
            "parameter 'd' would never be active: its conditions, with those of the parameters that it depends on, "
            "leave no value to 'a'",
        ),
        (
            lambda: svm().forbid(),
            "a forbidden combination names no parameter; write forbid(name=value)",
        ),
        (
            lambda: svm().forbid(c=1.0),
            "a forbidden combination has values of 'c', which is continuous; give it a step, or list its values",
        ),
        (
            lambda: svm().forbid(kernel="rbf", kernels=3),
            "a forbidden combination has 'kernels', but the parameters are, so far: kernel, degree, gamma, scale, c; "
            "did you mean 'kernel'?",
        ),
        (
            lambda: svm().forbid(kernel="linear", degree=3),
            "it cannot be that kernel is 'linear', and degree is 3, and need not be forbidden: with what these "
            "parameters depend on, no value is left to 'kernel'",
        ),
        (
            lambda: Searchspace(a=[1, 2], b=[1, 2], d=Integer(1, 2, when={"a": 1, "b": 2})).forbid(a=1, b=2),
            "parameter 'd' would never be active: it is absent unless a is 1, and b is 2, and that cannot be, since it "
            "is forbidden that a is 1, and b is 2",
        ),
        (
            lambda: Searchspace({"a": [1, 2], "!forbidden": [{"a": 2}]}).add("d", Integer(1, 2, when={"a": 2})),
            "parameter 'd' would never be active: it is absent unless a is 2, and that cannot be, since it is "
            "forbidden that a is 2",
        ),
        (
            lambda: Searchspace({"a": [1], "!forbidden": {"a": 1}}),
            "the forbidden combinations are a list of mappings, not {'a': 1}",
        ),
        (
            lambda: Searchspace({"a": [1], "!forbidden": [1]}),
            "a forbidden combination is a mapping from names to values, such as {'kernel': 'poly'}, not 1",
        ),
    ],
)
def test_a_dependence_that_cannot_be_is_refused(define, sentence):
    """Each misfit is one sentence, when the parameter or the combination is defined."""
    with pytest.raises(ConfigError) as caught:
        define()
    assert str(caught.value) == sentence


def test_who_is_added_is_all_that_is_checked(monkeypatch):
    """What is forbidden was held against the other parameters before: so 150 of them, one by one, take no 16 s."""
    space = Searchspace({"a": [1, 2, 3], "b": Integer(1, 2, when={"a": 1}), "!forbidden": [{"a": 3}]})
    counted = []

    def count(*given, required):
        counted.append(required)
        return combinations.Grid(*given, required=required)

    monkeypatch.setattr("maggy.searchspace.Grid", count)
    space.add("c", Integer(1, 2, when={"a": 2}))
    assert len(counted) == 1


def test_whether_a_parameter_can_be_active_is_told_exactly():
    """Of random spaces those are refused in which a look at all configurations finds a parameter in none."""
    rng = random.Random(7)
    verdicts = Counter()
    for _ in range(300):
        space = Searchspace(a=[0, 1], b=[0, 1, 2])
        space.add("c", Integer(0, 1, when={rng.choice("ab"): rng.choice([0, [0, 1]])}))
        space.add("d", Integer(0, 1, when={"c": rng.randint(0, 1)}))
        given = [{name: rng.randint(0, 1) for name in rng.sample("abcd", rng.randint(1, 3))} for _ in range(3)]
        found = [space.nth(rank) for rank in range(space.size)]
        met = [any(each.items() <= params.items() for params in found) for each in given]
        left = [params for params in found if not any(each.items() <= params.items() for each in given)]
        right = all(met) and {"c", "d"} <= {name for params in left for name in params}
        try:
            Searchspace({**space.to_dict(), "!forbidden": given})
        except ConfigError:
            assert not right, given
        else:
            assert right, given
        verdicts[right] += 1
    assert min(verdicts.values()) > 50


def test_a_space_in_which_all_is_forbidden_is_refused():
    """It is seen at once, continuous parameters or not, and the combination that was one too many is not taken up."""
    space = Searchspace(a=[1, 2], b=Integer(1, 2, when={"a": 1}), c=(0.0, 1.0))
    space.forbid(a=2)
    space.forbid(b=1)
    with pytest.raises(ConfigError) as caught:
        space.forbid(b=2)
    assert str(caught.value) == (
        "nothing is left of the searchspace, since it is forbidden that a is 2; b is 1; b is 2"
    )
    assert space.sample(random.Random(0)).keys() == {"a", "b", "c"}
    assert [str(each) for each in space.forbidden] == ["a is 2", "b is 1"]


def test_a_thousand_forbidden_draws_in_a_row_are_an_error():
    """What can hardly be drawn is not drawn for ever."""
    space = Searchspace(a=(0, 10**9), b=(0, 10**9))
    space.forbid(a=range(1000, 2000))
    assert space.sample(random.Random(0))
    rare = Searchspace(a=Categorical([1, 2], weights=[1, 10**8]))
    rare.forbid(a=2)
    assert rare.size == 1
    with pytest.raises(ConfigError, match="1000 configurations in a row were drawn that are forbidden; forbid less"):
        rare.sample(random.Random(0))


# -- counting --------------------------------------------------------------------------------------


def brute_force(space):
    """Return each different configuration of a space, from all points of its grid."""
    found = {}
    for ranks in itertools.product(*(range(domain.size) for domain in space.values())):
        params = {}
        for (name, domain), rank in zip(space.items(), ranks, strict=True):
            if space.active(name, params):
                params[name] = domain.nth(rank)
        if space.contains(params):
            found[json.dumps(params)] = params
    return list(found.values())


@given(seeds)
@settings(deadline=None)  # it goes through hundreds of combinations
def test_every_different_configuration_has_one_number(seed):
    """The size is what going through all of them finds, and each of them is the n-th for one n."""
    space = entangled(seed, PARENTS)
    expected = brute_force(space)
    numbered = [space.nth(rank) for rank in range(space.size)]
    assert sorted(map(json.dumps, numbered)) == sorted(map(json.dumps, expected))


def test_numbers_follow_the_order_of_the_parameters():
    """Without conditions as nested loops do, the last fastest; with them, what belongs together goes together."""
    flat = Searchspace(a=[1, 2], b=Integer(1, 2), c=Ordinal(["x", "y", "z"]))
    assert [tuple(flat.nth(k).values()) for k in range(12)] == list(itertools.product([1, 2], [1, 2], "xyz"))
    space = Searchspace(a=[1, 2], b=["x", "y"], c=Integer(7, 8, when={"a": 2}))
    assert [tuple(space.nth(k).values()) for k in range(space.size)] == [
        (1, "x"),
        (1, "y"),
        (2, "x", 7),
        (2, "y", 7),
        (2, "x", 8),
        (2, "y", 8),
    ]


def test_a_large_space_is_counted_without_being_gone_through():
    """Twenty switches, each with a wide parameter of its own, defined after all of the switches."""
    space = Searchspace({f"on{k}": [True, False] for k in range(20)})
    for k in range(20):
        space.add(f"x{k}", Integer(1, 10**9, when={f"on{k}": True}))
    assert space.size == (10**9 + 1) ** 20
    assert space.nth(space.size - 1) == {f"on{k}": False for k in range(20)}
    space.forbid(on0=True, x0=range(1, 1001))
    assert space.size == (10**9 + 1 - 1000) * (10**9 + 1) ** 19


def test_what_is_too_entangled_is_not_counted():
    """Beyond 4,096 states there is no size; samples there are all the same."""
    space = Searchspace({f"x{k}": [0, 1] for k in range(40)})
    for k in range(20):
        space.forbid(**{f"x{k}": 0, f"x{k + 20}": 0, f"x{20 + (k + 1) % 20}": 0})
    assert space.size is None
    assert space.contains(space.sample(random.Random(0)))
    with pytest.raises(ValueError, match="there is no configuration number 0 among None"):
        space.nth(0)


@pytest.mark.parametrize("rank", [-1, 4])
def test_a_number_that_is_too_large_is_refused(rank):
    """There are as many as `size` says."""
    with pytest.raises(ValueError, match=f"no configuration number {rank} among 4"):
        Searchspace(a=(1, 4)).nth(rank)


def test_check_lets_a_configuration_pass():
    """A configuration of the space, in any order, passes."""
    space = Searchspace(lr=(0.0, 1.0), units=(1, 8))
    space.check({"units": 8, "lr": 1})
    assert space.contains({"units": 8, "lr": 1})


@pytest.mark.parametrize(
    ("space", "size"),
    [
        (Searchspace(), 1),
        (Searchspace(a=(1, 4), b=["x", "y"], c=Float(0, 1, step=0.5)), 24),
        (Searchspace(a=(1, 4), b=(0.0, 1.0)), None),
        (Searchspace(a=(1, 4), b=Integer(1, 10, when={"a": [2, 3]})), 22),
        (svm(), None),
    ],
)
def test_size_counts_the_configurations(space, size):
    """The size is that of the whole grid; a continuous parameter has none."""
    assert space.size == size


def test_an_empty_searchspace_is_one():
    """Without parameters there is one configuration, the empty one."""
    space = Searchspace()
    assert (len(space), space.sample(random.Random(1)), space.to_unit({}), space.from_unit([])) == (0, {}, [], {})
    assert space.contains({})
    assert Searchspace.from_json(space.json()) == space


# -- a value among values --------------------------------------------------------------------------


@given(spaces)
def test_a_searchspace_survives_json_dicts_repr_and_pickle(space):
    """All of a searchspace's forms lead back to an equal one, scales and steps included."""
    assert Searchspace(**space.to_dict()) == space
    assert Searchspace.from_json(space.json()) == space
    assert Searchspace.from_json(json.loads(space.json())) == space
    assert eval(repr(space)) == space  # noqa: S307
    assert pickle.loads(pickle.dumps(space)) == copy.deepcopy(space) == space  # noqa: S301


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"lr": 3}'])
def test_json_that_is_no_searchspace_is_refused(text):
    """Broken JSON, JSON of something else and wrong domains are ConfigErrors."""
    with pytest.raises(ConfigError, match=r"JSON|mapping|'lr'"):
        Searchspace.from_json(text)


def test_a_copy_does_not_grow_with_the_original():
    """Who keeps a copy is safe from `add`."""
    space = Searchspace(lr=(0.0, 1.0))
    kept = space.copy()
    space.add("units", (1, 8))
    assert kept.keys() == ["lr"]


def test_views_are_not_ways_in():
    """Changing what the views return changes nothing."""
    space = example()
    space.names().clear()
    space.keys().clear()
    space.values().clear()
    space.items().clear()
    space.to_dict()["activation"]["choices"].clear()
    list(space)[-1]["values"].clear()
    assert space == example()


def test_a_searchspace_has_no_hash():
    """What can grow is no key."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(Searchspace())


@pytest.mark.parametrize(
    ("other", "sentences"),
    [
        (Searchspace(lr=(0.0, 1.0), units=(1, 8)), []),
        (Searchspace(lr=(0.0, 2.0), units=(1, 8)), ["'lr' was Float(0.0, 1.0) and is now Float(0.0, 2.0)"]),
        (Searchspace(lr=(0.0, 1.0)), ["'units' was Integer(1, 8) and is gone"]),
        (Searchspace(lr=(0.0, 1.0), units=(1, 8), act=["a"]), ["'act' is new: Categorical(['a'])"]),
        (Searchspace(units=(1, 8), lr=(0.0, 1.0)), ["the order was lr, units and is now units, lr"]),
        (
            Searchspace({"lr": (0.0, 1.0), "units": (1, 8), "!forbidden": [{"units": [1, 8]}]}),
            ["it is now forbidden that units is 1 or 8"],
        ),
        (
            Searchspace(act=["a"], lr=(0, 1)),
            [
                "'units' was Integer(1, 8) and is gone",
                "'lr' was Float(0.0, 1.0) and is now Integer(0, 1)",
                "'act' is new: Categorical(['a'])",
            ],
        ),
    ],
)
def test_differences_are_sentences(other, sentences):
    """What was and what is now, one sentence each."""
    assert Searchspace(lr=(0.0, 1.0), units=(1, 8)).differences(other) == sentences


def test_differences_tell_conditions_and_what_is_forbidden():
    """A condition is part of the domain; combinations are told one by one, whatever their order."""
    was = Searchspace(a=[1, 2], b=Integer(1, 2, when={"a": 1}), c=["x", "y"])
    now = Searchspace(a=[1, 2], b=Integer(1, 2, when={"a": [1, 2]}), c=["x", "y"])
    was.forbid(a=1, c="x")
    for space in (was, now):
        space.forbid(a=[1, 2], b=2)
    assert was.differences(now) == [
        "'b' was Integer(1, 2, when={'a': [1]}) and is now Integer(1, 2, when={'a': [1, 2]})",
        "it is no longer forbidden that a is 1, and c is 'x'",
    ]
    now.forbid(c="x", a=1)
    assert was.differences(now)[1:] == []


@given(spaces, spaces)
def test_equal_means_without_differences(one, other):
    """`==` and `differences` agree, and nothing else is equal to a searchspace."""
    assert (one == other) == (one.differences(other) == [])
    assert one.differences(one.copy()) == []
    assert one != one.to_dict()
