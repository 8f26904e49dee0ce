package io.hsmbridge.junit5;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The faults of an HSM: slow answers, errors, lost connections. {@code docs/faults.md} lists the kinds and options. */
public final class Faults {
    private static final int ADD = 181;
    private static final int LIST = 182;
    private static final int CLEAR = 183;

    private final HsmProcess process;

    Faults(HsmProcess process) {
        this.process = process;
    }

    /**
     * Adds a fault without options and returns its number.
     *
     * @param kind such as {@code throttling}
     * @throws IllegalStateException if the HSM refuses or does not answer
     */
    public long add(String kind) {
        return add(kind, Map.of());
    }

    /**
     * Adds a fault and returns its number.
     *
     * @param kind such as {@code latency}
     * @param options such as {@code Map.of("milliseconds", "20-80", "operation", "SIGN")}
     * @throws IllegalStateException if the HSM refuses or does not answer
     */
    public long add(String kind, Map<String, String> options) {
        Map<String, String> fault = new HashMap<>(options);
        fault.put("kind", kind);
        return (Long) ((List<?>) process.call(ADD, List.of(fault)).get(0)).get(0);
    }

    /**
     * Returns the number of requests that a fault has applied to; 0 if there is none of that number.
     *
     * @throws IllegalStateException if the HSM does not answer
     */
    public long hits(long number) {
        for (Object row : (List<?>) process.call(LIST).get(0)) {
            if (((Map<?, ?>) row).get("number").equals(number)) {
                return (Long) ((Map<?, ?>) row).get("hits");
            }
        }
        return 0;
    }

    /**
     * Removes all faults.
     *
     * @throws IllegalStateException if the HSM does not answer
     */
    public void clear() {
        process.call(CLEAR, (Object) null);
    }
}
