package io.hsmbridge.jce.spi;

import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.wire.Operation;
import java.io.ByteArrayOutputStream;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidKeyException;
import java.security.Key;
import java.security.spec.AlgorithmParameterSpec;
import javax.crypto.MacSpi;

/** MACs are made in the HSM: short data in one request, longer data in pieces. */
final class MacAdapter extends MacSpi {
    private static final int PIECE = 64 * 1024;

    private final HsmClient client;
    private final Row row;
    private final ByteArrayOutputStream waiting = new ByteArrayOutputStream();
    private Object key;
    private MultiPart operation;

    MacAdapter(HsmClient client, Row row) {
        this.client = client;
        this.row = row;
    }

    @Override
    protected int engineGetMacLength() {
        return row.number("length");
    }

    @Override
    protected void engineInit(Key given, AlgorithmParameterSpec spec)
            throws InvalidKeyException, InvalidAlgorithmParameterException {
        if (spec != null) {
            throw new InvalidAlgorithmParameterException(row.algorithm() + " takes no parameters");
        }
        Object argument = KeyArguments.ownSecret(client, given, row, "SIGN");
        engineReset();
        key = argument;
    }

    @Override
    protected void engineUpdate(byte input) {
        waiting.write(input);
    }

    @Override
    protected void engineUpdate(byte[] input, int offset, int length) {
        if (waiting.size() + length < PIECE) {
            waiting.write(input, offset, length);
            return;
        }
        try {
            if (operation == null) {
                operation = MultiPart.begin(client, "sign", key, row.mechanism(), null);
            }
            operation.update(waiting.toByteArray(), 0, waiting.size());
            waiting.reset();
            operation.update(input, offset, length);
        } catch (HsmException e) {
            throw Errors.unexpected(e);
        }
    }

    @Override
    protected byte[] engineDoFinal() {
        byte[] rest = waiting.toByteArray();
        MultiPart begun = operation;
        waiting.reset();
        operation = null;
        try {
            return begun != null ? begun.finish(rest, 0, rest.length)
                    : client.bytes(Operation.SIGN, key, row.mechanism(), null, rest);
        } catch (HsmException e) {
            throw Errors.unexpected(e);
        }
    }

    @Override
    protected void engineReset() {
        waiting.reset();
        if (operation != null) {
            operation.abort();
            operation = null;
        }
    }
}
