"""parameters and redacted: an AMQP URL becomes a connection, and never an error with a password in it."""

from __future__ import annotations

import pytest

from penstock.broker.connection import parameters, redacted
from penstock.errors import UsageError

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "host", "port", "vhost", "user"),
    [
        ("amqp://", "localhost", 5672, "/", "guest"),
        ("amqp://rabbit", "rabbit", 5672, "/", "guest"),
        (f"amqp://shop:{SECRET}@rabbit:5673/live", "rabbit", 5673, "live", "shop"),
        (f"amqp://shop:{SECRET}@rabbit/%2F", "rabbit", 5672, "/", "shop"),
        (f"amqp://sh%40op:{SECRET}@[::1]:5673/a%2Fb", "::1", 5673, "a/b", "sh@op"),
        ("amqps://rabbit", "rabbit", 5671, "/", "guest"),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int, vhost: str, user: str) -> None:
    made = parameters(url, name="n")
    assert (made.host, made.port, made.virtual_host) == (host, port, vhost)
    assert made.credentials.username == user


def test_the_broker_is_told_the_connections_name() -> None:
    made = parameters("amqp://rabbit", name="penstock worker w-1 consume")
    assert made.client_properties == {"connection_name": "penstock worker w-1 consume"}


def test_a_connection_that_the_broker_blocks_is_kept() -> None:
    """It is alive: a new one would be blocked as well, and what is unconfirmed would be published twice."""
    assert parameters("amqp://rabbit", name="n").blocked_connection_timeout is None


def test_a_dead_peer_is_noticed_soon() -> None:
    assert parameters("amqp://rabbit", name="n").heartbeat == 10


def test_a_url_may_have_its_own_times() -> None:
    made = parameters("amqp://rabbit/?blocked_connection_timeout=7&heartbeat=3&stack_timeout=4", name="n")
    assert (made.blocked_connection_timeout, made.heartbeat, made.stack_timeout) == (7, 3, 4)


@pytest.mark.parametrize("url", ["", "rabbit", "http://rabbit", "amqp:/rabbit", "redis://rabbit"])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"does not begin with amqp:// or amqps://"):
        parameters(url, name="n")


@pytest.mark.parametrize(
    "rest",
    [
        "rabbit:notaport/",
        "rabbit:99999/",
        "[::1/",
        "rabbit/?heartbeat=often",
        "rabbit/?heartbeat=-1",
        "rabbit/?no_such_option=1",
        "rabbit/?socket_timeout=0",
        "rabbit/?ssl_options=%7B",
        "rabbit/?ssl_options=1",
        "rabbit/?tcp_options=%7B",
        "rabbit/?tcp_options=[1",
    ],
)
@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
def test_a_malformed_url_is_refused_without_its_password(scheme: str, rest: str) -> None:
    # Given a URL with a password and something wrong
    url = f"{scheme}://shop:{SECRET}@{rest}"

    # When it is read
    with pytest.raises(UsageError) as refusal:
        parameters(url, name="n")

    # Then the sentence names the host and not the password
    assert "rabbit" in str(refusal.value) or "[::1" in str(refusal.value)
    assert SECRET not in str(refusal.value)


def test_a_certificate_file_that_is_missing_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="No such file"):
        parameters("amqps://rabbit/?ssl_options={'ca_certs':'/no/such/file'}", name="n")


@pytest.mark.parametrize(
    "url",
    [
        f"shop:{SECRET}@rabbit",  # the scheme was forgotten
        f"amqp:shop:{SECRET}@rabbit",
        f"amqp:/shop:{SECRET}@rabbit",
        f"http://shop:{SECRET}@rabbit",
        f"amqp://shop:{SECRET}/x@rabbit/",  # characters that should have been percent-encoded
        f"amqp://shop:{SECRET}#x@rabbit/",
        f"amqp://shop:{SECRET}?x@rabbit/",
        f"amqp://shop:{SECRET}:x@rabbit:port/",
        f"amqp://shop:{SECRET}@x@rabbit:port/",
        f"amqp://:{SECRET}@rabbit:port/",
    ],
)
def test_no_slip_in_a_url_shows_the_password(url: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parameters(url, name="n")
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://rabbit:5672/live", "amqp://rabbit:5672/live"),
        ("amqp://shop@rabbit/", "amqp://shop@rabbit/"),
        (f"amqp://shop:{SECRET}@rabbit/live", "amqp://shop:***@rabbit/live"),
        (f"amqp://shop:a@{SECRET}@rabbit/", "amqp://shop:***@rabbit/"),
        (f"amqps://shop:{SECRET}/:?#@rabbit/", "amqps://shop:***@rabbit/"),
        ("amqp://shop:@rabbit/", "amqp://shop:***@rabbit/"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert redacted(url) == shown
