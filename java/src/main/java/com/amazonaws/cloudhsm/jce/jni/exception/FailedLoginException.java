package com.amazonaws.cloudhsm.jce.jni.exception;

/** Refusal of a login, for example because user name or password is wrong. */
public class FailedLoginException extends javax.security.auth.login.LoginException {
    private static final long serialVersionUID = 1L;

    /** Creates an exception with this message. */
    public FailedLoginException(String message) {
        super(message);
    }
}
