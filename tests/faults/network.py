"""A network between driver and executors that can be cut, held up and slowed down, and that can lose what is said."""

import selectors
import socket
import struct
import threading
import time

RATE = 5000  # bytes a second of a slow connection


class Proxy:
    """Forward connections on a port of its own to `target`, until told otherwise."""

    def __init__(self, target):
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._lock = threading.Lock()
        self._pairs = {}
        self._frozen = self._closed = self._deaf = False
        self._dead = set()  # ends of connections that lead nowhere
        self._from_driver = set()  # ends at which the driver is heard
        self._slow = set()  # ends of connections that carry `RATE` bytes a second
        self._slow_next = 0
        self.connections = self.lost = 0
        self.passed = []  # what was said, and which way: "there", from those who connected, or "back"
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def cut(self):
        """Break every connection, as a router does that forgets them."""
        with self._lock:
            for end in list(self._pairs):
                # A reset, not an orderly end.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._forget(end)
            self._deaf = False
        self._wake.send(b"x")

    def freeze(self, frozen):
        """Hold back all that is said, new connections too, or let it through."""
        self._frozen = frozen
        self._wake.send(b"x")

    def deafen(self):
        """Lose all that the driver says, until the next cut; `lost` counts the bytes."""
        with self._lock:
            self._deaf, self.lost = True, 0

    def vanish(self):
        """Lose all that is said on the connections that there are, for ever; nobody is told."""
        with self._lock:
            self._dead |= self._pairs.keys()

    def slow_down(self, connections):
        """Let the next connections be slow ones."""
        self._slow_next = connections

    def close(self):
        self._closed = True
        self._wake.send(b"x")
        self._thread.join()
        for each in (*self._pairs, self._listening, self._wake, self._woken):
            each.close()
        self._selector.close()

    def _forget(self, end):
        self._pairs.pop(end, None)
        self._dead.discard(end)
        self._from_driver.discard(end)
        self._slow.discard(end)
        if end in self._selector.get_map():
            self._selector.unregister(end)
        end.close()

    def _serve(self):
        due = 0.0
        while not self._closed:
            if self._slow and time.monotonic() >= due:
                due = time.monotonic() + 0.05
                for end in list(self._slow):
                    with self._lock:
                        self._forward(end, RATE // 20)
            for key, _ in self._selector.select(0.05 if self._frozen or self._slow else None):
                with self._lock:
                    if key.fileobj is self._woken:
                        self._woken.recv(100)
                    elif not self._frozen:
                        self._accept() if key.fileobj is self._listening else self._forward(key.fileobj)

    def _accept(self):
        near, _ = self._listening.accept()
        far = socket.create_connection(self._target)
        self.connections += 1
        for end, other in ((near, far), (far, near)):
            self._pairs[end] = other
            if self._slow_next:  # looked at from time to time
                end.setblocking(False)
                self._slow.add(end)
            else:
                self._selector.register(end, selectors.EVENT_READ)
        self._from_driver.add(far)
        self._slow_next = max(0, self._slow_next - 1)

    def _forward(self, end, most=65536):
        other = self._pairs.get(end)
        if other is None:
            return
        try:
            data = end.recv(most)
            self.passed.append(("back" if end in self._from_driver else "there", data))
            lost = end in self._dead or (self._deaf and end in self._from_driver)
            if lost:
                self.lost += len(data)
            elif data:
                other.sendall(data)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._forget(end)
            self._forget(other)
