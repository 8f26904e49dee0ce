package com.amazonaws.cloudhsm.jce.provider;

/** Options of a cluster, for {@link CloudHsmClusterBuilder#withOptions}. The default of each is true. */
public enum OptionalParameters {
    /**
     * If true, the initialisation of an engine refuses a key whose attributes do not permit the operation. If false,
     * the operation itself fails.
     */
    VALIDATE_KEY_AT_INIT,
    /**
     * If true, token keys of a cluster over TLS are made and used only while two of its HSMs answer. It has no effect on an
     * HSM that is reached through a local socket.
     */
    KEY_AVAILABILITY_CHECK
}
