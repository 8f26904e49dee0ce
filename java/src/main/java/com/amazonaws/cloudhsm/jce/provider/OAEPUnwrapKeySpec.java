package com.amazonaws.cloudhsm.jce.provider;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import java.util.Objects;
import javax.crypto.spec.OAEPParameterSpec;

/** Parameters to unwrap with RSA-OAEP: those of OAEP, and the attributes of the new key. */
public class OAEPUnwrapKeySpec extends OAEPParameterSpec {
    private final KeyAttributesMap keyAttributes;

    /** Makes one from the parameters of OAEP; throws NullPointerException if one of them is null. */
    public OAEPUnwrapKeySpec(OAEPParameterSpec oaep, KeyAttributesMap keyAttributes) {
        super(oaep.getDigestAlgorithm(), oaep.getMGFAlgorithm(), oaep.getMGFParameters(), oaep.getPSource());
        this.keyAttributes = Objects.requireNonNull(keyAttributes, "keyAttributes");
    }

    /** Returns the attributes of the key to be unwrapped. */
    public KeyAttributesMap getKeyAttributesMap() {
        return keyAttributes;
    }
}
