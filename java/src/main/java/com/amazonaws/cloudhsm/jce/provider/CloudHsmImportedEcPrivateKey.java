package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.client.HsmClient;
import java.math.BigInteger;
import java.security.interfaces.ECPrivateKey;
import java.security.interfaces.ECPublicKey;
import java.util.Map;

/**
 * An EC private key as the key factory returns it, whose callers cast it to {@link ECPrivateKey}. Its private value is
 * null unless the HSM lets the key's material out in the clear, so a signature must be asked of this provider by name.
 */
public final class CloudHsmImportedEcPrivateKey extends CloudHsmEcPrivateKey implements ECPrivateKey {
    private static final long serialVersionUID = 1L;

    /** Makes the object of a key record. */
    public CloudHsmImportedEcPrivateKey(HsmClient client, Map<?, ?> record, ECPublicKey half) {
        super(client, record, half);
    }

    @Override
    public BigInteger getS() {
        ECPrivateKey clear = (ECPrivateKey) clear();
        return clear == null ? null : clear.getS();
    }
}
