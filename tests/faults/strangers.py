"""Strangers at the driver's door, in a process of their own: `python strangers.py KIND PORT COUNT SECONDS [tls]`.

Each kind keeps COUNT connections busy for so long, and prints how many times it tried.
"""

import contextlib
import os
import secrets
import select
import socket
import ssl
import sys
import time

HELLO = b"\x00\x00\x00\x40maggy/1\n"
ANSWER = 68
PROOF = b"\x00\x00\x00\x20"
RECORDED = bytes.fromhex(os.environ.get("RECORDED", ""))  # the hello of an executor
SOURCE = os.environ.get("SOURCE", "127.0.0.1")
HTTP = b"GET /api/v1/applications HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Caller:
    """One connection after another, each following a script of things to send, and of bytes to wait for."""

    def __init__(self, port, script, poll, context):
        self.tries = 0
        self._port = port
        self._script = script
        self._poll = poll
        self._context = context
        self.begin()

    def begin(self):
        self.tries += 1
        self._steps = list(self._script())
        self._got = 0
        plain = socket.socket()
        self._shaken = self._context is None
        plain.bind((SOURCE, 0))
        plain.settimeout(0 if self._shaken else 5)  # TLS can only be spoken where there is a connection
        with contextlib.suppress(BlockingIOError):
            plain.connect(("127.0.0.1", self._port))
        plain.setblocking(False)
        self.socket = plain if self._shaken else self._context.wrap_socket(plain, do_handshake_on_connect=False)
        self._poll.register(self.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def go_on(self):
        """Do what can be done now; tell whether the connection is over."""
        try:
            if not self._shaken:
                self.socket.do_handshake()
                self._shaken = True
            while self._steps and isinstance(self._steps[0], bytes):
                self.socket.send(self._steps.pop(0))
            self._poll.modify(self.socket.fileno(), select.EPOLLIN)
            data = self.socket.recv(4096)
            self._got += len(data)
            if not data:
                raise ConnectionResetError
            while self._steps and isinstance(self._steps[0], int) and self._got >= self._steps[0]:
                self._steps.pop(0)
                while self._steps and isinstance(self._steps[0], bytes):
                    self.socket.send(self._steps.pop(0))
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            self.socket.close()
            return True
        return False


SCRIPTS = {
    "silent": list,
    "guess": lambda: [HELLO + secrets.token_bytes(56), ANSWER, PROOF + secrets.token_bytes(32)],
    "replay": lambda: [RECORDED, ANSWER, PROOF + secrets.token_bytes(32)],
    "half": lambda: [RECORDED],  # waits in the middle of the handshake
    "http": lambda: [HTTP],
}


def main(kind, port, count, seconds, tls=""):
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    poll = select.epoll()
    callers = {}
    ends = time.monotonic() + seconds
    for _ in range(count):
        caller = Caller(port, SCRIPTS[kind], poll, context)
        callers[caller.socket.fileno()] = caller
    print("there", flush=True)
    while (left := ends - time.monotonic()) > 0:
        for number, _ in poll.poll(min(left, 0.1)):
            if number in callers and callers[number].go_on():
                caller = callers.pop(number)
                caller.begin()
                callers[caller.socket.fileno()] = caller
    print(sum(caller.tries for caller in callers.values()), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), *sys.argv[5:])
