"""A TCP proxy in front of a database server, which drops, delays and resets."""

import select
import socket
import struct
import threading
import time
from contextlib import closing, suppress
from typing import Literal

import sqlalchemy as sa

State = Literal["open", "silent", "slow", "reset"]
"""What the network does: deliver, lose everything, deliver late, or end every connection."""

DELAY_SECONDS = 0.3
"""Delay of each packet while the network is slow."""
_POLL_SECONDS = 0.05
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER by which closing a socket resets the connection."""


class Proxy:
    """Listens on a free port and connects each client with the server of a URL."""

    def __init__(self, url: str) -> None:
        """Listen, and deliver everything; `url` leads to the server."""
        self.state: State = "open"
        self._server = sa.make_url(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._is_closed = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """URL of the database through the proxy."""
        query = {k: v for k, v in self._server.query.items() if k not in ("host", "unix_socket")}
        port = self._listener.getsockname()[1]
        made = self._server.set(host="127.0.0.1", port=port, query=query)
        return made.render_as_string(hide_password=False)

    def close(self) -> None:
        """End all connections and stop listening."""
        self._is_closed, self.state = True, "reset"
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._is_closed:
            if select.select([self._listener], [], [], _POLL_SECONDS)[0]:
                client = self._listener.accept()[0]
                threading.Thread(target=self._relay, args=[client], daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        """Pass bytes in both directions until one side ends, or the network resets."""
        with closing(client), suppress(OSError):
            while self.state == "silent":
                time.sleep(_POLL_SECONDS)
            with closing(self._connect()) as server:
                other = {client: server, server: client}
                while self.state != "reset":
                    if self.state == "silent":  # bytes wait in the buffers, as on a dead route
                        time.sleep(_POLL_SECONDS)
                        continue
                    for source in select.select(list(other), [], [], _POLL_SECONDS)[0]:
                        if not (content := source.recv(1 << 16)):
                            return
                        if self.state == "slow":
                            time.sleep(DELAY_SECONDS)
                        other[source].sendall(content)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def _connect(self) -> socket.socket:
        """Connect with the server, through its socket file or TCP."""
        folder = self._server.query.get("host")
        if isinstance(folder, str) and folder.startswith("/"):  # PostgreSQL
            path = f"{folder}/.s.PGSQL.{self._server.port or 5432}"
        elif isinstance(path := self._server.query.get("unix_socket"), str):  # MariaDB
            pass
        else:
            return socket.create_connection((self._server.host, self._server.port))
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        return connection
