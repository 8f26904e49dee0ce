package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.keys.HsmKey;
import java.util.Map;
import javax.crypto.SecretKey;

/** A secret key in the HSM. */
public final class CloudHsmSecretKey extends HsmKey implements SecretKey {
    private static final long serialVersionUID = 1L;

    /**
     * Creates the key object of a key record.
     *
     * @param client login that found the key
     * @param record attributes of the key by name
     * @param algorithm name of the key's algorithm in the JCA
     */
    public CloudHsmSecretKey(HsmClient client, Map<?, ?> record, String algorithm) {
        super(client, record, algorithm);
    }

    @Override
    protected String clearFormat() {
        return "RAW";
    }
}
