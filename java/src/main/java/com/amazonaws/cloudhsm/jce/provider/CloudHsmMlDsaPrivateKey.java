package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.keys.HsmKey;
import java.security.PrivateKey;
import java.util.Map;

/** An ML-DSA private key in the HSM. */
public final class CloudHsmMlDsaPrivateKey extends HsmKey implements PrivateKey {
    private static final long serialVersionUID = 1L;

    /**
     * Creates the key object of a key record.
     *
     * @param client login that found the key
     * @param record attributes of the key by name
     */
    public CloudHsmMlDsaPrivateKey(HsmClient client, Map<?, ?> record) {
        super(client, record, "ML-DSA");
    }

    @Override
    protected String clearFormat() {
        return "PKCS#8";
    }
}
