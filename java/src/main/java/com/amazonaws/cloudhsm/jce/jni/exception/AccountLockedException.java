package com.amazonaws.cloudhsm.jce.jni.exception;

/** Refusal of a login because too many wrong passwords locked the account; an admin unlocks it with a new password. */
public class AccountLockedException extends javax.security.auth.login.LoginException {
    private static final long serialVersionUID = 1L;

    /** Creates an exception with this message. */
    public AccountLockedException(String message) {
        super(message);
    }
}
