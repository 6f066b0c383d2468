"""A8: fuzz the wire, both roles, before and behind the handshake.

    python tests/rpc/fuzz.py --frames 100000              # a seeded mutator, nothing else needed
    python tests/rpc/fuzz.py --guided --frames 10000000   # by coverage, with `pip install atheris`

An input is a first byte (which end, before or behind the handshake, in which pieces the bytes come) and what a peer
sends. Whatever it is, an end may only raise `ProtocolError`; without the secret it is never authenticated, hands out no
message and answers no more than one handshake; an end that was offended stays dead; and what it holds stays within a
frame. What it takes can be sent again.
"""

import argparse
import random
import resource
import sys
import time

from maggy.errors import ProtocolError
from maggy.rpc import messages as wire
from maggy.rpc.channel import Channel
from maggy.rpc.connection import MAX_HANDSHAKE_FRAME, NONCE, Connection, hello
from maggy.rpc.frames import HEADER, framed
from maggy.rpc.messages import FROM_DRIVER, FROM_EXECUTOR, MAX_FRAME, encode

SECRET = b"nobody knows the study's secret."
EXECUTOR, BEHIND, PIECEMEAL = 1, 2, 4  # bits of an input's first byte
SENT = [
    wire.Join("host-1-abc", "host", 1, 0, "3.11.7", "2.0"),
    wire.Rejoin("host-1-abc", 3),
    wire.Reports(1, 1, [[0, {"acc": 0.5}], [1, {"acc": float("nan"), "loss": -1e-9}]]),
    wire.Finished(1, 1, "completed", 0.5, {"acc": 0.5}, None),
    wire.Finished(2, 1, "failed", None, {}, "Traceback …"),
    wire.Log(1, 1, "Grüße\x00\n\udcff"),
    wire.Saved(1, 1, "1/1-1.tar", 10240),
    wire.Chunk(1, 1, "1/1-2.tar", 131072, "QUJD"),
    wire.Fetch(2, 1, "1/1-1.tar", 40960),
    wire.Notice(1, 1, "Checkpoint 1/1-1.tar cannot be restored"),
    wire.Drawn(1, 1, {"lr": 0.1, "depth": 3}, {"depth": {"type": "Integer", "lower": 1, "upper": 9}}),
    wire.Leaving(),
    wire.Ack(1),
    wire.Beat(),
    wire.Welcome(
        1.0, 10.0, 5.0, "acc", "/checkpoints", 3.0, None, 2**33, marker=".maggy-0f", relay_limit=10**8, draws=7
    ),
    wire.Resumed(2),
    wire.Fenced("gone"),
    wire.Run(1, 1, {"lr": 0.1, "layers": [1, 2], "name": "relu", "deep": None}, 3.0, None),
    wire.Run(2, 3, {}, None, 1, ["2/2-1.tar", "1/1-1.tar"], {"command": "true"}),
    wire.Stop(1, 1, "below the median"),
    wire.Piece(2, 1, "1/1-1.tar", 40960, "QUJD", end=True),
    wire.Bye("done"),
]
VALID = [encode(message) for message in SENT]
HEARD = {  # by role: what an end of that role may hear
    role: [frame for message, frame in zip(SENT, VALID, strict=True) if isinstance(message, accepted)]
    for role, accepted in (("driver", FROM_EXECUTOR), ("executor", FROM_DRIVER))
}
STRANGE = [
    *(b"0", b"-1", b"1e999", b"-0", b"0.1e-400", b"NaN", b"Infinity", b"9" * 30, b"9" * 5000, b"true", b"null", b'""'),
    *(b"{}", b"[]", b"[[]]", b'{"$f":"nan"}', b'{"$f":"inf"}', b'{"$f":1}', b'{"a":1,"a":2}', b"[" * 2000, b"\xff"),
    *(b'"\\ud800"', b'"\\udc00\\ud800"', b'"\x00"', b'"\\u0000"', b"\xef\xbb\xbf", b" ", b",", b'"', b"\\", b"}]"),
    *(
        b'"trial"',
        b'"attempt"',
        b'"points"',
        b'"metrics"',
        b'"checkpoint"',
        b'"../1-1.tar"',
        b'["Log",',
        b'["Evil",{}]',
        b"\x80\x04.",
        b"GET / HTTP/1.1\r\n",
    ),
]
TELL_EVERY = 100_000  # inputs of a guided run, which may be ended early
LENGTHS = [0, 1, 4, MAX_HANDSHAKE_FRAME, MAX_HANDSHAKE_FRAME + 1, MAX_FRAME, MAX_FRAME + 1, 2**31, 2**32 - 1]


