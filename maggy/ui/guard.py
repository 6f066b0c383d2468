"""Who may see the pages, as a layer around the application.

Rules of this file:

1. What is not allowed is refused: every request passes here, whatever its path, method or protocol.
2. The pages listen on the loopback interface, but whoever knows their port can send a browser to them. So the name
   that the browser was sent to has to be the loopback's (a name that is pointed at 127.0.0.1 later is refused), and
   the page that asks has to be one of ours (`Origin`, `Sec-Fetch-Site`).
3. Other users of the machine reach the port as well. A secret makes the difference: a *ticket* in the address that
   the terminal shows, good for one visit, is exchanged for a cookie; then it is not in the address any more.
4. There is nothing but looking: no other method than GET and HEAD.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HERE = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)
TICKET = "token"
BYTES = 32  # of a secret
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
    # Styles stand in elements: bars have widths. Plotly makes functions of text for what it draws by WebGL; no script
    # stands in a page, and none is loaded from elsewhere.
    "content-security-policy": "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}


class Guard:
    """Lets through whoever has the cookie, from here, to look.

    Arguments:
        app: what is guarded, an ASGI application.
        port: where it is served: cookies know hosts and no ports, so its name tells servers apart.
        announce: called with each new ticket, the first one included.

    """

    def __init__(self, app: App, port: int, announce: Callable[[str], None]) -> None:
        self._app = app
        self._cookie = f"maggy-{port}"
        self._secret = secrets.token_urlsafe(BYTES)
        self._announce = announce
        self._issue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let it be answered."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        answer = self._judged(scope)
        if answer is None:
            await self._app(scope, receive, _with_headers(send))
            return
        status, headers, text = answer
        body = text.encode()
        told = [("content-type", "text/plain; charset=utf-8"), ("content-length", str(len(body))), *headers]
        raw = [(name.encode(), value.encode("latin-1")) for name, value in told]
        await _with_headers(send)({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    def _judged(self, scope: Scope) -> tuple[int, list[tuple[str, str]], str] | None:
        """Return how a request is refused or sent on; None where it may pass."""
        found: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        hosts = found.get("host", [])
        if len(hosts) != 1 or not HERE.fullmatch(hosts[0]):
            return 403, [], "These pages are seen at http://127.0.0.1 or http://localhost only.\n"
        foreign = any(origin != f"http://{hosts[0]}" for origin in found.get("origin", []))
        if foreign or any(site not in ("same-origin", "none") for site in found.get("sec-fetch-site", [])):
            return 403, [], "Another page has asked for this. Paste the address into the browser's address bar.\n"
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        tickets = [value for name, value in query if name == TICKET]
        known = any(map(self._is_ours, found.get("cookie", [])))
        if not known and not (len(tickets) == 1 and secrets.compare_digest(tickets[0].encode(), self._ticket.encode())):
            why = "This address was good for one visit" if tickets else "This is somebody's maggy"
            return 403, [], f"{why}: open the last address in the terminal where `maggy ui` runs.\n"
        if scope["method"] not in ("GET", "HEAD"):
            return 405, [("allow", "GET, HEAD")], "There is nothing here but to look at.\n"
        if not tickets:
            return None
        rest = urlencode([(name, value) for name, value in query if name != TICKET])
        path = "/" + scope.get("raw_path", b"/").decode("latin-1").lstrip("/")
        headers = [("location", path + ("?" + rest if rest else ""))]
        if not known:
            self._issue()
            headers.append(("set-cookie", f"{self._cookie}={self._secret}; Path=/; HttpOnly; SameSite=Strict"))
        return 303, headers, ""

    def _is_ours(self, cookies: str) -> bool:
        for cookie in cookies.split(";"):
            name, _, value = cookie.strip().partition("=")
            if name == self._cookie and secrets.compare_digest(value.encode(), self._secret.encode()):
                return True
        return False

    def _issue(self) -> None:
        self._ticket = secrets.token_urlsafe(BYTES)
        self._announce(self._ticket)


def _with_headers(send: Send) -> Send:
    """Return what sends an answer with the headers that all have; what is not said to be kept is not."""

    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))
            headers += [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            if not any(name.lower() == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers}
        await send(message)

    return sent
