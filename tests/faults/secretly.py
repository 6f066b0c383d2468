"""Looks for a secret everywhere, in every form that it could have taken."""

import base64
import os
from functools import cache
from pathlib import Path


@cache  # they are looked for in every process, again and again
def forms(secret):
    """Return what to look for: the bytes themselves, and how programs write bytes down."""
    whole = {secret, secret.hex().encode(), secret.hex().upper().encode(), repr(secret)[2:-1].encode()}
    whole.add(str(list(secret))[1:-1].encode())
    signed = [byte - 256 if byte > 127 else byte for byte in secret]  # as Java has bytes
    whole |= {str(signed)[1:-1].encode(), ",".join(map(str, signed)).encode(), ",".join(map(str, secret)).encode()}
    whole.add("".join(f"\\u{byte:04x}" for byte in secret).encode())
    for shift in range(3):  # in base64 a part looks different with each place in which it begins
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(bytes(shift) + secret)
            whole.add(text[4 if shift else 0 : len(text) // 4 * 4 - 4])
    return whole


def found_in(data, secret):
    """Return the forms of the secret that stand in some bytes or text."""
    data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return [form for form in forms(secret) if form in data]


def files_with(folder, secret):
    """Return the files of a folder that hold the secret."""
    return [path for path in Path(folder).rglob("*") if path.is_file() and found_in(path.read_bytes(), secret)]


def processes_with(secret):
    """Return what of the command lines and environments of all processes that we can see holds the secret."""
    hits, seen = [], 0
    for process in Path("/proc").glob("[0-9]*"):
        for part in ("cmdline", "environ"):
            try:
                data = (process / part).read_bytes()
            except OSError:
                continue  # it has ended, or is not ours to see
            seen += 1
            # Arguments and variables are separated by NUL, which a secret may hold: `ps` shows a space.
            if found_in(data, secret) or found_in(data.replace(b"\0", b" "), secret.replace(b"\0", b" ")):
                hits.append(f"{process.name}/{part}")
    if not seen:
        raise AssertionError(f"{os.getuid()} can see no process")
    return hits
