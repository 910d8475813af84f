from __future__ import annotations

import threading
import time

from lexirec.serving.answering.shared_lock import SharedLock


def test_who_wants_it_alone_waits_for_the_others_and_new_ones_wait():
    lock, order, inside, go_on = SharedLock(), list[str](), threading.Barrier(3), threading.Event()

    def share() -> None:
        with lock.shared():
            inside.wait(10)  # both hold it at the same time
            assert go_on.wait(10)
            order.append("shared")

    def take_alone() -> None:
        with lock.alone():
            order.append("alone")
            time.sleep(0.05)
            order.append("alone")

    def come_late() -> None:
        with lock.shared():
            order.append("late")

    sharing = [threading.Thread(target=share) for _ in range(2)]
    for thread in sharing:
        thread.start()
    inside.wait(10)
    alone = threading.Thread(target=take_alone)
    alone.start()
    while not lock._alone:
        time.sleep(0.001)
    late = threading.Thread(target=come_late)
    late.start()
    time.sleep(0.05)
    assert order == [], "who holds it is not disturbed, and nobody passes who waits for it alone"
    go_on.set()
    for thread in (*sharing, alone, late):
        thread.join(10)
    assert order == ["shared", "shared", "alone", "alone", "late"]


def test_an_error_gives_it_back():
    lock = SharedLock()
    for way in (lock.shared, lock.alone):
        try:
            with way():
                raise ValueError
        except ValueError:
            pass
    with lock.alone():
        pass
