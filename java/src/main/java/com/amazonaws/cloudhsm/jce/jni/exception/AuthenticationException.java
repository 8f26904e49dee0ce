package com.amazonaws.cloudhsm.jce.jni.exception;

/** Refusal of an operation because no user is logged in, or the session has ended. */
public class AuthenticationException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** An enum, so that the reason survives serialisation. */
    private final AuthenticationExceptionCause reason;

    /** Creates an exception with this message and reason. */
    public AuthenticationException(String message, AuthenticationExceptionCause reason) {
        super(message);
        this.reason = reason;
    }

    /** Returns the reason. */
    public AuthenticationExceptionCause getCloudHsmExceptionCause() {
        return reason;
    }
}
