"""How a driver stands crowds of strangers, in some three minutes on a machine of its own.

    PYTHONPATH=tests python tests/faults/flood.py

For each kind of crowd: how often strangers tried, the CPU that the driver's thread spent (some 1.5 % of it on being
measured), how late its loop was, how long executors with the secret waited to be welcome, and the memory it took.
"""

import statistics
import sys
import time

from served import Served, admitted, crowd, p99, resident

CROWDS = [
    ("guess", 16, False),
    ("guess", 200, False),
    ("guess", 1000, False),
    ("replay", 200, False),
    ("http", 1000, False),
    ("half", 5000, False),
    ("silent", 5000, False),
    ("guess", 16, True),
    ("guess", 200, True),
    ("http", 1000, True),
    ("silent", 300, True),
    ("silent", 5000, True),
]
SECONDS = 8


def measured(kind, count, *, tls, source="127.0.0.1"):
    """Return a line on how the driver fared; executors come from 127.0.0.1."""
    with Served(trials=100_000, max_lost=100_000, tls=tls) as served, served.lag() as lag:
        memory, spent, began = resident(), served.cpu(), time.monotonic()
        waits, refused = [], 0
        with crowd(served, kind, count, SECONDS, source) as ended:
            while time.monotonic() < began + SECONDS - 1:
                try:
                    waits.append(admitted(served, f"executor-{len(waits) + refused}"))
                except (AssertionError, OSError):
                    refused += 1
                time.sleep(0.1)
            cpu = (served.cpu() - spent) / (time.monotonic() - began)
            memory = resident() - memory
            tries = ended()
        return (
            f"{kind:7} {count:5,} {'TLS' if tls else 'TCP'} from {source}: {tries / SECONDS:6,.0f} tries/s, "
            f"CPU {cpu:4.0%}, lag p99 {p99(lag) * 1e3:3.0f} ms, executors in after {statistics.median(waits):.3f} s "
            f"(at most {max(waits, default=0):.3f} s, {len(waits)} in, {refused} refused), memory {memory:+.0f} MiB"
        )


if __name__ == "__main__":
    for kind, count, tls in CROWDS:
        for source in ("127.0.0.1", "127.0.0.2")[: 1 + tls]:
            sys.stdout.write(measured(kind, count, tls=tls, source=source) + "\n")
            sys.stdout.flush()
