package com.amazonaws.cloudhsm.jce.jni.exception;

/** Why an operation was refused for want of a login. */
public enum AuthenticationExceptionCause {
    /** Nobody is logged in, or the session has ended. */
    UNAUTHENTICATED
}
