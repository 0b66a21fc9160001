import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.Properties;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.TestInputTopic;
import org.apache.kafka.streams.TestOutputTopic;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.state.Stores;

/**
 * What Kafka Streams says of disordered streams: which records it takes, and the count of each window when it closes.
 *
 * <p>Standard input, one line each: {@code stream <window ms> <grace ms>}, then its records {@code <key> <time ms>} in the
 * order of their offsets; nothing is shared between two streams. Standard output, for each stream: {@code stream}, then in
 * the order in which it happens {@code late <record>} and {@code final <record> <key> <window start> <count>}, where the
 * record, counted from 0, is the one that was too late or that closed the window, and last {@code dropped <records>}, which
 * is Kafka Streams' own metric.
 */
public final class WindowedCounts {
    public static void main(String[] arguments) throws IOException {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintWriter answer = new PrintWriter(System.out, false, StandardCharsets.UTF_8);
        Stream stream = null;
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            if (!words[0].equals("stream")) {
                stream.take(words[0], Long.parseLong(words[1]));
                continue;
            }
            if (stream != null) {
                stream.end();
            }
            stream = new Stream(Long.parseLong(words[1]), Long.parseLong(words[2]), answer);
        }
        if (stream != null) {
            stream.end();
        }
        answer.flush();
    }

    /** One stream in a driver of its own. */
    private static final class Stream {
        private final TopologyTestDriver driver;
        private final TestInputTopic<String, String> records;
        private final TestOutputTopic<String, Long> counts;
        private final TestOutputTopic<String, Long> finals;
        private final PrintWriter answer;
        private int record;

        Stream(long sizeMs, long graceMs, PrintWriter answer) {
            this.answer = answer;
            driver = new TopologyTestDriver(topology(Duration.ofMillis(sizeMs), Duration.ofMillis(graceMs)), settings());
            records = driver.createInputTopic("records", new StringSerializer(), new StringSerializer());
            counts = driver.createOutputTopic("counts", new StringDeserializer(), new LongDeserializer());
            finals = driver.createOutputTopic("finals", new StringDeserializer(), new LongDeserializer());
            answer.println("stream");
        }

        private static Topology topology(Duration size, Duration grace) {
            StreamsBuilder builder = new StreamsBuilder();
            KTable<Windowed<String>, Long> table = builder
                    .stream("records", Consumed.with(Serdes.String(), Serdes.String()))
                    .groupByKey(Grouped.with(Serdes.String(), Serdes.String()))
                    .windowedBy(TimeWindows.ofSizeAndGrace(size, grace))
                    .count(Materialized.<String, Long>as(Stores.inMemoryWindowStore("windows", size.plus(grace), size, false))
                            .withKeySerde(Serdes.String())
                            .withValueSerde(Serdes.Long())
                            .withCachingDisabled()
                            .withLoggingDisabled());
            table.toStream(WindowedCounts::name).to("counts", Produced.with(Serdes.String(), Serdes.Long()));
            table.suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded().withLoggingDisabled()))
                    .toStream(WindowedCounts::name)
                    .to("finals", Produced.with(Serdes.String(), Serdes.Long()));
            return builder.build();
        }

        private static Properties settings() {
            Properties settings = new Properties();
            settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "windowed-counts");
            settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "nowhere:1"); // the driver connects to nothing
            return settings;
        }

        void take(String key, long timeMs) {
            records.pipeInput(key, "", Instant.ofEpochMilli(timeMs));
            // A record that is taken changes its window's count, and a count that changes goes out at once.
            if (counts.readValuesToList().isEmpty()) {
                answer.println("late " + record);
            }
            for (KeyValue<String, Long> closed : finals.readKeyValuesToList()) {
                answer.println("final " + record + " " + closed.key + " " + closed.value);
            }
            record++;
        }

        void end() {
            double dropped = driver.metrics().entrySet().stream()
                    .filter(metric -> metric.getKey().name().equals("dropped-records-total"))
                    .mapToDouble(metric -> (double) metric.getValue().metricValue())
                    .sum();
            answer.println("dropped " + (long) dropped);
            driver.close();
        }
    }

    private static String name(Windowed<String> window, Long count) {
        return window.key() + " " + window.window().start();
    }
}
