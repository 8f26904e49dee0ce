package com.amazonaws.cloudhsm.jce.jni.exception;

/** Failure to create a provider: its configuration is invalid, or no HSM answers. */
public class ProviderInitializationException extends Exception {
    private static final long serialVersionUID = 1L;

    /** Creates an exception with this message. */
    public ProviderInitializationException(String message) {
        super(message);
    }
}
