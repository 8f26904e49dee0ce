package com.amazonaws.cloudhsm.jce.jni;

/** Kinds of users that log in through the provider. */
public enum UserType {
    /** A user who owns and uses keys; the only kind that the provider logs in. */
    CRYPTO_USER
}
