package com.amazonaws.cloudhsm.jce.provider;

/** Builds a {@link CloudHsmServer}. */
public final class CloudHsmServerBuilder {
    private static final int DEFAULT_PORT = 2223;
    private static final int LAST_PORT = 65535;

    private String hostIP;
    private int port = DEFAULT_PORT;

    CloudHsmServerBuilder() {}

    /**
     * Sets the host: the absolute path of a daemon's socket, or a name or address that the system property {@code
     * hsmbridge.clusters}, {@code HSM_CLUSTERS} or the configuration file maps to one. Any other value selects the HSM
     * that this JVM uses without configuration.
     */
    public CloudHsmServerBuilder withHostIP(String host) {
        hostIP = host;
        return this;
    }

    /** Sets the port, from 1 to 65535, which distinguishes servers of one host. The default is 2223. */
    public CloudHsmServerBuilder withPort(int number) {
        port = number;
        return this;
    }

    /**
     * Returns the server.
     *
     * @throws IllegalArgumentException if there is no host, or the port is not from 1 to 65535
     */
    public CloudHsmServer build() {
        if (hostIP == null || hostIP.isBlank()) {
            throw new IllegalArgumentException("A server needs a host: call withHostIP");
        }
        if (port < 1 || port > LAST_PORT) {
            throw new IllegalArgumentException("The port must be from 1 to " + LAST_PORT + ", not " + port);
        }
        return new CloudHsmServer(hostIP, port);
    }
}
