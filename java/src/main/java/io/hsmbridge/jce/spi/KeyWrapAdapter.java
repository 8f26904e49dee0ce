package io.hsmbridge.jce.spi;

import io.hsmbridge.jce.client.HsmClient;
import java.security.AlgorithmParameters;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidKeyException;
import java.security.Key;
import java.security.spec.AlgorithmParameterSpec;
import java.util.Map;
import javax.crypto.spec.IvParameterSpec;

/**
 * AES key wrap, which supports only wrapping and unwrapping. The initial value is fixed; for some paddings the caller
 * may pass it.
 */
final class KeyWrapAdapter extends CipherAdapter {
    private static final int SEMIBLOCK = 8;

    private Map<String, Object> parameters;

    KeyWrapAdapter(HsmClient client, Row row) {
        super(client, row);
    }

    @Override
    Object argument(Key given) throws InvalidKeyException {
        return KeyArguments.own(client, given, "AES", mode.name(), "cipher");
    }

    @Override
    Class<? extends AlgorithmParameterSpec> specClass() {
        return IvParameterSpec.class;
    }

    @Override
    void begin(AlgorithmParameterSpec spec) throws InvalidAlgorithmParameterException {
        parameters = null;
        if (spec == null) {
            return;
        }
        String fixed = row.get("iv");
        byte[] iv = spec instanceof IvParameterSpec ? ((IvParameterSpec) spec).getIV() : NOTHING;
        if (!Hexadecimal.encode(iv).equals(fixed)) {
            throw new InvalidAlgorithmParameterException(row.algorithm() + (fixed == null ? " takes no parameters"
                    : " takes no parameters, or an IvParameterSpec of the bytes " + fixed));
        }
        parameters = Map.of("iv", iv);
    }

    @Override
    Map<String, ?> requestParameters() {
        return parameters;
    }

    @Override
    protected int engineGetBlockSize() {
        return SEMIBLOCK;
    }

    @Override
    protected byte[] engineGetIV() {
        return null;
    }

    @Override
    protected AlgorithmParameters engineGetParameters() {
        return null;
    }

    @Override
    int updateSize(int length) {
        return 0;
    }

    @Override
    protected int engineGetOutputSize(int length) {
        return length + 2 * SEMIBLOCK;
    }

    @Override
    protected byte[] engineUpdate(byte[] input, int offset, int length) {
        throw new IllegalStateException(row.algorithm() + " wraps and unwraps only");
    }

    @Override
    protected byte[] engineDoFinal(byte[] input, int offset, int length) {
        throw new IllegalStateException(row.algorithm() + " wraps and unwraps only");
    }
}
