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
     * Creates the parameters; copies the array.
     *
     * @param sharedInfo bytes that both parties add to the input of the derivation, or null for none
     * @param keyAttributes template of the derived key, with {@code SIZE} in bits
     * @throws NullPointerException if the template is null
     */
    public EcdhWithX963KdfParamSpec(byte[] sharedInfo, KeyAttributesMap keyAttributes) {
        this.sharedInfo = sharedInfo == null ? NOTHING : sharedInfo.clone();
        this.keyAttributes = Objects.requireNonNull(keyAttributes, "keyAttributes");
    }

    /** Returns a copy of the shared info; empty where it was null. */
    public byte[] getSharedInfo() {
        return sharedInfo.clone();
    }

    /** Returns the template of the derived key. */
    public KeyAttributesMap getKeyAttributesMap() {
        return keyAttributes;
    }
}
