import com.datadoghq.sketch.ddsketch.DDSketch;
import com.datadoghq.sketch.ddsketch.DDSketches;
import com.datadoghq.sketch.ddsketch.encoding.ByteArrayInput;
import com.datadoghq.sketch.ddsketch.encoding.GrowingByteArrayOutput;
import com.datadoghq.sketch.ddsketch.store.UnboundedSizeDenseStore;
import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.Stores;

/** Count, sum and a DDSketch per module and window; one thread, in-memory store with changelog, results to a topic. */
public final class KafkaStreamsWindows {
    static final double ACCURACY = 0.01;

    @JsonIgnoreProperties(ignoreUnknown = true)
    public static final class Event {
        public String module_id;
        public long timestamp;
        public boolean success;
        public double response_time_ms;
        public double cpu_percent;
        public long memory_bytes;
    }

    /** What a window holds. */
    static final class Sums {
        long count;
        long succeeded;
        double total;
        double min = Double.POSITIVE_INFINITY;
        double max = Double.NEGATIVE_INFINITY;
        DDSketch sketch = DDSketches.unboundedDense(ACCURACY);

        Sums add(Event event) {
            count++;
            succeeded += event.success ? 1 : 0;
            total += event.response_time_ms;
            min = Math.min(min, event.response_time_ms);
            max = Math.max(max, event.response_time_ms);
            sketch.accept(event.response_time_ms);
            return this;
        }

        byte[] encode() {
            GrowingByteArrayOutput bins = GrowingByteArrayOutput.withDefaultInitialCapacity();
            try {
                sketch.encode(bins, false);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
            return ByteBuffer.allocate(40 + bins.numWrittenBytes())
                    .putLong(count).putLong(succeeded).putDouble(total).putDouble(min).putDouble(max)
                    .put(bins.backingArray(), 0, bins.numWrittenBytes()).array();
        }

        static Sums decode(byte[] bytes) {
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            Sums sums = new Sums();
            sums.count = buffer.getLong();
            sums.succeeded = buffer.getLong();
            sums.total = buffer.getDouble();
            sums.min = buffer.getDouble();
            sums.max = buffer.getDouble();
            try {
                sums.sketch = DDSketch.decode(
                        ByteArrayInput.wrap(bytes, 40, bytes.length - 40), UnboundedSizeDenseStore::new);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
            return sums;
        }
    }

    public static void main(String[] arguments) throws IOException {
        String run = System.getenv("BENCH_RUN");
        Duration size = Duration.ofMillis(Long.parseLong(System.getenv("BENCH_WINDOW_MS")));
        Duration grace = Duration.ofMillis(Long.parseLong(System.getenv("BENCH_GRACE_MS")));
        Progress progress = new Progress();
        ObjectReader json = new ObjectMapper().readerFor(Event.class);
        Serde<Event> events = Serdes.serdeFrom((topic, event) -> null, (topic, bytes) -> {
            try {
                return json.readValue(bytes);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        });
        Serde<Sums> sums = Serdes.serdeFrom(
                (topic, value) -> value == null ? null : value.encode(),
                (topic, bytes) -> bytes == null ? null : Sums.decode(bytes));

        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(System.getenv("BENCH_TOPIC"), Consumed.with(Serdes.String(), events)
                        .withTimestampExtractor((record, before) -> ((Event) record.value()).timestamp))
                .groupByKey()
                .windowedBy(TimeWindows.ofSizeAndGrace(size, grace))
                .aggregate(
                        Sums::new,
                        (module, event, window) -> {
                            progress.add();
                            return window.add(event);
                        },
                        Materialized.<String, Sums>as(Stores.inMemoryWindowStore(
                                        "windows", Duration.ofMinutes(10), size, false))
                                .withKeySerde(Serdes.String()).withValueSerde(sums).withCachingEnabled())
                .toStream((window, value) -> window.key() + "@" + window.window().start())
                .to(run + "-out", Produced.with(Serdes.String(), sums));

        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, run);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, System.getenv("BENCH_BOOTSTRAP"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, arguments[0]);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1_000); // the flush interval of modpulse
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, Files.createTempDirectory("bench-streams-").toString());
        settings.put("auto.offset.reset", "earliest");
        settings.put("max.poll.records", 10_000);
        settings.put("max.partition.fetch.bytes", 2 << 20);
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
        streams.start();
    }
}
