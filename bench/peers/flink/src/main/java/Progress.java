/** The Java side of bench/report/progress.py: one line for the first event, for the last, and some in between. */
final class Progress {
    private final long expected = Long.parseLong(System.getenv("BENCH_EVENTS"));
    private final long step = Math.max(expected / 200, 1);
    private long events = 0;
    private long due = 1;

    /** One more event is in its window. Called by one thread. */
    void add() {
        if (++events >= due) {
            due = events + step;
            if (events <= expected) {
                due = Math.min(due, events < expected ? expected : expected + 1);
            }
            System.out.printf("BENCH {\"t\": %.3f, \"events\": %d}%n", System.currentTimeMillis() / 1000.0, events);
            System.out.flush();
        }
    }
}
