package com.amazonaws.cloudhsm.jce.jni.exception;

/** Failure of the HSM or of the connection to it. */
public class ProviderException extends java.security.ProviderException {
    private static final long serialVersionUID = 1L;

    /** Creates an exception with this message. */
    public ProviderException(String message) {
        super(message);
    }
}
