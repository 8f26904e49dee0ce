package com.amazonaws.cloudhsm.jce.provider.attributes;

import java.security.spec.KeySpec;

/** Names a key by its reference, the number that {@code hsm key list} shows, to find it with {@code getKey}. */
public final class KeyReferenceSpec implements KeySpec {
    private final long keyReference;

    private KeyReferenceSpec(long keyReference) {
        this.keyReference = keyReference;
    }

    /** Returns the specification of the key with this reference. */
    public static KeyReferenceSpec getInstance(long keyReference) {
        return new KeyReferenceSpec(keyReference);
    }

    /** Returns the reference. */
    public long getKeyReference() {
        return keyReference;
    }
}
