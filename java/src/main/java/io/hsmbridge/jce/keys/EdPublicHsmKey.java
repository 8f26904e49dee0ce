package io.hsmbridge.jce.keys;

import io.hsmbridge.jce.client.HsmClient;
import java.security.PublicKey;
import java.security.interfaces.EdECPublicKey;
import java.security.spec.EdECPoint;
import java.security.spec.NamedParameterSpec;
import java.util.Map;

/** An Ed25519 public key in the HSM; equal to a software key with the same encoding. */
public final class EdPublicHsmKey extends HsmKey implements EdECPublicKey {
    private static final long serialVersionUID = 1L;

    private final EdECPublicKey half;

    EdPublicHsmKey(HsmClient client, Map<?, ?> record, EdECPublicKey half) {
        super(client, record, "EdDSA");
        this.half = half;
    }

    @Override
    public EdECPoint getPoint() {
        return half.getPoint();
    }

    @Override
    public NamedParameterSpec getParams() {
        return NamedParameterSpec.ED25519;
    }

    @Override
    public byte[] getEncoded() {
        return half.getEncoded();
    }

    @Override
    protected String clearFormat() {
        return "X.509";
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof PublicKey && half.equals(other instanceof EdPublicHsmKey ? ((EdPublicHsmKey) other).half : other);
    }

    @Override
    public int hashCode() {
        return half.hashCode();
    }
}
