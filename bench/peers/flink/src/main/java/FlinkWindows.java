import com.datadoghq.sketch.ddsketch.DDSketch;
import com.datadoghq.sketch.ddsketch.DDSketches;
import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.time.Duration;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeHint;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;

/** Count, sum and a DDSketch per module and window; parallelism 1, state on the heap, no checkpoints, no output topic. */
public final class FlinkWindows {
    static final double ACCURACY = 0.01;
    static final Progress PROGRESS = new Progress();

    @JsonIgnoreProperties(ignoreUnknown = true)
    public static class Event {
        public String module_id;
        public long timestamp;
        public boolean success;
        public double response_time_ms;
        public double cpu_percent;
        public long memory_bytes;
    }

    static final class Json extends AbstractDeserializationSchema<Event> {
        private transient ObjectReader reader;

        @Override
        public void open(InitializationContext context) {
            reader = new ObjectMapper().readerFor(Event.class);
        }

        @Override
        public Event deserialize(byte[] message) throws IOException {
            return reader.readValue(message);
        }
    }

    /** What a window holds. */
    public static class Sums {
        public long count;
        public long succeeded;
        public double total;
        public double min = Double.POSITIVE_INFINITY;
        public double max = Double.NEGATIVE_INFINITY;
        public DDSketch sketch = DDSketches.unboundedDense(ACCURACY);
    }

    /** What comes out of a window. */
    public static class Result {
        public long count;
        public double total;
        public double p99;
    }

    static final class Fold implements AggregateFunction<Event, Sums, Result> {
        @Override
        public Sums createAccumulator() {
            return new Sums();
        }

        @Override
        public Sums add(Event event, Sums sums) {
            PROGRESS.add();
            sums.count++;
            sums.succeeded += event.success ? 1 : 0;
            sums.total += event.response_time_ms;
            sums.min = Math.min(sums.min, event.response_time_ms);
            sums.max = Math.max(sums.max, event.response_time_ms);
            sums.sketch.accept(event.response_time_ms);
            return sums;
        }

        @Override
        public Result getResult(Sums sums) {
            Result result = new Result();
            result.count = sums.count;
            result.total = sums.total;
            result.p99 = sums.sketch.getValueAtQuantile(0.99);
            return result;
        }

        @Override
        public Sums merge(Sums one, Sums other) {
            throw new UnsupportedOperationException("tumbling windows never merge");
        }
    }

    public static void main(String[] arguments) throws Exception {
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1);
        environment.getConfig().enableObjectReuse();
        KafkaSource<Event> source = KafkaSource.<Event>builder()
                .setBootstrapServers(System.getenv("BENCH_BOOTSTRAP"))
                .setTopics(System.getenv("BENCH_TOPIC"))
                .setGroupId(System.getenv("BENCH_RUN"))
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setValueOnlyDeserializer(new Json())
                .setProperty("max.poll.records", "10000")
                .setProperty("max.partition.fetch.bytes", String.valueOf(2 << 20))
                .build();
        WatermarkStrategy<Event> times = WatermarkStrategy
                .<Event>forBoundedOutOfOrderness(Duration.ofMillis(Long.parseLong(System.getenv("BENCH_GRACE_MS"))))
                .withTimestampAssigner((event, before) -> event.timestamp);
        environment.fromSource(source, times, "events")
                .keyBy(event -> event.module_id)
                .window(TumblingEventTimeWindows.of(
                        Duration.ofMillis(Long.parseLong(System.getenv("BENCH_WINDOW_MS")))))
                .aggregate(new Fold(), TypeInformation.of(new TypeHint<Sums>() {}), TypeInformation.of(Result.class))
                .sinkTo(new DiscardingSink<>());
        environment.execute("bench");
    }
}
