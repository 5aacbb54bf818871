"""One query from its decision to its bill: attempts, waits, streams, and what answers say of both.

Providers' clients are known by the shape of their answers and errors; none of them is imported.
"""

from stageroute.calls.call import AsyncCall, Call
from stageroute.calls.streams import AnswerStream, AsyncAnswerStream

__all__ = ["AnswerStream", "AsyncAnswerStream", "AsyncCall", "Call"]
