"""The API does what its OpenAPI document says, whatever is sent; schemathesis generates the requests."""

import pytest

schemathesis = pytest.importorskip("schemathesis")
hypothesis = pytest.importorskip("hypothesis")
# Bytes that fit the description of an upload are hardly ever a recording.
positive_data_acceptance = pytest.importorskip("schemathesis.specs.openapi.checks").positive_data_acceptance

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def operations(service):
    """What the document describes, by method and path."""
    from evc_jax.serving.app import make_app

    schema = schemathesis.openapi.from_asgi("/openapi.json", make_app(service))
    return {found.ok().label: found.ok() for found in schema.get_all_operations()}


@pytest.mark.parametrize(
    "label", ["POST /convert", "POST /transfer", "GET /health", "GET /health/live", "GET /info", "GET /metrics"]
)
def test_every_answer_is_described(operations, label):
    modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
    for mode in modes if label.startswith("POST") else modes[:1]:

        @hypothesis.given(case=operations[label].as_strategy(generation_mode=mode))
        @hypothesis.settings(
            max_examples=30 if label.startswith("POST") else 2, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )  # fmt: skip
        def check(case):
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        check()
