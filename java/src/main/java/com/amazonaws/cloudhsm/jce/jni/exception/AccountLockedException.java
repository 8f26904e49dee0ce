package com.amazonaws.cloudhsm.jce.jni.exception;

/** The account is locked after too many wrong passwords; an admin unlocks it with a new password. */
public class AccountLockedException extends javax.security.auth.login.LoginException {
    private static final long serialVersionUID = 1L;

    /** Makes one with this message. */
    public AccountLockedException(String message) {
        super(message);
    }
}
