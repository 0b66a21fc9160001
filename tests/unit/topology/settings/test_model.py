"""The settings as a whole: sections that agree with each other, and topics that are ours alone."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.config import CoreConfig
from topology.settings import Settings, load_settings


def test_the_defaults_are_those_of_the_core() -> None:
    assert Settings().core() == CoreConfig()


def test_the_internal_topics_carry_the_application_id() -> None:
    settings = Settings(application_id="fleet")
    assert settings.internal_topics == (
        "fleet-changelog",
        "fleet-repartition",
        "fleet-system-partials",
        "fleet-system-changelog",
        "fleet-dlq-replayed",
    )
    assert set(settings.worker_topics) == set(settings.internal_topics) - {settings.replayed_topic}


def test_nothing_of_the_surroundings_enters_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODPULSE_APPLICATION_ID", "elsewhere")
    monkeypatch.setenv("APPLICATION_ID", "elsewhere")
    assert Settings().application_id == "modpulse"
    assert load_settings(environ={}).application_id == "modpulse"


def test_settings_cannot_be_changed() -> None:
    settings: Any = Settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.application_id = "other"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"topics": {"dlq": "modpulse-changelog"}}, 'topics.dlq = "modpulse-changelog" is an internal topic'),
        ({"topics": {"late": "modpulse-dlq-replayed"}}, 'topics.late = "modpulse-dlq-replayed" is an internal topic'),
        ({"flush_interval": "1m"}, "the broker would abort every flush"),
        ({"windows": {"corrections": "1000d"}}, "shorten windows.corrections or raise the limit"),
        ({"application_id": "x" * 201}, "is longer than 200 characters"),
        ({"application_id": "a b"}, "is not a legal Kafka name"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(**values)
    assert problem in str(caught.value)


def test_what_is_just_within_the_rules_is_taken() -> None:
    assert Settings(flush_interval=59_999).flush_interval == 59_999
    assert Settings(application_id="x" * 200).internal_topics[0].endswith("-changelog")


def test_as_many_windows_may_be_open_as_the_limit_says() -> None:
    most = Settings().windows.core().most_open_windows
    assert Settings.model_validate({"limits": {"max_open_windows": most}}).core().limits.max_open_windows == most
    with pytest.raises(ValidationError, match=f"keep up to {most} windows of a partition open, more than"):
        Settings.model_validate({"limits": {"max_open_windows": most - 1}})


def test_an_origin_that_nobody_gave_is_the_default() -> None:
    settings = load_settings(overrides={"windows.grace": "3s"}, environ={"MODPULSE_DEDUP__ENABLED": "off"})
    names = ("windows.grace", "dedup.enabled", "windows.sizes")
    assert [settings.origin(name) for name in names] == ["flag", "env", "default"]
    assert Settings().origin("windows.grace") == "default"
    assert not settings.core().dedup
