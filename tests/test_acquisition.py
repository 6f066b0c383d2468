import math

import numpy as np
import pytest
from scipy.integrate import quad

from maggy.optimizers.bayes.acquisition import log_ei, log_ei_slope, log_h, log_sum


@pytest.mark.parametrize("u", [6.0, 2.0, 0.5, 0.0, -0.5, -0.999, -1.001, -2.0, -5.0, -9.0, -25.0, -37.0])
def test_log_ei_is_what_integration_says(u):
    """The expected improvement of a standard normal variable, near and far, to nine digits."""
    # With x = t - u the integrand is t·φ(u - t), of which exp(-u²/2) is taken out: else it would be 0 from u = -38 on.
    value, _ = quad(lambda t: t * math.exp(u * t - t * t / 2), 0, max(60.0, 3 * u), epsabs=0, epsrel=1e-11, limit=500)
    expected = math.log(value) - u * u / 2 - 0.5 * math.log(2 * math.pi)
    assert log_h(np.array([u]))[0] == pytest.approx(expected, rel=1e-9)


def test_log_ei_goes_on_where_ei_is_zero():
    """Over fourteen orders of magnitude it is finite and falls, without a step where formulas meet."""
    u = -np.logspace(-2, 12, 400)
    found = log_h(u)
    assert np.isfinite(found).all()
    assert (np.diff(found) < 0).all()
    for edge in (-1.0, -1e4):
        below, above = log_h(np.array([edge * (1 + 1e-9), edge * (1 - 1e-9)]))
        assert above - below == pytest.approx(abs(edge) * abs(edge) * 2e-9, rel=0.2, abs=2e-7)


def test_log_ei_of_certain_gains():
    """Far on the good side the expected improvement is the difference."""
    assert log_ei(np.array([3.0]), np.array([[1.0]]), np.array([1e-9]))[0] == pytest.approx(math.log(2.0))


def test_fantasies_are_averaged():
    """The improvement is averaged, not its logarithm; a fantasy without hope counts for nothing."""
    means, deviations = np.array([[0.0, 5000.0]]), np.array([1.0])
    one = log_ei(np.array([0.0]), means[:, :1], deviations)[0]
    assert log_ei(np.array([0.0, 0.0]), means, deviations)[0] == pytest.approx(one - math.log(2))
    assert log_sum(np.array([-1e5, -1e5])) == pytest.approx(-1e5 + math.log(2))


@pytest.mark.parametrize("distance", [-3.0, 0.0, 2.0, 30.0, 3000.0, 1e5])
def test_the_slope_of_log_ei(distance):
    """Analytic and finite differences agree wherever the point is."""
    rng = np.random.default_rng(0)
    best, turn = np.array([0.1, -0.2, 0.3]), rng.standard_normal((4, 3))
    shift = rng.random(4) * 0.1

    def at(x):
        return distance + x @ turn, 0.7 + float(x @ shift)

    def value(x):
        means, deviation = at(x)
        return log_ei(best, means[None, :], np.array([deviation]))[0]

    x = rng.random(4)
    means, deviation = at(x)
    found, slope = log_ei_slope(best, means, deviation, turn, shift)
    assert found == pytest.approx(value(x))
    step = 1e-5
    differences = [(value(x + e) - value(x - e)) / (2 * step) for e in step * np.eye(4)]
    assert slope == pytest.approx(differences, rel=1e-4)