class Counter:
    """What has been seen so far."""

    frames = 0  # that an end has judged: what follows the first offence does not count
    inputs = 0
    taken = 0


def opened(role):
    """Return an end that is through its handshake with a peer that knows the secret."""
    here, there = (Connection(each, SECRET, bytes([place] * NONCE)) for place, each in enumerate((role, other(role))))
    for _ in range(2):
        there.receive(here.outgoing())
        here.receive(there.outgoing())
    if not here.authenticated:
        raise AssertionError("the handshake itself fails")
    return here


def other(role):
    return "driver" if role == "executor" else "executor"


def feed(data):
    """Hand an input to an end, and see that it behaves."""
    if not data:
        return
    role = "executor" if data[0] & EXECUTOR else "driver"
    behind = bool(data[0] & BEHIND)
    end = opened(role) if behind else Connection(role, SECRET, b"N" * NONCE)
    accepted = FROM_DRIVER if role == "executor" else FROM_EXECUTOR
    channel = Channel()
    messages = []
    Counter.inputs += 1
    step = max(1, len(data) // 7) if data[0] & PIECEMEAL else len(data)
    try:
        for start in range(1, len(data), step):
            messages += end.receive(data[start : start + step])
            hold(len(end._frames._data) <= end._frames.limit + HEADER, "an end holds no more than a frame")
    except ProtocolError as offence:
        Counter.frames += 1
        try:
            end.receive(VALID[0])
        except ProtocolError as again:
            hold(again is offence, "an end that was offended stays so")
        else:
            raise AssertionError("an end that was offended listens again") from None
    if not behind:
        Counter.frames += bool(end._peer_nonce)  # a hello that was heard before; nothing else is taken
        hold(not end.authenticated and not messages, "without the secret nobody gets in")
        hold(len(end.outgoing()) <= 2 * (HEADER + MAX_HANDSHAKE_FRAME), "a stranger is answered once")
        return
    Counter.frames += len(messages)
    Counter.taken += len(messages)
    for message in messages:
        hold(isinstance(message, accepted), "an end hears the other side's messages only")
        try:
            encode(message)
            channel.came(message)
        except ProtocolError:
            continue
    hold(channel.held == 0, "nothing that comes is kept")


def hold(condition, what):
    if not condition:
        raise AssertionError(f"not so: {what}")


# -- inputs ------------------------------------------------------------------------------------------------------------


def made(rng):
    """Return a new input: some valid frames in a row, some of them damaged."""
    first = rng.randrange(8)
    if not first & BEHIND and rng.random() < 0.6:
        # A hello that somebody has recorded, mostly: what follows it is what counts.
        nonce = rng.randbytes(NONCE)
        opening = framed(rng.randbytes(2 * NONCE)) if first & EXECUTOR else hello(rng.choice([SECRET, nonce]), nonce)
        frames = [opening, framed(rng.randbytes(rng.choice([1, 31, 32, 33, 64])))]
    else:
        # Mostly of the right side: a frame of the other side's ends the connection.
        right = HEARD["executor" if first & EXECUTOR else "driver"]
        frames = rng.choices(right if rng.random() < 0.95 else VALID, k=rng.randrange(1, 24))
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        place = rng.randrange(max(0, len(frames) - 3), len(frames))  # late ones, so that those before are taken
        frames[place] = damaged(frames[place], rng)
    return bytes([first]) + b"".join(frames)


def damaged(frame, rng):
    """Return a frame with its content changed and its length right, or with a length that is wrong."""
    payload = bytearray(frame[HEADER:])
    for _ in range(rng.choice([1, 1, 2, 4])):
        place = rng.randrange(len(payload) + 1)
        match rng.randrange(8):
            case 0:
                payload[place:place] = rng.choice(STRANGE)
            case 1:
                payload[place : place + rng.randrange(1, 9)] = b""
            case 2:
                payload[place : place + 1] = rng.randbytes(1)
            case 3:
                return rng.choice(LENGTHS).to_bytes(HEADER, "big") + payload
            case 4 | 5:
                payload[:] = value_changed(bytes(payload), rng)
            case 6:
                found = rng.choice(VALID)[HEADER:]
                cut = rng.randrange(len(found))
                payload[place:] = found[cut:]
            case 7:
                start = rng.randrange(len(payload) + 1)
                payload[place:place] = payload[start : start + rng.randrange(1, 200)]
    return framed(bytes(payload)[: MAX_FRAME + 1] or b" ")


def value_changed(payload, rng):
    """Put something strange in place of a field's value."""
    places = [place for place in range(len(payload)) if payload[place : place + 1] in b":[,"]
    if not places:
        return payload
    start = rng.choice(places) + 1
    ends = [place for place in range(start, len(payload)) if payload[place : place + 1] in b",]}"]
    return payload[:start] + rng.choice(STRANGE) + payload[(ends[0] if ends else len(payload)) :]


def memory():
    """Return the most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def told(began):
    spent = time.monotonic() - began
    return (
        f"{Counter.frames:,} frames in {Counter.inputs:,} inputs, {Counter.taken:,} messages taken, {spent:.0f} s, "
        f"{memory():.0f} MiB, 0 findings"
    )


def seeded(frames, seed):
    """Fuzz with a seeded mutator until so many frames have been seen; return what to tell."""
    began, rng = time.monotonic(), random.Random(seed)
    Counter.frames = Counter.inputs = Counter.taken = 0
    before = memory()
    while Counter.frames < frames:
        data = made(rng)
        try:
            feed(data)
        except BaseException:
            sys.stderr.write(f"the input was {data!r}\n")
            raise
    hold(memory() < before + 64, "memory stays bounded")
    return told(began)


def guided(frames, seed, corpus):
    """Fuzz by coverage, until so many frames have been seen."""
    import os

    import atheris

    # The names in here are bound already; it is the modules' functions that are instrumented.
    import maggy.jsonvalue
    import maggy.rpc.channel
    import maggy.rpc.connection
    import maggy.rpc.frames
    import maggy.rpc.messages

    for module in (maggy.jsonvalue, maggy.rpc.channel, maggy.rpc.connection, maggy.rpc.frames, maggy.rpc.messages):
        for owner in (module, *(each for each in vars(module).values() if isinstance(each, type))):
            for each in list(vars(owner).values()):
                if type(each).__name__ == "function" and each.__module__ == module.__name__:
                    atheris.instrument_func(each)
    began = time.monotonic()

    def once(data):
        feed(data)
        if Counter.inputs % TELL_EVERY == 0:
            print(told(began), flush=True)
        if Counter.frames >= frames:
            print(told(began), flush=True)
            os._exit(0)

    def mutated(data, size, chosen):
        rng = random.Random(chosen)
        if rng.random() < 0.3 or not data:
            return made(rng)[:size]
        data = atheris.Mutate(data, size) if rng.random() < 0.5 else data
        if rng.random() < 0.5:
            data = data[: size - 2048] + damaged(rng.choice(VALID), rng)
        return data[:size]

    options = [f"-seed={seed}", "-max_len=65536", "-timeout=10", "-rss_limit_mb=512", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, *([corpus] if corpus else [])], once, custom_mutator=mutated)
    atheris.Fuzz()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guided", action="store_true")
    parser.add_argument("--corpus", help="a directory in which what reaches new code is kept")
    asked = parser.parse_args()
    if asked.guided:
        guided(asked.frames, asked.seed, asked.corpus)
    else:
        print(seeded(asked.frames, asked.seed))


if __name__ == "__main__":
    main()
