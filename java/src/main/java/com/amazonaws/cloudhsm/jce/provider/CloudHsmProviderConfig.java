package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.settings.Settings;
import io.hsmbridge.jce.settings.Times;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** The configuration of one provider instance: its cluster and its log settings. */
public final class CloudHsmProviderConfig {
    private final CloudHsmCluster cluster;
    private final CloudHsmLoggingConfig logging;

    CloudHsmProviderConfig(CloudHsmCluster cluster, CloudHsmLoggingConfig logging) {
        this.cluster = cluster;
        this.logging = logging;
    }

    /** Returns a builder. It needs a cluster. */
    public static CloudHsmProviderConfigBuilder builder() {
        return new CloudHsmProviderConfigBuilder();
    }

    /** Returns the name of the provider with this configuration: the cluster's identifier, else a random name. */
    String name() {
        return cluster.uniqueIdentifier() != null ? cluster.uniqueIdentifier() : "CloudHSM-" + UUID.randomUUID();
    }

    Settings settings() throws IOException {
        if (cluster.servers().isEmpty()) {
            Settings ofFile = Settings.ofCluster(cluster.uniqueIdentifier());
            return logging == null ? ofFile : ofFile.loggedTo(logging.settings());
        }
        List<Settings.Server> servers = new ArrayList<>();
        for (CloudHsmServer server : cluster.servers()) {
            servers.add(new Settings.Server(server.hostIP(), server.port()));
        }
        return new Settings(false, servers, Map.of(), cluster.tls(), cluster.option(OptionalParameters.VALIDATE_KEY_AT_INIT),
                true, false, cluster.option(OptionalParameters.KEY_AVAILABILITY_CHECK), true, Times.standard(),
                logging == null ? null : logging.settings());
    }
}
