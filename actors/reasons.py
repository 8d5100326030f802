"""The one table of reasons: a stable code, and the sentence that an operator reads beside it.

A session's status says where it is, its reason says why, and the sentence says what happens next.
"""

from __future__ import annotations

from typing import Final

REASONS: Final[dict[str, str]] = {
    # disconnected
    "created": "The session was never started; start it to get a QR code.",
    "queued": "Waiting for its turn to launch a browser (see detail).",
    "capacity_reached": "The node runs as many sessions as it may; stop one, then start this one.",
    "launching": "Its browser is being launched.",
    "opening": "WhatsApp Web is being loaded.",
    "resuming": "A login is stored; WhatsApp Web is connecting with it.",
    "socket_lost": "WhatsApp Web lost its connection and is trying again.",
    "stopping": "It is being stopped.",
    "stopped": "It was stopped on request; start it to connect again.",
    "restarting": "It was restarted on request.",
    "recovered": "Its login was on the disk, but not in the restored database; start it.",
    "recycling": "wafleet restarts it to keep it healthy (see detail); no QR code is needed.",
    "disk_full": "The disk is nearly full; no browser is launched until there is more room.",
    "supervisor_stopped": "wafleet was stopped; the session comes back when wafleet runs.",
    "supervisor_died": "wafleet ended without stopping its sessions; the session is brought back.",
    "browser_exited": "Its browser ended by itself; it is started again.",
    "unreachable": "WhatsApp Web can't be reached from here (see detail); it is tried again.",
    "memory_exceeded": "Its browser took too much memory (see detail) and was killed; it is"
    " started again.",
    "browser_unresponsive": "Its browser gave no sign of life; it is killed and started again.",
    "page_crashed": "Its page crashed; it is loaded again, in a new browser if need be.",
    "page_unresponsive": "Its page did not answer in time; it is freed, or loaded again.",
    "login_lost": "Its stored login is damaged; the last archive of it is restored.",
    "taking_over": "Another WhatsApp Web window took the login over; it is being taken back.",
    "open_timeout": "WhatsApp Web did not load in time; the browser is started again.",
    "sync_timeout": "The login did not finish syncing in time; the browser is started again.",
    "socket_timeout": "WhatsApp Web did not connect again in time; it is loaded again.",
    "update_required": "WhatsApp Web wants to be reloaded for a new version; it is started again.",
    "launch_failed": "Its browser could not be started; wafleet tries again.",
    "storage_failed": "wafleet's database can't be written (a full disk, or locked by another"
    " program; see the log); it is tried again.",
    "actor_crashed": "wafleet's own code for it failed; it is started again. See the log.",
    "qr_timeout": "No phone scanned the QR code; start the session again for a new one.",
    "qr_limited": "Too many QR windows in a short time; see detail for when to start it again.",
    "logged_out": "The device was unlinked; start the session and scan a QR code to link it again.",
    # qr_scanning
    "qr_shown": "A QR code waits to be scanned with the phone (Linked devices).",
    "qr_expected": "No login is stored; WhatsApp Web is about to show a QR code.",
    # authenticated
    "syncing": "The phone accepted; WhatsApp Web is syncing chats.",
    # connected
    "ready": "Connected, synced and able to send.",
    "degraded": "Connected, but WhatsApp Web changed: some functions are missing (see detail).",
    "acks_missing": "Connected, but WhatsApp does not acknowledge its messages; it is repaired.",
    "evidence_missing": "WhatsApp's server is silent, even to a note to self; it is repaired.",
    "unproven": "Connected as far as can be told; nothing has proved it lately, and nothing can.",
    "imported": "A number of the Cloud API, moved in with its credentials; no browser runs for it.",
    # failed
    "chromium_missing": "No Chromium was found; install chromium-headless-shell, then start again.",
    "bundle_missing": "The wa-js bundle is missing; run make setup, then start again.",
    "profile_in_use": "Another program has this session's profile open; end it, then start again.",
    "page_incompatible": "WhatsApp Web changed (see detail); wafleet has to be updated.",
    "crash_loop": "It failed too often in a short time; wafleet tries again after a pause.",
    "banned": "WhatsApp has blocked this number; appeal in the phone's WhatsApp, then start again.",
    "proxy_blocked": "WhatsApp refuses connections from this network; change it, then start again.",
    "deprecated_version": "WhatsApp Web refuses this client's version; update wafleet.",
    "conflict": "Another WhatsApp Web window took the login over; start again to take it back.",
}

LASTING: Final[frozenset[str]] = frozenset(
    {
        "created",
        "stopped",
        "qr_timeout",
        "qr_limited",
        "logged_out",
        "supervisor_stopped",
        "supervisor_died",
        "imported",
        "recovered",
    }
)
"""Reasons that stay true when wafleet itself ends."""

TRANSIENT: Final = frozenset(REASONS) - LASTING
"""Reasons that die with the life of wafleet that wrote them: at the next boot nothing runs."""

OUTSIDE: Final = frozenset({"unreachable", "storage_failed"})
"""Reasons that no restart brings about and no restart mends: tried again, never a crash loop."""

PERMANENT: Final[frozenset[str]] = frozenset(
    {
        "qr_timeout",
        "qr_limited",
        "logged_out",
        "chromium_missing",
        "bundle_missing",
        "profile_in_use",
        "page_incompatible",
        "banned",
        "proxy_blocked",
        "deprecated_version",
        "conflict",
    }
)
"""Reasons after which starting again by itself can't help; a person has to act."""


def sentence(reason: str) -> str:
    """Return the sentence of a reason. Raises KeyError for one that is not in the table."""
    return REASONS[reason]
