package io.hsmbridge.jce.spi;

import io.hsmbridge.jce.carrier.Carrier;
import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.wire.Values.Slice;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.security.AlgorithmParameters;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidKeyException;
import java.security.Key;
import java.security.spec.AlgorithmParameterSpec;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import javax.crypto.AEADBadTagException;
import javax.crypto.BadPaddingException;
import javax.crypto.IllegalBlockSizeException;
import javax.crypto.ShortBufferException;
import javax.crypto.spec.GCMParameterSpec;

/**
 * AES-GCM. To encrypt, the HSM chooses the IV and ignores the caller's; {@code getIV} returns it after {@code doFinal}.
 */
final class GcmCipherAdapter extends CipherAdapter {
    private static final int TAG_BITS = 128;
    private static final int TAG_BYTES = 16;

    private ByteArrayOutputStream waiting;
    private ByteArrayOutputStream aad;
    private byte[] iv;

    GcmCipherAdapter(HsmClient client, Row row) {
        super(client, row);
    }

    @Override
    Object argument(Key given) throws InvalidKeyException {
        return KeyArguments.own(client, given, "AES", mode.name(), "cipher");
    }

    @Override
    Class<? extends AlgorithmParameterSpec> specClass() {
        return GCMParameterSpec.class;
    }

    @Override
    void begin(AlgorithmParameterSpec spec) throws InvalidAlgorithmParameterException {
        iv = null;
        waiting = null;
        aad = null;
        if (spec != null && (!(spec instanceof GCMParameterSpec) || ((GCMParameterSpec) spec).getTLen() != TAG_BITS)) {
            throw new InvalidAlgorithmParameterException("AES-GCM takes a GCMParameterSpec with a tag of 128 bits");
        }
        if (!mode.encrypts()) {
            if (spec == null || ((GCMParameterSpec) spec).getIV().length != row.number("iv")) {
                throw new InvalidAlgorithmParameterException("AES-GCM decryption needs a GCMParameterSpec with the IV, "
                        + row.number("iv") + " bytes");
            }
            iv = ((GCMParameterSpec) spec).getIV();
        }
    }

    @Override
    protected int engineGetBlockSize() {
        return 16;
    }

    /** Returns zeros until the HSM has chosen the IV, as the reference does. */
    @Override
    protected byte[] engineGetIV() {
        return iv == null ? new byte[row.number("iv")] : iv.clone();
    }

    @Override
    protected AlgorithmParameters engineGetParameters() {
        return iv == null ? null : parameters("GCM", new GCMParameterSpec(TAG_BITS, iv));
    }

    @Override
    int updateSize(int length) {
        return 0;
    }

    @Override
    protected int engineGetOutputSize(int length) {
        int total = length + (waiting == null ? 0 : waiting.size());
        return mode.encrypts() ? total + TAG_BYTES : Math.max(0, total - TAG_BYTES);
    }

    @Override
    protected void engineUpdateAAD(byte[] input, int offset, int length) {
        lost.require();
        if (waiting != null) {
            throw new IllegalStateException("associated data comes before the data");
        }
        if (aad == null) {
            aad = new ByteArrayOutputStream();
        }
        aad.write(input, offset, length);
    }

    @Override
    protected void engineUpdateAAD(ByteBuffer input) {
        byte[] bytes = new byte[input.remaining()];
        input.get(bytes);
        engineUpdateAAD(bytes, 0, bytes.length);
    }

    @Override
    protected byte[] engineUpdate(byte[] input, int offset, int length) {
        lost.require();
        if (waiting == null) {
            waiting = new ByteArrayOutputStream();
        }
        waiting.write(input, offset, length);
        return NOTHING;
    }

    /** Keeps all input and needs no output space, because there is no output before {@code doFinal}. */
    @Override
    protected int engineUpdate(ByteBuffer input, ByteBuffer output) {
        byte[] bytes = new byte[input.remaining()];
        input.get(bytes);
        engineUpdate(bytes, 0, bytes.length);
        return 0;
    }

    /** Restores the position of the input if it throws, as the JDK's own cipher does. */
    @Override
    protected int engineDoFinal(ByteBuffer input, ByteBuffer output)
            throws ShortBufferException, IllegalBlockSizeException, BadPaddingException {
        requireRoom(output.remaining(), engineGetOutputSize(input.remaining()));
        byte[] bytes = new byte[input.remaining()];
        input.duplicate().get(bytes);
        byte[] result = engineDoFinal(bytes, 0, bytes.length);
        input.position(input.limit());
        output.put(result);
        return result.length;
    }

    @Override
    protected byte[] engineDoFinal(byte[] input, int offset, int length)
            throws IllegalBlockSizeException, BadPaddingException {
        Slice data = message(input, offset, length);
        Map<String, ?> parameters = aad == null ? null : requestParameters();
        waiting = null;
        aad = null;
        if (!mode.encrypts() && data.length() < TAG_BYTES) {
            throw new AEADBadTagException("The ciphertext is shorter than its tag of " + TAG_BYTES + " bytes");
        }
        try {
            return lost.sent(() -> parameters == null ? crypt(data) : cryptWithData(parameters, data));
        } catch (HsmException e) {
            throw Errors.crypt(e);
        }
    }

    private Slice message(byte[] input, int offset, int length) {
        if (waiting == null) {
            return new Slice(input == null ? NOTHING : input, offset, length);
        }
        if (length > 0) {
            waiting.write(input, offset, length);
        }
        return new Slice(waiting.toByteArray(), 0, waiting.size());
    }

    private byte[] crypt(Slice data) throws HsmException {
        Carrier.Repeated done = client.run(prepared, mode.encrypts() ? NOTHING : iv, data);
        if (mode.encrypts()) {
            iv = done.chosen();
        }
        return done.result();
    }

    private byte[] cryptWithData(Map<String, ?> parameters, Slice data) throws HsmException {
        List<Object> results = client.call(mode.request(), key, row.mechanism(), parameters, data);
        if (mode.encrypts()) {
            took((Map<?, ?>) results.get(1));
        }
        return (byte[]) results.get(0);
    }

    @Override
    void took(Map<?, ?> chosen) {
        iv = (byte[]) chosen.get("iv");
    }

    @Override
    Map<String, ?> requestParameters() {
        if (mode.encrypts() && aad == null) {
            return null;
        }
        Map<String, Object> parameters = new HashMap<>(4);
        if (aad != null) {
            parameters.put("aad", aad.toByteArray());
        }
        if (!mode.encrypts()) {
            parameters.put("iv", iv);
        }
        return parameters;
    }
}
