"""Places in the queue are given back once, and work stops at its deadline."""

import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from evc_jax.serving.admission import Admission, ExpiredError, check_deadline


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
