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
 *
 * @param ofMachine whether the settings are those of the machine's configuration file; settings of the process override
 *     them
 * @param servers addresses of the HSM in order of preference; empty for the HSM that this JVM uses without
 *     configuration
 * @param sockets socket paths by host, with or without {@code :port}
 * @param validatesAtInit whether {@code init} of an engine checks the attributes of a key
 * @param clearExtraction whether the provider may ask for key material in the clear, which the HSM may still refuse
 * @param plainEcdh whether key agreement without a key derivation function is available
 * @param retries whether the provider repeats a request that is safe to repeat after the connection is lost
 * @param times limits on waiting
 * @param log log settings, or null for no log
 */
public record Settings(boolean ofMachine, List<Server> servers, Map<String, String> sockets, boolean validatesAtInit,
        boolean clearExtraction, boolean plainEcdh, boolean retries, Times times, LogSettings log) {
    private static final Path INSTALLED = Path.of("/opt/cloudhsm/etc/cloudhsm-jce.cfg");
    private static final long DEFAULT_PORT = 2223;

    /** A host of the configuration. An absolute path is a socket. */
    public record Server(String host, long port) {}

    /** Log settings of the configuration; null selects the default. */
    public record LogSettings(String type, String file, String level, String interval) {}

    /**
     * Returns the settings of the file that the system property {@code hsmbridge.config} names, else {@code
     * HSM_CONFIG}, else of {@code /opt/cloudhsm/etc/cloudhsm-jce.cfg}; defaults if there is no such file.
     *
     * @throws IOException if the file cannot be read or is invalid
     */
    public static Settings standard() throws IOException {
        String named = System.getProperty("hsmbridge.config", System.getenv("HSM_CONFIG"));
        if (named != null && !named.isBlank()) {
            return ofFile(Path.of(named));
        }
        return Files.exists(INSTALLED) ? ofFile(INSTALLED) : of(List.of());
    }

    /**
     * Returns the settings of a provider's argument.
     *
     * @param argument {@code socket=<path>}, or the path of a configuration file
     * @throws IOException if the argument is neither, or the file is invalid
     */
    public static Settings ofArgument(String argument) throws IOException {
        int at = argument.indexOf('=');
        if (at < 0) {
            return ofFile(Path.of(argument));
        }
        String name = argument.substring(0, at).trim();
        if (!name.equals("socket")) {
            throw new IOException("Unknown setting " + name + " in " + argument + "; known: socket");
        }
        return of(List.of(new Server(Path.of(argument.substring(at + 1).trim()).toAbsolutePath().toString(), DEFAULT_PORT)));
    }

    private static Settings of(List<Server> servers) throws IOException {
        return new Settings(false, servers, Map.of(), true, true, false, true, Times.standard(), null);
    }

    private static Settings ofFile(Path file) throws IOException {
        Object content;
        try {
            content = Json.parse(Files.readString(file));
        } catch (IllegalArgumentException e) {
            throw new IOException(file + " is not JSON: " + e.getMessage(), e);
        }
        Section root = Section.of(content, file.toString());
        List<Section> clusters = root.sections("clusters");
        if (clusters.isEmpty()) {
            throw new IOException(file + " names no cluster: clusters is missing or empty");
        }
        Section cluster = clusters.get(0).section("cluster");
        Section options = cluster.section("options");
        Section own = root.section("hsmbridge");
        return new Settings(true, servers(cluster), own.section("sockets").texts(),
                !options.flag("disable_validate_key_at_init", false),
                options.flag("enable_clear_key_extraction_in_software", true),
                options.flag("enable_ecdh_without_kdf", false), retries(options), Times.of(own),
                log(root));
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
