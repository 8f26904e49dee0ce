package io.hsmbridge.jce.settings;

import java.io.IOException;
import java.time.Duration;
import java.util.Locale;

/**
 * How long to wait. The system property {@code hsmbridge.timeout}, {@code HSM_TIMEOUT} or {@code hsmbridge.timeout} of the
 * configuration file, in this order, say how long for the HSM; {@code hsmbridge.idle} of both and {@code HSM_IDLE}, how long
 * a connection is kept that nobody uses. All are whole seconds.
 *
 * @param answer how long the HSM may take to accept a connection, or to answer
 * @param rest how long a connection is kept that nobody uses; the last one of a provider stays
 */
public record Times(Duration answer, Duration rest) {
    private static final long ANSWER = 60;
    private static final long REST = 60;
    private static final long MOST = 24 * 60 * 60;

    /**
     * Returns what the process was told, else the defaults.
     *
     * @throws IOException if that is no number of seconds
     */
    public static Times standard() throws IOException {
        return new Times(told("timeout", ANSWER), told("idle", REST));
    }

    static Times of(Section section) throws IOException {
        return new Times(told("timeout", section.number("timeout", ANSWER)), told("idle", section.number("idle", REST)));
    }

    private static Duration told(String name, long otherwise) throws IOException {
        String property = "hsmbridge." + name;
        String variable = "HSM_" + name.toUpperCase(Locale.ROOT);
        String told = System.getProperty(property, System.getenv(variable));
        long seconds;
        try {
            seconds = told == null || told.isBlank() ? otherwise : Long.parseLong(told.trim());
        } catch (NumberFormatException e) {
            seconds = 0;
        }
        if (seconds < 1 || seconds > MOST) {
            throw new IOException(property + " (" + variable + ") is not a whole number of seconds from 1 to " + MOST);
        }
        return Duration.ofSeconds(seconds);
    }
}
