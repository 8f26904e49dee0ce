package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.keys.HsmKey;
import java.util.Map;
import javax.crypto.SecretKey;

/** A secret key in the HSM. */
public final class CloudHsmSecretKey extends HsmKey implements SecretKey {
    private static final long serialVersionUID = 1L;

    /** Makes the object of a key record. */
    public CloudHsmSecretKey(HsmClient client, Map<?, ?> record, String algorithm) {
        super(client, record, algorithm);
    }

    @Override
    protected String clearFormat() {
        return "RAW";
    }
}
