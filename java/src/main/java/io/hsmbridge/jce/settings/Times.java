package io.hsmbridge.jce.settings;

import java.io.IOException;
import java.time.Duration;
import java.util.Locale;

/**
 * Limits on waiting, in whole seconds. The system property {@code hsmbridge.timeout}, {@code HSM_TIMEOUT} or {@code
 * hsmbridge.timeout} of the configuration file, in this order, sets the limit on an answer. {@code hsmbridge.idle} of
 * both and {@code HSM_IDLE} set the time for which an idle connection stays open.
 */
public final class Times {
    private static final long ANSWER = 60;
    private static final long IDLE = 60;
    private static final long MOST = 24 * 60 * 60;

    private final Duration answer;
    private final Duration idle;

    /** Creates the value of its parts. */
    public Times(Duration answer, Duration idle) {
        this.answer = answer;
        this.idle = idle;
    }

    /** Returns the limit on the time until the HSM accepts a connection, or answers. */
    public Duration answer() {
        return answer;
    }

    /** Returns the time for which an idle connection stays open; the last connection of a provider has no limit. */
    public Duration idle() {
        return idle;
    }

    /**
     * Returns the settings of the process, else the defaults.
     *
     * @throws IOException if a value is not a whole number of seconds from 1 to 86400
     */
    public static Times standard() throws IOException {
        return new Times(seconds("timeout", ANSWER), seconds("idle", IDLE));
    }

    static Times of(Section section) throws IOException {
        return new Times(seconds("timeout", section.number("timeout", ANSWER)),
                seconds("idle", section.number("idle", IDLE)));
    }

    private static Duration seconds(String name, long otherwise) throws IOException {
        String property = "hsmbridge." + name;
        String variable = "HSM_" + name.toUpperCase(Locale.ROOT);
        String configured = System.getProperty(property, System.getenv(variable));
        long seconds;
        try {
            seconds = configured == null || configured.isBlank() ? otherwise : Long.parseLong(configured.trim());
        } catch (NumberFormatException e) {
            seconds = 0;
        }
        if (seconds < 1 || seconds > MOST) {
            throw new IOException(property + " (" + variable + ") is not a whole number of seconds from 1 to " + MOST);
        }
        return Duration.ofSeconds(seconds);
    }
}
