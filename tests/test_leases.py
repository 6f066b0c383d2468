"""Slots that several studies share."""

import threading

import pytest
from waiting import until

from maggy.driver.launcher import SlotLauncher
from maggy.driver.leases import Pool, shares
from maggy.driver.scheduler import GIVEN_BACK, REST


@pytest.mark.parametrize(
    ("slots", "wanted", "expected"),
    [
        (4, [4], [4]),
        (4, [2, 9], [2, 2]),
        (5, [9, 9], [3, 2]),
        (6, [1, 9, 2], [1, 3, 2]),
        (2, [5, 5], [1, 1]),
        (3, [0, 5], [1, 2]),
        (9, [2, 3], [2, 3]),
        (9, [], []),
    ],
)
def test_shares_are_even_and_no_larger_than_wanted(slots, wanted, expected):
    """One at least, for the study's next trial; the first study gets what cannot be divided."""
    assert shares(slots, wanted) == expected


def leased(pool, *wanted):
    leases = [pool.lease() for _ in wanted]
    for lease, slots in zip(leases, wanted, strict=True):
        lease.want(slots)
    return leases


def free(lease):
    """Take a slot if there is one."""
    return lease._free() and lease.take(lambda: False)


def test_no_study_takes_what_is_anothers():
    """However early it comes, and although nobody holds that."""
    first, second = leased(Pool(3), 3, 3)
    assert [free(first), free(first), free(first)] == [True, True, False]
    assert [free(second), free(second)] == [True, False]


def test_what_rests_is_for_others_until_it_is_wanted_again():
    """Then who has it is to give it back, and until then nobody gets more."""
    first, second = leased(Pool(4), 4, 4)
    assert all([free(first), free(first), free(second), free(second)])
    first.give_back()
    assert not free(second)
    first.rest(3)
    assert free(second)
    assert (first.share, second.share) == (1, 3)
    first.rest(-3)
    assert not free(first)
    assert second.share == 2 < second.held
    second.give_back()
    assert free(first)


def test_a_study_that_ends_leaves_its_slots_to_the_others():
    """And its place to the next one, which waits until there is a slot for it."""
    pool = Pool(2)
    [other] = leased(pool, 2)
    entered = threading.Event()

    def third():
        with pool.play():
            entered.set()

    with pool._places, pool.play() as lease:
        lease.want(2)
        assert free(other)
        assert not free(other)
        threading.Thread(target=third).start()
        assert not entered.is_set()
    assert entered.wait(10)
    until(lambda: free(other))


def test_who_waits_for_a_slot_leaves_when_the_study_is_over():
    """A launcher ends with slots that never were its own; who was sent home for another study is started again."""
    first, second = leased(Pool(2), 1, 0)
    assert free(first)
    ran, over = [], threading.Event()

    class Sent(SlotLauncher):
        def _run(self, task, slot):
            ran.append(slot)
            return GIVEN_BACK if len(ran) < 3 else task(slot)

    launcher = Sent(second)
    launcher.start(lambda _: str(over.wait(10)), 2)
    until(lambda: len(ran) == 3)
    assert (second.held, launcher.room) == (1, 1)
    over.set()
    launcher.finish(10)
    assert second.held == 0
    assert not any(thread.is_alive() for thread in launcher._threads)


def test_a_slot_that_rests_is_for_others():
    """Until a trial waits: then it is wanted again."""
    first, second = leased(Pool(3), 1, 3)
    rested, over = [], threading.Event()

    class Resting(SlotLauncher):
        def _run(self, task, slot):
            if slot == 0 and not rested:
                rested.append(slot)
                return REST
            return task(slot)

    launcher = Resting(first)
    launcher.start(lambda _: str(over.wait(10)), 2)
    until(lambda: first.wanted == 1)
    assert second.share == 2
    launcher.wanted()
    until(lambda: first.wanted == 2)
    assert (first.share, second.share) == (2, 1)
    over.set()
    launcher.finish(10)
