import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from maggy.errors import StopTrial
from maggy.executor.checkpoints import Checkpoints, Terms
from maggy.executor.reporter import LAST_STEP, Reporter, as_number, bounded, single_out
from maggy.trial import Objective


@pytest.fixture
def sent():
    return []


@pytest.fixture
def reporter(sent, tmp_path):
    return reporter_of(sent, tmp_path)


def checkpoints_of(sent, path, *restore):
    (path / "checkpoints").mkdir(exist_ok=True)
    (path / "checkpoints" / "marker").touch()
    terms = Terms(7, 1, str(path / "checkpoints"), "marker", 1000, str(path / "scratch"), restore)
    return Checkpoints(terms, lambda kind, body: sent.append((kind, body)), lambda over: None)


def reporter_of(sent, path, *, metric=None, parent=None, stop=lambda: None):
    return Reporter(
        7,
        1,
        budget=3,
        parent=parent,
        objective=Objective(metric),
        checkpoints=checkpoints_of(sent, path),
        send=lambda step, metrics: sent.append((step, metrics)),
        stop=stop,
    )


class Tensor:
    """A tensor as PyTorch's: float() and item() of several elements raise what nobody expects."""

    def __init__(self, *values):
        self.values = values

    def __float__(self):
        return float(self.item())

    def item(self):
        if len(self.values) != 1:
            raise RuntimeError("a Tensor with 2 elements cannot be converted to Scalar")
        return self.values[0]


class Hostile:
    def __float__(self):
        raise ZeroDivisionError

    def __repr__(self):
        raise ZeroDivisionError


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0.5, 0.5),
        (0, 0.0),
        (True, 1.0),
        (-3, -3.0),
        (2**63, 2.0**63),
        (2**200, 2.0**200),
        (Decimal("0.1"), 0.1),
        (Fraction(1, 4), 0.25),
        (math.nan, math.nan),
        (math.inf, math.inf),
        (Decimal("-Infinity"), -math.inf),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.float16(np.nan), math.nan),
        (np.int64(3), 3.0),
        (np.uint64(2**64 - 1), 2.0**64),
        (np.bool_(True), 1.0),
        (np.longdouble(0.5), 0.5),
        (np.array(0.5), 0.5),
        (np.array([0.5]), 0.5),
        (np.array([[3]]), 3.0),
        (Tensor(0.5), 0.5),
    ],
)
def test_numbers_of_every_library_are_numbers(value, number):
    """Whatever holds one real number is reported as a float, without a warning."""
    assert repr(as_number(value, "acc")) == repr(number)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "None of type NoneType"),
        ("0.5", "'0.5' of type str"),
        (b"1", "b'1' of type bytes"),
        (bytearray(b"1"), "bytearray(b'1') of type bytearray"),
        (1 + 2j, "(1+2j) of type complex"),
        (np.complex64(1 + 2j), "np.complex64(1+2j) of type complex64"),
        (np.array(1 + 2j), "array(1.+2.j) of type ndarray"),
        (np.array("0.5"), "array('0.5', dtype='<U3') of type ndarray"),
        (np.datetime64("2020-01-01"), "np.datetime64('2020-01-01') of type datetime64"),
        ([0.5], "[0.5] of type list"),
        ((0.5,), "(0.5,) of type tuple"),
        ({"acc": 0.5}, "{'acc': 0.5} of type dict"),
        (np.array([0.5, 1.0]), "array([0.5, 1. ]) of type ndarray"),
        (np.array([]), "array([], dtype=float64) of type ndarray"),
        (Tensor, f"{Tensor} of type type"),
        (10**400, "1000000000000000000000000000000000000… of type int"),
        pytest.param(10**5000, "something of type int", id="5,001 digits"),
        (Decimal("sNaN"), "Decimal('sNaN') of type Decimal"),
        (Hostile(), "something of type Hostile"),
        (iter([1]), None),
    ],
)
def test_everything_else_is_refused_by_name(value, shown):
    """The error names the metric, shows the value in brief, and tells its type."""
    with pytest.raises(TypeError) as caught:
        as_number(value, "acc")
    assert str(caught.value).startswith("metric 'acc' must be a number, but is ")
    assert shown is None or str(caught.value).endswith(shown)


