import copy
import json
import pickle
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


names = st.from_regex(r"x[a-z0-9_]{0,6}", fullmatch=True)
domains = st.sampled_from(example().values())
spaces = st.lists(st.tuples(names, domains), max_size=6, unique_by=lambda pair: pair[0]).map(dict).map(Searchspace)


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
    assert list(params) == space.keys()
    assert params == space.copy().sample(random.Random(seed))


@given(spaces, st.data())
def test_a_point_of_the_cube_leads_to_a_configuration_and_back(space, data):
    """Points have one coordinate in [0, 1] per parameter, and lead back to the same configuration."""
    point = data.draw(st.lists(st.floats(0, 1), min_size=len(space), max_size=len(space)))
    params = space.from_unit(point)
    again = space.to_unit(params)
    assert space.contains(params)
    assert all(0 <= u <= 1 for u in again)
    assert space.from_unit(again) == {
        name: pytest.approx(value) if isinstance(value, float) else value for name, value in params.items()
    }


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


@given(spaces, spaces)
def test_equal_means_without_differences(one, other):
    """`==` and `differences` agree, and nothing else is equal to a searchspace."""
    assert (one == other) == (one.differences(other) == [])
    assert one.differences(one.copy()) == []
    assert one != one.to_dict()
