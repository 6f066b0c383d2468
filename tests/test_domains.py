import copy
import dataclasses
import enum
import itertools
import math
import pickle
import random
from collections import Counter
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maggy.conditions import Condition
from maggy.domains import Categorical, Float, Integer, Ordinal, domain_from_json
from maggy.errors import ConfigError

finite = st.floats(-1e12, 1e12)
positive = st.floats(1e-12, 1e12)
unit = st.floats(0, 1)
scalars = st.none() | st.booleans() | st.integers() | finite | st.text(max_size=5)
keys = st.text(max_size=3).filter(lambda key: key != "$f")  # the mark of infinities
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)
)


def bounds(numbers):
    return st.tuples(numbers, numbers).map(sorted)


def stepped(kind, numbers, steps):
    """Draw domains whose range is a number of steps and a bit."""
    return st.builds(
        lambda low, step, n: kind(low, low + step * (n + 1), step=step), numbers, steps, st.integers(1, 1000)
    )


def with_prior(domain, share, width):
    """Return a domain with a normal prior: its mean at a share of the range, its sd so many ranges wide."""
    low, high = domain.low, domain.high
    mean = min(max(low * (high / low) ** share if domain.log else low + share * (high - low), low), high)
    sd = width * ((math.log(high) - math.log(low)) if domain.log else high - low) or 1.0
    return dataclasses.replace(domain, mean=mean, sd=sd)


# From a needle to what is as good as flat.
widths = st.floats(-12, 6).map(lambda exponent: 10**exponent)
uniform = st.one_of(
    bounds(finite).map(lambda b: Float(*b)),
    bounds(positive).map(lambda b: Float(*b, log=True)),
)
continuous = uniform | st.builds(with_prior, uniform, unit, widths)
# Lists that JSON would hold for doubled (2 and 2.0 are not) are left to the table of errors.
lists = st.lists(json_values, min_size=1, max_size=6, unique_by=repr)
counted = st.one_of(
    bounds(st.integers(-(2**28), 2**28)).map(lambda b: Integer(*b)),
    bounds(st.integers(1, 2**28)).map(lambda b: Integer(*b, log=True)),
    stepped(Integer, st.integers(-(2**20), 2**20), st.integers(1, 1000)),
    stepped(Float, st.integers(-1000, 1000).map(lambda n: n / 10), st.sampled_from([0.1, 0.25, 0.003])),
)
weighted = st.lists(st.tuples(scalars, st.floats(1e-3, 1e3)), min_size=1, max_size=6).map(
    lambda pairs: Categorical([value for value, _ in pairs], weights=[weight for _, weight in pairs])
)
discrete = st.one_of(
    st.builds(with_prior, counted, unit, widths),
    weighted,
    bounds(st.integers(-(2**38), 2**38)).map(lambda b: Integer(*b)),
    bounds(st.integers(1, 2**40)).map(lambda b: Integer(*b, log=True)),
    stepped(Integer, st.integers(-(2**30), 2**30), st.integers(1, 1000)),
    st.builds(lambda low, n, s: Integer(low, low + n * s, log=True, step=s), *[st.integers(1, 1000)] * 3),
    stepped(Float, st.integers(-1000, 1000).map(lambda n: n / 10), st.sampled_from([0.1, 0.25, 0.003, 1 / 3, 7.0])),
    st.lists(scalars, min_size=1, max_size=6).map(Categorical),
    st.lists(scalars, min_size=1, max_size=6, unique_by=repr).map(Ordinal),
)


# -- the unit interval -----------------------------------------------------------------------------


@given(discrete, unit)
def test_discrete_values_come_back_from_the_unit_interval(domain, u):
    """A discrete value's position leads back to the same value, of the same type."""
    value = domain.from_unit(u)
    again = domain.from_unit(domain.to_unit(value))
    assert (type(again), again) == (type(value), value)


@given(continuous, unit)
def test_continuous_values_come_nearly_back_from_the_unit_interval(domain, u):
    """A float's position leads back to the same float, up to rounding within its range."""
    value = domain.from_unit(u)
    again = domain.from_unit(domain.to_unit(value))
    assert math.isclose(again, value, rel_tol=1e-9, abs_tol=1e-9 * (domain.high - domain.low))


