package com.amazonaws.cloudhsm.jce.provider;

import java.util.Objects;

/** The address of one HSM of a cluster. */
public final class CloudHsmServer {
    private final String hostIP;
    private final int port;

    CloudHsmServer(String hostIP, int port) {
        this.hostIP = Objects.requireNonNull(hostIP, "hostIP");
        this.port = port;
    }

    /** Returns a builder. It needs a host. */
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
