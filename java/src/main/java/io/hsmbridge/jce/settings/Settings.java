package io.hsmbridge.jce.settings;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * The settings of one provider instance, from its configuration objects, the configuration file, or its argument.
 */
public final class Settings {
    private static final Path INSTALLED = Path.of("/opt/cloudhsm/etc/cloudhsm-jce.cfg");
    private static final String AUTHORITY = "/opt/cloudhsm/etc/customerCA.crt";
    private static final long DEFAULT_PORT = 2223;

    private final boolean ofMachine;
    private final List<Server> servers;
    private final Map<String, String> sockets;
    private final Tls tls;
    private final boolean validatesAtInit;
    private final boolean clearExtraction;
    private final boolean plainEcdh;
    private final boolean checksAvailability;
    private final boolean retries;
    private final Times times;
    private final LogSettings log;

    /** Creates the value of its parts. */
    public Settings(boolean ofMachine, List<Server> servers, Map<String, String> sockets, Tls tls,
            boolean validatesAtInit, boolean clearExtraction, boolean plainEcdh, boolean checksAvailability, boolean retries, Times times, LogSettings log) {
        this.ofMachine = ofMachine;
        this.servers = servers;
        this.sockets = sockets;
        this.tls = tls;
        this.validatesAtInit = validatesAtInit;
        this.clearExtraction = clearExtraction;
        this.plainEcdh = plainEcdh;
        this.checksAvailability = checksAvailability;
        this.retries = retries;
        this.times = times;
        this.log = log;
    }

    /**
     * Returns whether the settings are those of the machine's configuration file; settings of the process override
     * them.
     */
    public boolean ofMachine() {
        return ofMachine;
    }

    /**
     * Returns the addresses of the HSM in order of preference; empty for the HSM that this JVM uses without
     * configuration.
     */
    public List<Server> servers() {
        return servers;
    }

    /** Returns the socket paths by host, with or without {@code :port}. */
    public Map<String, String> sockets() {
        return sockets;
    }

    /** Returns the certificates for TLS; null if there are none. */
    public Tls tls() {
        return tls;
    }

    /** Returns whether {@code init} of an engine checks the attributes of a key. */
    public boolean validatesAtInit() {
        return validatesAtInit;
    }

    /** Returns whether the provider may ask for key material in the clear, which the HSM may still refuse. */
    public boolean clearExtraction() {
        return clearExtraction;
    }

    /** Returns whether key agreement without a key derivation function is available. */
    public boolean plainEcdh() {
        return plainEcdh;
    }

    /** Returns whether token keys of a cluster are used only while two of its HSMs answer. */
    public boolean checksAvailability() {
        return checksAvailability;
    }

    /** Returns whether the provider repeats a request that is safe to repeat after the connection is lost. */
    public boolean retries() {
        return retries;
    }

    /** Returns the limits on waiting. */
    public Times times() {
        return times;
    }

    /** Returns the log settings, or null for no log. */
    public LogSettings log() {
        return log;
    }

    /** Returns the same settings with another log. */
    public Settings loggedTo(LogSettings other) {
        return new Settings(ofMachine, servers, sockets, tls, validatesAtInit, clearExtraction, plainEcdh,
                checksAvailability, retries, times, other);
    }

    /** A host of the configuration. An absolute path is a socket. */
    public static final class Server {
        private final String host;
        private final long port;

        /** Creates the value of its parts. */
        public Server(String host, long port) {
            this.host = host;
            this.port = port;
        }

        /** Returns the host, or the absolute path of a socket. */
        public String host() {
            return host;
        }

        /** Returns the TCP port. */
        public long port() {
            return port;
        }
    }

    /** Paths of PEM files. */
    public static final class Tls {
        private final String authority;
        private final String certificate;
        private final String key;

        /** Creates the value of its parts. */
        public Tls(String authority, String certificate, String key) {
            this.authority = authority;
            this.certificate = certificate;
            this.key = key;
        }

        /** Returns the certificate of the authority that has signed the HSMs' certificates. */
        public String authority() {
            return authority;
        }

        /** Returns the client's own certificate, or null. */
        public String certificate() {
            return certificate;
        }

        /** Returns its private key, or null. */
        public String key() {
            return key;
        }

        /**
         * Returns the files of a configuration, or null if the authority's file does not exist.
         *
         * @param authority path of the authority's certificate, or null for the path of an installation
         * @throws IOException if there is a certificate without a key, or a key without a certificate
         */
        public static Tls of(String authority, String certificate, String key) throws IOException {
            if ((certificate == null) != (key == null)) {
                throw new IOException("A client certificate for TLS needs its private key, and a key its certificate");
            }
            String file = authority == null ? AUTHORITY : authority;
            return Files.exists(Path.of(file)) ? new Tls(file, certificate, key) : null;
        }
    }

    /** Log settings of the configuration; null selects the default. */
    public static final class LogSettings {
        private final String type;
        private final String file;
        private final String level;
        private final String interval;

        /** Creates the value of its parts. */
        public LogSettings(String type, String file, String level, String interval) {
            this.type = type;
            this.file = file;
            this.level = level;
            this.interval = interval;
        }

        /** Returns the type of the log, or null. */
        public String type() {
            return type;
        }

        /** Returns the path of the log, or null. */
        public String file() {
            return file;
        }

        /** Returns the lowest level that is logged, or null. */
        public String level() {
            return level;
        }

        /** Returns the interval of rotation, or null. */
        public String interval() {
            return interval;
        }
    }

