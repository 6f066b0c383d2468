import numpy as np
import pytest

from maggy.domains import Float
from maggy.optimizers.bayes.encoding import Encoding
from maggy.optimizers.bayes.gaussian import (
    Hyper,
    Points,
    Posterior,
    Prior,
    cholesky,
    fit,
    loss,
    matern,
    squares_between,
)
from maggy.searchspace import Searchspace

GROUPS = np.array([0, 1, 2, 2])


def numbers(seed=0):
    return np.random.default_rng(seed)


def slope_of(function, point, step=1e-6):
    """Return the gradient by central differences."""
    return np.array([(function(point + e) - function(point - e)) / (2 * step) for e in step * np.eye(len(point))])


def drawn_from(scales, count, noise=0.0, seed=0):
    """Return points, and values drawn from a process with these length scales."""
    rng = numbers(seed)
    points = rng.random((count, len(scales)))
    covariance = matern(squares_between(points / scales, points / scales)) + (noise + 1e-10) * np.eye(count)
    return points, np.linalg.cholesky(covariance) @ rng.standard_normal(count)


@pytest.mark.parametrize("seed", range(4))
def test_the_likelihood_has_the_gradient_that_it_says(seed):
    """Analytic and finite differences agree, for a column with several features too."""
    rng = numbers(seed)
    points, targets, prior = rng.random((12, 4)), rng.standard_normal(12), Prior.of(3)
    theta = np.array([-0.5, 0.3, -1.0, 0.2, -3.0, 0.1]) + 0.3 * rng.standard_normal(6)
    given = (points, GROUPS, targets, prior)
    assert loss(theta, *given)[1] == pytest.approx(slope_of(lambda at: loss(at, *given)[0], theta), rel=1e-5, abs=1e-5)


def test_the_likelihood_is_that_of_a_normal_distribution():
    """Up to a constant and the prior, it is the textbook's formula."""
    rng = numbers()
    points, targets, prior = rng.random((6, 3)), rng.standard_normal(6), Prior.of(3)

    def textbook(theta):
        scaled = points / np.exp(theta[:3])
        covariance = np.exp(theta[3]) * matern(squares_between(scaled, scaled)) + np.exp(theta[4]) * np.eye(6)
        off = targets - theta[5]
        return 0.5 * off @ np.linalg.solve(covariance, off) + 0.5 * np.linalg.slogdet(covariance)[1]

    def ours(theta):
        return loss(theta, points, np.arange(3), targets, prior)[0] - prior.penalty(theta)[0]

    one, two = rng.standard_normal((2, 6)) - 1
    assert ours(one) - ours(two) == pytest.approx(textbook(one) - textbook(two), rel=1e-6)


def test_length_scales_are_recovered():
    """That a function changes quickly in one column, slowly in another and not at all in the third is found."""
    true = np.array([0.15, 0.8, 50.0])
    points, targets = drawn_from(true, 80)
    found = fit(points, np.arange(3), targets, 3)
    assert found.scales[0] == pytest.approx(0.15, rel=0.5)
    assert found.scales[1] == pytest.approx(0.8, rel=0.8)
    assert found.scales[2] > 5


def test_noise_is_told_from_none():
    """The noise of a noisy function is found, and a function without is interpolated."""
    points, targets = drawn_from(np.array([0.3, 0.3]), 80, noise=0.1)
    assert fit(points, np.arange(2), targets, 2).noise == pytest.approx(0.1, rel=0.7)
    points = numbers().random((40, 2))
    targets = np.sin(6 * points[:, 0]) + points[:, 1] ** 2
    hyper = fit(points, np.arange(2), targets, 2)
    assert hyper.noise < 1e-5
    means, deviations = Posterior(hyper, np.arange(2), points, targets).predict(points)
    assert means[:, 0] == pytest.approx(targets, abs=1e-3)
    assert deviations.max() < 0.01
    new = numbers(1).random((50, 2))
    assert Posterior(hyper, np.arange(2), points, targets).mean(new)[:, 0] == pytest.approx(
        np.sin(6 * new[:, 0]) + new[:, 1] ** 2, abs=0.2
    )


