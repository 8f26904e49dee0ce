package com.amazonaws.cloudhsm.jce.provider;

import java.util.List;
import java.util.Map;

/** A cluster of HSMs and the options of its use. */
public final class CloudHsmCluster {
    private final String uniqueIdentifier;
    private final Map<OptionalParameters, Boolean> options;
    private final List<CloudHsmServer> servers;

    CloudHsmCluster(String uniqueIdentifier, Map<OptionalParameters, Boolean> options, List<CloudHsmServer> servers) {
        this.uniqueIdentifier = uniqueIdentifier;
        this.options = Map.copyOf(options);
        this.servers = List.copyOf(servers);
    }

    /** Begins one; it needs a server. */
    public static CloudHsmClusterBuilder builder() {
        return new CloudHsmClusterBuilder();
    }

    /** Returns the name that the provider gets, or null for a random one. */
    String uniqueIdentifier() {
        return uniqueIdentifier;
    }

    boolean option(OptionalParameters option) {
        return options.getOrDefault(option, Boolean.TRUE);
    }

    List<CloudHsmServer> servers() {
        return servers;
    }
}
