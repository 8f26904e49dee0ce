package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.keys.HsmKey;
import java.security.interfaces.EdECPrivateKey;
import java.security.spec.NamedParameterSpec;
import java.util.Map;
import java.util.Optional;

/** An Ed25519 private key in the HSM. It implements EdECPrivateKey because jarsigner reads its curve. */
public final class CloudHsmEdPrivateKey extends HsmKey implements EdECPrivateKey {
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
    public NamedParameterSpec getParams() {
        return NamedParameterSpec.ED25519;
    }

    /** Returns the 32 bytes of the key if the HSM permits its clear extraction, else an empty result. */
    @Override
    public Optional<byte[]> getBytes() {
        EdECPrivateKey clear = (EdECPrivateKey) clear();
        return clear == null ? Optional.empty() : clear.getBytes();
    }

    @Override
    protected String clearFormat() {
        return "PKCS#8";
    }
}