def test_the_prior_of_length_scales_grows_with_the_columns():
    """With four times the columns the most probable length scale is twice as long: so are the distances."""
    assert Prior.of(40).centres[0] - Prior.of(10).centres[0] == pytest.approx(np.log(2))


def posterior(fantasies=0):
    rng = numbers(3)
    points, targets = rng.random((9, 4)), rng.standard_normal(9)
    found = Posterior(Hyper(np.array([0.4, 0.7, 1.5]), 1.3, 1e-3, 0.2), GROUPS, points, targets)
    if fantasies:
        found.imagine(rng.random((2, 4)), rng.standard_normal((2, fantasies)))
    return found


def test_the_posterior_is_the_textbooks():
    """Means and variances are those of equations 2.25 and 2.26 of Rasmussen and Williams."""
    rng = numbers(3)
    points, targets, new = rng.random((9, 4)), rng.standard_normal(9), numbers(4).random((5, 4))
    scales = np.array([0.4, 0.7, 1.5])[GROUPS]
    inverse = np.linalg.inv(1.3 * matern(squares_between(points / scales, points / scales)) + 1e-3 * np.eye(9))
    cross = 1.3 * matern(squares_between(new / scales, points / scales))
    means, deviations = posterior().predict(new)
    assert means[:, 0] == pytest.approx(0.2 + cross @ inverse @ (targets - 0.2))
    assert deviations**2 == pytest.approx(1.3 - np.sum((cross @ inverse) * cross, axis=1))
    assert posterior().mean(new) == pytest.approx(means)


@pytest.mark.parametrize("fantasies", [0, 3])
def test_slopes_are_those_of_predictions(fantasies):
    """At a point, means and deviation are what `predict` says, and their gradients what finite differences say."""
    process, point = posterior(fantasies), numbers(5).random(4)
    means, deviation, mean_slopes, deviation_slope = process.slopes(point)
    assert means == pytest.approx(process.predict(point[None, :])[0][0])
    assert deviation == pytest.approx(process.predict(point[None, :])[1][0])
    for number in range(len(means)):
        by_differences = slope_of(lambda at, n=number: process.predict(at[None, :])[0][0, n], point)
        assert mean_slopes[:, number] == pytest.approx(by_differences, abs=1e-6)
    assert deviation_slope == pytest.approx(slope_of(lambda at: process.predict(at[None, :])[1][0], point), abs=1e-6)


def test_what_is_imagined_is_drawn_from_the_posterior():
    """Over many fantasies the values at pending points have the posterior's mean and spread, and leave less unknown."""
    pending = numbers(6).random((2, 4))
    before_means, before = posterior().predict(pending)
    process = posterior()
    process.imagine(pending, numbers(7).standard_normal((2, 4000)))
    means, after = process.predict(pending)
    assert means.mean(axis=1) == pytest.approx(before_means[:, 0], abs=0.05)
    assert means.std(axis=1) == pytest.approx(before, rel=0.05)
    assert (after < 0.1 * before + 0.05).all()


def test_a_covariance_that_is_hardly_one_is_lifted():
    """Equal points have a covariance without a factor; the diagonal grows as little as is needed."""
    ones = np.ones((5, 5))
    factor = cholesky(ones)
    assert factor @ factor.T == pytest.approx(ones, abs=1e-6)
    with pytest.raises(np.linalg.LinAlgError):
        cholesky(-ones)


def test_different_choices_are_one_apart():
    """Hamming distance for categories, the middle for what is not active, a budget as the last column."""
    points = Points(Encoding(Searchspace(x=Float(0, 1), kind=["a", "b", "c"])), budgets=True)
    assert points.columns == 3
    assert points.groups.tolist() == [0, 1, 1, 1, 2]
    features = points.of(
        np.array([[0.2, 0.0], [0.2, 2.0], [np.nan, np.nan], [0.5, 0.0]]), np.array([1.0, 1.0, 1.0, 0.5])
    )
    squares = squares_between(features, features)
    assert squares[0, 1] == pytest.approx(1.0)
    assert squares[2, 0] - 0.09 == pytest.approx(squares[2, 1] - 0.09) == pytest.approx(0.5)
    assert squares[3, 0] == pytest.approx(0.09 + 0.25)
