"""The offline WhatsApp: a server, its web page, scripted phones and faults, on loopback only.

It shares no code with what it tests, and any WhatsApp Web client can be pointed at it.
"""

from __future__ import annotations

from simulator.options import AccountSeed, ContactSeed, SimulatorOptions
from simulator.server import Simulator

__all__ = ["AccountSeed", "ContactSeed", "Simulator", "SimulatorOptions"]
