"""A network between driver and executors that can be cut and held up."""

import selectors
import socket
import struct
import threading


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
        self._frozen = self._closed = False
        self.connections = 0
        self.passed = []  # what was said, and which way: "there", from those who connected, or "back"
        self._far = set()
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
        self._wake.send(b"x")

    def freeze(self, frozen):
        """Hold back all that is said, new connections too, or let it through."""
        self._frozen = frozen
        self._wake.send(b"x")

    def close(self):
        self._closed = True
        self._wake.send(b"x")
        self._thread.join()
        for each in (*self._pairs, self._listening, self._wake, self._woken):
            each.close()
        self._selector.close()

    def _forget(self, end):
        self._pairs.pop(end, None)
        if end in self._selector.get_map():
            self._selector.unregister(end)
        end.close()

    def _serve(self):
        while not self._closed:
            for key, _ in self._selector.select(0.05 if self._frozen else None):
                with self._lock:
                    if key.fileobj is self._woken:
                        self._woken.recv(100)
                    elif not self._frozen:
                        self._accept() if key.fileobj is self._listening else self._forward(key.fileobj)

    def _accept(self):
        near, _ = self._listening.accept()
        far = socket.create_connection(self._target)
        self.connections += 1
        self._far.add(far)
        for end, other in ((near, far), (far, near)):
            self._pairs[end] = other
            self._selector.register(end, selectors.EVENT_READ)

    def _forward(self, end):
        other = self._pairs.get(end)
        if other is None:
            return
        try:
            data = end.recv(65536)
            self.passed.append(("back" if end in self._far else "there", data))
            other.sendall(data) if data else None
        except OSError:
            data = b""
        if not data:
            self._forget(end)
            self._forget(other)
