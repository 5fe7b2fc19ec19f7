"""RabbitMQ's management API, for what AMQP cannot do: users, definitions, closing a connection."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

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
