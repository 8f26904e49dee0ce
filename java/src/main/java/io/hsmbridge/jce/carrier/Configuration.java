package io.hsmbridge.jce.carrier;

import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;

/**
 * Which way leads to the HSM: in the process if Python started the JVM, else the socket that the provider's argument, the
 * system property {@code hsmbridge.socket}, {@code HSM_SOCKET}, {@code HSM_HOME} or the XDG data directory name, in this
 * order.
 */
public final class Configuration {
    private static final String SOCKET_NAME = "hsm.sock";

    private final Properties properties;

    private Configuration(Properties properties) {
        this.properties = properties;
    }

    /** Reads the file that the system property {@code hsmbridge.config} names, if it is set. */
    public static Configuration standard() throws IOException {
        String file = System.getProperty("hsmbridge.config");
        return file == null ? new Configuration(new Properties()) : fromFile(Path.of(file));
    }

    /** Reads an argument of the provider: the path of a properties file, or {@code key=value} pairs with commas. */
    public static Configuration parse(String argument) throws IOException {
        if (!argument.contains("=")) {
            return fromFile(Path.of(argument));
        }
        Properties properties = new Properties();
        for (String pair : argument.split(",")) {
            int at = pair.indexOf('=');
            if (at < 1) {
                throw new IOException("Not a key=value pair: " + pair);
            }
            properties.setProperty(pair.substring(0, at).trim(), pair.substring(at + 1).trim());
        }
        return checked(properties, argument);
    }

    private static Configuration fromFile(Path file) throws IOException {
        Properties properties = new Properties();
        try (Reader reader = Files.newBufferedReader(file)) {
            properties.load(reader);
        }
        return checked(properties, file.toString());
    }

    private static Configuration checked(Properties properties, String where) throws IOException {
        for (String name : properties.stringPropertyNames()) {
            if (!name.equals("socket")) {
                throw new IOException("Unknown setting " + name + " in " + where + "; known: socket");
            }
        }
        return new Configuration(properties);
    }

    /** Returns the carrier. It connects when it is first used. */
    public Carrier carrier() {
        InProcess inProcess = InProcess.installed();
        String chosen = properties.getProperty("socket");
        if (chosen != null) {
            return new UnixSocket(Path.of(chosen), "from the provider's configuration");
        }
        if (inProcess != null) {
            return inProcess;
        }
        if ((chosen = System.getProperty("hsmbridge.socket")) != null) {
            return new UnixSocket(Path.of(chosen), "from the system property hsmbridge.socket");
        }
        if ((chosen = System.getenv("HSM_SOCKET")) != null) {
            return new UnixSocket(Path.of(chosen), "from HSM_SOCKET");
        }
        if ((chosen = System.getenv("HSM_HOME")) != null) {
            return new UnixSocket(Path.of(chosen, SOCKET_NAME), "from HSM_HOME");
        }
        String data = System.getenv("XDG_DATA_HOME");
        Path home = data != null && !data.isEmpty() ? Path.of(data) : Path.of(System.getProperty("user.home"), ".local", "share");
        return new UnixSocket(home.resolve("hsmbridge").resolve(SOCKET_NAME), "the default");
    }
}
