import numpy as np
import pytest
from scipy.stats import qmc

from maggy.domains import Float, Integer
from maggy.optimizers.bayes.encoding import Encoding
from maggy.optimizers.bayes.sobol import point
from maggy.searchspace import Searchspace

SPACE = Searchspace(x=Float(0, 1), lr=Float(1e-5, 1, log=True), n=Integer(1, 7), kind=["a", "b", "c"])


def test_a_point_depends_on_seed_and_number_only():
    """The same question has the same answer; another seed or number has another."""
    encoding = Encoding(SPACE)
    assert point(encoding, 3, 5).tolist() == point(encoding, 3, 5).tolist()
    assert point(encoding, 3, 5).tolist() != point(encoding, 3, 6).tolist()
    assert point(encoding, 3, 5).tolist() != point(encoding, -4, 5).tolist()


def test_points_spread_better_than_random_ones():
    """Sixteen points lie one in each sixteenth of a column, and together nearer to evenly than random ones."""
    encoding = Encoding(Searchspace(x=Float(0, 1), y=Float(0, 1)))
    rows = np.array([point(encoding, 0, number) for number in range(16)])
    for column in rows.T:
        assert sorted((column * 16).astype(int)) == list(range(16))
    assert qmc.discrepancy(rows) < 0.3 * qmc.discrepancy(np.random.default_rng(0).random((16, 2)))


def test_every_choice_gets_its_share():
    """Categories and integers are settled on what there is, each as often as the others."""
    encoding = Encoding(SPACE)
    rows = [point(encoding, 0, number) for number in range(48)]
    kinds = [encoding.params(row)["kind"] for row in rows]
    assert all(SPACE.contains(encoding.params(row)) for row in rows)
    assert [kinds.count(kind) for kind in "abc"] == pytest.approx([16, 16, 16], abs=1)
    assert len(point(Encoding(Searchspace()), 0, 0)) == 0


def test_numbers_beyond_the_last_begin_anew():
    """However many configurations a study has, there is a point."""
    assert np.isfinite(point(Encoding(SPACE), 0, 2**40 + 3)).all()
