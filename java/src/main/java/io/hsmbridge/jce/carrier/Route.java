package io.hsmbridge.jce.carrier;

import io.hsmbridge.jce.settings.Settings;
import io.hsmbridge.jce.settings.Times;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/**
 * Chooses the carrier to the HSM.
 *
 * <p>A server of the provider's configuration leads to a socket: directly if it is an absolute path, else through the
 * system property {@code hsmbridge.clusters}, {@code HSM_CLUSTERS} or the configuration file, in this order. Without
 * such a server the process decides: the HSM in this process if Python started the JVM, else the socket that the system
 * property {@code hsmbridge.socket}, {@code HSM_SOCKET} or {@code HSM_HOME} names, in this order. Last come the server
 * of the configuration file, and the socket in the XDG data directory.
 *
 * <p>A server that leads to no socket is reached over TLS if the file with the certificate of its authority exists,
 * except where Python started the JVM.
 */
public final class Route {
    private static final String SOCKET_NAME = "hsm.sock";

    private Route() {}

    /**
     * Returns the carrier to the first server that leads to a socket, else to the default HSM. It connects at its first
     * request.
     *
     * @throws IOException if the property or the variable is not a list of {@code host[:port]=path}
     */
    public static Carrier of(Settings settings) throws IOException {
        Carrier ofProcess = ofProcess(settings.times());
        if (settings.ofMachine() && ofProcess != null) {
            return ofProcess;
        }
        for (Settings.Server server : settings.servers()) {
            if (Path.of(server.host()).isAbsolute()) {
                return unix(Path.of(server.host()), "from the provider's configuration", settings.times());
            }
            String socket = socketOf(server, settings.sockets());
            if (socket != null) {
                return unix(Path.of(socket), "to which " + server.host() + " is mapped", settings.times());
            }
        }
        if (InProcess.installed() == null && settings.tls() != null && !settings.servers().isEmpty()) {
            return new Connections(new TlsEndpoint(settings.servers().get(0), new TlsIdentity(settings.tls())),
                    settings.times());
        }
        return ofProcess != null ? ofProcess : new Connections(
                new UnixEndpoint(dataHome().resolve("hsmbridge").resolve(SOCKET_NAME), "the default", false), settings.times());
    }

    private static Carrier unix(Path path, String tried, Times times) {
        return new Connections(new UnixEndpoint(path, tried, true), times);
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

    /** Returns the carrier to the HSM in this process or in its environment, or null. */
    private static Carrier ofProcess(Times times) {
        if (InProcess.installed() != null) {
            return InProcess.installed();
        }
        String chosen = System.getProperty("hsmbridge.socket");
        if (chosen != null) {
            return unix(Path.of(chosen), "from the system property hsmbridge.socket", times);
        }
        if ((chosen = System.getenv("HSM_SOCKET")) != null) {
            return unix(Path.of(chosen), "from HSM_SOCKET", times);
        }
        chosen = System.getenv("HSM_HOME");
        return chosen == null ? null : unix(Path.of(chosen, SOCKET_NAME), "from HSM_HOME", times);
    }

    private static Path dataHome() {
        String data = System.getenv("XDG_DATA_HOME");
        return data != null && !data.isEmpty() ? Path.of(data) : Path.of(System.getProperty("user.home"), ".local", "share");
    }
}
