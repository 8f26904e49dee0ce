package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.keys.PublicHsmKey;
import java.util.Arrays;
import java.util.Map;

/** An Ed25519 public key in the HSM. From Java 17 on it is an {@code EdECPublicKey}, which Java 11 does not have. */
public final class CloudHsmEdPublicKey extends PublicHsmKey {
    private static final long serialVersionUID = 1L;

    /**
     * Creates the key object of a key record.
     *
     * @param client login that found the key
     * @param record attributes of the key by name
     */
    public CloudHsmEdPublicKey(HsmClient client, Map<?, ?> record) {
        super(client, record, "EdDSA", Arrays.hashCode((byte[]) record.get("PUBLIC_KEY_INFO")));
    }
}
