"""The OpenAPI document is true: generated requests find no answer that it does not describe."""

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.api.conftest import Client, Environment
from tests.api.process import Process

EXAMPLES = 12
# A schema cannot say that a time has to lie between now and the retention, or before another one;
# so `positive_data_acceptance` is left out.
# It has no end: tests of its own listen to it.
ENDLESS = "/v1/live"


def test_the_api_does_what_its_description_says(environment: Environment, tmp_path: Path) -> None:
    # Slow to import, and every worker collects this file.
    import schemathesis  # noqa: PLC0415
    from schemathesis import GenerationMode  # noqa: PLC0415
    from schemathesis.core.failures import Failure, FailureGroup  # noqa: PLC0415
    from schemathesis.core.result import Ok  # noqa: PLC0415
    from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: PLC0415

    with Process(environment, log_file=tmp_path / "api.log") as process:
        described = schemathesis.openapi.from_url(f"{process.address}/openapi.json")
        faults: list[str] = []
        tried = 0
        for operation in described.exclude(path=ENDLESS).get_all_operations():
            assert isinstance(operation, Ok), operation
            one = operation.ok()

            @settings(
                max_examples=EXAMPLES,
                derandomize=True,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(
                case=st.one_of(
                    one.as_strategy(generation_mode=GenerationMode.POSITIVE),
                    one.as_strategy(generation_mode=GenerationMode.NEGATIVE),
                )
            )
            def answers_as_described(case: schemathesis.Case[Any]) -> None:
                nonlocal tried
                tried += 1
                case.call_and_validate(excluded_checks=[positive_data_acceptance])

            try:
                answers_as_described()
            except (Failure, FailureGroup) as error:
                faults.append(f"{one.label}: {error}")
        assert not faults, "\n\n".join(faults)
        assert tried > EXAMPLES * 20
        assert process.events("request_failed") == []


async def test_every_path_has_examples_and_every_answer_is_declared(client: Client) -> None:
    document = (await client.get("/openapi.json")).json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            said = f"{method} {path}"
            assert operation["summary"], said
            assert operation["description"], said
            answers = set(operation["responses"])
            assert "403" in answers, said
            if path.startswith("/v1/"):
                assert {"401", "422", "429", "503"} <= answers, said
            if "requestBody" in operation:
                assert {"413", "415"} <= answers, said
                [media] = operation["requestBody"]["content"].values()
                assert "example" in media, said
            for status, answer in operation["responses"].items():
                if status == "204":
                    assert "content" not in answer, said
                elif status.startswith("2"):
                    [media] = answer["content"].values()
                    assert "example" in media, f"{said} {status}"
