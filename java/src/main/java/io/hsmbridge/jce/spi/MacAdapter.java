package io.hsmbridge.jce.spi;

import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.client.PreparedOperation;
import io.hsmbridge.jce.keys.HsmKey;
import io.hsmbridge.jce.wire.Operation;
import io.hsmbridge.jce.wire.Values.Slice;
import java.io.ByteArrayOutputStream;
import java.security.GeneralSecurityException;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidKeyException;
import java.security.Key;
import java.security.spec.AlgorithmParameterSpec;
import javax.crypto.Mac;
import javax.crypto.MacSpi;

/**
 * MACs, computed in the HSM: short data in one request, longer data in pieces.
 *
 * <p>If a caller asks a {@link Mac} for its length before {@code init}, the JDK selects the first provider, which may
 * be this one, for any key. JSSE does so for each TLS 1.3 connection. In that case only, the JDK's own MAC computes
 * with a key of another provider.
 */
final class MacAdapter extends MacSpi {
    private static final int PIECE = 64 * 1024;
    private static final byte[] NOTHING = {};

    private final HsmClient client;
    private final Row row;
    private final ByteArrayOutputStream waiting = new ByteArrayOutputStream();
    private Object key;
    private PreparedOperation prepared;
    private MultiPart operation;
    private final LostMessage lost = new LostMessage();
    private boolean lengthReadBeforeInit;
    private Mac software;

    MacAdapter(HsmClient client, Row row) {
        this.client = client;
        this.row = row;
    }

    @Override
    protected int engineGetMacLength() {
        lengthReadBeforeInit |= key == null;
        return row.number("length");
    }

    @Override
    protected void engineInit(Key given, AlgorithmParameterSpec spec)
            throws InvalidKeyException, InvalidAlgorithmParameterException {
        if (spec != null) {
            throw new InvalidAlgorithmParameterException(row.algorithm() + " takes no parameters");
        }
        if (lengthReadBeforeInit && !(given instanceof HsmKey)) {
            software = software(given);
            return;
        }
        Object argument = KeyArguments.ownSecret(client, given, row, "SIGN", "mac");
        engineReset();
        software = null;
        key = argument;
        prepared = new PreparedOperation(Operation.SIGN, key, row.mechanism(), true);
    }

    private Mac software(Key given) throws InvalidKeyException {
        try {
            Mac mac = Mac.getInstance(row.algorithm(), "SunJCE");
            mac.init(given);
            return mac;
        } catch (InvalidKeyException e) {
            throw e;
        } catch (GeneralSecurityException e) {
            throw new InvalidKeyException(e.getMessage(), e);
        }
    }

    @Override
    protected void engineUpdate(byte input) {
        engineUpdate(new byte[] {input}, 0, 1);
    }

    @Override
    protected void engineUpdate(byte[] input, int offset, int length) {
        if (software != null) {
            software.update(input, offset, length);
            return;
        }
        lost.require();
        if (waiting.size() + length < PIECE) {
            waiting.write(input, offset, length);
            return;
        }
        try {
            lost.sent(() -> {
                if (operation == null) {
                    operation = MultiPart.begin(client, "sign", key, row.mechanism(), null);
                }
                operation.update(waiting.toByteArray(), 0, waiting.size());
                waiting.reset();
                return operation.update(input, offset, length);
            });
        } catch (HsmException e) {
            throw Errors.unexpected(e);
        }
    }

    @Override
    protected byte[] engineDoFinal() {
        if (software != null) {
            return software.doFinal();
        }
        byte[] rest = waiting.toByteArray();
        MultiPart begun = operation;
        waiting.reset();
        operation = null;
        try {
            return lost.sent(() -> begun != null ? begun.finish(rest, 0, rest.length)
                    : client.run(prepared, NOTHING, new Slice(rest, 0, rest.length)).result());
        } catch (HsmException e) {
            throw Errors.unexpected(e);
        }
    }

    @Override
    protected void engineReset() {
        if (software != null) {
            software.reset();
        }
        waiting.reset();
        lost.begin();
        if (operation != null) {
            operation.abort();
            operation = null;
        }
    }
}
