"""The contracts as one AsyncAPI document: for people, for catalogs, and for tools of other languages.

It is written from the side of a producer: what it sends, and what comes back. The document follows from the
contracts alone, so that writing it again changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from penstock.contract.draft07 import definitions, reference
from penstock.contract.envelope import ERROR, ITEM_HEADERS, JOB_HEADERS, SCHEMAS
from penstock.wire import registry

Document = dict[str, Any]

#: The newest version that the tools of 2024 read too; 3.1 has nothing that is needed here.
VERSION: Final = "3.0.0"

_BINDING: Final = "0.3.0"
_REPLIES: Final = "replies"
#: What is kept of x-task, and under which name.
_EXTENSIONS: Final = {"errors": "x-errors", "callable": "x-callable", "deprecated_since": "x-deprecated-since"}
_ABOUT: Final = (
    "What the workers of these tasks take and answer. A body is one msgpack value of the penstock profile; the schemas "
    "describe it as JSON Schema does, with `x-wire` where msgpack has a kind that JSON lacks: `bin`, `timestamp`, and "
    "`ndarray` (a map of dtype, shape and data). Properties of the AMQP messages are in contracts/PROFILE.md."
)


def document(contracts: Iterable[Mapping[str, Any]], namespace: str = registry.NAMESPACE) -> Document:
    """The document.

    Args:
        contracts: JSON documents of valid contracts, in any order; of each task and version one.
        namespace: What the names of the exchanges begin with.
    """
    made = _Making(namespace)
    for contract in sorted(contracts, key=lambda each: (each["x-task"]["name"], each["x-task"]["version"])):
        made.add(contract)
    return made.document()


def text(document: Document) -> str:
    """A document as the file's text."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


class _Making:
    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._tasks: dict[str, Any] = {}
        self._replies: dict[str, Any] = {}
        self._operations: dict[str, Any] = {}
        self._messages: dict[str, Any] = {}
        self._schemas: dict[str, Any] = {}

    def add(self, contract: Mapping[str, Any]) -> None:
        """Add a task in one of its versions."""
        about = contract["x-task"]
        task, version = about["name"], f"v{about['version']}"
        full = f"{task}.{version}"
        self._schemas |= definitions(contract, about["args"], f"{full}.args.", strict=True)
        self._schemas |= definitions(contract, about["result"], f"{full}.result.", strict=False)
        self._messages[f"{full}.job"] = _job(about, full)
        self._messages[f"{full}.result"] = _result(about, full)
        self._replies[full] = {"$ref": f"#/components/messages/{full}.result"}
        if "items" in about:
            self._schemas |= definitions(contract, about["items"], f"{full}.item.", strict=False)
            self._messages[f"{full}.item"] = _item(about, full)
            self._replies[f"{full}.item"] = {"$ref": f"#/components/messages/{full}.item"}
        channel = self._tasks.setdefault(task, self._channel("jobs", {"address": task, "messages": {}}))
        channel["messages"][version] = {"$ref": f"#/components/messages/{full}.job"}
        self._operations[full] = _operation(contract, task, version)

    def document(self) -> Document:
        """Everything that was added."""
        replies = {
            "address": None,
            "description": "The producer's own reply queue; its address is the job's reply_to.",
            "messages": self._replies,
        }
        return {
            "asyncapi": VERSION,
            "info": {"title": "Tasks", "version": "1", "description": _ABOUT},
            "defaultContentType": registry.CONTENT_TYPE,
            "channels": {**self._tasks, _REPLIES: self._channel("replies", replies)} if self._tasks else {},
            "operations": self._operations,
            "components": {"messages": self._messages, "schemas": {**SCHEMAS, **self._schemas}},
        }

    def _channel(self, exchange: str, channel: Document) -> Document:
        name = f"{self._namespace}.{exchange}"
        described = {"name": name, "type": "topic", "durable": True, "autoDelete": False}
        return {
            **channel,
            "bindings": {"amqp": {"is": "routingKey", "exchange": described, "bindingVersion": _BINDING}},
        }


def _operation(contract: Mapping[str, Any], task: str, version: str) -> Document:
    about = contract["x-task"]
    described = contract.get("description", "")
    replies = [f"{task}.{version}", *([f"{task}.{version}.item"] if "items" in about else [])]
    operation: Document = {
        "action": "send",
        "channel": {"$ref": f"#/channels/{task}"},
        "title": f"{task} {version}",
        "tags": [{"name": task.partition(".")[0]}],
        "bindings": {"amqp": {"deliveryMode": 2, "mandatory": True, "bindingVersion": _BINDING}},
        "messages": [{"$ref": f"#/channels/{task}/messages/{version}"}],
        "reply": {
            "address": {
                "location": "$message.header#/reply_to",
                "description": "The AMQP property reply_to: the routing key of the producer's reply queue.",
            },
            "channel": {"$ref": f"#/channels/{_REPLIES}"},
            "messages": [{"$ref": f"#/channels/{_REPLIES}/messages/{reply}"} for reply in replies],
        },
    }
    if described:
        operation |= {"summary": described.partition("\n")[0], "description": described}
    return operation | {extension: about[key] for key, extension in _EXTENSIONS.items() if key in about}


def _job(about: Mapping[str, Any], full: str) -> Document:
    own = {**_identity(about), "args": reference(f"{full}.args.{about['args']}")}
    return {
        **_message(registry.TYPE_JOB, f"A job of {about['name']}", "payload#/id"),
        "headers": reference(JOB_HEADERS),
        "payload": {"allOf": [reference(registry.TYPE_JOB), {"type": "object", "properties": own}]},
    }


def _result(about: Mapping[str, Any], full: str) -> Document:
    value = reference(f"{full}.result.{about['result']}")
    own = {
        "type": "object",
        "properties": _identity(about),
        "oneOf": [
            {"properties": {"status": {"const": "ok"}, "result": value}, "required": ["result"]},
            {"properties": {"status": {"const": "error"}, "error": reference(ERROR)}, "required": ["error"]},
        ],
    }
    return {
        **_message(registry.TYPE_RESULT, f"A result of {about['name']}", "payload#/job_id"),
        "payload": {"allOf": [reference(registry.TYPE_RESULT), own]},
    }


def _item(about: Mapping[str, Any], full: str) -> Document:
    return {
        **_message(registry.TYPE_ITEM, f"Items of {about['name']}", "header#/correlation_id"),
        "headers": reference(ITEM_HEADERS),
        "payload": {"type": "array", "items": reference(f"{full}.item.{about['items']}"), "minItems": 1},
    }


def _identity(about: Mapping[str, Any]) -> Document:
    return {"task": {"const": about["name"]}, "tv": {"const": about["version"]}}


def _message(kind: str, title: str, identity: str) -> Document:
    return {
        "name": kind,
        "title": title,
        "contentType": registry.CONTENT_TYPE,
        "correlationId": {"location": f"$message.{identity}"},
        "bindings": {"amqp": {"messageType": kind, "bindingVersion": _BINDING}},
    }
