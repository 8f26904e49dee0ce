package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.keys.HsmKey;
import java.util.Map;

/** An Ed25519 private key in the HSM. From Java 17 on it is an {@code EdECPrivateKey}, which Java 11 does not have. */
public final class CloudHsmEdPrivateKey extends HsmKey {
    private static final long serialVersionUID = 1L;

    /**
     * Creates the key object of a key record.
     *
     * @param client login that found the key
     * @param record attributes of the key by name
     */
    public CloudHsmEdPrivateKey(HsmClient client, Map<?, ?> record) {
        super(client, record, "EdDSA");
    }

    @Override
    protected String clearFormat() {
        return "PKCS#8";
    }
}
