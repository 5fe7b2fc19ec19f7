"""Messages as a broker in memory keeps them and hands them out: with the attributes that pika gives them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, fields
from typing import Any


@dataclass(slots=True, kw_only=True)
class Properties:
    """The properties of a message, under the names that AMQP and pika have for them; None: absent."""

    content_type: str | None = None
    content_encoding: str | None = None
    headers: dict[str, Any] | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None

    @classmethod
    def of(cls, given: Any) -> Properties:
        """A copy of properties, of this class or pika's, that shares nothing with them."""
        values = {field.name: getattr(given, field.name, None) for field in fields(cls)}
        return cls(**{**values, "headers": deepcopy(values["headers"]) or None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What the broker says of a delivery (AMQP's basic.deliver)."""

    exchange: str
    routing_key: str
    delivery_tag: int
    redelivered: bool


@dataclass(slots=True, kw_only=True, eq=False)
class Message:
    """A message in a queue.

    Attributes:
        exchange: The exchange through which it came.
        routing_key: Its key there.
        properties: As published, with the headers that dead-lettering added.
        body: The bytes.
        returns: How often it came back to its queue.
        counted: How many of those count against the delivery limit.
        expires_at: When it leaves its queue, by the broker's clock; None: never.
    """

    exchange: str
    routing_key: str
    properties: Properties
    body: bytes
    returns: int = 0
    counted: int = 0
    expires_at: float | None = None

    @property
    def headers(self) -> dict[str, Any]:
        """Its headers, {} when there are none."""
        return self.properties.headers or {}
