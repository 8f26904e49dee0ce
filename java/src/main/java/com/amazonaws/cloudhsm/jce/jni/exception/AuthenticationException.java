package com.amazonaws.cloudhsm.jce.jni.exception;

/** A key operation came before a login, or after its end. */
public class AuthenticationException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** The reason; an enum, so that it survives serialisation. */
    private final AuthenticationExceptionCause reason;

    /** Makes one with this message and reason. */
    public AuthenticationException(String message, AuthenticationExceptionCause reason) {
        super(message);
        this.reason = reason;
    }

    /** Returns the reason. */
    public AuthenticationExceptionCause getCloudHsmExceptionCause() {
        return reason;
    }
}
