package com.amazonaws.cloudhsm.jce.provider;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import java.util.Objects;
import javax.crypto.spec.GCMParameterSpec;

/** Parameters to unwrap with AES-GCM: tag length in bits, IV, and the attributes of the new key. */
public class GCMUnwrapKeySpec extends GCMParameterSpec {
    private final KeyAttributesMap keyAttributes;

    /** Makes one; throws NullPointerException if the attributes are null, and what {@link GCMParameterSpec} throws. */
    public GCMUnwrapKeySpec(int tagBits, byte[] iv, KeyAttributesMap keyAttributes) {
        super(tagBits, iv);
        this.keyAttributes = Objects.requireNonNull(keyAttributes, "keyAttributes");
    }

    /** Returns the attributes of the key to be unwrapped. */
    public KeyAttributesMap getKeyAttributesMap() {
        return keyAttributes;
    }
}
