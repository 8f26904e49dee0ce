package io.hsmbridge.jce.carrier;

import io.hsmbridge.jce.settings.Settings;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/**
 * The way to the HSM. A configured server leads to a socket: by itself, if it is an absolute path, or through the system
 * property {@code hsmbridge.clusters}, {@code HSM_CLUSTERS} or the configuration file, in this order. Without such a
 * server it is the HSM in this process, if Python started the JVM, else the socket that the system property
 * {@code hsmbridge.socket}, {@code HSM_SOCKET}, {@code HSM_HOME} or the XDG data directory name, in this order.
 */
public final class Route {
    private static final String SOCKET_NAME = "hsm.sock";

    private Route() {}

    /**
     * Returns the carrier to the first server. It connects when it is first used.
     *
     * @throws IOException if the property or the variable is not a list of {@code host[:port]=path}
     */
    public static Carrier of(Settings settings) throws IOException {
        if (!settings.servers().isEmpty()) {
            Settings.Server server = settings.servers().get(0);
            if (Path.of(server.host()).isAbsolute()) {
                return new UnixSocket(Path.of(server.host()), "from the provider's configuration");
            }
            String socket = socketOf(server, settings.sockets());
            if (socket != null) {
                return new UnixSocket(Path.of(socket), "to which " + server.host() + " is mapped");
            }
        }
        InProcess inProcess = InProcess.installed();
        return inProcess != null ? inProcess : defaultSocket();
    }

    private static String socketOf(Settings.Server server, Map<String, String> configured) throws IOException {
        Map<String, String> sockets = new HashMap<>();
        for (Map.Entry<String, String> pair : configured.entrySet()) {
            sockets.put(pair.getKey().toLowerCase(Locale.ROOT), pair.getValue());
        }
        sockets.putAll(parse(System.getenv("HSM_CLUSTERS"), "HSM_CLUSTERS"));
        sockets.putAll(parse(System.getProperty("hsmbridge.clusters"), "the system property hsmbridge.clusters"));
        String host = server.host().toLowerCase(Locale.ROOT);
        return sockets.getOrDefault(host + ":" + server.port(), sockets.get(host));
    }

    private static Map<String, String> parse(String list, String where) throws IOException {
        Map<String, String> sockets = new HashMap<>();
        for (String pair : list == null || list.isBlank() ? new String[0] : list.split(",")) {
            int at = pair.indexOf('=');
            String socket = pair.substring(at + 1).trim();
            if (at < 1 || !Path.of(socket).isAbsolute()) {
                throw new IOException("In " + where + " there is no host[:port]=/path/of/a/socket: " + pair.trim());
            }
            sockets.put(pair.substring(0, at).trim().toLowerCase(Locale.ROOT), socket);
        }
        return sockets;
    }

    private static Carrier defaultSocket() {
        String chosen = System.getProperty("hsmbridge.socket");
        if (chosen != null) {
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
