"""Listening on this machine, and on nothing else unless asked to."""

from __future__ import annotations

import logging
from collections.abc import Callable

from dash import Dash

from ..models.errors import InputError

__all__ = ["serve"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
THREADS = 8


def serve(
    app: Dash, host: str = "127.0.0.1", port: int = 8050, *, announce: Callable[[str], None] = lambda _text: None
) -> None:
    """Serve until Ctrl-C with waitress; `announce` gets the address once the port is taken (0: any free one).

    On a loopback address, requests that name another host are refused, so that no page from elsewhere
    reaches the application through the user's browser. Raises InputError where the port is taken.
    """
    from waitress.server import create_server

    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a full queue for a moment is no news
    if host in LOOPBACK:
        app.server.config["TRUSTED_HOSTS"] = list(LOOPBACK)
    try:
        server = create_server(app.server, host=host, port=port, threads=THREADS, ident="picojoule")
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"--host {host} --port {port}", reason, "a free port", "for example --port 8051") from None
    shown = f"[{host}]" if ":" in host else host
    listening = getattr(server, "effective_port", port)
    announce(f"picojoule dashboard: http://{shown}:{listening}/  (Ctrl-C stops it)")
    server.run()
