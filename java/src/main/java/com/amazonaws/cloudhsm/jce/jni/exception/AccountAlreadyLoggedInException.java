package com.amazonaws.cloudhsm.jce.jni.exception;

/** This provider instance is logged in already. */
public class AccountAlreadyLoggedInException extends javax.security.auth.login.LoginException {
    private static final long serialVersionUID = 1L;

    /** Makes one with this message. */
    public AccountAlreadyLoggedInException(String message) {
        super(message);
    }
}
