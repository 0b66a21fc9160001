"""The whole configuration as one frozen value, and what the core is told of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, PrivateAttr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pipeline.config import CoreConfig, Limits
from topology.settings.health import HealthSettings
from topology.settings.kafka import KafkaSettings
from topology.settings.sections import (
    TOPIC_FIELDS,
    AlertSettings,
    DedupSettings,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    ServeSettings,
    StateSettings,
    StorageSettings,
    TopicSettings,
    WindowSettings,
)
from topology.settings.units import Moment, PositiveDurationMs, parse_topic_name

Origin = Literal["flag", "env", "file", "default"]


def _application_id(value: str) -> str:
    parse_topic_name(value)
    if len(value) > 200:
        raise ValueError(
            "is longer than 200 characters; internal topic names are made from it, so choose a shorter one"
        )
    return value


@dataclass(frozen=True, slots=True)
class Remarks:
    """What was met while settings were read: no mistakes, but worth a line in the log.

    Attributes:
        ignored_variables: environment names that begin with our prefix and are Kubernetes' service links.
        warnings: sentences with the remedy.
    """

    ignored_variables: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Settings(BaseSettings):
    """Every setting, with its default. `load_settings` builds it from flags, environment and file.

    Constructed directly it reads nothing from its surroundings, so a test or a tool gets exactly what it asked for.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=False)

    # Names the consumer group, the transactions and the internal topics; two fleets on one cluster need two names.
    application_id: Annotated[str, AfterValidator(_application_id)] = "modpulse"
    # Bounds the delay of every output. Flushes never take more than a quarter of a task's time: one that is behind makes fewer
    # by itself. Longer means fewer provisional records.
    flush_interval: PositiveDurationMs = 200
    # For a new application_id alone: once the application has state, the worker ignores it. The worker reads the input from this
    # time on (RFC 3339, milliseconds since 1970, or now) and publishes windows that start then or later. It raises no alert for
    # windows that ended before its first start. Its revisions begin above those of any application before it. Without the setting
    # a new application reads the input from its beginning.
    start_at: Moment = None
    # Well-keyed events need no second hop; "always" is for fleets whose clients hash keys differently.
    repartition: Literal["mismatch", "always"] = "mismatch"
    # The compiled part multiplies the throughput and changes no result; "require" refuses to start where it was not built.
    native: Literal["auto", "off", "require"] = "auto"
    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    windows: WindowSettings = WindowSettings()
    health: HealthSettings = HealthSettings()
    alerts: AlertSettings = AlertSettings()
    limits: LimitSettings = LimitSettings()
    dedup: DedupSettings = DedupSettings()
    state: StateSettings = StateSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()
    serve: ServeSettings = ServeSettings()
    storage: StorageSettings = StorageSettings()

    _origins: Mapping[str, Origin] = PrivateAttr(default_factory=dict)
    _remarks: Remarks = PrivateAttr(default=Remarks())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the caller passes: `load_settings` reads the layers itself to know where each value came from."""
        return (init_settings,)

    @classmethod
    def from_layers(cls, values: dict[str, Any], origins: Mapping[str, Origin], remarks: Remarks) -> Self:
        """The settings of these nested values; `origins` says per dotted name which layer gave it."""
        settings = cls(**values)
        settings._origins = dict(origins)
        settings._remarks = remarks
        return settings

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        if self.kafka.transaction_timeout <= self.flush_interval:
            raise ValueError(
                f"kafka.transaction_timeout = {self.kafka.transaction_timeout} ms is not longer than flush_interval ="
                f" {self.flush_interval} ms; the broker would abort every flush: raise it to at least ten times that"
            )
        open_windows = self.windows.core().most_open_windows
        if open_windows > self.limits.max_open_windows:
            raise ValueError(
                f"windows.grace + windows.corrections keep up to {open_windows} windows of a partition open, more than"
                f" limits.max_open_windows = {self.limits.max_open_windows}: shorten windows.corrections or raise the limit"
            )
        for field in TOPIC_FIELDS:
            name = getattr(self.topics, field)
            if name in self.internal_topics:
                raise ValueError(f'topics.{field} = "{name}" is an internal topic of this application; rename one')
        return self

    def origin(self, name: str) -> Origin:
        """Which layer gave the setting of this dotted name."""
        return self._origins.get(name, "default")

    @property
    def remarks(self) -> Remarks:
        """What was met while they were read."""
        return self._remarks

    def core(self) -> CoreConfig:
        """What the core of one task is told."""
        limits = self.limits
        return CoreConfig(
            windows=self.windows.core(),
            health=self.health.core(),
            limits=Limits(
                max_modules=limits.max_modules,
                module_expiry_ms=self.state.module_expiry,
                max_record_bytes=limits.max_record_bytes,
                max_labels=limits.max_labels,
                max_label_key_chars=limits.max_label_key_chars,
                max_label_value_chars=limits.max_label_value_chars,
                max_open_windows=limits.max_open_windows,
                max_buffered_bytes=limits.max_buffered_bytes,
                max_dedup_ids_per_pane=self.dedup.max_ids_per_pane,
            ),
            dedup=self.dedup.enabled,
            repartition=self.repartition,
            native=self.native != "off",
        )

    @property
    def changelog_topic(self) -> str:
        """State and position of each input partition."""
        return f"{self.application_id}-changelog"

    @property
    def repartition_topic(self) -> str:
        """Events on their way to the partition of their module."""
        return f"{self.application_id}-repartition"

    @property
    def partials_topic(self) -> str:
        """What each task adds to the system's windows."""
        return f"{self.application_id}-system-partials"

    @property
    def system_changelog_topic(self) -> str:
        """State and position of the system aggregate."""
        return f"{self.application_id}-system-changelog"

    @property
    def replayed_topic(self) -> str:
        """Which dead letters were replayed."""
        return f"{self.application_id}-dlq-replayed"

    @property
    def replay_transactional_id(self) -> str:
        """One for all replays of dead letters, so that a second one fences the first."""
        return f"{self.application_id}-dlq-replay"

    @property
    def worker_topics(self) -> tuple[str, ...]:
        """The internal topics a worker cannot do without."""
        return (self.changelog_topic, self.repartition_topic, self.partials_topic, self.system_changelog_topic)

    @property
    def internal_topics(self) -> tuple[str, ...]:
        """Every topic that is ours alone."""
        return (*self.worker_topics, self.replayed_topic)
