package com.amazonaws.cloudhsm.jce.provider;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import java.util.Objects;
import javax.crypto.spec.OAEPParameterSpec;

/** Parameters to unwrap with RSA-OAEP: the OAEP parameters, and the template of the new key. */
public class OAEPUnwrapKeySpec extends OAEPParameterSpec {
    private final KeyAttributesMap keyAttributes;

    /**
     * Creates the parameters.
     *
     * @param oaep hash, mask generation function and label
     * @param keyAttributes template of the new key
     * @throws NullPointerException if one of them is null
     */
    public OAEPUnwrapKeySpec(OAEPParameterSpec oaep, KeyAttributesMap keyAttributes) {
        super(oaep.getDigestAlgorithm(), oaep.getMGFAlgorithm(), oaep.getMGFParameters(), oaep.getPSource());
        this.keyAttributes = Objects.requireNonNull(keyAttributes, "keyAttributes");
    }

    /** Returns the template of the new key. */
    public KeyAttributesMap getKeyAttributesMap() {
        return keyAttributes;
    }
}
