package com.amazonaws.cloudhsm.jce.jni.exception;

/** User name or password is wrong. */
public class FailedLoginException extends javax.security.auth.login.LoginException {
    private static final long serialVersionUID = 1L;

    /** Makes one with this message. */
    public FailedLoginException(String message) {
        super(message);
    }
}
