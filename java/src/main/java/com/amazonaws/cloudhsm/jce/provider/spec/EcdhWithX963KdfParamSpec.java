package com.amazonaws.cloudhsm.jce.provider.spec;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import java.security.spec.AlgorithmParameterSpec;
import java.util.Objects;

/** Parameters of {@code ECDHwithX963…KDF} key agreements (ANSI X9.63, SEC 1 3.6.1): shared info and the new key. */
public class EcdhWithX963KdfParamSpec implements AlgorithmParameterSpec {
    private static final byte[] NOTHING = {};

    private final byte[] sharedInfo;
    private final KeyAttributesMap keyAttributes;

    /**
     * Makes one; the array is copied.
     *
     * @param sharedInfo what both sides feed to the derivation beside the shared secret, or null for nothing
     * @param keyAttributes attributes of the derived key, {@code SIZE} in bits among them
     * @throws NullPointerException if the attributes are null
     */
    public EcdhWithX963KdfParamSpec(byte[] sharedInfo, KeyAttributesMap keyAttributes) {
        this.sharedInfo = sharedInfo == null ? NOTHING : sharedInfo.clone();
        this.keyAttributes = Objects.requireNonNull(keyAttributes, "keyAttributes");
    }

    /** Returns a copy of the shared info; empty where it was null. */
    public byte[] getSharedInfo() {
        return sharedInfo.clone();
    }

    /** Returns the attributes of the derived key. */
    public KeyAttributesMap getKeyAttributesMap() {
        return keyAttributes;
    }
}
