package com.amazonaws.cloudhsm.jce.provider;

/** Options of a cluster, for {@link CloudHsmClusterBuilder#withOptions}. Both are on where nobody says otherwise. */
public enum OptionalParameters {
    /**
     * Refuse a key when an engine is initialised with it, if its attributes do not permit the operation. Off, the HSM
     * refuses it when the operation is done.
     */
    VALIDATE_KEY_AT_INIT,
    /** Use a token key only when two HSMs have it. Accepted without effect: an HSM here is one, and durable by itself. */
    KEY_AVAILABILITY_CHECK
}
