package com.amazonaws.cloudhsm.jce.jni.exception;

/** The HSM could not process the request. */
public class InternalException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** Makes one with this message. */
    public InternalException(String message) {
        super(message);
    }
}
