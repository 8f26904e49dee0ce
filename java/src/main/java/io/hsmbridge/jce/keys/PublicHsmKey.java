package io.hsmbridge.jce.keys;

import io.hsmbridge.jce.client.HsmClient;
import java.security.PublicKey;
import java.util.Arrays;
import java.util.Map;

/** A public key in the HSM; equal to a software key with the same encoding (SubjectPublicKeyInfo, RFC 5280, DER). */
public abstract class PublicHsmKey extends HsmKey implements PublicKey {
    private static final long serialVersionUID = 1L;

    private final byte[] encoded;
    private final int hash;

    /** Makes the object of a record; {@code hash} is that of the software key that it equals. */
    protected PublicHsmKey(HsmClient client, Map<?, ?> record, String algorithm, int hash) {
        super(client, record, algorithm);
        encoded = (byte[]) record.get("PUBLIC_KEY_INFO");
        this.hash = hash;
    }

    @Override
    public final byte[] getEncoded() {
        return encoded.clone();
    }

    @Override
    protected final String clearFormat() {
        return "X.509";
    }

    @Override
    public final boolean equals(Object other) {
        return other instanceof PublicKey && Arrays.equals(encoded, ((PublicKey) other).getEncoded());
    }

    @Override
    public final int hashCode() {
        return hash;
    }
}