@given(continuous | discrete, unit)
def test_every_position_gives_a_contained_value(domain, u):
    """No position, the two ends included, leads outside, not even by rounding; and positions stay in [0, 1]."""
    for position in (0.0, u, 1.0):
        value = domain.from_unit(position)
        assert domain.contains(value)
        assert 0 <= domain.to_unit(value) <= 1


@pytest.mark.parametrize(
    ("domain", "first", "last"),
    [
        (Float(-1, 3), -1.0, 3.0),
        (Float(-1, 1e-20), -1.0, 1e-20),  # low + 1 * (high - low) is 0
        (Float(1e-3, 3.6, log=True), 1e-3, 3.6),  # exp(log(0.001)) is more, exp(log(3.6)) is less
        (Float(0.1, 1, step=0.4), 0.1, 0.9),
        (Float(7, 7), 7.0, 7.0),
        (Float(7, 7, log=True), 7.0, 7.0),
        (Integer(2, 8), 2, 8),
        (Integer(1, 10, step=4), 1, 9),
        (Integer(1, 1000, log=True), 1, 1000),
        (Integer(5, 5), 5, 5),
        (Integer(5, 5, log=True), 5, 5),
        (Float(1e-3, 3.6, log=True, mean=0.1, sd=0.5), 1e-3, 3.6),
        (Float(-1, 3, mean=0, sd=1e-9), -1.0, 3.0),
        (Integer(2, 8, mean=8, sd=0.01), 2, 8),
        (Integer(5, 5, mean=5, sd=1), 5, 5),
        (Categorical(["a", "b", "c"]), "a", "c"),
        (Categorical(["a", "b", "c"], weights=[1e-3, 5, 1e-3]), "a", "c"),
        (Ordinal([16, 64, 256]), 16, 256),
        (Categorical([None]), None, None),
    ],
)
def test_the_ends_of_the_unit_interval_are_the_ends_of_the_domain(domain, first, last):
    """0 gives exactly the first value and 1 exactly the last one."""
    assert [domain.from_unit(0), domain.from_unit(1)] == [first, last]


@pytest.mark.parametrize("u", [-1e-9, 1.0000001, math.nan, math.inf])
@pytest.mark.parametrize("domain", [Float(0, 1), Integer(1, 9, log=True), Categorical(["a"])])
def test_a_position_outside_the_unit_interval_is_refused(domain, u):
    """An optimizer that leaves the cube hears of it, instead of piling up trials on the border."""
    with pytest.raises(ValueError, match="from 0 to 1"):
        domain.from_unit(u)


def test_a_value_outside_the_domain_has_no_position():
    """`to_unit` does not clip: a foreign value is an error that names value and domain."""
    with pytest.raises(ValueError, match=r"9 is not a value of Integer\(1, 8\)"):
        Integer(1, 8).to_unit(9)


def test_log_puts_equal_ratios_at_equal_distances():
    """The middle of a logarithmic range is the geometric mean, that of a linear one the arithmetic mean."""
    assert Float(-1, 3).from_unit(0.25) == 0
    assert Float(1e-4, 1.0, log=True).from_unit(0.5) == pytest.approx(1e-2)
    assert Float(1e-4, 1.0, log=True).to_unit(1e-3) == pytest.approx(0.25)


def test_a_wide_logarithmic_step_takes_half_of_low_for_the_edge():
    """The cells of 2 and 12 meet at 7 and reach from 2 / 2 to 17."""
    domain = Integer(2, 12, log=True, step=10)
    assert domain.to_unit(2) == pytest.approx(math.log(2) / math.log(17))
    meeting = math.log(7) / math.log(17)
    assert [domain.from_unit(meeting - 1e-6), domain.from_unit(meeting + 1e-6)] == [2, 12]


@pytest.mark.parametrize(
    "domain",
    [
        Ordinal([1, 2, 4]),
        Integer(1, 3),
        Integer(1, 300, log=True),
        Integer(1, 30, log=True, step=3),
        Float(1, 3, step=0.1),
        Integer(1, 300, mean=3.5, sd=1e-3),
        Integer(1, 300, log=True, mean=300, sd=0.2),
        Float(1, 3, step=0.1, mean=2.5, sd=0.3),
        Ordinal([[1], [2], [4]], when={"layers": 3}),
        Categorical(["a", "b", "c"], weights=[1, 1e6, 3]),
    ],
)
def test_every_value_has_its_place_in_order(domain):
    """Positions ascend with the values, and each leads back."""
    positions = [domain.to_unit(value) for value in domain.grid()]
    assert positions == sorted(set(positions))
    assert [domain.from_unit(u) for u in positions] == domain.grid()


