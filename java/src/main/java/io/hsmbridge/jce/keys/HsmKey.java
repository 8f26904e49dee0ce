package io.hsmbridge.jce.keys;

import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.wire.Operation;
import java.io.NotSerializableException;
import java.io.ObjectOutputStream;
import java.security.GeneralSecurityException;
import java.security.InvalidKeyException;
import java.security.Key;
import java.security.PrivateKey;
import java.security.ProviderException;
import java.security.spec.ECPoint;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Arrays;
import java.util.Map;
import javax.security.auth.DestroyFailedException;
import javax.security.auth.Destroyable;

/**
 * A key in the HSM: its handle and its public attributes. It holds no secret and cannot be serialised.
 *
 * <p>{@link #getEncoded} and {@link #getFormat} of a private or secret key return null unless the HSM permits clear
 * extraction.
 */
public abstract class HsmKey implements Key, Destroyable {
    private static final long serialVersionUID = 1L;

    private final transient HsmClient client;
    private final transient Map<?, ?> record;
    private final long handle;
    private final String algorithm;
    private volatile boolean destroyed;

    /**
     * Creates the key object of a key record.
     *
     * @param client login that found the key
     * @param record attributes of the key by name
     * @param algorithm name of the key's algorithm in the JCA
     */
    protected HsmKey(HsmClient client, Map<?, ?> record, String algorithm) {
        this.client = client;
        this.record = record;
        this.handle = (Long) record.get("HANDLE");
        this.algorithm = algorithm;
    }

    /** Returns the key reference. */
    public final long handle() {
        return handle;
    }

    /** Returns whether the key belongs to the provider instance with this client. */
    public final boolean belongsTo(HsmClient other) {
        return client == other;
    }

    /** Returns whether the key is an EC key with this public point. */
    public boolean hasPoint(ECPoint point) {
        return false;
    }

    /** Returns an attribute in the state of the key's creation or search, or null. */
    public final Object attribute(String name) {
        return record.get(name);
    }

    /**
     * Checks the key before an operation. The HSM checks it again.
     *
     * @param permission name of the attribute that must not be false
     * @throws InvalidKeyException if the key has been destroyed, or the attribute is false
     */
    public final void require(String permission) throws InvalidKeyException {
        if (destroyed) {
            throw new InvalidKeyException("The key has been destroyed: " + this);
        }
        if (client.validatesAtInit() && Boolean.FALSE.equals(record.get(permission))) {
            throw new InvalidKeyException("The key's attribute " + permission + " is false: " + this);
        }
    }

    @Override
    public final String getAlgorithm() {
        return algorithm;
    }

    @Override
    public String getFormat() {
        return getEncoded() == null ? null : clearFormat();
    }

    @Override
    public byte[] getEncoded() {
        if (destroyed || !client.asksForClearKeys() || !Boolean.TRUE.equals(record.get("EXTRACTABLE"))) {
            return null;
        }
        try {
            return client.bytes(Operation.CLEAR_VALUE, handle);
        } catch (HsmException e) {
            throw Errors.unexpected(e);
        }
    }

    /** Returns the private key as an object of the JDK if the HSM permits its clear extraction, else null. */
    protected final PrivateKey clear() {
        byte[] encoded = getEncoded();
        if (encoded == null) {
            return null;
        }
        try {
            return Keys.software(algorithm).generatePrivate(new PKCS8EncodedKeySpec(encoded));
        } catch (GeneralSecurityException e) {
            throw new ProviderException("The HSM's clear key does not decode", e);
        } finally {
            Arrays.fill(encoded, (byte) 0);
        }
    }

    /** Returns the name of the encoding of clear key material, as {@link #getFormat} returns it. */
    protected abstract String clearFormat();

    @Override
    public final void destroy() throws DestroyFailedException {
        if (destroyed) {
            return;
        }
        try {
            client.call(Operation.DESTROY_KEY, handle);
            destroyed = true;
        } catch (HsmException e) {
            DestroyFailedException failed = new DestroyFailedException(e.getMessage());
            failed.initCause(e);
            throw failed;
        }
    }

    @Override
    public final boolean isDestroyed() {
        return destroyed;
    }

    /** Compares handles, which are unique: objects of one key are equal, whichever provider instance found them. */
    @Override
    public boolean equals(Object other) {
        return other instanceof HsmKey && handle == ((HsmKey) other).handle;
    }

    @Override
    public int hashCode() {
        return Long.hashCode(handle);
    }

    @Override
    public final String toString() {
        return "CloudHSM " + algorithm + " " + record.get("OBJECT_CLASS") + ", " + record.get("SIZE") + " bits, label "
                + record.get("LABEL") + ", handle " + handle;
    }

    private void writeObject(ObjectOutputStream out) throws NotSerializableException {
        throw new NotSerializableException("A key of the HSM does not leave it: " + this);
    }
}
