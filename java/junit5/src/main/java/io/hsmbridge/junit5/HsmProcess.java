package io.hsmbridge.junit5;

import io.hsmbridge.jce.wire.Frame;
import io.hsmbridge.jce.wire.Values;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A process of {@code hsm start --ephemeral}. It ends when its standard input ends, which the kernel closes with this
 * JVM.
 */
final class HsmProcess {
    private static final int RESET = 180;
    private static final int START_SECONDS = 60;
    private static final int STOP_SECONDS = 10;
    private static final int MOST_ERRORS = 8192;
    private static final Pattern FACT = Pattern.compile("\"(\\w+)\": \"((?:[^\"\\\\]|\\\\.)*)\"");
    private static final List<String> LOGIN = List.of("HSM_USER", "HSM_PASSWORD");

    private final Process process;
    private final Map<String, String> facts = new HashMap<>();
    private final StringBuffer errors = new StringBuffer();
    private final boolean usesEnvironment;

    /**
     * Starts an HSM and waits until it answers.
     *
     * @throws IllegalStateException if it does not start
     */
    HsmProcess(List<String> options) {
        List<String> command = new ArrayList<>(List.of(HsmCommand.find(), "start", "--ephemeral", "--foreground",
                "--until-eof", "--json", "--allow-reset", "--allow-faults"));
        command.addAll(options);
        ProcessBuilder builder = new ProcessBuilder(command);
        Map<String, String> environment = builder.environment();
        environment.remove("HSM_HOME");
        usesEnvironment = LOGIN.stream().allMatch(name -> login(name) != null);
        for (String name : LOGIN) {
            // The user whom providers log in by themselves; without one, the HSM's own.
            environment.remove(name);
            if (usesEnvironment) {
                environment.put(name, login(name));
            }
        }
        try {
            process = builder.start();
        } catch (IOException e) {
            throw new IllegalStateException("The command " + command + " does not start: " + e.getMessage(), e);
        }
        drain(process);
        String line = firstLine(command);
        Matcher fact = FACT.matcher(line);
        while (fact.find()) {
            facts.put(fact.group(1), fact.group(2).replaceAll("\\\\(.)", "$1"));
        }
    }

    private static String login(String name) {
        String property = System.getProperty(name);
        return property != null ? property : System.getenv(name);
    }

    private void drain(Process started) {
        Thread reader = new Thread(() -> {
            try (BufferedReader lines = reader(started.getErrorStream())) {
                for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                    if (errors.length() < MOST_ERRORS) {
                        errors.append(line).append('\n');
                    }
                }
            } catch (IOException e) {
                errors.append(e.getMessage());
            }
        }, "hsm-errors");
        reader.setDaemon(true);
        reader.start();
    }

    private static BufferedReader reader(java.io.InputStream stream) {
        return new BufferedReader(new InputStreamReader(stream, StandardCharsets.UTF_8));
    }

    private String firstLine(List<String> command) {
        CompletableFuture<String> line = CompletableFuture.supplyAsync(() -> {
            try {
                return reader(process.getInputStream()).readLine();
            } catch (IOException e) {
                return null;
            }
        }, task -> {
            Thread thread = new Thread(task, "hsm-start");
            thread.setDaemon(true);
            thread.start();
        });
        String reason = "it was not ready after " + START_SECONDS + " seconds";
        try {
            String read = line.get(START_SECONDS, TimeUnit.SECONDS);
            if (read != null) {
                return read;
            }
            process.waitFor(STOP_SECONDS, TimeUnit.SECONDS);
            reason = "it ended";
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            reason = "the thread was interrupted";
        } catch (ExecutionException | TimeoutException e) {
            process.destroyForcibly();
        }
        process.destroyForcibly();
        throw new IllegalStateException("The HSM did not start, " + reason + ": " + String.join(" ", command) + "\n" + errors);
    }

    /** Returns whether providers log in by themselves, with the user whom system properties or the environment name. */
    boolean usesEnvironment() {
        return usesEnvironment;
    }

    String fact(String name) {
        return facts.get(name);
    }

    Path socket() {
        return Path.of(fact("socket"));
    }

    boolean isAlive() {
        return process.isAlive();
    }

    void reset() {
        call(RESET);
    }

    /**
     * Sends a request that needs no login and returns its results.
     *
     * @throws IllegalStateException if the HSM refuses or does not answer
     */
    List<Object> call(int operation, Object... fields) {
        int capacity = Frame.HEADER_LENGTH;
        for (Object field : fields) {
            capacity += Values.size(field);
        }
        ByteBuffer request = ByteBuffer.allocate(capacity);
        Frame.writeRequest(request, operation, 0, fields);
        try (SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            channel.connect(UnixDomainSocketAddress.of(socket()));
            while (request.hasRemaining()) {
                channel.write(request);
            }
            ByteBuffer answer = read(channel, ByteBuffer.allocate(Frame.HEADER_LENGTH));
            ByteBuffer whole = ByteBuffer.allocate(Frame.length(answer)).put(answer.flip());
            read(channel, whole).position(Frame.HEADER_LENGTH);
            List<Object> results = Values.readAll(whole);
            if (Frame.status(whole) != 0) {
                throw new IllegalStateException("The HSM refuses: " + results.get(0));
            }
            return results;
        } catch (IOException e) {
            throw new IllegalStateException("The HSM at " + socket() + " does not answer: " + e.getMessage() + "\n" + errors, e);
        }
    }

    private static ByteBuffer read(SocketChannel channel, ByteBuffer into) throws IOException {
        while (into.hasRemaining()) {
            if (channel.read(into) < 0) {
                throw new IOException("the connection was closed");
            }
        }
        return into;
    }

    /** Ends the process. */
    void close() {
        try {
            process.getOutputStream().close();
            if (!process.waitFor(STOP_SECONDS, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
        } catch (IOException e) {
            process.destroyForcibly();
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }
}