# -- sampling --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "domain",
    [
        Integer(-2, 2),
        Integer(0, 40, step=10),
        Float(0, 1, step=0.25),
        Categorical(["a", True, 1, 1.0, None]),
        Ordinal([1, 2, 4, 8, 16]),
    ],
)
def test_discrete_values_are_equally_likely(domain):
    """Each of five values gets a fifth of 10,000 draws, within four standard deviations."""
    rng = random.Random(7)
    counts = Counter(repr(domain.sample(rng)) for _ in range(10_000))
    assert len(counts) == 5
    assert all(abs(count - 2000) < 4 * 40 for count in counts.values())


def test_a_logarithmic_integer_is_as_likely_as_its_share_of_the_logarithm():
    """The cell of k reaches from k - 1/2 to k + 1/2, the first and last one included."""
    rng, draws = random.Random(7), 20_000
    counts = Counter(Integer(1, 10, log=True).sample(rng) for _ in range(draws))
    for k in range(1, 11):
        share = math.log((k + 0.5) / (k - 0.5)) / math.log(10.5 / 0.5)
        assert abs(counts[k] - draws * share) < 4 * math.sqrt(draws * share)


@pytest.mark.parametrize(("log", "median"), [(False, 0.50005), (True, 0.01)])
def test_floats_are_uniform_in_their_scale(log, median):
    """Half of the draws lie below the middle of the (logarithmic) range."""
    rng, domain = random.Random(7), Float(1e-4, 1.0, log=log)
    below = sum(domain.sample(rng) < median for _ in range(10_000))
    assert abs(below - 5000) < 4 * 50


def normal_share(domain, low, high):
    """Return the share that a normal distribution, cut off at the bounds, has between two numbers."""
    axis = math.log if domain.log else float
    cdf = NormalDist(axis(domain.mean), domain.sd).cdf
    return (cdf(axis(high)) - cdf(axis(low))) / (cdf(axis(domain.high)) - cdf(axis(domain.low)))


@pytest.mark.parametrize(
    "domain",
    [
        Float(-1, 9, mean=4, sd=1),
        Float(0, 1, mean=0.9, sd=0.3),
        Float(0, 1, mean=0, sd=5),
        Float(1e-5, 1, log=True, mean=1e-3, sd=math.log(10)),
        Float(1e-3, 1, log=True, mean=1e-3, sd=0.5),
    ],
)
def test_a_prior_is_a_normal_distribution_cut_off_at_the_bounds(domain):
    """Between any two numbers lie as many of 10,000 draws as the distribution has there."""
    rng, draws = random.Random(7), 10_000
    drawn = [domain.sample(rng) for _ in range(draws)]
    marks = [domain.low, *(dataclasses.replace(domain, mean=None, sd=None).from_unit(k / 8) for k in range(1, 9))]
    for low, high in itertools.pairwise(marks):
        share = normal_share(domain, low, high)
        found = sum(low < value <= high for value in drawn)
        assert abs(found - draws * share) <= 4 * math.sqrt(draws * share) + 2


def test_the_mean_of_a_logarithmic_prior_is_its_median():
    """In the parameter's own unit; a standard deviation is a factor."""
    domain = Float(1e-6, 1e2, log=True, mean=1e-2, sd=math.log(3))
    assert domain.from_unit(0.5) == pytest.approx(1e-2)
    assert domain.from_unit(NormalDist().cdf(1)) == pytest.approx(3e-2, rel=1e-3)


@pytest.mark.parametrize("log", [False, True])
def test_an_integer_has_the_share_of_its_cell(log):
    """Each integer is as likely as the distribution is to lie within half a step of it, within the bounds."""
    rng, draws, domain = random.Random(7), 20_000, Integer(1, 9, log=log, mean=3, sd=0.5 if log else 2)
    counts = Counter(domain.sample(rng) for _ in range(draws))
    cells = dataclasses.replace(Float(0.5, 9.5), log=log, mean=3, sd=domain.sd)
    for k in range(1, 10):
        share = normal_share(cells, k - 0.5, k + 0.5)
        assert abs(counts[k] - draws * share) < 4 * math.sqrt(draws * share) + 2


