from maggy.driver.strangers import BURST, GUESS, RATE, SILENCE, Strangers


def test_a02_handshakes_are_paced_while_they_fail():
    """A2: after a burst there are so many a second, whoever asks how often."""
    strangers = Strangers()
    now, begun = 0.0, 0
    while now < 10:
        if (delay := strangers.wait(now)) > 0:
            now += delay
        else:
            strangers.begun(now)
            begun += 1
    assert BURST + 10 * RATE - 1 <= begun <= BURST + 10 * RATE + 1


def test_a02_ours_cost_nothing():
    """A2: executors that pass are never held up, however many come."""
    strangers = Strangers()
    for _ in range(10_000):
        assert strangers.wait(0.0) == 0
        strangers.begun(0.0)
        strangers.passed()


def test_a02_credit_is_no_more_than_a_burst():
    """A2: a quiet year does not allow a storm."""
    strangers = Strangers()
    strangers.begun(0.0)
    strangers.passed()
    begun = 0
    while strangers.wait(1e7) == 0:
        strangers.begun(1e7)
        begun += 1
    assert begun == BURST


def test_a02_a_clock_that_stands_still_or_goes_back_breaks_nothing():
    """A2: credit is never lost by the clock."""
    strangers = Strangers()
    strangers.begun(100.0)
    assert strangers.wait(50.0) == 0
    assert strangers.wait(100.0) == 0


def test_a02_there_is_a_line_a_minute():
    """A2: the first stranger is told at once, all others in one line a minute later, with how many and why."""
    strangers = Strangers()
    lines = {}
    for tenth in range(10 * 150):
        if told := strangers.turned_away("the peer does not know this study's secret", tenth / 10):
            lines[tenth / 10] = told
    assert lines == {
        0.0: (f"connections turned away at the driver's port: 1 ({GUESS})", True),
        SILENCE: (f"connections turned away at the driver's port: 600 ({GUESS})", True),
        2 * SILENCE: (f"connections turned away at the driver's port: 600 ({GUESS})", True),
    }


def test_a11_what_is_no_guess_is_no_warning():
    """A11: a port scan is a line, but no warning; a guess among them makes it one."""
    strangers = Strangers()
    assert strangers.turned_away("it closed the connection", 0.0)[1] is False
    strangers.turned_away("the peer does not know this study's secret", 1.0)
    line, guesses = strangers.turned_away("a frame of 5 bytes where 1 to 64 are allowed", SILENCE)
    assert (line.count(","), guesses) == (1, True)


def test_what_is_counted_has_few_names():
    """The reasons are the strangers' to choose; what they are filed under is not."""
    strangers = Strangers()
    for number in range(1000):
        strangers.turned_away(f"a frame of {number:,} bytes where 1 to 64 are allowed", 0.0)
        strangers.turned_away(f"something else {number}", 0.0)
    assert strangers.counts == {"not our protocol": 1000, "other": 1000}
