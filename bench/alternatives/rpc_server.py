"""A gRPC server of one method, without generated code: bytes in, bytes out.

It prints its port, and ends when stdin is closed.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from work import call

THREADS = 16


def answer(request: bytes, _: grpc.ServicerContext) -> bytes:
    """Do what the request names."""
    return str(call(request.decode())).encode()


server = grpc.server(ThreadPoolExecutor(THREADS))
methods = {"Call": grpc.unary_unary_rpc_method_handler(answer)}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("alternatives.Work", methods),))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
os._exit(0)  # without waiting for calls that hang
