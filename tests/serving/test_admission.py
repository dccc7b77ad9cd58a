"""Places in the queue are given back once, and cores go first to those who have begun."""

import threading
import time
from concurrent.futures import Future

import pytest

from evc_jax.serving.admission import MAX_RETRY_AFTER_S, Admission, Cores


def test_a_full_queue():
    admission = Admission(2, timeout_s=10)
    tickets = [admission.enter() for _ in range(3)]
    assert tickets[2] is None and admission.admitted == 2
    assert tickets[0].deadline == pytest.approx(time.monotonic() + 10, abs=1)
    tickets[0].close()
    assert admission.enter() is not None and admission.enter() is None


def test_work_that_goes_on_keeps_its_place():
    admission = Admission(1, timeout_s=10)
    ticket, work = admission.enter(), Future()
    ticket.hold_for(work)
    ticket.close()
    assert admission.enter() is None
    work.set_result(None)
    assert admission.admitted == 0


def test_patience_grows_with_what_requests_take():
    admission = Admission(1, timeout_s=1000)
    assert admission.retry_after_s == 1
    for seconds, expected in ((20.0, 10), (1000.0, MAX_RETRY_AFTER_S)):
        for _ in range(30):
            admission.enter()
            admission.leave(seconds)
        assert admission.retry_after_s == expected


def test_who_has_begun_comes_first():
    cores, order = Cores(1), []

    def work(name, returning):
        cores.acquire(returning)
        order.append(name)
        cores.release()

    threads = [threading.Thread(target=work, args=(f"new {i}", False)) for i in range(3)]
    threads.append(threading.Thread(target=work, args=("begun", True)))
    with cores:
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        assert cores.busy == 1
    for thread in threads:
        thread.join()
    assert order[0] == "begun" and len(order) == 4 and cores.busy == 0
