package io.hsmbridge.jce.log;

import io.hsmbridge.jce.settings.Settings.LogSettings;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.security.Provider;
import java.security.Security;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Arrays;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * The log of one provider instance. Each line holds time (UTC), level, thread and message, and never a password or key
 * material. Safe for use by many threads.
 */
public final class Log {
    /** A log that writes nothing. */
    public static final Log NONE = new Log(null, Level.ERROR);

    private static final String DEFAULT_FILE = "/opt/cloudhsm/run/cloudhsm-jce.log";

    /** Severity of a line, most severe first. */
    public enum Level { ERROR, WARN, INFO, DEBUG, TRACE }

    /** Interval after which a new file begins. */
    enum Interval { HOURLY, DAILY, WEEKLY, NEVER }

    private enum Type { FILE, TERM }

    /** Destination of the lines. */
    interface Sink {
        void write(String line) throws IOException;
    }

    private final Sink sink;
    private final Level threshold;

    private Log(Sink sink, Level threshold) {
        this.sink = sink;
        this.threshold = threshold;
    }

    /**
     * Returns the log with these settings. If its file cannot be written, the JVM's own log gets a warning and the
     * returned log writes nothing: the provider works without a log.
     *
     * @param settings the settings, or null for no log
     * @throws IOException if a value is unknown
     */
    public static Log of(LogSettings settings) throws IOException {
        if (settings == null) {
            return NONE;
        }
        Type type = one(Type.class, settings.type(), Type.FILE, "log type");
        Level level = one(Level.class, settings.level(), Level.INFO, "log level");
        Interval interval = one(Interval.class, settings.interval(), Interval.DAILY, "log interval");
        if (type == Type.TERM) {
            PrintStream terminal = System.err;
            return new Log(terminal::println, level);
        }
        try {
            return new Log(LogFile.of(Path.of(settings.file() == null ? DEFAULT_FILE : settings.file()), interval), level);
        } catch (IOException e) {
            System.getLogger(Log.class.getName()).log(System.Logger.Level.WARNING, "Nothing is logged: " + e.getMessage());
            return NONE;
        }
    }

    /**
     * Returns a log that writes its first error to the JVM's own log, for an instance without log settings. Where the
     * JDK has no further provider to try, the error reaches the program, and the log writes nothing.
     */
    public static Log ofFirstError() {
        AtomicBoolean written = new AtomicBoolean();
        return new Log(line -> {
            if (!isLastProvider() && written.compareAndSet(false, true)) {
                System.getLogger(Log.class.getName()).log(System.Logger.Level.WARNING, line);
            }
        }, Level.ERROR);
    }

    private static boolean isLastProvider() {
        Provider[] providers = Security.getProviders();
        return providers[providers.length - 1].getName().equals("CloudHSM");
    }

    private static <E extends Enum<E>> E one(Class<E> kind, String name, E otherwise, String setting) throws IOException {
        if (name == null) {
            return otherwise;
        }
        try {
            return Enum.valueOf(kind, name.toUpperCase(Locale.ROOT));
        } catch (IllegalArgumentException e) {
            String known = Arrays.toString(kind.getEnumConstants()).toLowerCase(Locale.ROOT);
            throw new IOException("Unknown " + setting + " " + name + "; known: " + known, e);
        }
    }

    /** Returns whether the log writes lines of this level. */
    public boolean writes(Level level) {
        return sink != null && level.compareTo(threshold) <= 0;
    }

    /** Writes a line if its level reaches the threshold. Control characters in the message become spaces. */
    public void write(Level level, String message) {
        if (!writes(level)) {
            return;
        }
        String time = Instant.now().truncatedTo(ChronoUnit.MILLIS).toString();
        String line = time + " " + level + " [" + Thread.currentThread().getName() + "] " + message;
        try {
            sink.write(line.replaceAll("\\p{Cntrl}", " "));
        } catch (IOException e) {
            System.getLogger(Log.class.getName()).log(System.Logger.Level.WARNING, "The log lost a line: " + e.getMessage());
        }
    }
}
