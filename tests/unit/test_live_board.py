"""Who listens to the board hears of each change of a QR code once, and of nothing else."""

from __future__ import annotations

import threading

import pytest

from actors.live import LiveBoard, LiveSession, QrCode

pytestmark = pytest.mark.unit


def code(text: str) -> QrCode:
    return QrCode(text=text, number=1, shown_ms=1)


def live(
    session: str, qr: QrCode | None, *, incarnation: int = 1, reason: str = "r"
) -> LiveSession:
    return LiveSession(
        session_id=session,
        incarnation=incarnation,
        phase="qr",
        status="qr_scanning",
        reason=reason,
        since_ms=1,
        qr=qr,
    )


def test_each_change_is_told_once() -> None:
    board, heard = LiveBoard(), list[tuple[str, QrCode | None]]()

    def listener(session_id: str, qr: QrCode | None) -> None:
        heard.append((session_id, qr))

    board.put(live("s", code("before")))
    board.listen(listener)
    board.put(live("s", code("a")))
    board.put(live("s", code("a"), reason="another"))
    board.put(live("t", None))
    board.put(live("t", code("b")))
    board.put(live("s", None))
    board.put(live("t", code("c"), incarnation=2))
    board.drop("t", 1)  # a younger one has put itself there
    board.drop("t", 2)
    board.drop("s", 1)
    assert heard == [
        ("s", code("a")),
        ("t", code("b")),
        ("s", None),
        ("t", code("c")),
        ("t", None),
    ]
    board.unlisten(listener)
    board.put(live("s", code("later")))
    assert len(heard) == 5


def test_two_threads_are_told_of_in_the_order_of_their_changes() -> None:
    board, heard = LiveBoard(), list[str]()
    board.listen(lambda _, qr: heard.append("" if qr is None else qr.text))

    def put(name: str) -> None:
        for number in range(200):
            board.put(live("s", code(f"{name}{number}")))

    threads = [threading.Thread(target=put, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(heard) == 400
    shown = board.get("s")
    assert shown is not None
    assert shown.qr is not None
    assert shown.qr.text == heard[-1]
