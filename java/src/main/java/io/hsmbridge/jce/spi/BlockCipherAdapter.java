package io.hsmbridge.jce.spi;

import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.wire.Values.Slice;
import java.security.AlgorithmParameters;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidKeyException;
import java.security.Key;
import java.security.SecureRandom;
import java.security.spec.AlgorithmParameterSpec;
import java.util.Locale;
import java.util.Map;
import javax.crypto.BadPaddingException;
import javax.crypto.IllegalBlockSizeException;
import javax.crypto.spec.IvParameterSpec;

/** CBC, ECB and CTR: one request where {@code doFinal} has all the data, a stream of them after {@code update}. */
final class BlockCipherAdapter extends CipherAdapter {
    private static final SecureRandom RANDOM = new SecureRandom();

    /** Most data that goes in one request, in bytes; more is sent in pieces. */
    private static final int ONE_REQUEST = 1024 * 1024;

    private byte[] iv;
    private Map<String, ?> parameters;
    private MultiPart operation;
    private long consumed;

    BlockCipherAdapter(HsmClient client, Row row) {
        super(client, row);
    }

    @Override
    Object argument(Key given) throws InvalidKeyException {
        String algorithm = row.algorithm().substring(0, row.algorithm().indexOf('/'));
        return KeyArguments.own(client, given, algorithm, mode.name());
    }

    @Override
    Class<? extends AlgorithmParameterSpec> specClass() {
        return IvParameterSpec.class;
    }

    @Override
    void begin(AlgorithmParameterSpec spec) throws InvalidAlgorithmParameterException {
        drop();
        int length = row.number("iv");
        if (spec == null && (length == 0 || mode.encrypts())) {
            iv = new byte[length];
            RANDOM.nextBytes(iv);
        } else if (spec instanceof IvParameterSpec && ((IvParameterSpec) spec).getIV().length == length && length > 0) {
            iv = ((IvParameterSpec) spec).getIV();
        } else {
            throw new InvalidAlgorithmParameterException(row.algorithm() + (length == 0 ? " takes no parameters"
                    : " needs an IvParameterSpec of " + length + " bytes"));
        }
        parameters = length == 0 ? null : Map.of("iv", iv);
    }

    @Override
    Map<String, ?> requestParameters() {
        return parameters;
    }

    private MultiPart begin() throws HsmException {
        return MultiPart.begin(client, mode.name().toLowerCase(Locale.ROOT), key, row.mechanism(), parameters);
    }

    private void drop() {
        if (operation != null) {
            operation.abort();
            operation = null;
        }
        consumed = 0;
    }

    @Override
    protected int engineGetBlockSize() {
        return row.algorithm().startsWith("AES") ? 16 : 8;
    }

    @Override
    protected byte[] engineGetIV() {
        return iv == null || iv.length == 0 ? null : iv.clone();
    }

    @Override
    protected AlgorithmParameters engineGetParameters() {
        String algorithm = row.algorithm().substring(0, row.algorithm().indexOf('/'));
        return iv == null || iv.length == 0 ? null : parameters(algorithm, new IvParameterSpec(iv));
    }

    @Override
    int engineGetUpdateSize(int length) {
        int block = row.number("block");
        return (int) ((consumed % block + length) / block * block);
    }

    @Override
    protected int engineGetOutputSize(int length) {
        int block = row.number("block");
        int rest = (int) (consumed % block) + length;
        if (!mode.encrypts()) {
            return rest + block;
        }
        return "true".equals(row.get("padded")) ? rest / block * block + block : rest;
    }

    @Override
    protected byte[] engineUpdate(byte[] input, int offset, int length) {
        if (length == 0) {
            return NOTHING;
        }
        try {
            if (operation == null) {
                operation = begin();
            }
            consumed += length;
            return operation.update(input, offset, length);
        } catch (HsmException e) {
            throw Errors.unexpected(e);
        }
    }

    @Override
    protected byte[] engineDoFinal(byte[] input, int offset, int length)
            throws IllegalBlockSizeException, BadPaddingException {
        byte[] data = input == null ? NOTHING : input;
        MultiPart begun = operation;
        operation = null;
        consumed = 0;
        try {
            if (begun == null && length > ONE_REQUEST) {
                begun = begin();
            }
            if (begun != null) {
                return begun.finish(data, offset, length);
            }
            return client.use(use, iv, new Slice(data, offset, length)).result();
        } catch (HsmException e) {
            throw Errors.crypt(e);
        }
    }
}
