package com.amazonaws.cloudhsm.jce.provider;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** Builds a {@link CloudHsmCluster}. */
public final class CloudHsmClusterBuilder {
    private final Map<OptionalParameters, Boolean> options = new EnumMap<>(OptionalParameters.class);
    private final List<CloudHsmServer> servers = new ArrayList<>();
    private String uniqueIdentifier;
    private String authority;
    private String certificate;
    private String key;

    CloudHsmClusterBuilder() {}

    /**
     * Sets the name of the provider for this cluster. The default is a random name. Without a server it is the id of a
     * cluster of the configuration file, whose servers, certificates and options the provider gets: an extension of
     * hsmbridge.
     */
    public CloudHsmClusterBuilder withClusterUniqueIdentifier(String identifier) {
        uniqueIdentifier = identifier;
        return this;
    }

    /**
     * Sets the path of the certificate of the authority that has signed the HSMs' certificates, in PEM. The default is
     * {@code /opt/cloudhsm/etc/customerCA.crt}. It has no effect if the file does not exist, or if the servers are
     * reached through local sockets.
     */
    public CloudHsmClusterBuilder withHsmCAFilePath(String path) {
        authority = path;
        return this;
    }

    /**
     * Sets the path of the client's own certificate, in PEM, for HSMs that ask clients for one. An extension of
     * hsmbridge; {@link #withClientKeyFilePath} must be called too.
     */
    public CloudHsmClusterBuilder withClientCertFilePath(String path) {
        certificate = path;
        return this;
    }

    /** Sets the path of the private key of the client's certificate, PKCS #8 in PEM without a passphrase. */
    public CloudHsmClusterBuilder withClientKeyFilePath(String path) {
        key = path;
        return this;
    }

    /**
     * Sets an option.
     *
     * @throws NullPointerException if the option is null
     */
    public CloudHsmClusterBuilder withOptions(OptionalParameters option, boolean value) {
        options.put(Objects.requireNonNull(option, "option"), value);
        return this;
    }

    /**
     * Adds a server. The provider uses the first server that maps to a socket, else all of them over TLS.
     *
     * @throws NullPointerException if the server is null
     */
    public CloudHsmClusterBuilder withServer(CloudHsmServer server) {
        servers.add(Objects.requireNonNull(server, "server"));
        return this;
    }

    /**
     * Returns the cluster.
     *
     * @throws IllegalArgumentException if there is neither a server nor an identifier, the identifier is blank, or a
     *     cluster of the configuration file is to have other certificates or options
     */
    public CloudHsmCluster build() {
        if (servers.isEmpty() && uniqueIdentifier == null) {
            throw new IllegalArgumentException("A cluster needs a server: call withServer, or withClusterUniqueIdentifier"
                    + " for a cluster of the configuration file");
        }
        boolean further = authority != null || certificate != null || key != null || !options.isEmpty();
        if (servers.isEmpty() && further) {
            throw new IllegalArgumentException("A cluster of the configuration file has its certificates and options there;"
                    + " call withServer for others");
        }
        if (uniqueIdentifier != null && uniqueIdentifier.isBlank()) {
            throw new IllegalArgumentException("The cluster's unique identifier is blank");
        }
        return new CloudHsmCluster(uniqueIdentifier, new CloudHsmCluster.Files(authority, certificate, key), options,
                servers);
    }
}
