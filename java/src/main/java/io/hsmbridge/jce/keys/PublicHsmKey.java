package io.hsmbridge.jce.keys;

import io.hsmbridge.jce.client.HsmClient;
import java.security.PublicKey;
import java.util.Arrays;
import java.util.Map;

/** A public key in the HSM. It equals any public key with the same encoding (SubjectPublicKeyInfo in DER, RFC 5280). */
public abstract class PublicHsmKey extends HsmKey implements PublicKey {
    private static final long serialVersionUID = 1L;

    private final byte[] encoded;
    private final int hash;

    /**
     * Creates the key object of a key record.
     *
     * @param client login that found the key
     * @param record attributes of the key by name
     * @param algorithm name of the key's algorithm in the JCA
     * @param hash hash code of the equal key of the JDK
     */
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
