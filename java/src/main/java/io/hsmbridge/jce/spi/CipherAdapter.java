package io.hsmbridge.jce.spi;

import com.amazonaws.cloudhsm.jce.provider.GCMUnwrapKeySpec;
import com.amazonaws.cloudhsm.jce.provider.IvUnwrapKeySpec;
import com.amazonaws.cloudhsm.jce.provider.OAEPUnwrapKeySpec;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.client.PreparedOperation;
import io.hsmbridge.jce.keys.HsmKey;
import io.hsmbridge.jce.keys.Keys;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidKeyException;
import java.security.Key;
import java.security.NoSuchAlgorithmException;
import java.security.ProviderException;
import java.security.SecureRandom;
import java.security.interfaces.RSAKey;
import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.InvalidParameterSpecException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import javax.crypto.BadPaddingException;
import javax.crypto.Cipher;
import javax.crypto.CipherSpi;
import javax.crypto.IllegalBlockSizeException;
import javax.crypto.NoSuchPaddingException;
import javax.crypto.SecretKey;
import javax.crypto.ShortBufferException;

/** Common part of all ciphers: modes, wrapping, output to the caller's buffer, key sizes. */
abstract class CipherAdapter extends CipherSpi {
    static final byte[] NOTHING = {};

    final HsmClient client;
    final Row row;
    Object key;
    Mode mode;
    /** The operation of this mode with the key. */
    PreparedOperation prepared;
    final LostMessage lost = new LostMessage();
    private Map<String, Object> attributes = Map.of();

    CipherAdapter(HsmClient client, Row row) {
        this.client = client;
        this.row = row;
    }

    /** Sets the parameters of {@code init}; null if there are none. */
    abstract void begin(AlgorithmParameterSpec spec) throws InvalidAlgorithmParameterException;

    /** Returns the request's argument for a key, after a check that the key permits the mode. */
    abstract Object argument(Key given) throws InvalidKeyException;

    /** Returns the mechanism parameters of the next request, or null. */
    abstract Map<String, ?> requestParameters();

    /** Keeps the parameters that the HSM chose; null if there are none. */
    void took(Map<?, ?> chosen) {}

    /** Returns the class of parameters that {@code init} takes. */
    abstract Class<? extends AlgorithmParameterSpec> specClass();

    @Override
    protected void engineSetMode(String mode) throws NoSuchAlgorithmException {
        throw new NoSuchAlgorithmException("The mode is part of the transformation: " + row.algorithm());
    }

    @Override
    protected void engineSetPadding(String padding) throws NoSuchPaddingException {
        throw new NoSuchPaddingException("The padding is part of the transformation: " + row.algorithm());
    }

    @Override
    protected void engineInit(int number, Key given, SecureRandom random) throws InvalidKeyException {
        try {
            engineInit(number, given, (AlgorithmParameterSpec) null, random);
        } catch (InvalidAlgorithmParameterException e) {
            throw new InvalidKeyException(e.getMessage(), e);
        }
    }

    @Override
    protected void engineInit(int number, Key given, AlgorithmParameters parameters, SecureRandom random)
            throws InvalidKeyException, InvalidAlgorithmParameterException {
        try {
            engineInit(number, given, parameters == null ? null : parameters.getParameterSpec(specClass()), random);
        } catch (InvalidParameterSpecException e) {
            throw new InvalidAlgorithmParameterException(e.getMessage(), e);
        }
    }

    @Override
    protected void engineInit(int number, Key given, AlgorithmParameterSpec spec, SecureRandom random)
            throws InvalidKeyException, InvalidAlgorithmParameterException {
        mode = Mode.of(number, row);
        key = argument(given);
        prepared = new PreparedOperation(mode.request(), key, row.mechanism(), given instanceof SecretKey);
        KeyAttributesMap template = mode == Mode.UNWRAP ? template(spec) : null;
        attributes = template == null ? Map.of() : Attributes.toFields(template);
        begin(spec == template ? null : spec);
        lost.begin();
    }

