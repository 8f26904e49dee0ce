package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.keys.Keys;
import io.hsmbridge.jce.keys.PublicHsmKey;
import java.security.interfaces.EdECPublicKey;
import java.security.spec.EdECPoint;
import java.security.spec.NamedParameterSpec;
import java.util.Map;

/** An Ed25519 public key in the HSM. */
public final class CloudHsmEdPublicKey extends PublicHsmKey implements EdECPublicKey {
    private static final long serialVersionUID = 1L;

    private final EdECPublicKey software;

    /**
     * Creates the key object of a key record.
     *
     * @param client login that found the key
     * @param record attributes of the key by name
     */
    public CloudHsmEdPublicKey(HsmClient client, Map<?, ?> record) {
        this(client, record, (EdECPublicKey) Keys.parse("Ed25519", (byte[]) record.get("PUBLIC_KEY_INFO")));
    }

    private CloudHsmEdPublicKey(HsmClient client, Map<?, ?> record, EdECPublicKey software) {
        super(client, record, "EdDSA", software.hashCode());
        this.software = software;
    }

    @Override
    public EdECPoint getPoint() {
        return software.getPoint();
    }

    @Override
    public NamedParameterSpec getParams() {
        return NamedParameterSpec.ED25519;
    }
}
