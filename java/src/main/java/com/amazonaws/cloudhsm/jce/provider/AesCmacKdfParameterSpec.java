package com.amazonaws.cloudhsm.jce.provider;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import java.security.spec.KeySpec;
import java.util.Objects;
import javax.crypto.SecretKey;

/**
 * Parameters of a key derivation with AES-CMAC in counter mode (NIST SP 800-108r1, 4.1). They are the argument of
 * {@code SecretKeyFactory.generateSecret}; the factory's algorithm is that of the derived key.
 */
public class AesCmacKdfParameterSpec implements KeySpec {
    private final KeyAttributesMap derivedKeyAttributes;
    private final AesCmacKdfFixedInputData fixedInputData;
    private final SecretKey baseKey;

    /**
     * Creates the parameters.
     *
     * @param derivedKeyAttributes template of the derived key, with {@code SIZE} in bits
     * @param fixedInputData input of the PRF
     * @param baseKey an AES key of the HSM whose {@code DERIVE} is true
     * @throws NullPointerException if one of them is null
     */
    public AesCmacKdfParameterSpec(
            KeyAttributesMap derivedKeyAttributes, AesCmacKdfFixedInputData fixedInputData, SecretKey baseKey) {
        this.derivedKeyAttributes = Objects.requireNonNull(derivedKeyAttributes, "derivedKeyAttributes");
        this.fixedInputData = Objects.requireNonNull(fixedInputData, "fixedInputData");
        this.baseKey = Objects.requireNonNull(baseKey, "baseKey");
    }

    /** Returns the template of the derived key. */
    public KeyAttributesMap getDerivedKeyAttributes() {
        return derivedKeyAttributes;
    }

    /** Returns the input of the PRF. */
    public AesCmacKdfFixedInputData getFixedInputData() {
        return fixedInputData;
    }

    /** Returns the AES key from which the new key is derived. */
    public SecretKey getBaseKey() {
        return baseKey;
    }
}
