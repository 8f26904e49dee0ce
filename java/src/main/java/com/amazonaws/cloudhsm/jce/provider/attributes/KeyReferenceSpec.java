package com.amazonaws.cloudhsm.jce.provider.attributes;

import java.security.spec.KeySpec;

/** A key reference, the number that {@code hsm key list} prints, with which {@code getKey} finds the key. */
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