def test_beyond_four_deviations_values_are_told_apart():
    """A prior as sharp as a needle leaves every value its place, as near as floats get."""
    domain = Float(0, 1, mean=0.5, sd=1e-9)
    for value in (0.0, 1e-9, 0.1, 0.4999, 0.5, 0.5000000001, 0.9, 1 - 1e-9, 1.0):
        assert domain.from_unit(domain.to_unit(value)) == pytest.approx(value, abs=1e-11)
    assert domain.to_unit(0.4999) < 3.2e-5


def test_categories_are_as_likely_as_their_weights():
    """Of 10,000 draws each choice gets its share, within four standard deviations."""
    rng, draws = random.Random(7), 10_000
    counts = Counter(Categorical(["a", "b", "c"], weights=[5, 1, 2]).sample(rng) for _ in range(draws))
    for choice, share in (("a", 5 / 8), ("b", 1 / 8), ("c", 2 / 8)):
        assert abs(counts[choice] - draws * share) < 4 * math.sqrt(draws * share * (1 - share))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Categorical(["a", "a", "b"]), Categorical(["a", "b"], weights=[2, 1])),
        (Categorical(["a", "b", "a"], weights=[1, 2.5, 1]), Categorical(["a", "b"], weights=[4, 5])),
        (Categorical(["a", "b"], weights=[0.5, 0.5]), Categorical(["a", "b"])),
        (Categorical(["a", "b", "b", "a"]), Categorical(["a", "b"])),
        (Categorical([1, True, 1]), Categorical([1, True], weights=[2, 1])),
        (Categorical([{"a": 1, "b": 2}, {"b": 2, "a": 1}]), Categorical([{"a": 1, "b": 2}])),
        (Float(0, 1, when={"a": 1, "b": [2, 3]}), Float(0, 1, when={"b": (3, 2, 2), "a": [1]})),
        (Float(0, 1, when={}), Float(0, 1)),
        (Integer(0, 9, when={"n": range(2, 5)}), Integer(0, 9, when={"n": [2, 3, 4]})),
    ],
)
def test_two_ways_to_say_the_same_are_equal(one, other):
    """What is listed twice has twice the weight, equal weights are none, and a condition has no order."""
    assert one == other
    assert hash(one) == hash(other)
    assert one.grid() == other.grid()


@given(continuous | discrete, st.integers(0, 2**32))
def test_a_draw_costs_one_random_number(domain, seed):
    """Every domain moves the generator by the same amount, so a changed domain leaves the others' draws alone."""
    used, expected = random.Random(seed), random.Random(seed)
    assert domain.contains(domain.sample(used))
    expected.random()
    assert used.random() == expected.random()


# -- membership ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        (Float(0, 1), [0, 1, 0.5, 1.0, np.float64(0.5)], [-1e-300, 1.0001, True, "0.5", None, math.nan, [0.5]]),
        (Float(0, 1, step=0.1), [0.3, 0.1 + 0.2, 1], [0.35, 0.300005, math.nan]),
        (Float(0, 1, step=0.4), [0, 0.8], [1.0, 0.9]),
        (Integer(1, 8), [1, 8], [0, 9, 3.0, True, "3", None, math.nan]),
        (Integer(1, 9, step=4), [1, 5, 9], [2, 8]),
        (Categorical([1, "a", None]), [1, "a", None], [True, 1.0, "1", False, math.nan, {1}]),
        (Categorical([True, 1.0]), [True, 1.0], [1]),
        (Categorical([[1, 2], {"a": 1, "b": 2}]), [[1, 2], {"b": 2, "a": 1}], [(1, 2), [2, 1], [1, 2.0], {"a": 1}]),
        (Ordinal([8, 16]), [8, 16], [12, 16.0]),
    ],
)
def test_contains_is_strict_about_types(domain, inside, outside):
    """JSON's types count: no bool passes for an int, no float for an integer, no NaN for anything."""
    assert [value for value in inside if not domain.contains(value)] == []
    assert [value for value in outside if domain.contains(value)] == []


