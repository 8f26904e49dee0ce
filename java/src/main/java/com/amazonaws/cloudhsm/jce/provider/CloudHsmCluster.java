package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.settings.Settings;
import java.io.IOException;
import java.util.List;
import java.util.Map;

/** The servers of a cluster, with the options of the provider that connects to it. */
public final class CloudHsmCluster {
    private final String uniqueIdentifier;
    private final Files files;
    private final Map<OptionalParameters, Boolean> options;
    private final List<CloudHsmServer> servers;

    CloudHsmCluster(String uniqueIdentifier, Files files, Map<OptionalParameters, Boolean> options,
            List<CloudHsmServer> servers) {
        this.uniqueIdentifier = uniqueIdentifier;
        this.files = files;
        this.options = Map.copyOf(options);
        this.servers = List.copyOf(servers);
    }

    /** Paths of PEM files; each may be null. */
    static final class Files {
        private final String authority;
        private final String certificate;
        private final String key;

        Files(String authority, String certificate, String key) {
            this.authority = authority;
            this.certificate = certificate;
            this.key = key;
        }
    }

    /** Returns a builder. It needs a server, or the id of a cluster of the configuration file. */
    public static CloudHsmClusterBuilder builder() {
        return new CloudHsmClusterBuilder();
    }

    /** Returns the name of the provider for this cluster, or null for a random one. */
    String uniqueIdentifier() {
        return uniqueIdentifier;
    }

    Settings.Tls tls() throws IOException {
        return Settings.Tls.of(files.authority, files.certificate, files.key);
    }

    boolean option(OptionalParameters option) {
        return options.getOrDefault(option, Boolean.TRUE);
    }

    /** Returns the servers; none for the cluster of the configuration file that has the identifier. */
    List<CloudHsmServer> servers() {
        return servers;
    }
}
