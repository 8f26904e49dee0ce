package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.keys.HsmKey;
import java.security.interfaces.EdECPrivateKey;
import java.security.spec.NamedParameterSpec;
import java.util.Map;
import java.util.Optional;

/** An Ed25519 private key in the HSM. It is an EdECPrivateKey, since jarsigner asks for its curve. */
public final class CloudHsmEdPrivateKey extends HsmKey implements EdECPrivateKey {
    private static final long serialVersionUID = 1L;

    /** Makes the object of a key record. */
    public CloudHsmEdPrivateKey(HsmClient client, Map<?, ?> record) {
        super(client, record, "EdDSA");
    }

    @Override
    public NamedParameterSpec getParams() {
        return NamedParameterSpec.ED25519;
    }

    /** Returns the key's bytes where {@link #getEncoded} gives its encoding. */
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
