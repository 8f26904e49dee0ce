package io.hsmbridge.jce.spi;

import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.wire.Operation;
import io.hsmbridge.jce.wire.Values.Slice;
import java.io.ByteArrayOutputStream;
import java.util.Map;

/** An operation in several requests, whose state the HSM holds under a handle. */
final class MultiPart {
    /** Most data of one request, in bytes. */
    private static final int PIECE = 1024 * 1024;

    private final HsmClient client;
    private final long handle;

    private MultiPart(HsmClient client, long handle) {
        this.client = client;
        this.handle = handle;
    }

    static MultiPart begin(HsmClient client, String kind, Object key, String mechanism, Map<String, ?> parameters)
            throws HsmException {
        return new MultiPart(client, (Long) client.call(Operation.BEGIN, kind, key, mechanism, parameters).get(0));
    }

    /** Sends data and returns what came out, perhaps nothing. */
    byte[] update(byte[] data, int offset, int length) throws HsmException {
        if (length <= PIECE) {
            return client.bytes(Operation.UPDATE, handle, new Slice(data, offset, length));
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream(length);
        for (int done = 0; done < length; done += PIECE) {
            out.writeBytes(update(data, offset + done, Math.min(PIECE, length - done)));
        }
        return out.toByteArray();
    }

    /** Sends the last data and returns the last output; the operation is over, whether or not it succeeds. */
    byte[] finish(byte[] data, int offset, int length) throws HsmException {
        ByteArrayOutputStream out = new ByteArrayOutputStream(Math.max(length, 64));
        int last = length > PIECE ? length - PIECE : 0;
        if (last > 0) {
            out.writeBytes(updateOrAbort(data, offset, last));
        }
        out.writeBytes(client.bytes(Operation.FINISH, handle, new Slice(data, offset + last, length - last)));
        return out.toByteArray();
    }

    private byte[] updateOrAbort(byte[] data, int offset, int length) throws HsmException {
        try {
            return update(data, offset, length);
        } catch (HsmException e) {
            abort();
            throw e;
        }
    }

    /** Drops the operation; one that the HSM has dropped already is no matter. */
    void abort() {
        try {
            client.call(Operation.ABORT, handle);
        } catch (HsmException e) {
            System.getLogger(MultiPart.class.getName()).log(System.Logger.Level.DEBUG, Errors.unexpected(e).getMessage());
        }
    }
}
