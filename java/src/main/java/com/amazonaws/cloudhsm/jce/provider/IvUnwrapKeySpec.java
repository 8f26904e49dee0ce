package com.amazonaws.cloudhsm.jce.provider;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import java.util.Objects;
import javax.crypto.spec.IvParameterSpec;

/** Parameters to unwrap with a mode that takes an IV: the IV, and the attributes of the new key. */
public class IvUnwrapKeySpec extends IvParameterSpec {
    private final KeyAttributesMap keyAttributes;

    /** Makes one; throws NullPointerException if the attributes are null, and what {@link IvParameterSpec} throws. */
    public IvUnwrapKeySpec(byte[] iv, KeyAttributesMap keyAttributes) {
        super(iv);
        this.keyAttributes = Objects.requireNonNull(keyAttributes, "keyAttributes");
    }

    /** Returns the attributes of the key to be unwrapped. */
    public KeyAttributesMap getKeyAttributesMap() {
        return keyAttributes;
    }
}
