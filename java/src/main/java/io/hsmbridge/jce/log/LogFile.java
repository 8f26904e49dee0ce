package io.hsmbridge.jce.log;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeFormatterBuilder;
import java.time.temporal.IsoFields;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * A log file that many instances share. At the end of an interval (in UTC) the file is renamed with the interval as a
 * suffix, as in {@code cloudhsm-jce.log.2026-01-31}, and a new file begins. Nothing deletes old files.
 */
final class LogFile implements Log.Sink {
    private static final Map<Path, LogFile> OPEN = new ConcurrentHashMap<>();
    private static final Map<Log.Interval, DateTimeFormatter> NAMES = Map.of(
            Log.Interval.HOURLY, DateTimeFormatter.ofPattern("uuuu-MM-dd-HH", Locale.ROOT),
            Log.Interval.DAILY, DateTimeFormatter.ofPattern("uuuu-MM-dd", Locale.ROOT),
            Log.Interval.WEEKLY, weeks(),
            Log.Interval.NEVER, DateTimeFormatter.ofPattern("'never'", Locale.ROOT));

    private static DateTimeFormatter weeks() {
        return new DateTimeFormatterBuilder().appendValue(IsoFields.WEEK_BASED_YEAR, 4).appendLiteral("-W")
                .appendValue(IsoFields.WEEK_OF_WEEK_BASED_YEAR, 2).toFormatter(Locale.ROOT);
    }

    private final Path path;
    private final DateTimeFormatter naming;
    private String current;

    private LogFile(Path path, Log.Interval interval) throws IOException {
        this.path = path;
        naming = NAMES.get(interval).withZone(ZoneOffset.UTC);
        if (path.getParent() != null) {
            Files.createDirectories(path.getParent());
        }
        current = naming.format(Files.exists(path) ? Files.getLastModifiedTime(path).toInstant() : Instant.now());
        append("");
    }

    /** Returns the open file of this path, or creates it with its folders. The interval of the first call applies. */
    static LogFile of(Path path, Log.Interval interval) throws IOException {
        Path key = path.toAbsolutePath().normalize();
        LogFile file = OPEN.get(key);
        if (file == null) {
            file = new LogFile(key, interval);
            LogFile earlier = OPEN.putIfAbsent(key, file);
            file = earlier != null ? earlier : file;
        }
        return file;
    }

    @Override
    public synchronized void write(String line) throws IOException {
        String now = naming.format(Instant.now());
        if (!now.equals(current)) {
            Path kept = path.resolveSibling(path.getFileName() + "." + current);
            // Another process that logs to this file may have renamed it.
            if (Files.exists(path) && !Files.exists(kept)) {
                Files.move(path, kept);
            }
            current = now;
        }
        append(line + System.lineSeparator());
    }

    private void append(String text) throws IOException {
        try {
            Files.writeString(path, text, StandardCharsets.UTF_8, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw new IOException("the log file " + path + " cannot be written: " + e, e);
        }
    }
}