# -- grids -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (Float(0, 1), None),
        (Float(0.1, 0.5, step=0.1), [0.1, 0.2, 0.3, 0.4, 0.5]),
        (Float(0, 2, step=2), [0.0, 2.0]),
        (Float(0, 1, step=0.3), [0.0, 0.3, 0.6, 0.9]),
        (Float(1e-5, 3e-5, step=1e-5), [1e-5, 2e-5, 3e-5]),
        (Integer(2, 5), [2, 3, 4, 5]),
        (Integer(1, 8, step=3), [1, 4, 7]),
        (Integer(-3, 3, step=3), [-3, 0, 3]),
        (Categorical(["b", "a"]), ["b", "a"]),
        (Ordinal([4, 2, 8]), [4, 2, 8]),
    ],
)
def test_the_grid_is_every_value_as_it_was_meant(domain, values):
    """Grids include both ends where the step meets them, in decimals without dust; the continuous have none."""
    assert domain.grid() == values
    assert domain.size == (None if values is None else len(values))


@given(stepped(Float, st.floats(-1e3, 1e3), st.floats(1e-3, 10)))
def test_a_grid_of_floats_stays_in_its_bounds(domain):
    """Whatever the bounds and the step, no point leaves the range and no point is met twice."""
    grid = domain.grid()
    assert grid == sorted(set(grid))
    assert domain.low <= grid[0] <= grid[-1] <= domain.high < grid[-1] + 1.001 * domain.step


# -- values, not objects ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "data"),
    [
        (Float(0, 1), {"type": "float", "low": 0.0, "high": 1.0}),
        (Float(1e-5, 0.1, log=True), {"type": "float", "low": 1e-5, "high": 0.1, "log": True}),
        (Float(0, 1, step=0.1), {"type": "float", "low": 0.0, "high": 1.0, "step": 0.1}),
        (Integer(1, 8, log=True, step=2), {"type": "integer", "low": 1, "high": 8, "log": True, "step": 2}),
        (Categorical(["a", None]), {"type": "categorical", "choices": ["a", None]}),
        (Ordinal((1, 2)), {"type": "ordinal", "values": [1, 2]}),
        (Float(0, 1, mean=0.5, sd=2), {"type": "float", "low": 0.0, "high": 1.0, "mean": 0.5, "sd": 2.0}),
        (Categorical(["a", "b", "a"]), {"type": "categorical", "choices": ["a", "b"], "weights": [2, 1]}),
        (Integer(1, 8, when={"a": "b"}), {"type": "integer", "low": 1, "high": 8, "when": {"a": ["b"]}}),
        (
            Ordinal([1], when={"a": [[1, 2]], "b": (3, 4)}),
            {"type": "ordinal", "values": [1], "when": {"a": [[1, 2]], "b": [3, 4]}},
        ),
    ],
)
def test_json_says_no_more_than_needed(domain, data):
    """The JSON of a domain is its type and its arguments without the defaults."""
    assert domain.to_json() == data


conditions = st.dictionaries(st.text(max_size=3), lists | scalars, max_size=2)
conditional = st.builds(lambda domain, when: dataclasses.replace(domain, when=when), continuous | discrete, conditions)


@given(conditional | lists.map(Categorical) | lists.map(Ordinal))
def test_a_domain_survives_json_repr_and_pickle(domain):
    """All of a domain's forms lead back to an equal domain with the same hash."""
    for again in (domain_from_json(domain.to_json()), eval(repr(domain)), pickle.loads(pickle.dumps(domain))):  # noqa: S301, S307
        assert again == domain
        assert hash(again) == hash(domain)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Float(0, 1), Integer(0, 1)),
        (Float(1, 2), Float(1, 2, log=True)),
        (Categorical([1]), Categorical([True])),
        (Categorical([1]), Categorical([1.0])),
        (Categorical([1, 2]), Categorical([2, 1])),
        (Categorical([1, 2]), Ordinal([1, 2])),
        (Categorical([1, 2]), Categorical([1, 2], weights=[2, 1])),
        (Categorical([1, 2], weights=[1, 2]), Categorical([1, 2], weights=[2, 1])),
        (Float(1, 2), Float(1, 2, mean=1, sd=1)),
        (Float(1, 2), Float(1, 2, when={"a": 1})),
        (Float(1, 2, when={"a": True}), Float(1, 2, when={"a": 1})),
        (Ordinal([1], when={"a": 1}), Ordinal([1], when={"b": 1})),
        (Ordinal([1], when={"a": 1}), Ordinal([1], when={"a": [1, 2]})),
    ],
)
def test_different_domains_are_not_equal(one, other):
    """Kind, scale, order and the types of choices all count."""
    assert one != other


