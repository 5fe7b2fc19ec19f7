"""RabbitMQ's management API, for what AMQP cannot do: users, definitions, closing a connection."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from tests.helpers.servers import need


def call(method: str, path: str, body: object = None, *, url: str | None = None) -> Any:
    """One request to a broker, by default the tests' own; returns the decoded answer, None when it is empty."""
    scheme, rest = (url or need("PENSTOCK_MANAGEMENT_URL")).split("://")
    credentials, host = rest.rsplit("@", 1)
    user, _, password = credentials.partition(":")
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, f"{scheme}://{host}", user, password)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{scheme}://{host}{path}", data, headers, method=method)
    with opener.open(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def close_connections(name: str) -> int:
    """Close the connections whose name contains `name`, as the broker lists them now; returns how many."""
    closed = 0
    for connection in call("GET", "/api/connections"):
        if name in connection.get("client_properties", {}).get("connection_name", ""):
            try:
                call("DELETE", f"/api/connections/{quote(connection['name'])}")
            except urllib.error.HTTPError as error:
                error.close()  # it has ended meanwhile
            else:
                closed += 1
    return closed


@contextmanager
def user(name: str, password: str, *, write: str = ".*") -> Iterator[None]:
    """A user of the virtual host `/` who may do everything, but write only to what matches `write`."""
    set_password(name, password)
    call("PUT", f"/api/permissions/%2F/{name}", {"configure": ".*", "write": write, "read": ".*"})
    yield
    call("DELETE", f"/api/users/{name}")


def set_password(name: str, password: str) -> None:
    """Make a user, or change the password of one."""
    call("PUT", f"/api/users/{name}", {"password": password, "tags": ""})
