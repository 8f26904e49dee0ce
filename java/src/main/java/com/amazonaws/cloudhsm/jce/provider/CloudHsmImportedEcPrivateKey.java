package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.client.HsmClient;
import java.math.BigInteger;
import java.security.interfaces.ECPrivateKey;
import java.security.interfaces.ECPublicKey;
import java.util.Map;

/**
 * An EC private key as the key factory returns it, which implements {@link ECPrivateKey} because callers of a factory
 * cast to it. {@link #getS} returns null unless the HSM permits clear extraction of the key. To sign with this key,
 * name this provider when they ask for a {@code Signature}.
 */
public final class CloudHsmImportedEcPrivateKey extends CloudHsmEcPrivateKey implements ECPrivateKey {
    private static final long serialVersionUID = 1L;

    /**
     * Creates the key object of a key record.
     *
     * @param client login that found the key
     * @param record attributes of the key by name
     * @param publicKey software copy of the public key
     */
    public CloudHsmImportedEcPrivateKey(HsmClient client, Map<?, ?> record, ECPublicKey publicKey) {
        super(client, record, publicKey);
    }

    @Override
    public BigInteger getS() {
        ECPrivateKey clear = (ECPrivateKey) clear();
        return clear == null ? null : clear.getS();
    }
}
