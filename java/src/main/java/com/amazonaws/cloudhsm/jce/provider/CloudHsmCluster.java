package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.settings.Settings;
import java.io.IOException;
import java.util.List;
import java.util.Map;

/** The servers of a cluster, with the options of the provider that connects to it. */
public final class CloudHsmCluster {
    private final String uniqueIdentifier;
    private final String authority;
    private final Map<OptionalParameters, Boolean> options;
    private final List<CloudHsmServer> servers;

    CloudHsmCluster(String uniqueIdentifier, String authority, Map<OptionalParameters, Boolean> options,
            List<CloudHsmServer> servers) {
        this.uniqueIdentifier = uniqueIdentifier;
        this.authority = authority;
        this.options = Map.copyOf(options);
        this.servers = List.copyOf(servers);
    }

    /** Returns a builder. It needs a server. */
    public static CloudHsmClusterBuilder builder() {
        return new CloudHsmClusterBuilder();
    }

    /** Returns the name of the provider for this cluster, or null for a random one. */
    String uniqueIdentifier() {
        return uniqueIdentifier;
    }

    Settings.Tls tls() throws IOException {
        return Settings.Tls.of(authority, null, null);
    }

    boolean option(OptionalParameters option) {
        return options.getOrDefault(option, Boolean.TRUE);
    }

    List<CloudHsmServer> servers() {
        return servers;
    }
}
