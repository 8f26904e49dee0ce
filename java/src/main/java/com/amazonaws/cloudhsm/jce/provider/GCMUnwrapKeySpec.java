package com.amazonaws.cloudhsm.jce.provider;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import java.util.Objects;
import javax.crypto.spec.GCMParameterSpec;

/** Parameters to unwrap with AES-GCM: tag length, IV, and the template of the new key. */
public class GCMUnwrapKeySpec extends GCMParameterSpec {
    private final KeyAttributesMap keyAttributes;

    /**
     * Creates the parameters; copies the IV.
     *
     * @param tagBits length of the tag, in bits
     * @param iv bytes of the IV
     * @param keyAttributes template of the new key
     * @throws IllegalArgumentException if the tag length is negative, or the IV is null
     * @throws NullPointerException if the template is null
     */
    public GCMUnwrapKeySpec(int tagBits, byte[] iv, KeyAttributesMap keyAttributes) {
        super(tagBits, iv);
        this.keyAttributes = Objects.requireNonNull(keyAttributes, "keyAttributes");
    }

    /** Returns the template of the new key. */
    public KeyAttributesMap getKeyAttributesMap() {
        return keyAttributes;
    }
}
