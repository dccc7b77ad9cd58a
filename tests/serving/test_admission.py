"""Places in the queue are given back once, and work stops at its deadline."""

import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from evc_jax.serving.admission import MAX_RETRY_AFTER_S, Admission, ExpiredError, check_deadline


def test_a_full_queue():
    admission = Admission(2, timeout_s=10)
    tickets = [admission.enter() for _ in range(3)]
    assert tickets[2] is None and admission.admitted == 2
    assert tickets[0].deadline == pytest.approx(time.monotonic() + 10, abs=1)
    tickets[0].close()
    assert admission.enter() is not None and admission.enter() is None


def test_unfinished_work_keeps_its_place():
    admission = Admission(1, timeout_s=10)
    ticket, work = admission.enter(), Future()
    ticket.hold_for(work)
    ticket.close()
    assert admission.enter() is None
    work.set_result(None)
    assert admission.admitted == 0


def test_a_deadline_belongs_to_one_thread():
    ticket = Admission(1, timeout_s=0.05).enter()
    with ThreadPoolExecutor(1) as other, ticket.working():
        check_deadline()
        time.sleep(0.1)
        with pytest.raises(ExpiredError):
            check_deadline()
        other.submit(check_deadline).result()
    check_deadline()


def test_work_past_its_deadline_does_not_begin():
    admission = Admission(1, timeout_s=-1)
    with pytest.raises(ExpiredError), admission.enter().working():
        pytest.fail("work began")
    assert admission.running == 0


def test_cancelled_work_ends():
    ticket = Admission(1, timeout_s=60).enter()
    with pytest.raises(ExpiredError), ticket.working():
        check_deadline()
        ticket.cancel()
        check_deadline()


def test_when_to_come_again():
    """Waiting requests times their mean duration, shared by the workers, in whole seconds within bounds."""
    admission = Admission(100, timeout_s=60, workers=2)
    assert admission.retry_after_s() == 1
    for _ in range(6):
        admission.enter()
    admission.note_duration(2.5)
    assert admission.retry_after_s() == 8  # 6 * 2.5 / 2
    admission.count_running(2)
    assert admission.retry_after_s() == 5
    for _ in range(50):
        admission.note_duration(0.1)
    assert admission.retry_after_s() == 1
    for _ in range(50):
        admission.note_duration(1000)
    assert admission.retry_after_s() == MAX_RETRY_AFTER_S