def test_a_step_of_one_is_how_integers_are():
    """Two ways to write the same integers are equal."""
    assert Integer(1, 8, step=1) == Integer(1, 8)


def test_numpy_scalars_are_bounds_too():
    """Bounds computed with numpy become plain numbers."""
    assert Integer(np.int64(1), np.int32(8)).to_json() == {"type": "integer", "low": 1, "high": 8}
    assert type(Float(np.float32(0.5), np.int64(1)).low) is float


def test_choices_belong_to_the_domain():
    """Neither the list that was given nor a value that came out leads back into the domain."""
    given_list = [["relu"], ["gelu"]]
    domain = Categorical(given_list, when={"a": given_list})
    before = copy.deepcopy(domain)
    given_list[0].append("x")
    parts = domain.from_unit(0), domain.grid()[0], domain.to_json()["choices"][0], domain.when["a"][0]
    for out in (*parts, domain.to_json()["when"]["a"]):
        out.append("x")
    assert domain.grid() == before.grid() == [["relu"], ["gelu"]]
    assert domain.when == before.when == Condition({"a": [["relu"], ["gelu"]]})


def test_choices_are_stored_plainly():
    """An enum of strings becomes its strings, as the log would give it back."""
    colour = enum.StrEnum("colour", ["RED", "BLUE"])
    assert [type(value) for value in Categorical(list(colour)).grid()] == [str, str]


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Float(2, 1), r"low 2\.0 is above its high 1\.0; write Float\(1\.0, 2\.0\)"),
        (lambda: Integer(8, 2), r"low 8 is above its high 2; write Integer\(2, 8\)"),
        (lambda: Float(math.nan, 1), "Float's low is nan; write a finite number"),
        (lambda: Float(0, math.inf), "Float's high is inf; write a finite number"),
        (lambda: Float(0, 10**400), "Float's high is 1000.*; write a finite number"),
        (lambda: Float(False, 1), "Float's low is False; write a finite number"),
        (lambda: Float("0", 1), "Float's low is '0'; write a finite number"),
        (lambda: Float(-1e308, 1e308), "is wider than a float"),
        (lambda: Float(0, 1, log=True), r"low is 0\.0, which has no logarithm"),
        (lambda: Integer(0, 8, log=True), "low is 0, which has no logarithm"),
        (lambda: Float(1, 2, log="yes"), "log is 'yes'; write True or False"),
        (lambda: Float(0, 1, step=0), r"step is 0\.0; write one above 0"),
        (lambda: Integer(0, 8, step=-2), "step is -2; write one above 0"),
        (lambda: Float(0, 0.5, step=1), r"step 1\.0 is larger than its range from 0\.0 to 0\.5"),
        (lambda: Integer(0, 8, step=9), "step 9 is larger than its range from 0 to 8"),
        (lambda: Float(1, 2, log=True, step=0.1), r"log or step, not both.*step=0\.1"),
        (lambda: Float(0, 1, step=1e-15), r"1\.00e\+15 steps, finer than"),
        (lambda: Float(1e16, 1e16 + 8, step=0.5), "finer than"),
        (lambda: Integer(0, 10**400), r"1\.00e\+400 steps, finer than"),
        (lambda: Integer(0, 2**40), "finer than"),
        (lambda: Integer(2**40, 2**40 + 1, log=True), "finer than"),
        (lambda: Integer(1.0, 8), r"Integer's low is 1\.0; write a whole number"),
        (lambda: Integer(1, True), "Integer's high is True; write a whole number"),
        (lambda: Integer(1, 8, step=1.5), r"Integer's step is 1\.5; write a whole number"),
        (lambda: Categorical([]), "Categorical has no choices; list at least one"),
        (lambda: Ordinal([]), "Ordinal has no values; list at least one"),
        (lambda: Categorical("abc"), "takes a list of choices, not 'abc'"),
        (lambda: Categorical({"a", "b"}), "takes a list of choices, not {"),
        (lambda: Ordinal(["a", "b", "a"]), "lists 'a' twice"),
        (lambda: Ordinal([{"a": 1, "b": 2}, {"b": 2, "a": 1}]), "twice"),
        (lambda: Float(0, 1, mean=0.5), "takes mean and sd together, and got mean=0.5 and sd=None"),
        (lambda: Integer(0, 9, sd=1), r"takes mean and sd together, and got mean=None and sd=1\.0"),
        (lambda: Float(0, 1, mean=2, sd=1), r"mean 2\.0 lies outside of its bounds 0\.0 and 1\.0"),
        (lambda: Float(0, 1, mean=0.5, sd=0), r"sd is 0\.0; write one above 0"),
        (lambda: Float(0, 1, mean=0.5, sd=math.inf), "Float's sd is inf; write a finite number"),
        (lambda: Integer(0, 9, mean="5", sd=1), "Integer's mean is '5'; write a finite number"),
        (lambda: Integer(0, 2**28 + 1, mean=5, sd=1), r"finer than the 2\.68e\+08"),
        (lambda: Float(0, 1e6, step=1e-3, mean=5, sd=1), r"finer than the 2\.68e\+08"),
        (lambda: Categorical(["a", "b"], weights=[1]), r"weights=\[1\]; list 2, one for each"),
        (lambda: Categorical(["a", "b"], weights=3), "weights=3; list 2, one for each"),
        (lambda: Categorical(["a", "b"], weights=[1, 0]), "a weight of Categorical's is 0; write one above 0"),
        (lambda: Categorical(["a", "b"], weights=[1, math.nan]), "a weight of Categorical's is nan; write a finite"),
        (lambda: Categorical(["a", "b"], weights=[1, "2"]), "a weight of Categorical's is '2'; write a finite"),
        (lambda: Categorical(["a", "b"], weights=[1, 1e-10]), "none may be below 1e-09 of their sum"),
        (lambda: Categorical(["a", "a", "b"], weights=[1e308] * 3), "none may be below 1e-09 of their sum"),
        (lambda: Float(0, 1, when="kernel"), "Float's when is a mapping from names to values, .* not 'kernel'"),
        (lambda: Ordinal([1], when={"kernel": []}), "Ordinal's when lists no value of 'kernel'"),
        (lambda: Categorical([1], when={3: 1}), "Categorical's when names 3; write the name of a parameter"),
        (
            lambda: Integer(0, 1, when={"kernel": np.int64(3)}),
            r"Integer's when has .*3.* for 'kernel'; write a JSON value",
        ),
        (lambda: Categorical([(1, 2)]), r"which \(1, 2\) is not; write a list for a tuple"),
        (lambda: Categorical([["a", (1, 2)]]), "write a list for a tuple"),
        (lambda: Ordinal([1.0, math.inf]), "which inf is not; .* nothing infinite"),
        (lambda: Categorical([print]), "which <built-in function print> is not"),
        (lambda: Categorical([np.int64(3)]), "a plain number for one of numpy"),
        (lambda: domain_from_json({"type": "flaot", "low": 0}), "'flaot' is no type.*did you mean 'float'"),
        (lambda: domain_from_json({"low": 0}), "None is no type of domain"),
        (lambda: domain_from_json({"type": ["float"]}), r"\['float'\] is no type of domain"),
        (
            lambda: domain_from_json({"type": "float", "low": 0, "high": 1, "logg": True}),
            "no 'logg'; did you mean 'log'",
        ),
        (lambda: domain_from_json({"type": "categorical", "_ranks": {}}), "has no '_ranks'"),
        (lambda: domain_from_json({"type": "float", "log": True}), "needs 'low' and 'high', which .* lacks"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(make, sentence):
    """The message says what was met and what would be right."""
    with pytest.raises(ConfigError, match=sentence):
        make()


def test_many_values_are_told_apart():
    """Up to the limit, neighbours far up do not blur; offsets do not count unless a logarithm is taken."""
    for domain in (Integer(0, 2**40 - 1), Integer(2**40 - 9, 2**40, log=True), Integer(2**60, 2**60 + 9)):
        assert [domain.from_unit(domain.to_unit(domain.high - k)) for k in (0, 1)] == [domain.high, domain.high - 1]


@pytest.mark.parametrize("kind", [Float, Integer])
def test_log_and_step_are_named(kind):
    """A third number in a call is ambiguous, so that it is refused."""
    with pytest.raises(TypeError):
        kind(1, 8, True)


def test_a_domain_does_not_change():
    """Assigning to a field fails: a study's domains stay what they were."""
    with pytest.raises(AttributeError):
        Float(0, 1).low = -1.0
