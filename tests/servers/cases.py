"""The faults that the shipped alerts are for. A test fails for an alert that has no case here."""

from collections.abc import Callable

from tests.servers.scene import Case, Change, Labels, constant, rising


def _is(**wanted: str) -> Callable[[Labels], bool]:
    return lambda labels: wanted.items() <= labels.items()


_input = lambda labels: labels["task"] == "1" and labels["topic"].endswith("module_log_events")  # noqa: E731
_stopped = Change("modpulse_consumed_records_total", constant(1e6), _is(task="1"))
_up = 'up{instance="w:9464",job="modpulse"}'
_other_up = 'up{instance="w2:9464",job="modpulse"}'

CASES = (
    # --- workers ---
    Case(
        "the only worker is gone",
        {1: set(), 2: {"ModpulseDown"}, 4: {"ModpulseDown", "ModpulseNobodyWorks"}},
        everything_ends=True,
        added={_up: lambda s: 1 if s < 1800 else 0},
    ),
    Case(
        "nothing is scraped any more",
        {2: set(), 4: {"ModpulseNobodyWorks"}},
        everything_ends=True,
        added={_up: lambda s: 1 if s < 1800 else None},
    ),
    Case("one worker of several is gone", {1: set(), 3: {"ModpulseDown"}}, added={_other_up: lambda s: int(s < 1800)}),
    Case(
        "one worker under a supervisor is gone, and the other has taken over",
        {1: set(), 3: {"ModpulseWorkerDown"}},
        (Change("modpulse_worker_up", constant(0), _is(worker="1")),),
        page="supervisor",
    ),
    Case(
        "the broker is away",
        {2: set(), 4: {"ModpulseNobodyWorks"}, 6: {"ModpulseNobodyWorks", "ModpulseNotReady"}},
        (Change("modpulse_ready", constant(0)),),
    ),
    Case(
        "one worker under a supervisor is not ready",
        {4: set(), 6: {"ModpulseNotReady"}},
        (Change("modpulse_ready", constant(0), _is(worker="1")),),
        page="supervisor",
    ),
    Case("a partition has no owner", {4: set(), 6: {"ModpulseTasksMissing"}}, (Change("modpulse_tasks", constant(2)),)),
    Case(
        "a task is parked",
        {4: set(), 6: {"ModpulseTaskParked", "ModpulseTasksMissing"}},
        (Change("modpulse_task_parked", constant(1), _is(task="1")), Change("modpulse_tasks", constant(2))),
    ),
    Case(
        "a worker begins again and again in the same process",
        {5: set(), 12: {"ModpulseRestarts"}},
        (Change("modpulse_start_time_seconds", lambda s: s // 120 * 120),),
    ),
    Case("it began again once", {1: set(), 20: set()}, (Change("modpulse_start_time_seconds", constant(1800)),)),
    Case(
        "a worker under a supervisor is killed again and again",
        {2: set(), 12: {"ModpulseWorkerRestarts"}},
        (Change("modpulse_worker_restarts_total", lambda s: s // 120, _is(worker="1")),),
        page="supervisor",
    ),
    Case(
        "a restore takes long",
        {4: set(), 6: {"ModpulseRestoreSlow"}},
        (Change("modpulse_restoring_tasks", constant(1)),),
    ),
    # --- progress ---
    Case(
        "a task cannot write",
        {
            3: set(),
            7: {"ModpulseNoCommits"},
            60: {"ModpulseNoCommits", "ModpulseLagging", "ModpulseLagGrowing", "ModpulseStreamTimeFrozen"},
        },
        (
            _stopped,
            Change("modpulse_last_commit_timestamp_seconds", constant(1800), _is(task="1")),
            Change("modpulse_stream_time_seconds", constant(1800), _is(task="1")),
            Change("modpulse_lag_records", rising(40, 1), _input),
        ),
    ),
    Case(
        "a task that was opened never commits",
        {2: set(), 5: {"ModpulseNoCommits"}},
        (
            Change("modpulse_last_commit_timestamp_seconds", constant(0), _is(task="1")),
            Change("modpulse_lag_records", constant(20), _input),
        ),
    ),
    Case(
        "a partition has no input, and so nothing to commit",
        {5: set(), 60: set()},
        (
            _stopped,
            Change("modpulse_last_commit_timestamp_seconds", constant(1800), _is(task="1")),
            Change("modpulse_stream_time_seconds", constant(1800), _is(task="1")),
            Change("modpulse_lag_records", constant(0), _is(task="1")),
        ),
    ),
    Case(
        "more comes in than is processed",
        {5: set(), 20: {"ModpulseLagGrowing"}, 90: {"ModpulseLagGrowing", "ModpulseLagging"}},
        (Change("modpulse_lag_records", rising(8), _input),),
    ),
    Case(
        "a backlog after a stop, worked off at a good speed",
        {5: set(), 15: set(), 40: set()},
        (
            Change("modpulse_lag_records", lambda s: max(2e6 - 5000 * s, 0), _input),
            Change("modpulse_consumed_records_total", rising(5000, 72000), _input),
        ),
    ),
    Case(
        "much is under way at a high rate, but no more than a flush takes",
        {20: set(), 60: set()},
        (
            Change("modpulse_lag_records", lambda s: s * 7919 % 90_000 + 1, _input),
            Change("modpulse_consumed_records_total", rising(90_000, 72000), _input),
        ),
    ),
    Case(
        "stream time stands still though events come in",
        {14: set(), 22: {"ModpulseStreamTimeFrozen"}},
        (Change("modpulse_stream_time_seconds", constant(1800), _is(task="1")),),
    ),
    Case(
        "the broker takes seconds for each commit",
        {5: set(), 22: {"ModpulseFlushSlow"}},
        (
            Change("modpulse_flush_seconds_bucket", constant(7200), lambda labels: float(labels["le"]) < 5),
            Change("modpulse_flush_seconds_bucket", rising(0.2, 7200), lambda labels: float(labels["le"]) >= 5),
        ),
    ),
    # --- records ---
    Case(
        "records were lost while the worker ran",
        {1: {"ModpulseInputLost"}, 10: {"ModpulseInputLost"}, 20: set()},
        (Change("modpulse_input_lost_records_total", constant(250), _is(task="1")),),
    ),
    Case(
        "a task counted its loss before its first scrape",
        {1: {"ModpulseInputLost"}, 5: {"ModpulseInputLost"}, 14: {"ModpulseInputLost"}, 20: set()},
        (Change("modpulse_input_lost_records_total", constant(49_900), _is(task="1"), born=True),),
    ),
    Case(
        "the server itself was away for ten minutes, long after a loss",
        {59: set(), 71: set(), 80: set(), 90: set()},
        (Change("modpulse_input_lost_records_total", lambda s: None if 3600 <= s < 4200 else 250, _is(task="1")),),
    ),
    Case(
        "the worker itself judges that too much is refused",
        {0: set(), 2: {"ModpulseDeadLetters"}},
        (Change("modpulse_dead_letter_alert", constant(1), _is(task="1")),),
    ),
    Case(
        "nearly all is refused",
        {0: set(), 2: {"ModpulseDeadLetters", "ModpulseDeadLettersMost"}},
        (
            Change("modpulse_dead_letter_alert", constant(1), _is(task="1")),
            Change("modpulse_dead_letter_ratio", constant(0.9), _is(task="1")),
        ),
    ),
    Case(
        "a tenth of a slow stream is refused, too little for the worker's own judgement",
        {0: set(), 20: {"ModpulseDeadLetters", "ModpulseDeadLettersTrickle"}},
        (Change("modpulse_rejected_records_total", rising(8), _is(task="1", reason="invalid")),),
    ),
    Case(
        "one bad record",
        {1: {"ModpulseDeadLettersTrickle"}, 50: {"ModpulseDeadLettersTrickle"}, 70: set()},
        (Change("modpulse_rejected_records_total", constant(1), _is(task="0", reason="invalid")),),
    ),
    Case(
        "500 bad records at once, in series that were not there before",
        {1: {"ModpulseDeadLettersTrickle"}, 50: {"ModpulseDeadLettersTrickle"}, 70: set()},
        (Change("modpulse_rejected_records_total", constant(500), _is(reason="invalid"), born=True),),
    ),
    Case(
        "a sender's clock is behind",
        {3: set(), 15: {"ModpulseLateEvents"}},
        (Change("modpulse_rejected_records_total", rising(2), _is(task="1", reason="late")),),
    ),
    Case(
        "a late event now and then",
        {15: set(), 60: set()},
        (Change("modpulse_rejected_records_total", rising(0.02), _is(task="1", reason="late")),),
    ),
    Case(
        "producers hash keys differently",
        {5: set(), 11: {"ModpulseSplitModules"}},
        (Change("modpulse_split_modules", constant(3)),),
    ),
    Case(
        "producers write JSON in an unusual way",
        {30: set(), 50: {"ModpulseOneByOne"}},
        (Change("modpulse_one_by_one_records_total", rising(110), _is(task="1")),),
    ),
    Case(
        "a rule cannot be evaluated, for the first time and the last",
        {1: {"ModpulseRuleFails"}, 14: {"ModpulseRuleFails"}, 20: set()},
        (Change("modpulse_rule_failures_total", constant(1), _is(reason="failed"), born=True),),
    ),
    # --- limits ---
    *(
        Case(
            f"{limit} is reached",
            {2: {f"ModpulseLimitReached {limit}"}, 20: set()},
            (Change(metric, constant(40), _is(task=task)),),
        )
        for limit, metric, task in (
            ("limits.max_modules", "modpulse_overflowed_events_total", "1"),
            ("dedup.max_ids_per_pane", "modpulse_unremembered_ids_total", "1"),
            ("limits.max_open_windows", "modpulse_dropped_system_windows_total", "system"),
            ("active alerts", "modpulse_refused_alerts_total", "1"),
        )
    ),
    Case(
        "outputs exceed their limit between two flushes",
        {4: set(), 20: {"ModpulseLimitReached limits.max_buffered_bytes"}},
        (Change("modpulse_early_flushes_total", rising(0.1), _is(task="1")),),
    ),
    Case(
        "a catch-up flushes early a few times",
        {2: set(), 20: set()},
        (Change("modpulse_early_flushes_total", constant(9)),),
    ),
    Case(
        "nearly all files are open",
        {4: set(), 6: {"ModpulseLimitReached open files"}},
        (Change("process_open_fds", constant(900)), Change("process_max_fds", constant(1000))),
    ),
)