def test_a_tensor_of_several_elements_is_refused():
    """What a library raises of its own is not passed on."""
    with pytest.raises(TypeError, match=r"metric 'loss' must be a number, but is .* of type Tensor"):
        as_number(Tensor(0.5, 1.0), "loss")


@pytest.mark.parametrize(
    ("metric", "metrics", "message"),
    [
        (None, {}, "which of nothing is optimized? Name it: lagom(…, metric='loss')"),
        (None, {"loss": 0.5, "acc": 1.0}, "which of 'loss', 'acc' is optimized? Name it: lagom(…, metric='loss')"),
        ("acc", {"loss": 0.5}, "the metric that is optimized, 'acc', is not among 'loss'"),
        ("acc", {}, "the metric that is optimized, 'acc', is not among nothing"),
    ],
)
def test_an_objective_that_cannot_be_told_is_an_error(metric, metrics, message):
    """The error says what is there and what to write."""
    with pytest.raises(ValueError, match="is optimized") as caught:
        single_out(metrics, Objective(metric))
    assert str(caught.value) == message


def test_the_objective_is_singled_out():
    """The only metric, the one called metric, or the one that was named; 0.0 is one."""
    assert single_out({"acc": 0.0}, Objective()) == 0.0
    assert single_out({"metric": 0.5, "acc": 1.0}, Objective()) == 0.5
    assert single_out({"metric": 0.5, "acc": 0.0}, Objective("acc")) == 0.0


def test_metrics_are_bounded():
    """What would not fit a message is refused where the user's code can see it."""
    assert bounded({"acc": 0.5}) == {"acc": 0.5}
    for many in ({str(number): 0.5 for number in range(2000)}, {"x" * 40_000: 0.5}):
        with pytest.raises(ValueError, match="metrics at once are too much to report"):
            bounded(many)


# -- reports ---------------------------------------------------------------------------------------


def test_steps_count_from_zero_by_default(reporter, sent):
    """Without a step the first is 0, and each next one more than the last."""
    reporter.broadcast(0.1)
    reporter.broadcast(0.2)
    reporter.broadcast(0.3, step=10)
    reporter.broadcast(0.4)
    assert sent == [(0, {"metric": 0.1}), (1, {"metric": 0.2}), (10, {"metric": 0.3}), (11, {"metric": 0.4})]


@pytest.mark.parametrize("step", [0, 1, np.int64(5), True, LAST_STEP])
def test_whole_numbers_are_steps(reporter, sent, step):
    """An integer of any library is a step, as a plain int."""
    reporter.broadcast(0.5, step=step)
    assert sent == [(int(step), {"metric": 0.5})]
    assert type(sent[0][0]) is int


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (4, ValueError, "step 4 does not come after step 5; steps must rise"),
        (5, ValueError, "step 5 does not come after step 5; steps must rise"),
        (-1, ValueError, "step -1 is not from 0 to"),
        (2**63, ValueError, "step 9223372036854775808 is not from 0 to"),
        pytest.param(10**5000, ValueError, "step something is not from 0 to", id="5,001 digits"),
        (6.0, TypeError, "a step is a whole number, not 6.0"),
        ("6", TypeError, "a step is a whole number, not '6'"),
        (np.float64(6), TypeError, r"a step is a whole number, not np.float64\(6.0\)"),
    ],
)
def test_a_step_that_does_not_rise_is_refused(reporter, sent, step, error, message):
    """The error says what was given and what came before; nothing is sent, and the next good step is taken."""
    reporter.broadcast(0.5, step=5)
    with pytest.raises(error, match=message):
        reporter.broadcast(0.6, step=step)
    reporter.broadcast(0.7)
    assert [step for step, _ in sent] == [5, 6]


def test_a_metric_that_is_none_uses_no_step(reporter, sent):
    """A report that is refused has not happened."""
    with pytest.raises(TypeError, match="metric 'metric' must be a number, but is 'x'"):
        reporter.broadcast("x")
    reporter.broadcast(0.5)
    assert sent == [(0, {"metric": 0.5})]


