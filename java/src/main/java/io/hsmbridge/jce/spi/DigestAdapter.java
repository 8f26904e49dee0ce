package io.hsmbridge.jce.spi;

import java.nio.ByteBuffer;
import java.security.DigestException;
import java.security.MessageDigest;
import java.security.MessageDigestSpi;
import java.security.NoSuchAlgorithmException;
import java.security.NoSuchProviderException;

/** Digests, computed in Java by the JDK's own provider, like those of CloudHSM's client. */
final class DigestAdapter extends MessageDigestSpi implements Cloneable {
    private MessageDigest digest;

    DigestAdapter(Row row) throws NoSuchAlgorithmException {
        digest = software(row.get("digest"));
    }

    /** Returns the JDK's own digest. The method names the provider, so that the order of providers has no effect. */
    static MessageDigest software(String name) throws NoSuchAlgorithmException {
        try {
            return MessageDigest.getInstance(name, "SUN");
        } catch (NoSuchProviderException e) {
            return MessageDigest.getInstance(name);
        }
    }

    @Override
    protected int engineGetDigestLength() {
        return digest.getDigestLength();
    }

    @Override
    protected void engineUpdate(byte input) {
        digest.update(input);
    }

    @Override
    protected void engineUpdate(byte[] input, int offset, int length) {
        digest.update(input, offset, length);
    }

    @Override
    protected void engineUpdate(ByteBuffer input) {
        digest.update(input);
    }

    @Override
    protected byte[] engineDigest() {
        return digest.digest();
    }

    @Override
    protected int engineDigest(byte[] buffer, int offset, int length) throws DigestException {
        return digest.digest(buffer, offset, length);
    }

    @Override
    protected void engineReset() {
        digest.reset();
    }

    @Override
    public Object clone() throws CloneNotSupportedException {
        DigestAdapter copy = (DigestAdapter) super.clone();
        copy.digest = (MessageDigest) digest.clone();
        return copy;
    }
}
