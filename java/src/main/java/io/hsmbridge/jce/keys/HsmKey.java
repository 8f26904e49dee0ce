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
 * A key in the HSM: its handle and what may be known of it. It holds no secret and does not serialise.
 *
 * <p>{@link #getEncoded} and {@link #getFormat} of a private or secret key answer null unless the HSM allows clear
 * extraction.
 */
public abstract class HsmKey implements Key, Destroyable {
    private static final long serialVersionUID = 1L;

    private final transient HsmClient client;
    private final transient Map<?, ?> record;
    private final long handle;
    private final String algorithm;
    private volatile boolean destroyed;

    /** Makes the object of a key record of the protocol. */
    protected HsmKey(HsmClient client, Map<?, ?> record, String algorithm) {
        this.client = client;
        this.record = record;
        this.handle = (Long) record.get("HANDLE");
        this.algorithm = algorithm;
    }

    /** Returns the handle. */
    public final long handle() {
        return handle;
    }

    /** Returns whether the key belongs to the provider instance with this client. */
    public final boolean belongsTo(HsmClient other) {
        return client == other;
    }

    /** Returns whether the key is a half of an EC pair whose public point is this one. */
    public boolean hasPoint(ECPoint point) {
        return false;
    }

    /** Returns an attribute as it was when the key was made or found, or null. */
    public final Object attribute(String name) {
        return record.get(name);
    }

    /**
     * Refuses the key before it is used: it is destroyed, or the attribute forbids it. The HSM checks again.
     *
     * @throws InvalidKeyException if it does
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

    /** Returns a private key as the JDK's own object where the HSM lets its material out in the clear, else null. */
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

    /** Returns the format of clear material. */
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

    /** Two objects of one key are equal, whichever provider instance found them: no other key has its handle. */
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