    /**
     * Returns the settings of the file that the system property {@code hsmbridge.config} names, else {@code
     * HSM_CONFIG}, else of {@code /opt/cloudhsm/etc/cloudhsm-jce.cfg}; defaults if there is no such file.
     *
     * @throws IOException if the file cannot be read or is invalid
     */
    public static Settings standard() throws IOException {
        Path file = standardFile();
        return file == null ? of(List.of()) : ofFile(file, null);
    }

    /**
     * Returns the settings of a cluster of that file. Settings of the process do not override them.
     *
     * @param identifier the cluster's id in the file, in upper or lower case
     * @throws IOException if there is no such file or cluster, or the file is invalid
     */
    public static Settings ofCluster(String identifier) throws IOException {
        Path file = standardFile();
        if (file == null) {
            throw new IOException("There is no configuration file with the cluster " + identifier + ": " + INSTALLED
                    + " does not exist, and neither hsmbridge.config nor HSM_CONFIG names another");
        }
        return ofFile(file, identifier);
    }

    private static Path standardFile() {
        String named = System.getProperty("hsmbridge.config", System.getenv("HSM_CONFIG"));
        if (named != null && !named.isBlank()) {
            return Path.of(named);
        }
        return Files.exists(INSTALLED) ? INSTALLED : null;
    }

    /** Returns the id in the argument {@code cluster=<id>} of a provider; null for another argument. */
    public static String clusterOf(String argument) {
        int at = argument.indexOf('=');
        return at > 0 && argument.substring(0, at).trim().equals("cluster") ? argument.substring(at + 1).trim() : null;
    }

    /**
     * Returns the settings of a provider's argument.
     *
     * @param argument {@code socket=<path>}, or the path of a configuration file, of which the first cluster is meant
     * @throws IOException if the argument is neither, or the file is invalid
     */
    public static Settings ofArgument(String argument) throws IOException {
        int at = argument.indexOf('=');
        if (at < 0) {
            return ofFile(Path.of(argument), null);
        }
        String name = argument.substring(0, at).trim();
        if (!name.equals("socket")) {
            throw new IOException("Unknown setting " + name + " in " + argument + "; known: socket, cluster");
        }
        return of(List.of(new Server(Path.of(argument.substring(at + 1).trim()).toAbsolutePath().toString(), DEFAULT_PORT)));
    }

    private static Settings of(List<Server> servers) throws IOException {
        return new Settings(false, servers, Map.of(), null, true, true, false, true, true, Times.standard(), null);
    }

    /** Returns the settings of a cluster of a file; those of the first one, for the machine, if the id is null. */
    private static Settings ofFile(Path file, String identifier) throws IOException {
        Object content;
        try {
            content = Json.parse(Files.readString(file));
        } catch (IllegalArgumentException e) {
            throw new IOException(file + " is not JSON: " + e.getMessage(), e);
        }
        Section root = Section.of(content, file.toString());
        Section cluster = cluster(root, file, identifier);
        Section options = cluster.section("options");
        Section own = root.section("hsmbridge");
        return new Settings(identifier == null, servers(cluster), own.section("sockets").texts(), tls(cluster),
                !options.flag("disable_validate_key_at_init", false),
                options.flag("enable_clear_key_extraction_in_software", true),
                options.flag("enable_ecdh_without_kdf", false),
                !options.flag("disable_key_availability_check", false), retries(options), Times.of(own),
                log(root));
    }

    private static Section cluster(Section root, Path file, String identifier) throws IOException {
        List<String> known = new ArrayList<>();
        for (Section entry : root.sections("clusters")) {
            String id = entry.text("cluster_id");
            if (identifier == null || identifier.equalsIgnoreCase(id)) {
                return entry.section("cluster");
            }
            known.add(id == null ? "one without an id" : id);
        }
        throw new IOException(known.isEmpty() ? file + " names no cluster: clusters is missing or empty"
                : file + " has no cluster " + identifier + "; there are: " + String.join(", ", known));
    }

    private static List<Server> servers(Section cluster) throws IOException {
        List<Server> servers = new ArrayList<>();
        for (Section server : cluster.sections("servers")) {
            if (server.text("hostname") == null) {
                throw new IOException(server.where() + ".hostname is missing");
            }
            if (server.flag("enable", true)) {
                servers.add(new Server(server.text("hostname"), server.number("port", DEFAULT_PORT)));
            }
        }
        if (servers.isEmpty()) {
            throw new IOException(cluster.where() + " has no server that is enabled");
        }
        return servers;
    }

    private static Tls tls(Section cluster) throws IOException {
        String certificate = cluster.text("client_cert_hsm_tls_file");
        String key = cluster.text("client_key_hsm_tls_file");
        return Tls.of(cluster.text("hsm_ca_file"), certificate != null ? certificate : cluster.text("client_cert_path"),
                key != null ? key : cluster.text("client_key_path"));
    }

    private static boolean retries(Section options) throws IOException {
        String mode = options.text("default_retry_mode");
        if (mode == null || mode.toLowerCase(Locale.ROOT).equals("standard")) {
            return true;
        }
        if (mode.toLowerCase(Locale.ROOT).equals("off")) {
            return false;
        }
        throw new IOException(options.where() + ".default_retry_mode is " + mode + "; it is off or standard");
    }

    private static LogSettings log(Section root) throws IOException {
        if (!root.has("logging")) {
            return null;
        }
        Section log = root.section("logging");
        return new LogSettings(log.text("log_type"), log.text("log_file"), log.text("log_level"), log.text("log_interval"));
    }
}
