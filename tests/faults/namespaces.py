"""Machines of our own: network namespaces on a bridge, whose links can be taken down."""

import os
import secrets
import shutil
import subprocess

from waiting import until


def why_not():
    """Return why there can be no network namespaces here, None where there can."""
    if shutil.which("ip") is None:
        return "the command `ip` is missing"
    name = f"maggy-probe-{os.getpid()}"
    made = _ip("netns", "add", name)
    if made.returncode:
        return f"`ip netns add` is not permitted: {made.stderr.strip()}"
    try:
        # A namespace can be made in some containers in which a pair of interfaces cannot.
        pair = _ip("link", "add", "maggyprobe", "type", "veth", "peer", "name", "maggyprobe1", "netns", name)
        if pair.returncode:
            return f"`ip link add … type veth` is not permitted: {pair.stderr.strip()}"
        _ip("link", "del", "maggyprobe")
    finally:
        _ip("netns", "del", name)
    return None


def _ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=False)


def _mac(host):
    return f"02:00:00:00:00:{int(host.rpartition('.')[2]):02x}"


def _known(host):
    """Neighbours are known for ever, as a router is: otherwise the kernel would find out that a host is gone."""
    return [host, "lladdr", _mac(host), "nud", "permanent"]


class Network:
    """A bridge at `<subnet>.1`, which is this machine, and hosts at `<subnet>.2`, `.3`, …, each in a namespace.

    Each process that runs tests has a subnet of its own: two bridges with one address would get each other's packets.
    """

    def __init__(self, hosts):
        subnet = f"10.{64 + os.getpid() // 256 % 64}.{os.getpid() % 256}"
        self.address = f"{subnet}.1"
        self.hosts = [f"{subnet}.{number}" for number in range(2, hosts + 2)]
        self._tag = f"m{secrets.token_hex(2)}"
        self._bridge = f"{self._tag}-br"
        try:
            self._ip("link", "add", self._bridge, "address", _mac(self.address), "type", "bridge")
            self._ip("addr", "add", f"{self.address}/24", "dev", self._bridge)
            self._ip("link", "set", self._bridge, "up")
            for host in self.hosts:
                self._add(host)
        except BaseException:
            self.close()
            raise

    def inside(self, host):
        """Return the words to put before a command that is to run on that host."""
        return ["ip", "netns", "exec", self._namespace(host)]

    def link(self, host, up):
        """Cut a host off, or connect it again.

        It is the bridge that forwards nothing, as a switch that has failed: with `ip link set … down` the kernel of the
        host would know, and would not wait between its attempts to send.
        """
        self._run("bridge", "link", "set", "dev", self._end(host), "state", "3" if up else "0")

    def close(self):
        for host in self.hosts:
            _ip("netns", "del", self._namespace(host))
            _ip("link", "del", self._end(host))
        _ip("link", "del", self._bridge)

    def reachable(self, host, seconds=10):
        """Wait until packets come through."""
        ping = [*self.inside(host), "bash", "-c", f"echo > /dev/tcp/{self.address}/9"]
        until(lambda: "refused" in subprocess.run(ping, capture_output=True, text=True, check=False).stderr, seconds)

    def _add(self, host):
        namespace, end = self._namespace(host), self._end(host)
        self._ip("netns", "add", namespace)
        self._ip("link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        self._ip("link", "set", end, "master", self._bridge, "up")
        for words in (
            ["addr", "add", f"{host}/24", "dev", "eth0"],
            ["link", "set", "lo", "up"],
            ["link", "set", "eth0", "address", _mac(host), "up"],
        ):
            self._ip("-n", namespace, *words)
        for other in {self.address, *self.hosts} - {host}:
            self._ip("-n", namespace, "neigh", "add", *_known(other), "dev", "eth0")
        self._ip("neigh", "add", *_known(host), "dev", self._bridge)

    def _namespace(self, host):
        return f"{self._tag}-{host.rpartition('.')[2]}"

    def _end(self, host):
        return f"{self._tag}-v{host.rpartition('.')[2]}"

    def _ip(self, *words):
        self._run("ip", *words)

    def _run(self, *words):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
