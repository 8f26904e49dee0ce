package io.hsmbridge.jce.carrier;

import io.hsmbridge.jce.settings.Settings;
import io.hsmbridge.jce.settings.Times;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/**
 * The way to the HSMs of a configuration.
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

    private final Map<String, Carrier> carriers = new LinkedHashMap<>();
    private final TlsIdentity identity;
    private final Times times;

    private Route(TlsIdentity identity, Times times) {
        this.identity = identity;
        this.times = times;
    }

    /** Returns the carriers to the HSMs, of which there is one at least, by {@code host:port} or socket. */
    public Map<String, Carrier> carriers() {
        return carriers;
    }

    /** Returns whether the HSMs are those of a configured cluster, rather than one on this machine. */
    public boolean isCluster() {
        return identity != null;
    }

    /**
     * Returns the carrier to another HSM of the cluster.
     *
     * @param address {@code host:port}
     * @throws IOException if it is no such address
     */
    public Carrier to(String address) throws IOException {
        int at = address.lastIndexOf(':');
        try {
            String host = address.substring(0, at).replace("[", "").replace("]", "");
            Settings.Server server = new Settings.Server(host, Integer.parseInt(address.substring(at + 1)));
            return new Connections(new TlsEndpoint(server, identity), times);
        } catch (IndexOutOfBoundsException | NumberFormatException e) {
            throw new IOException("The cluster names an HSM at " + address + ", which is no host:port", e);
        }
    }

    /**
     * Returns the carriers to all servers that lead to sockets, else those to all servers over TLS, else that to the default
     * HSM. They connect at their first request.
     *
     * @throws IOException if the property or the variable is not a list of {@code host[:port]=path}
     */
    public static Route of(Settings settings) throws IOException {
        Carrier ofProcess = ofProcess(settings.times());
        if (settings.ofMachine() && ofProcess != null) {
            return local(ofProcess);
        }
        Route sockets = new Route(null, null);
        for (Settings.Server server : settings.servers()) {
            boolean direct = Path.of(server.host()).isAbsolute();
            String socket = direct ? server.host() : socketOf(server, settings.sockets());
            if (socket != null) {
                String tried = direct ? "from the provider's configuration" : "to which " + server.host() + " is mapped";
                sockets.carriers.computeIfAbsent(socket, path -> unix(Path.of(path), tried, settings.times()));
            }
        }
        if (!sockets.carriers.isEmpty()) {
            return sockets;
        }
        if (InProcess.installed() == null && settings.tls() != null && !settings.servers().isEmpty()) {
            Route route = new Route(new TlsIdentity(settings.tls()), settings.times());
            for (Settings.Server server : settings.servers()) {
                route.carriers.put(server.host() + ":" + server.port(),
                        new Connections(new TlsEndpoint(server, route.identity), settings.times()));
            }
            return route;
        }
        return local(ofProcess != null ? ofProcess : new Connections(
                new UnixEndpoint(dataHome().resolve("hsmbridge").resolve(SOCKET_NAME), "the default", false), settings.times()));
    }

    private static Route local(Carrier carrier) {
        Route route = new Route(null, null);
        route.carriers.put("", carrier);
        return route;
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
        if (data != null && !data.isEmpty()) {
            return Path.of(data);
        }
        // As the commands do it: user.home is the directory in the password file, which a container may not use.
        String home = System.getenv("HOME");
        return Path.of(home != null && !home.isEmpty() ? home : System.getProperty("user.home"), ".local", "share");
    }
}
