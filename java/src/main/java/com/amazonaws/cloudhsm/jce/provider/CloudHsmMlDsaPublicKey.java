package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.keys.PublicHsmKey;
import java.util.Arrays;
import java.util.Map;

/**
 * An ML-DSA public key in the HSM. It implements no interface for ML-DSA, because the JDK has one only from release 24
 * on.
 */
public final class CloudHsmMlDsaPublicKey extends PublicHsmKey {
    private static final long serialVersionUID = 1L;

    /**
     * Creates the key object of a key record.
     *
     * @param client login that found the key
     * @param record attributes of the key by name
     */
    public CloudHsmMlDsaPublicKey(HsmClient client, Map<?, ?> record) {
        super(client, record, "ML-DSA", Arrays.hashCode((byte[]) record.get("PUBLIC_KEY_INFO")));
    }
}