def test_nan_is_reported(reporter, sent):
    """A metric that is not finite is data."""
    reporter.broadcast(math.nan)
    assert repr(sent) == "[(0, {'metric': nan})]"


def test_a_number_is_filed_under_the_objective(sent, tmp_path):
    """What is broadcast is the metric that is optimized."""
    reporter_of(sent, tmp_path, metric="acc").broadcast(0.5)
    assert sent == [(0, {"acc": 0.5})]


def test_several_metrics_of_one_step(sent, tmp_path):
    """With the metric named, a report holds any others, with or without it."""
    reporter = reporter_of(sent, tmp_path, metric="acc")
    reporter.report(step=1, acc=0.5, loss=np.float32(0.25))
    reporter.report(loss=0.125)
    assert sent == [(1, {"acc": 0.5, "loss": 0.25}), (2, {"loss": 0.125})]


def test_reports_that_cannot_be_told_apart_are_refused(reporter, sent):
    """Without a name a report needs one metric, or one called metric; an empty one is a slip."""
    reporter.report(acc=0.5)
    reporter.report(metric=0.5, loss=0.25)
    with pytest.raises(ValueError, match="which of 'acc', 'loss' is optimized"):
        reporter.report(acc=0.5, loss=0.25)
    with pytest.raises(ValueError, match="without a metric"):
        reporter.report()
    with pytest.raises(ValueError, match="too much to report"):
        reporter.report(**{f"weight_{number}": 0.5 for number in range(2000)}, metric=0.5)
    assert len(sent) == 2


def test_a_stop_is_raised_after_the_report(sent, tmp_path):
    """The report that meets the stop is sent first; the stop is no Exception, and says why."""
    reporter = reporter_of(sent, tmp_path, stop=lambda: "below the median" if len(sent) == 2 else None)
    reporter.broadcast(0.5)
    with pytest.raises(StopTrial) as caught:
        reporter.broadcast(0.25)
    assert caught.value.reason == "below the median"
    assert not isinstance(caught.value, Exception)
    assert len(sent) == 2


def test_a_stop_that_was_caught_is_raised_again(sent, tmp_path):
    """Code that swallows everything meets the stop at every report, and what it reports is not sent any more."""
    reasons = iter(["below the median"])
    reporter = reporter_of(sent, tmp_path, stop=lambda: next(reasons, None))
    for _ in range(3):
        with pytest.raises(StopTrial, match="below the median"):
            reporter.broadcast(0.5)
    assert len(sent) == 1


# -- checkpoints and log ---------------------------------------------------------------------------


def test_the_checkpoint_directory_is_made_when_used(reporter, tmp_path):
    """Each trial has a directory of its own, which does not exist before it is asked for."""
    assert not (tmp_path / "checkpoints" / "7").exists()
    assert reporter.checkpoint_dir == reporter.checkpoint_dir == str(tmp_path / "checkpoints" / "7" / "files")
    assert Path(reporter.checkpoint_dir).is_dir()


def test_the_parents_directory_is_there_or_none(sent, tmp_path):
    """A trial that continues another sees its directory; None without a parent, or where it cannot be seen."""
    assert reporter_of(sent, tmp_path).parent_checkpoint_dir is None
    child = reporter_of(sent, tmp_path, parent=3)
    assert child.parent_checkpoint_dir is None
    (tmp_path / "checkpoints" / "3" / "files").mkdir(parents=True)
    assert child.parent_checkpoint_dir == str(tmp_path / "checkpoints" / "3" / "files")


def test_a_logged_line_is_printed(reporter, capsys):
    """Maggy's log goes where print goes, whatever its second argument says."""
    reporter.log("epoch 1", True)
    reporter.log({"acc": 0.5})
    assert capsys.readouterr().out == "epoch 1\n{'acc': 0.5}\n"


def test_the_reporter_knows_its_trial(reporter):
    """Number, attempt and budget are there to be read."""
    assert (reporter.trial, reporter.attempt, reporter.budget) == (7, 1, 3)
