package io.hsmbridge.jce.spi;

import io.hsmbridge.jce.client.HsmClient;
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
import javax.crypto.BadPaddingException;
import javax.crypto.Cipher;
import javax.crypto.CipherSpi;
import javax.crypto.IllegalBlockSizeException;
import javax.crypto.NoSuchPaddingException;
import javax.crypto.ShortBufferException;

/** What every cipher shares: the mode is in the transformation, results go to the caller's buffer, sizes of keys. */
abstract class CipherAdapter extends CipherSpi {
    static final byte[] NOTHING = {};

    final HsmClient client;
    final Row row;
    Object key;
    boolean encrypting;

    CipherAdapter(HsmClient client, Row row) {
        this.client = client;
        this.row = row;
    }

    /** Takes the parameters of {@code init}; null if there are none. */
    abstract void begin(AlgorithmParameterSpec spec) throws InvalidAlgorithmParameterException;

    /** Returns what {@code init} needs the key to permit, as the request's argument. */
    abstract Object argument(Key given) throws InvalidKeyException;

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
    protected int engineGetBlockSize() {
        return row.number("iv") == 12 ? 16 : row.number("size");
    }

    @Override
    protected void engineInit(int mode, Key given, SecureRandom random) throws InvalidKeyException {
        try {
            engineInit(mode, given, (AlgorithmParameterSpec) null, random);
        } catch (InvalidAlgorithmParameterException e) {
            throw new InvalidKeyException(e.getMessage(), e);
        }
    }

    @Override
    protected void engineInit(int mode, Key given, AlgorithmParameters parameters, SecureRandom random)
            throws InvalidKeyException, InvalidAlgorithmParameterException {
        try {
            engineInit(mode, given, parameters == null ? null : parameters.getParameterSpec(specClass()), random);
        } catch (InvalidParameterSpecException e) {
            throw new InvalidAlgorithmParameterException(e.getMessage(), e);
        }
    }

    @Override
    protected void engineInit(int mode, Key given, AlgorithmParameterSpec spec, SecureRandom random)
            throws InvalidKeyException, InvalidAlgorithmParameterException {
        if (mode != Cipher.ENCRYPT_MODE && mode != Cipher.DECRYPT_MODE) {
            throw new InvalidAlgorithmParameterException(row.algorithm() + " encrypts and decrypts only");
        }
        encrypting = mode == Cipher.ENCRYPT_MODE;
        key = argument(given);
        begin(spec);
    }

    @Override
    protected int engineUpdate(byte[] input, int offset, int length, byte[] output, int outputOffset)
            throws ShortBufferException {
        if (output.length - outputOffset < engineGetUpdateSize(length)) {
            throw new ShortBufferException(engineGetUpdateSize(length) + " bytes are needed");
        }
        return put(engineUpdate(input, offset, length), output, outputOffset);
    }

    /** Returns how many bytes an update with this much input may give at most. */
    abstract int engineGetUpdateSize(int length);

    @Override
    protected int engineDoFinal(byte[] input, int offset, int length, byte[] output, int outputOffset)
            throws ShortBufferException, IllegalBlockSizeException, BadPaddingException {
        // Asked before the operation, so that a caller may come again with a larger buffer. Decrypting gives less than
        // the bound, by how much only the result tells.
        int needed = encrypting ? engineGetOutputSize(length) : 0;
        if (output.length - outputOffset < needed) {
            throw new ShortBufferException(needed + " bytes are needed");
        }
        return put(engineDoFinal(input, offset, length), output, outputOffset);
    }

    private static int put(byte[] result, byte[] output, int offset) throws ShortBufferException {
        int length = result == null ? 0 : result.length;
        if (output.length - offset < length) {
            throw new ShortBufferException(length + " bytes are needed");
        }
        if (length > 0) {
            System.arraycopy(result, 0, output, offset, length);
        }
        return length;
    }

    @Override
    protected int engineGetKeySize(Key given) throws InvalidKeyException {
        if (given instanceof RSAKey) {
            return ((RSAKey) given).getModulus().bitLength();
        }
        if (given instanceof io.hsmbridge.jce.keys.HsmKey) {
            Object size = ((io.hsmbridge.jce.keys.HsmKey) given).attribute("SIZE");
            if (size instanceof Long) {
                return ((Long) size).intValue();
            }
        }
        throw new InvalidKeyException("Non CloudHsm key is not supported for this cipher operation");
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
