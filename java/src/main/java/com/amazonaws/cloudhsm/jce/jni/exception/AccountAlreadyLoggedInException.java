package com.amazonaws.cloudhsm.jce.jni.exception;

/** Refusal of a login because this provider instance is logged in. */
public class AccountAlreadyLoggedInException extends javax.security.auth.login.LoginException {
    private static final long serialVersionUID = 1L;

    /** Creates an exception with this message. */
    public AccountAlreadyLoggedInException(String message) {
        super(message);
    }
}
