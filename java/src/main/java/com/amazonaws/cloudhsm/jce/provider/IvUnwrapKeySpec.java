package com.amazonaws.cloudhsm.jce.provider;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import java.util.Objects;
import javax.crypto.spec.IvParameterSpec;

/** Parameters to unwrap in a mode that takes an IV: the IV, and the template of the new key. */
public class IvUnwrapKeySpec extends IvParameterSpec {
    private final KeyAttributesMap keyAttributes;

    /**
     * Creates the parameters; copies the IV.
     *
     * @param iv bytes of the IV
     * @param keyAttributes template of the new key
     * @throws NullPointerException if one of them is null
     */
    public IvUnwrapKeySpec(byte[] iv, KeyAttributesMap keyAttributes) {
        super(iv);
        this.keyAttributes = Objects.requireNonNull(keyAttributes, "keyAttributes");
    }

    /** Returns the template of the new key. */
    public KeyAttributesMap getKeyAttributesMap() {
        return keyAttributes;
    }
}
