package com.amazonaws.cloudhsm.jce.jni.exception;

/** Failure of the HSM to process a request. */
public class InternalException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** Creates an exception with this message. */
    public InternalException(String message) {
        super(message);
    }
}
