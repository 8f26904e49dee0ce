package com.amazonaws.cloudhsm.jce.jni.exception;

/** The provider could not be set up: its configuration is wrong, or no HSM answers. */
public class ProviderInitializationException extends Exception {
    private static final long serialVersionUID = 1L;

    /** Makes one with this message. */
    public ProviderInitializationException(String message) {
        super(message);
    }
}
