"""The driver's mind: decides what a study does next, and never does it.

Rules:

1. Every input (`joined`, `received`, …) returns the actions to perform, in order. The study is the fold of the events.
2. A report or an outcome counts only from the executor that holds the trial, at the attempt at which it holds it.
3. When the optimizer is `DONE` and nothing is left to run, the study closes (see `driver.asking`).
4. Lost is not failed: a lost trial is queued again, first in line, until it has cost `max_lost` executors.
5. When there will be no further trial, or executors are too many, who is idle goes home, but for copies of one that
   is at work: the first of the two to return would end the other. Slots are started again where a lost trial waits.
6. After the end everybody who joins is told to go home.

`now` is seconds since the epoch, read off a clock that never goes back while the driver lives.
"""

from __future__ import annotations

import math

from maggy.driver import invariants
from maggy.driver.actions import Action, Ask, Close, Drop, Record, Send
from maggy.driver.asking import Asking
from maggy.driver.crew import AHEAD_OF_A_LONG_ONE, LEAVING, SURPRISE, Given, Worker
from maggy.driver.outcome import Failures, outcome, poisoned, reason_to_stop, told
from maggy.driver.terms import Terms
from maggy.events import Ended, Event, Lost, Reported, Started, StopRequested, StudyClosed, Suggested
from maggy.rpc import messages
from maggy.rpc.messages import Beat, Bye, Finished, Join, Message, Reports, Run, Stop
from maggy.study import Study
from maggy.trial import Answer, Status, Suggestion, Trial

LONGEST_REASON = 1000  # characters
REST = "there is nothing left to give it"  # how who could only wait is sent home: its slot may be used otherwise
GIVEN_BACK = "another study is to have its slot"  # how who has no room any more is
FAILED = "failed: "  # how the reason begins with which a study is closed that was given up


