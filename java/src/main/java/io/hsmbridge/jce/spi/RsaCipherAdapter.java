package io.hsmbridge.jce.spi;

import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.keys.Keys;
import io.hsmbridge.jce.wire.Values.Slice;
import java.io.ByteArrayOutputStream;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidKeyException;
import java.security.Key;
import java.security.NoSuchAlgorithmException;
import java.security.ProviderException;
import java.security.interfaces.RSAKey;
import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.MGF1ParameterSpec;
import java.util.Map;
import javax.crypto.BadPaddingException;
import javax.crypto.IllegalBlockSizeException;
import javax.crypto.NoSuchPaddingException;
import javax.crypto.spec.OAEPParameterSpec;
import javax.crypto.spec.PSource;

/**
 * RSA with PKCS #1 and OAEP padding (RFC 8017), and RSA-AES key wrap. MGF1 uses the hash of OAEP, unlike the default of
 * the JDK.
 */
final class RsaCipherAdapter extends CipherAdapter {
    private final ByteArrayOutputStream waiting = new ByteArrayOutputStream();
    private Map<String, Object> parameters;
    private byte[] label = NOTHING;
    private int modulusBytes;

    RsaCipherAdapter(HsmClient client, Row row) {
        super(client, row);
    }

    @Override
    Object argument(Key given) throws InvalidKeyException {
        Object argument = mode == Mode.ENCRYPT ? KeyArguments.anyPublic(client, given, "RSA", mode.name(), "cipher")
                : KeyArguments.own(client, given, "RSA", mode.name(), "cipher");
        modulusBytes = (rsa(given).getModulus().bitLength() + 7) / 8;
        return argument;
    }

    /** Returns a key with its modulus; a public key of another provider may have only an encoding. */
    private static RSAKey rsa(Key given) throws InvalidKeyException {
        try {
            return (RSAKey) (given instanceof RSAKey ? given : Keys.software("RSA").translateKey(given));
        } catch (GeneralSecurityException e) {
            throw new InvalidKeyException(e.getMessage(), e);
        }
    }

    @Override
    Class<? extends AlgorithmParameterSpec> specClass() {
        return OAEPParameterSpec.class;
    }

    @Override
    void begin(AlgorithmParameterSpec spec) throws InvalidAlgorithmParameterException {
        waiting.reset();
        parameters = null;
        label = NOTHING;
        if (spec == null) {
            return;
        }
        String hash = row.get("oaep");
        if (hash == null || !(spec instanceof OAEPParameterSpec)) {
            throw new InvalidAlgorithmParameterException(row.algorithm() + " does not take " + spec.getClass().getName());
        }
        OAEPParameterSpec oaep = (OAEPParameterSpec) spec;
        AlgorithmParameterSpec mgf = oaep.getMGFParameters();
        if (!hash.equalsIgnoreCase(oaep.getDigestAlgorithm()) || !(mgf instanceof MGF1ParameterSpec)
                || !hash.equalsIgnoreCase(((MGF1ParameterSpec) mgf).getDigestAlgorithm())) {
            throw new InvalidAlgorithmParameterException(row.algorithm() + " needs " + hash + " for OAEP and for MGF1");
        }
        if (oaep.getPSource() instanceof PSource.PSpecified) {
            label = ((PSource.PSpecified) oaep.getPSource()).getValue();
        }
        parameters = label.length == 0 ? null : Map.of("label", label);
    }

    @Override
    Map<String, ?> requestParameters() {
        return parameters;
    }

    /** Accepts {@code ECB} and {@code NONE}: some callers ask for {@code RSA} and set mode and padding separately. */
    @Override
    protected void engineSetMode(String mode) throws NoSuchAlgorithmException {
        if (!mode.equalsIgnoreCase("ECB") && !mode.equalsIgnoreCase("NONE")) {
            super.engineSetMode(mode);
        }
    }

    @Override
    protected void engineSetPadding(String padding) throws NoSuchPaddingException {
        if (!row.algorithm().substring(row.algorithm().lastIndexOf('/') + 1).equalsIgnoreCase(padding)) {
            super.engineSetPadding(padding);
        }
    }

    @Override
    protected int engineGetBlockSize() {
        return 0;
    }

    @Override
    protected byte[] engineGetIV() {
        return null;
    }

    @Override
    protected AlgorithmParameters engineGetParameters() {
        String hash = row.get("oaep");
        return hash == null ? null : parameters("OAEP",
                new OAEPParameterSpec(hash, "MGF1", new MGF1ParameterSpec(hash), new PSource.PSpecified(label)));
    }

    @Override
    int updateSize(int length) {
        return 0;
    }

    @Override
    protected int engineGetOutputSize(int length) {
        return modulusBytes;
    }

    @Override
    protected byte[] engineUpdate(byte[] input, int offset, int length) {
        keep(input, offset, length);
        return NOTHING;
    }

    /** Keeps data up to one byte more than the modulus has, which is enough for the HSM to refuse it. */
    private void keep(byte[] input, int offset, int length) {
        lost.require();
        waiting.write(input, offset, Math.min(length, modulusBytes + 1 - waiting.size()));
    }

    @Override
    protected byte[] engineDoFinal(byte[] input, int offset, int length)
            throws IllegalBlockSizeException, BadPaddingException {
        if (length > 0) {
            keep(input, offset, length);
        }
        byte[] data = waiting.toByteArray();
        waiting.reset();
        try {
            return lost.sent(() -> parameters == null
                    ? client.run(prepared, NOTHING, new Slice(data, 0, data.length)).result()
                    : client.bytes(mode.request(), key, row.mechanism(), parameters, data));
        } catch (HsmException e) {
            throw refused(e, data.length);
        }
    }

    /**
     * Converts a refusal as the JDK does: only data that is too long has a wrong length. A short ciphertext, or a
     * number that is too large, is wrongly padded.
     */
    private ProviderException refused(HsmException e, int length) throws IllegalBlockSizeException, BadPaddingException {
        try {
            return Errors.crypt(e);
        } catch (IllegalBlockSizeException wrongLength) {
            if (length < modulusBytes && !mode.encrypts() || length == modulusBytes && row.algorithm().endsWith("/NoPadding")) {
                throw new BadPaddingException(wrongLength.getMessage());
            }
            throw wrongLength;
        }
    }
}
