"""Agents that know the secret and mean harm (A7, A12): a protocol spoken by hand."""

import json
import math
import time

import pytest
from served import Served, Speaker, introduction

from maggy.driver.logs import TrialLogs
from maggy.errors import ProtocolError
from maggy.events import Ended, Reported, Started
from maggy.rpc.channel import Channel
from maggy.rpc.frames import framed
from maggy.rpc.messages import (
    MAX_FRAME,
    Ack,
    Beat,
    Bye,
    Fenced,
    Finished,
    Join,
    Log,
    Rejoin,
    Reports,
    Resumed,
    Run,
    Welcome,
    check_structure,
    decode,
)
from maggy.testing.logcheck import check_log
from maggy.trial import Status

REPORTS = '["Reports",{"trial":1,"attempt":1,"points":['
FINISHED = '["Finished",{"trial":1,"attempt":1,"status":"completed","error":null,"value":'


def filled(before, unit, after):
    """Return a payload of as many units as fit a frame."""
    return before + unit * ((MAX_FRAME - len(before) - len(after)) // len(unit)) + after


BOMBS = {
    "brackets": "[" * MAX_FRAME,
    "braces": '{"a":' * (MAX_FRAME // 5),
    "closed brackets": "[" * (MAX_FRAME // 2) + "]" * (MAX_FRAME // 2),
    "brackets in a field": REPORTS + "[" * 30_000 + "]" * 30_000 + "]}]",
    "many keys": FINISHED + '1,"metrics":{' + ",".join(f'"{number:x}":0' for number in range(24_000)) + "}}]",
    "the same keys": FINISHED + '1,"metrics":{' + ",".join(['"a":0'] * 30_000) + "}}]",
    "the same key twice": FINISHED + '1,"metrics":{"a":0,"a":1}}]',
    "many objects": filled(REPORTS, "{},", "{}]}]"),
    "many points": filled(REPORTS, '[0,{"a":1}],', '[0,{"a":1}]]}]'),
    "many lists": filled(REPORTS, "[],", "[]]}]"),
    "many numbers": filled(REPORTS, "1e-300,", "1]}]"),
    "marks": filled(REPORTS, '{"$f":"nan"},', "0]}]"),
    "5,000 digits": FINISHED + "9" * 5_000 + ',"metrics":{}}]',
    "4,300 digits": FINISHED + "9" * 4_300 + ',"metrics":{}}]',
    "4,299 digits, often": filled(REPORTS, "9" * 4_299 + ",", "0]}]"),
    "200,000 digits": FINISHED + "9" * 200_000 + ',"metrics":{}}]',
    "65 bits": FINISHED + str(2**64) + ',"metrics":{}}]',
    "a long fraction": FINISHED + "0." + "1" * 250_000 + ',"metrics":{}}]',
    "a long exponent": FINISHED + "1e" + "1" * 250_000 + ',"metrics":{}}]',
    "NaN": FINISHED + 'NaN,"metrics":{}}]',
    "Infinity": FINISHED + '-Infinity,"metrics":{}}]',
    "a lone surrogate, raw": b'["Log",{"trial":1,"attempt":1,"text":"\xed\xa0\x80","dropped":0}]',
    "no UTF-8": b'["Log",{"trial":1,"attempt":1,"text":"\xff","dropped":0}]',
    "a name of surrogates": '["Rejoin",{"executor":"' + "\\ud800" * 100 + '","received":0,"token":""}]',
    "a negative count": '["Join",{"executor":"e","host":"h","pid":1e400,"slot":0,"python":"","maggy":"","token":""}]',
    "a pickle": b"\x80\x04\x95" + bytes(100),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a07_a_bomb_is_refused_at_once(name):
    """A7: whatever is in a frame, it is refused, by ProtocolError alone, without being taken apart first."""
    bomb = BOMBS[name]
    payload = bomb if isinstance(bomb, bytes) else bomb.encode()
    assert len(payload) <= MAX_FRAME
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        with pytest.raises(ProtocolError):  # noqa: PT012 - as the connection does it, one after the other
            check_structure(payload)
            decode(payload)
        seconds.append(time.perf_counter() - began)
    print(f"A7: {name}: refused after {min(seconds) * 1000:.1f} ms")
    assert min(seconds) < 0.01


@pytest.mark.parametrize("name", ["brackets", "many keys", "5,000 digits", "NaN", "many points"])
def test_a07_a_bomb_ends_its_connection_and_nothing_else(name):
    """A7: its trial is another's, at once, and the others have noticed nothing."""
    with Served() as served, served.executor("bomber") as bomber, served.executor("other") as other:
        run = bomber.hear(Run)
        assert other.hear(Run).trial != run.trial
        bomb = BOMBS[name]
        bomber.socket.sendall(framed(bomb if isinstance(bomb, bytes) else bomb.encode()))
        assert bomber.dropped()
        other.say(Finished(2, 1, "completed", 0.5, {}, None))
        again = other.hear(Run)
        assert (again.trial, again.attempt) == (run.trial, 2)


def test_a07_half_a_pair_is_fine_where_it_is_text():
    """A7: escaped, half a surrogate pair is the name of a strange file: it is kept as text."""
    assert decode(b'["Log",{"trial":1,"attempt":1,"text":"\\ud800","dropped":0}]').text == "\ud800"


# -- A12 ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path):
    """Give a study whose trials 1 and 2 run at two executors: `honest` and `evil`."""
    with Served(trials=6, logs=TrialLogs(tmp_path, verbose=False)) as found:
        found.honest = found.executor("honest")
        found.honest.run = found.honest.hear(Run)
        found.evil = found.executor("evil")
        found.evil.run = found.evil.hear(Run)
        yield found
        found.honest.socket.close()
        found.evil.socket.close()


def heard_by_now(served, speaker):
    """Wait until the driver has decided on all that the speaker has said."""
    before = served.server.scheduler.executors["evil"].heard
    speaker.say(Beat())
    served.until(lambda _: served.server.scheduler.executors["evil"].heard > before)


def test_a12_what_is_said_of_anothers_trial_does_not_count(served, tmp_path):
    """A12: reports, outcomes and prints for another's trial, a later attempt, or a trial that there is not."""
    evil, theirs, mine = served.evil, served.honest.run.trial, served.evil.run.trial
    before = served.log
    for trial, attempt in ((theirs, 1), (theirs, 2), (mine, 2), (mine, 0), (mine, -1), (99, 1), (0, 1), (-1, 1)):
        evil.say(
            Reports(trial, attempt, [[0, {"metric": math.inf}]]),
            Log(trial, attempt, "forged"),
            Finished(trial, attempt, "completed", 1e9, {"metric": 1e9}, None),
        )
    heard_by_now(served, evil)
    assert served.log == before
    assert list(tmp_path.iterdir()) == []
    served.honest.say(Finished(theirs, 1, "completed", 0.25, {}, None))
    served.until(lambda _: any(isinstance(event, Ended) for event in served.log))
    [ended] = [event for event in served.log if isinstance(event, Ended)]
    assert (ended.trial, ended.value) == (theirs, 0.25)
    check_log(served.log)


def test_a12_an_ended_trial_stays_as_it_is(served):
    """A12: a second outcome, and reports behind the first."""
    mine = served.evil.run.trial
    served.evil.say(Finished(mine, 1, "completed", 0.25, {}, None))
    assert served.evil.hear(Run).trial != mine
    served.evil.say(
        Finished(mine, 1, "failed", None, {}, "no"),
        Reports(mine, 1, [[0, {"metric": 1.0}]]),
        Finished(mine, 1, "completed", 1e9, {}, None),
    )
    heard_by_now(served, served.evil)
    assert [(event.trial, event.value) for event in served.log if isinstance(event, Ended)] == [(mine, 0.25)]
    assert not [event for event in served.log if isinstance(event, Reported)]
    check_log(served.log)


@pytest.mark.parametrize("message", [introduction("third"), introduction("honest"), Rejoin("honest", 0)])
def test_a12_one_connection_is_one_executor(served, message):
    """A12: a second introduction ends the connection: not even 10^5 on it make a second slot."""
    served.evil.say(*[message] * 1000)
    assert served.evil.dropped()
    served.until(lambda _: list(served.server.scheduler.executors) == ["honest"])
    assert served.server.most == 2


def test_a12_a_name_that_is_taken_is_refused(served):
    """A12: who joins under another's name is turned away, and the other notices nothing."""
    with served.executor("honest") as twin:
        assert twin.dropped()
        assert twin.heard == []
    served.honest.say(Finished(served.honest.run.trial, 1, "completed", 0.5, {}, None))
    assert served.honest.hear(Run)
    assert [event.attempt for event in served.log if isinstance(event, Started)] == [1, 1, 1]


@pytest.mark.parametrize("token", ["", "token of evil", "token of hones", "token of honest2", "\xff"])
def test_a12_who_comes_back_has_to_be_the_one_that_was_there(served, token):
    """A12: names stand in logs; who comes back under one without its token is turned away, the other goes on."""
    with Speaker(served) as thief:
        thief.say(Rejoin("honest", 0, token))
        assert thief.hear(Resumed) is None
    served.honest.say(Finished(served.honest.run.trial, 1, "completed", 0.5, {}, None))
    assert served.honest.hear(Run)
    assert not [event for event in served.log if isinstance(event, Started) and event.attempt > 1]


@pytest.mark.parametrize("received", [-1, 3, 2**62])
def test_a12_who_comes_back_with_a_wrong_count_disturbs_nobody(served, received):
    """A12: with the token and an impossible count of messages the connection is dropped; the old one goes on."""
    with Speaker(served) as confused:
        confused.say(Rejoin("honest", received, "token of honest"))
        assert confused.hear(Resumed) is None
    served.honest.say(Finished(served.honest.run.trial, 1, "completed", 0.5, {}, None))
    assert served.honest.hear(Run)


def test_a12_who_comes_back_with_its_token_goes_on(served):
    """A12: the right one takes its place again, on a new connection, and is given what it has missed."""
    served.honest.socket.close()
    with Speaker(served) as back:
        back.say(Rejoin("honest", 1, "token of honest"))  # it had its welcome
        assert back.hear(Resumed)
        assert back.hear(Run) == served.honest.run


def test_a12_a_name_that_nobody_has_is_fenced(served):
    """A12: who comes back as somebody unknown is told so, which tells nothing of others."""
    with Speaker(served) as ghost:
        ghost.say(Rejoin("ghost", 0, "token"))
        assert ghost.hear(Fenced)
        assert ghost.dropped()


def test_a12_there_are_only_so_many_executors():
    """A12: beyond the limit who joins is dropped; those who are there work on, and a place that is free is taken."""
    with Served(trials=1000, limit=20) as served:
        there = [served.executor(f"executor-{number}") for number in range(20)]
        assert all(each.hear(Welcome) for each in there)
        for number in range(50):
            with served.executor(f"more-{number}") as more:
                assert more.hear(Welcome) is None
        assert there[0].work()
        assert len(served.server.scheduler.executors) == served.server.most == 20
        with there.pop() as rude:
            rude.socket.sendall(b"\xff" * 100)
        served.until(lambda _: len(served.server.scheduler.executors) == 19)
        with served.executor("one-more") as more:
            assert more.hear(Welcome)
        for each in there:
            each.socket.close()


def test_a12_an_ack_of_what_was_never_sent_is_an_offence(served):
    """A12: nobody confirms messages that there were not; a negative count confirms nothing."""
    served.evil.say(Ack(-5))
    heard_by_now(served, served.evil)
    served.evil.say(Ack(1000))
    assert served.evil.dropped()


def test_a12_who_speaks_before_its_introduction_is_dropped():
    """A12: the first message is an introduction."""
    with Served() as served:
        for message in (Beat(), Reports(1, 1, []), Finished(1, 1, "completed", 1.0, {}, None)):
            with Speaker(served) as rude:
                rude.say(message)
                assert rude.dropped()
        assert len(served.log) == 1


def test_a12_a_study_ends_whatever_one_agent_says(served):
    """A12: with an agent that lies all the time, honest work is what the log holds."""
    honest = served.honest
    run = honest.run
    while run:
        served.evil.say(*(Finished(trial, 1, "completed", 1e9, {}, None) for trial in range(7) if trial != 2))
        honest.say(Finished(run.trial, run.attempt, "completed", 0.5, {}, None))
        run = None if len([1 for event in served.log if isinstance(event, Ended)]) >= 5 else honest.hear(Run)
        if run and run.trial == 6:
            honest.say(Finished(6, 1, "completed", 0.5, {}, None))
            break
    served.evil.say(Finished(2, 1, "completed", 0.75, {}, None))
    assert honest.hear(Bye)
    study = check_log(served.log)
    assert {trial.status for trial in study.trials.values()} == {Status.COMPLETED}
    assert {trial.value for trial in study.trials.values()} == {0.5, 0.75}


def test_tokens_travel_and_are_not_shown():
    """A12, A13: the token is made from the secret and a nonce that only both ends know, and stands in no repr."""
    from maggy.executor.link import Link

    links = [Link(Join("e", "h", 1, 0, "", ""), b"secret") for _ in range(2)]
    for nonce, link in enumerate(links):
        link.connected(bytes([nonce]) * 32)
    tokens = {link._join.token for link in links}
    assert len(tokens) == 2
    assert all(len(token) == 64 and token not in repr(links[0]._join) for token in tokens)
    first = links[0]._join.token
    links[0]._broke_at = 0.0
    links[0].connected(b"z" * 32)
    assert links[0]._join.token == first  # the one that the driver knows
    assert Channel().send(Rejoin("e", 0, first)) == framed(
        json.dumps(["Rejoin", {"executor": "e", "received": 0, "token": first}], separators=(",", ":")).encode()
    )
