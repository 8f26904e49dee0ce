package com.amazonaws.cloudhsm.jce.provider;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import java.security.spec.KeySpec;
import java.util.Objects;
import javax.crypto.SecretKey;

/**
 * A key to be derived from an AES key with AES-CMAC in counter mode (NIST SP 800-108r1, 4.1): the argument of
 * {@code SecretKeyFactory.generateSecret}, whose algorithm is the derived key's.
 */
public class AesCmacKdfParameterSpec implements KeySpec {
    private final KeyAttributesMap derivedKeyAttributes;
    private final AesCmacKdfFixedInputData fixedInputData;
    private final SecretKey baseKey;

    /**
     * Makes one.
     *
     * @param derivedKeyAttributes attributes of the derived key, {@code SIZE} in bits among them
     * @param fixedInputData what the derivation feeds to its PRF
     * @param baseKey an AES key of the HSM whose {@code DERIVE} is true
     * @throws NullPointerException if one of them is null
     */
    public AesCmacKdfParameterSpec(
            KeyAttributesMap derivedKeyAttributes, AesCmacKdfFixedInputData fixedInputData, SecretKey baseKey) {
        this.derivedKeyAttributes = Objects.requireNonNull(derivedKeyAttributes, "derivedKeyAttributes");
        this.fixedInputData = Objects.requireNonNull(fixedInputData, "fixedInputData");
        this.baseKey = Objects.requireNonNull(baseKey, "baseKey");
    }

    /** Returns the attributes of the derived key. */
    public KeyAttributesMap getDerivedKeyAttributes() {
        return derivedKeyAttributes;
    }

    /** Returns what the derivation feeds to its PRF. */
    public AesCmacKdfFixedInputData getFixedInputData() {
        return fixedInputData;
    }

    /** Returns the key that is derived from. */
    public SecretKey getBaseKey() {
        return baseKey;
    }
}
