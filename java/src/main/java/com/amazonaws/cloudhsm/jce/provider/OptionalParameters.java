package com.amazonaws.cloudhsm.jce.provider;

/** Options of a cluster, for {@link CloudHsmClusterBuilder#withOptions}. The default of each is true. */
public enum OptionalParameters {
    /**
     * If true, the initialisation of an engine refuses a key whose attributes do not permit the operation. If false,
     * the operation itself fails.
     */
    VALIDATE_KEY_AT_INIT,
    /** Accepted without effect: it restricts token keys to those that two HSMs of a cluster hold. */
    KEY_AVAILABILITY_CHECK
}