    /** Returns the template of the key to unwrap, which the caller passes alone or with the cipher's parameters. */
    private static KeyAttributesMap template(AlgorithmParameterSpec spec) {
        if (spec instanceof GCMUnwrapKeySpec) {
            return ((GCMUnwrapKeySpec) spec).getKeyAttributesMap();
        }
        if (spec instanceof IvUnwrapKeySpec) {
            return ((IvUnwrapKeySpec) spec).getKeyAttributesMap();
        }
        if (spec instanceof OAEPUnwrapKeySpec) {
            return ((OAEPUnwrapKeySpec) spec).getKeyAttributesMap();
        }
        return spec instanceof KeyAttributesMap ? (KeyAttributesMap) spec : null;
    }

    @Override
    protected byte[] engineWrap(Key target) throws IllegalBlockSizeException, InvalidKeyException {
        Object handle = KeyArguments.own(client, target, null, "EXTRACTABLE", "cipher");
        try {
            List<Object> results = client.call(mode.request(), key, row.mechanism(), requestParameters(), handle);
            took((Map<?, ?>) results.get(1));
            return (byte[]) results.get(0);
        } catch (HsmException e) {
            throw Errors.wrap(e);
        }
    }

    @Override
    protected Key engineUnwrap(byte[] wrapped, String algorithm, int type)
            throws InvalidKeyException, NoSuchAlgorithmException {
        if (wrapped == null || type == Cipher.PUBLIC_KEY) {
            throw new InvalidKeyException("A wrapped secret or private key is needed; public keys are not wrapped");
        }
        boolean isSecret = type == Cipher.SECRET_KEY;
        Map<String, Object> template = new HashMap<>(attributes);
        template.put("OBJECT_CLASS", isSecret ? "SECRET_KEY" : "PRIVATE_KEY");
        template.put("KEY_TYPE", Keys.type(algorithm, isSecret));
        if (!template.entrySet().containsAll(attributes.entrySet())) {
            throw new InvalidKeyException("The attributes of the key to unwrap name another class or type of key");
        }
        try {
            List<Object> results =
                    client.call(mode.request(), key, row.mechanism(), requestParameters(), wrapped, template);
            return Keys.named(client, results.get(0), algorithm);
        } catch (HsmException e) {
            throw Errors.invalidKey(e);
        }
    }

    /** Returns the output length of an update with this input length, in bytes. */
    abstract int updateSize(int length);

    /** Returns the output space, in bytes, that {@code doFinal} with this input length needs to start. */
    int finalSize(int length) {
        return engineGetOutputSize(length);
    }

    @Override
    protected int engineUpdate(byte[] input, int offset, int length, byte[] output, int outputOffset)
            throws ShortBufferException {
        requireRoom(output.length - outputOffset, updateSize(length));
        return put(engineUpdate(input, offset, length), output, outputOffset);
    }

    @Override
    protected int engineDoFinal(byte[] input, int offset, int length, byte[] output, int outputOffset)
            throws ShortBufferException, IllegalBlockSizeException, BadPaddingException {
        requireRoom(output.length - outputOffset, finalSize(length));
        return put(engineDoFinal(input, offset, length), output, outputOffset);
    }

    /**
     * Checks the output space before any input is consumed, so that the caller can repeat the call.
     *
     * @throws ShortBufferException if the space is too small
     */
    static void requireRoom(int room, int needed) throws ShortBufferException {
        if (room < needed) {
            throw new ShortBufferException("The output has room for " + room + " bytes, " + needed + " are needed");
        }
    }

    private static int put(byte[] result, byte[] output, int offset) {
        System.arraycopy(result, 0, output, offset, result.length);
        return result.length;
    }

    @Override
    protected int engineGetKeySize(Key given) throws InvalidKeyException {
        if (given instanceof RSAKey) {
            return ((RSAKey) given).getModulus().bitLength();
        }
        if (given instanceof HsmKey) {
            Object size = ((HsmKey) given).attribute("SIZE");
            if (size instanceof Long) {
                return ((Long) size).intValue();
            }
        }
        throw new InvalidKeyException(KeyArguments.foreign("cipher"));
    }

    /** Returns parameters of this algorithm and specification. */
    static AlgorithmParameters parameters(String algorithm, AlgorithmParameterSpec spec) {
        try {
            AlgorithmParameters parameters = AlgorithmParameters.getInstance(algorithm);
            parameters.init(spec);
            return parameters;
        } catch (GeneralSecurityException e) {
            throw new ProviderException(e);
        }
    }
}
