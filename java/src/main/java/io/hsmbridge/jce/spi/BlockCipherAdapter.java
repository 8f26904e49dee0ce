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
import java.util.Arrays;
import java.util.Locale;
import java.util.Map;
import javax.crypto.BadPaddingException;
import javax.crypto.IllegalBlockSizeException;
import javax.crypto.ShortBufferException;
import javax.crypto.spec.IvParameterSpec;

/** CBC, ECB and CTR. {@code doFinal} alone sends one request; after {@code update} the operation takes several. */
final class BlockCipherAdapter extends CipherAdapter {
    private static final SecureRandom RANDOM = new SecureRandom();

    /** Largest amount of data in one request, in bytes; more is sent in pieces. */
    private static final int ONE_REQUEST = 1024 * 1024;

    private byte[] iv;
    private Map<String, ?> parameters;
    private MultiPart operation;
    /** Length of the input of earlier updates, in bytes. */
    private long consumed;
    private Held held;

    /** A result that was too long for the caller's output, with its input. */
    private static final class Held {
        private final byte[] input;
        private final byte[] result;

        /** Creates the value of its parts. */
        Held(byte[] input, byte[] result) {
            this.input = input;
            this.result = result;
        }

        boolean isOf(byte[] data, int offset, int length) {
            return Arrays.equals(input, 0, input.length, data, offset, offset + length);
        }
    }

    BlockCipherAdapter(HsmClient client, Row row) {
        super(client, row);
    }

    @Override
    Object argument(Key given) throws InvalidKeyException {
        String algorithm = row.algorithm().substring(0, row.algorithm().indexOf('/'));
        return KeyArguments.own(client, given, algorithm, mode.name(), "cipher");
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
        held = null;
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

    private boolean isPadded() {
        return "true".equals(row.get("padded"));
    }

    /**
     * Returns the output length after this input length, in bytes. To remove a padding, the HSM keeps the last whole
     * block.
     */
    private long outputLength(long inputLength) {
        int block = row.number("block");
        long blocks = inputLength / block;
        return (isPadded() && !mode.encrypts() ? Math.max(0, blocks - 1) : blocks) * block;
    }

    @Override
    int updateSize(int length) {
        return Math.toIntExact(outputLength(consumed + length) - outputLength(consumed));
    }

    @Override
    protected int engineGetOutputSize(int length) {
        int block = row.number("block");
        int rest = Math.toIntExact(consumed - outputLength(consumed) + length);
        return isPadded() && mode.encrypts() ? Math.addExact(rest, block - rest % block) : rest;
    }

    /**
     * Excludes the last block of a padded plaintext: only the result shows the length of its padding, and only the HSM
     * refuses a ciphertext that ends within a block.
     */
    @Override
    int finalSize(int length) {
        int most = engineGetOutputSize(length);
        boolean isExact = mode.encrypts() || !isPadded() && most % row.number("block") == 0;
        return isExact ? most : most - engineGetBlockSize();
    }

    @Override
    protected byte[] engineUpdate(byte[] input, int offset, int length) {
        if (length == 0) {
            return NOTHING;
        }
        requireNoneHeld();
        try {
            return lost.sent(() -> {
                if (operation == null) {
                    operation = begin();
                }
                consumed += length;
                return operation.update(input, offset, length);
            });
        } catch (HsmException e) {
            throw Errors.unexpected(e);
        }
    }

    /**
     * Checks that no result waits for a longer output. Without an earlier update the caller still has the whole input
     * and may start again.
     */
    private void requireNoneHeld() {
        if (held != null && consumed > 0) {
            throw new IllegalStateException("The last result needs a longer output: call doFinal with the same input, or init");
        }
        held = null;
    }

    @Override
    protected int engineDoFinal(byte[] input, int offset, int length, byte[] output, int outputOffset)
            throws ShortBufferException, IllegalBlockSizeException, BadPaddingException {
        requireRoom(output.length - outputOffset, finalSize(length));
        long before = consumed;
        byte[] result = engineDoFinal(input, offset, length);
        if (result.length > output.length - outputOffset) {
            held = new Held(input == null ? NOTHING : Arrays.copyOfRange(input, offset, offset + length), result);
            consumed = before;
        }
        requireRoom(output.length - outputOffset, result.length);
        System.arraycopy(result, 0, output, outputOffset, result.length);
        return result.length;
    }

    @Override
    protected byte[] engineDoFinal(byte[] input, int offset, int length)
            throws IllegalBlockSizeException, BadPaddingException {
        byte[] data = input == null ? NOTHING : input;
        if (held != null && held.isOf(data, offset, length)) {
            byte[] result = held.result;
            held = null;
            consumed = 0;
            return result;
        }
        requireNoneHeld();
        lost.require();
        if (length == 0 && consumed == 0 && isPadded() && !mode.encrypts()) {
            return NOTHING;
        }
        MultiPart begun = operation;
        operation = null;
        consumed = 0;
        try {
            return lost.sent(() -> begun == null && length <= ONE_REQUEST
                    ? client.run(prepared, iv, new Slice(data, offset, length)).result()
                    : (begun == null ? begin() : begun).finish(data, offset, length));
        } catch (HsmException e) {
            throw Errors.crypt(e);
        }
    }
}
