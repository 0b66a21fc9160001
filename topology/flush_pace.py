"""When to flush next: as often as asked, but for no more than a part of the time.

A short interval makes results fresh; with much to do it would leave no time for the input. So a worker that keeps up flushes
every `flush_interval`, and one that is behind, whose flushes are large and slow, does so less often, by itself.
"""

# Flushes of one task may take this part of the time ...
MOST_SHARE = 0.25
# ... but results never wait longer than this for that reason.
MOST_PAUSE_S = 1.0


def next_flush(due_s: float, interval_s: float, ended_s: float, took_s: float) -> float:
    """When the next flush is due.

    Args:
        due_s: when the one that ended was due.
        interval_s: how often they are wanted.
        ended_s: when it ended.
        took_s: how long it took.
    """
    pause_s = min(took_s * (1 / MOST_SHARE - 1), MOST_PAUSE_S)
    return max(due_s + interval_s, ended_s + pause_s)
