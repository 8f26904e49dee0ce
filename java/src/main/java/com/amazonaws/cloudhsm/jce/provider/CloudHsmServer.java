package com.amazonaws.cloudhsm.jce.provider;

import java.util.Objects;

/** Where one HSM of a cluster is. */
public final class CloudHsmServer {
    private final String hostIP;
    private final int port;

    CloudHsmServer(String hostIP, int port) {
        this.hostIP = Objects.requireNonNull(hostIP, "hostIP");
        this.port = port;
    }

    /** Begins one; it needs a host. */
    public static CloudHsmServerBuilder builder() {
        return new CloudHsmServerBuilder();
    }

    String hostIP() {
        return hostIP;
    }

    int port() {
        return port;
    }
}
