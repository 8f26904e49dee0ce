package com.amazonaws.cloudhsm.jce.jni.exception;

/** The HSM, or the connection to it, failed. */
public class ProviderException extends java.security.ProviderException {
    private static final long serialVersionUID = 1L;

    /** Makes one with this message. */
    public ProviderException(String message) {
        super(message);
    }
}
