"""What Python makes of a task's arguments: the other half of producer_go/internal/differ."""

from __future__ import annotations

from penstock.schema.decode import Decoders
from penstock.schema.encode import Encoders
from penstock.schema.misfit import Misfit
from penstock.schema.model import Contract
from penstock.wire.codec import decode, pack
from penstock.wire.failure import WireError
from penstock.wire.registry import MAX_BODY_BYTES
from tests.helpers.differ import Verdict


class Arguments:
    """A contract's arguments, against which bodies are held as a worker does it: strictly."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._take = Decoders(contract).object(contract.arguments, {}, lambda made: made)
        self._encoders = Encoders(contract)
        self._write = self._encoders.of(contract.arguments)

    def judge(self, body: bytes) -> Verdict:
        """The verdict on a body, as Go gives it."""
        try:
            value = decode(body)
        except WireError:
            return Verdict("p", b"")
        try:
            made = self._take(value)
        except Misfit as misfit:
            found = misfit.details()
            return Verdict("m", "\0".join([found["path"], found["rule"], found["kind"]]).encode())
        # The worker fills in what the caller left out; here what was sent is written again.
        sent = {name: item for name, item in made.items() if name in value}
        self._encoders.begin(1)
        return Verdict("k", pack(self._write(sent, 1), max_bytes=MAX_BODY_BYTES))
