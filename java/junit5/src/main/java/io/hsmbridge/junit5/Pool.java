package io.hsmbridge.junit5;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.extension.ExtensionContext.Store.CloseableResource;

/** The HSMs of a run: each is used by one holder at a time, and reset for the next one. */
final class Pool implements CloseableResource {
    private final Map<List<String>, Deque<HsmProcess>> idle = new HashMap<>();
    private final List<HsmProcess> all = new ArrayList<>();

    /**
     * Returns an HSM in the state after initialisation.
     *
     * @throws IllegalStateException if none starts
     */
    HsmProcess take(List<String> options) {
        HsmProcess process;
        while ((process = idle(options)) != null) {
            if (process.isAlive()) {
                process.reset();
                return process;
            }
        }
        process = new HsmProcess(options);
        synchronized (this) {
            all.add(process);
        }
        return process;
    }

    private synchronized HsmProcess idle(List<String> options) {
        Deque<HsmProcess> processes = idle.get(options);
        return processes == null ? null : processes.poll();
    }

    synchronized void giveBack(List<String> options, HsmProcess process) {
        idle.computeIfAbsent(options, key -> new ArrayDeque<>()).push(process);
    }

    @Override
    public synchronized void close() {
        all.forEach(HsmProcess::close);
    }
}
