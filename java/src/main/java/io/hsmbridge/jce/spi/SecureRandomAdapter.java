package io.hsmbridge.jce.spi;

import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.wire.Operation;
import java.security.SecureRandomSpi;

/** Random numbers of the HSM. Seeds have no effect: a caller cannot seed the HSM's generator. */
final class SecureRandomAdapter extends SecureRandomSpi {
    private static final long serialVersionUID = 1L;
    /** Largest number of bytes in one request. */
    private static final int MOST = 65536;

    private final transient HsmClient client;

    SecureRandomAdapter(HsmClient client) {
        this.client = client;
    }

    @Override
    protected void engineSetSeed(byte[] seed) {}

    @Override
    protected void engineNextBytes(byte[] bytes) {
        for (int done = 0; done < bytes.length; done += MOST) {
            int length = Math.min(MOST, bytes.length - done);
            System.arraycopy(drawn(length), 0, bytes, done, length);
        }
    }

    @Override
    protected byte[] engineGenerateSeed(int length) {
        byte[] seed = new byte[length];
        engineNextBytes(seed);
        return seed;
    }

    private byte[] drawn(int length) {
        try {
            return client.bytes(Operation.RANDOM, (long) length);
        } catch (HsmException e) {
            throw Errors.unexpected(e);
        }
    }
}
