"""A gRPC server without generated code: bytes in, bytes out, of one call one or many.

It prints its port, and ends when stdin is closed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
from work import call

THREADS = 16


def answer(request: bytes, _: grpc.ServicerContext) -> bytes:
    """Do what the request names."""
    return str(call(request.decode())).encode()


def count(request: bytes, _: grpc.ServicerContext) -> Iterator[bytes]:
    """The numbers below the one that was sent, one after the other."""
    return (str(number).encode() for number in range(int(request)))


server = grpc.server(ThreadPoolExecutor(THREADS))
methods = {
    "Call": grpc.unary_unary_rpc_method_handler(answer),
    "Count": grpc.unary_stream_rpc_method_handler(count),
}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("alternatives.Work", methods),))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
os._exit(0)  # without waiting for calls that hang