class Scheduler:
    """Decides what a study does next. `study` is the fold of its log so far."""

    def __init__(self, study: Study, terms: Terms) -> None:
        self.study = study
        self.closed: str | None = None
        self.paused = False  # whether nothing new is given out, because another process wishes so
        self.executors: dict[str, Worker] = {}
        self._room = math.inf  # how many of them there may be
        self._terms = terms
        self._idle: dict[str, Worker] = {}
        self._hungry: dict[str, Worker] = {}  # busy ones that may be given more, in turn
        self._look_at = math.inf  # when to look at the executors again: the first of their deadlines, or earlier
        self._actions: list[Action] = []
        self.asking = Asking(study)
        self._failures = Failures(terms.max_failures)
        self._broken: str | None = None  # why the study cannot go on, found out in the middle of a turn
        self._ending: str | None = None  # why no more trials are given out
        self._ends_at = math.inf  # when the timeout strikes, then when patience with running trials ends

    # -- inputs ----------------------------------------------------------------------------------------------------

    def opened(self, now: float) -> list[Action]:
        """Begin or take up the study: what still ran when the last driver left is lost, and queued again."""
        for trial in reversed(list(self.study.running.values())):  # each goes to the head of the queue
            self._record(Lost(now, trial.id, trial.attempt, "the driver that ran it is gone", counts=False))
        if self._terms.timeout is not None:
            self._ends_at = now + self._terms.timeout
        return self._turn(now)

    def joined(self, hello: Join, now: float) -> list[Action]:
        """Welcome an executor, or send it home."""
        if self.closed is not None:
            return [Send(hello.executor, Bye(self.closed))]
        if (before := self.executors.get(hello.executor)) is not None:
            self._forget(before, "the executor joined again", now)
        worker = self.executors[hello.executor] = Worker(hello.executor, hello.slot, now)
        self._look_at = min(self._look_at, worker.deadline(self._terms.silence))
        self._free(worker)
        self._do(Send(worker.name, self._terms.welcome(self.study.objective.metric)))
        return self._turn(now)

    def received(self, executor: str, message: Message, now: float) -> list[Action]:
        """Take in what an executor says."""
        if (worker := self.executors.get(executor)) is None:
            return []
        worker.heard = now
        match message:
            case Reports() if self.holds(executor, message.trial, message.attempt):
                self._reported(worker, message, now)
            case Finished() if self.holds(executor, message.trial, message.attempt):
                self._finished(worker, message, now)
            case messages.Saved() | messages.Drawn() if self.holds(executor, message.trial, message.attempt):
                for event in told(message, self.study, now):
                    self._record(event)
            case messages.Leaving():
                self._send_home(worker, LEAVING, now)
            case Beat() | messages.Log() | messages.Chunk() | messages.Fetch() | messages.Notice():
                return []  # that it was heard is all
        return self._turn(now)

    def lost(self, executor: str, why: str, now: float) -> list[Action]:
        """Take in that an executor is gone."""
        if (worker := self.executors.get(executor)) is None:
            return []
        self._forget(worker, why, now)
        return self._turn(now)

    def dismissed(self, slot: int, why: str, now: float) -> list[Action]:
        """Take in that somebody else ends what runs in a slot: no trial is to blame, and none needs to wait for it."""
        for worker in list(self.executors.values()) if self.closed is None else ():
            if worker.slot == slot:
                self._send_home(worker, why, now)
        return self._turn(now)

    def broke(self, executor: str, why: str, now: float) -> list[Action]:
        """Take in that an executor's connection is broken; it has a moment to come back with another."""
        if (worker := self.executors.get(executor)) is not None:
            self._leave(worker, why, now)
        return self._turn(now)

    def returned(self, executor: str, now: float) -> list[Action]:
        """Take in that an executor is back, with all that was said meanwhile."""
        if (worker := self.executors.get(executor)) is not None:
            worker.heard, worker.gone, worker.gone_for_good = now, None, math.inf
            self._free(worker)
        return self._turn(now)

    def away(self, gap: float) -> list[Action]:
        """Take in that the driver itself stood still for so long: nobody else's silence counts meanwhile."""
        for worker in self.executors.values():
            worker.heard += gap
            worker.since += gap
            worker.gone_for_good += gap
        self.asking.due += gap
        if self._ending is not None:
            self._ends_at += gap
        return []

    def suggested(self, number: int, answer: Suggestion | Answer | Exception, seen: int, now: float) -> list[Action]:
        """Take in the optimizer's answer to ask `number`, for which it had seen the log up to `seen`."""
        awaited = number == self.asking.out
        suggested = self.asking.answered(number, answer, seen, now, busy=self._busy())
        return self._suggest(suggested, now) if awaited else []

    def _suggest(self, suggested: Suggested | None, now: float) -> list[Action]:
        if suggested is not None and self._ending is None:
            self._record(suggested)
        if self.asking.failed is not None:
            return self.interrupted(self.asking.failed, now)
        return self._turn(now)

    def tick(self, now: float) -> list[Action]:
        """Take in that time has passed: leases end, the timeout strikes, patience ends."""
        if now >= self._look_at:
            self._look_at = math.inf
            for worker in list(self.executors.values()):
                self._mind(worker, now)
        if now >= self._ends_at:
            if self._ending is None:
                self._wind_down("timeout", now)
            else:
                self._cut_off(now)
        return self._suggest(self.asking.overdue(now, busy=self._busy()), now)

    def interrupted(self, reason: str, now: float) -> list[Action]:
        """End at once: what runs is lost, and will run again when the study is resumed."""
        if self.closed is None:
            self._ending = self._ending or reason
            for worker in self.executors.values():
                self._take_back(worker, reason, now)
            self._close(reason, now)
        return self._taken()

    def pause(self, on: bool, now: float) -> list[Action]:
        """Give out nothing new, while what runs goes on, and end if that was all; or give out again."""
        self.paused = on
        return self._turn(now)

    def limited(self, executors: float, now: float) -> list[Action]:
        """Take in how many executors there may be: who is idle goes home while there are more, others once they are."""
        self._room = executors
        return self._turn(now)

    def deadline(self) -> float:
        """Return when `tick` is to be called next: it may be earlier than there is anything to do."""
        return math.inf if self.closed is not None else min(self._ends_at, self.asking.due, self._look_at)

    def holds(self, executor: str, trial: int, attempt: int) -> bool:
        """Whether this executor holds this trial at this attempt: otherwise what it says of it does not count."""
        worker = self.executors.get(executor)
        return worker is not None and worker.trial is not None and (worker.trial.id, worker.attempt) == (trial, attempt)

    def may_have(self, executor: str, trial: int, attempt: int, checkpoint: str) -> bool:
        """Whether this executor was told that it may go on from this checkpoint, and still holds the trial."""
        return self.holds(executor, trial, attempt) and checkpoint in self.executors[executor].given[0].restore

    # -- trials ----------------------------------------------------------------------------------------------------

    def _reported(self, worker: Worker, message: Reports, now: float) -> None:
        if (trial := worker.trial) is None:
            return
        for step, metrics in message.points:
            self._record(Reported(now, trial.id, worker.attempt, step, metrics))
            judged = trial.stop_reason is None and self._ending is None
            if judged and self.study.objective.pick(metrics) is not None:
                reason, problem = reason_to_stop(self._terms.rules, trial, self.study)
                self._broken = self._broken or problem
                if reason:
                    self._stop(worker, trial, reason[:LONGEST_REASON], now)

    def _stop(self, worker: Worker, trial: Trial, reason: str, now: float) -> None:
        self._record(StopRequested(now, trial.id, worker.attempt, reason))
        self._do(Send(worker.name, Stop(trial.id, worker.attempt, reason)))

    def _finished(self, worker: Worker, message: Finished, now: float) -> None:
        event = outcome(worker.given[0].trial, message, self.study, now)
        self._record(event)
        worker.ended(now, failed=isinstance(event, Lost) or event.status == Status.FAILED)
        self._free(worker)
        self._judge_failures(now)

    def _free(self, worker: Worker) -> None:
        """See whether an executor may be given more."""
        if worker.gone is None and not worker.given:
            self._idle[worker.name] = worker
        if not worker.room:  # its last trial may have taken that away
            self._hungry.pop(worker.name, None)
        elif self._terms.independent and worker.hungry:
            self._hungry[worker.name] = worker

    def _take_back(self, worker: Worker, why: str, now: float) -> None:
        """Queue trials again that are not to blame for it."""
        self._relieve(worker, why, now)
        if worker.given:
            given = worker.given.pop()
            self._record(Lost(now, given.trial.id, given.attempt, why, counts=False))
            self._free(worker)

    def _relieve(self, worker: Worker, why: str, now: float) -> None:
        """Queue trials again that an executor was given ahead, in their order; it learns of it as of a stop."""
        self._hungry.pop(worker.name, None)
        while len(worker.given) > 1:
            given = worker.given.pop()
            self._record(Lost(now, given.trial.id, given.attempt, why, counts=False))
            self._do(Send(worker.name, Stop(given.trial.id, given.attempt, why)))

    def _mind(self, worker: Worker, now: float) -> None:
        """See whether an executor is dead, or busy for longer than was thought."""
        if now >= min(worker.heard + self._terms.silence, worker.gone_for_good):
            why = worker.gone or f"executor silent for {self._terms.lease:g} s"
            self._do(Drop(worker.name, why))
            self._forget(worker, why, now)
            return
        if worker.gone is not None:
            worker.since = now  # nobody hears how far it is
        elif now >= worker.since + SURPRISE:
            self._relieve(worker, AHEAD_OF_A_LONG_ONE, now)
        self._look_at = min(self._look_at, worker.deadline(self._terms.silence))

    def _leave(self, worker: Worker, why: str, now: float) -> None:
        """Give an executor nothing for now; if it does not come back in a moment, that is the end of it."""
        worker.gone, worker.gone_for_good = why, now + self._terms.reconnect_grace
        self._look_at = min(self._look_at, worker.gone_for_good)
        self._idle.pop(worker.name, None)
        self._hungry.pop(worker.name, None)

    def _forget(self, worker: Worker, why: str, now: float) -> None:
        self._relieve(worker, why, now)
        del self.executors[worker.name]
        self._idle.pop(worker.name, None)
        if worker.trial is not None:
            self._give_up(worker.trial, why, now)

    def _give_up(self, trial: Trial, cause: str, now: float) -> None:
        """Queue a trial again whose attempt is gone, or fail it where it has cost too many executors."""
        if trial.lost + 1 >= self._terms.max_lost:
            self._record(poisoned(trial, cause, now))
            self._judge_failures(now)
        else:
            self._record(Lost(now, trial.id, trial.attempt, cause))

    # -- the end ---------------------------------------------------------------------------------------------------

    def _judge_failures(self, now: float) -> None:
        if self._ending is None and (why := self._failures.verdict(self.study.counts[Status.FAILED])):
            self._wind_down(FAILED + why, now)

    def _wind_down(self, reason: str, now: float) -> None:
        """Give out no more; ask what runs to stop, and wait for it for a while longer than an executor would."""
        self._ending = reason
        self._ends_at = now + self._terms.grace + 1
        for worker in self.executors.values():
            self._relieve(worker, reason, now)
            if worker.trial is not None and worker.trial.stop_reason is None:
                self._stop(worker, worker.trial, reason, now)

    def _cut_off(self, now: float) -> None:
        for worker in self.executors.values():
            if (trial := worker.trial) is not None:
                last = trial.curve.last
                self._record(Ended(now, trial.id, worker.attempt, Status.STOPPED, last, {}, self._ending))
                worker.ended(now, failed=False)
                self._free(worker)

    def _rest(self, now: float) -> None:
        """Send home who can only wait: nobody while what was lost, or lies behind a trial, may need somebody."""
        held = any(worker.given and (worker.gone or len(worker.given) > 1) for worker in self.executors.values())
        busy = {worker.slot for worker in self.executors.values() if worker.trial is not None or held}
        for worker in [worker for worker in self._idle.values() if worker.slot not in busy]:
            self._send_home(worker, REST, now)

    def _make_room(self, now: float) -> None:
        """Send home who is idle while there are too many."""
        while self._idle and sum(worker.gone is None for worker in self.executors.values()) > self._room:
            self._send_home(next(iter(self._idle.values())), GIVEN_BACK, now)

    def _send_home(self, worker: Worker, why: str, now: float) -> None:
        """Tell an executor to go; the end of its connection, or a moment without it, is the end of it."""
        self._take_back(worker, why, now)
        self._do(Send(worker.name, Bye(why[:LONGEST_REASON])))
        self._leave(worker, why, now)

    def _close(self, reason: str, now: float) -> None:
        self.closed = reason
        self._record(StudyClosed(now, reason))
        for name in self.executors:
            self._do(Send(name, Bye(reason)))
        self._do(Close(reason))

    # -- a turn ----------------------------------------------------------------------------------------------------

    def _turn(self, now: float) -> list[Action]:
        """After every input: hand out what is queued, ask for more, or see that it is over."""
        if self.closed is None:
            if self._broken is not None and self._ending is None:
                self._wind_down(FAILED + self._broken, now)
            if self._ending is None:
                self._make_room(now)
                self._hand_out(now)
                self._ask(now)
            if self._over():
                self._close(self._ending or "done", now)
            elif self.asking.done and not self.study.queued and self._ending is None:
                self._rest(now)
        return self._taken()

    def _hand_out(self, now: float) -> None:
        """Give out what is queued: to who is idle, then to who soon will be; but there nothing that was lost before."""
        while self.study.queued and not self.paused:
            trial = self.study.trials[self.study.queued[0]]
            takers = self._idle or (self._hungry if trial.attempt == 1 else {})
            if not takers:
                return
            worker = takers.pop(next(iter(takers)))
            given = Given(trial, trial.attempt, self.study.restorable(trial))
            worker.give(given, now)
            self._look_at = min(self._look_at, worker.deadline(self._terms.silence))
            self._record(Started(now, trial.id, trial.attempt, worker.name))
            self._do(Send(worker.name, Run.of(trial, given.restore)))
            if worker.room and self._terms.independent:
                self._hungry[worker.name] = worker

    def _ask(self, now: float) -> None:
        wanted = len(self._idle) + len(self._hungry) + self._terms.lookahead - len(self.study.queued)
        held = self.paused and (self.study.remaining or self._busy())  # else it may be that the study is over
        if held or self.asking.out is not None or self.asking.done or wanted <= 0 or not self.executors:
            return
        if self.asking.waits:
            self.asking.done = not self._busy()  # with nothing left to run it would wait for an end that cannot come
            return
        self._do(Ask(self.asking.ask(now), self.study.position))

    def _busy(self) -> bool:
        return bool(self.study.running or self.study.queued)

    def _over(self) -> bool:
        done = self.asking.done and not self.study.queued and self.asking.out is None
        return not self.study.running and (self._ending is not None or done)

    def _record(self, event: Event) -> None:
        self.study.apply(event)
        self._actions.append(Record(event))
        if isinstance(event, Ended):
            self._failures.ended(event)

    def _do(self, action: Action) -> None:
        self._actions.append(action)

    def _taken(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    def check(self) -> None:
        """Raise `AssertionError` where an invariant does not hold; tests call it after every input."""
        invariants.check_executors(self.executors, self._idle, self.study)
        if self.closed is None and self._ending is None and self._idle and not self.paused:
            asks = self.asking.out is not None or self.asking.waits or self.asking.done
            invariants.hold(not self.study.queued, "nobody is idle while a trial waits")
            invariants.hold(not self._hungry.keys() & self._idle.keys(), "nobody is both idle and to be given more")
            invariants.hold(asks, "an idle executor has an ask out, or a reason to wait")
        invariants.hold(not self._actions, "nothing is left undone")
        invariants.hold(self.closed is not None or not self._over(), "a study that is over is closed")
