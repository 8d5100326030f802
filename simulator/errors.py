"""Errors of the simulator.

SimulatorError      has a stable ``code``, an HTTP ``status`` and a sentence that says what to do
├── InvalidRequestError 400, the request itself is wrong (unknown field, bad number, malformed code)
├── NotFoundError       404, the named account, contact, group, device, code or fault does not exist
├── ConflictError       409, it exists but its state forbids this (used code, device limit)
├── GoneError           410, it existed and has expired
└── WireError           400, a client sent a frame that the wire protocol does not know
"""

from __future__ import annotations

from typing import ClassVar


class SimulatorError(Exception):
    """Base of every error that the simulator reports to its callers."""

    status: ClassVar[int] = 500

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class InvalidRequestError(SimulatorError):
    status = 400


class NotFoundError(SimulatorError):
    status = 404


class ConflictError(SimulatorError):
    status = 409


class GoneError(SimulatorError):
    status = 410


class WireError(SimulatorError):
    status = 400
