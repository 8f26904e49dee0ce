package io.hsmbridge.jce.spi;

import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.client.PreparedOperation;
import io.hsmbridge.jce.keys.HsmKey;
import io.hsmbridge.jce.wire.Operation;
import io.hsmbridge.jce.wire.Values.Slice;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidKeyException;
import java.security.InvalidParameterException;
import java.security.Key;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.PrivateKey;
import java.security.ProviderException;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.SignatureException;
import java.security.SignatureSpi;
import java.security.interfaces.ECKey;
import java.security.interfaces.RSAKey;
import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PSSParameterSpec;
import java.util.Arrays;
import java.util.Map;

/** Signatures. Java computes the digest, like CloudHSM's client, and the HSM signs it. */
final class SignatureAdapter extends SignatureSpi {
    private static final byte[] NOTHING = {};

    private final HsmClient client;
    private final Row row;
    private final boolean pss;
    private PSSParameterSpec parameters;
    private MessageDigest digest;
    private ByteArrayOutputStream raw;
    private PreparedOperation prepared;
    private boolean signing;
    /** Whether the message has begun; then its parameters cannot change. */
    private boolean inMessage;
    private Key key;
    private final LostMessage lost = new LostMessage();

    SignatureAdapter(HsmClient client, Row row) throws NoSuchAlgorithmException {
        this.client = client;
        this.row = row;
        this.pss = "pss".equals(row.get("form"));
        if (row.get("digest") != null) {
            digest = DigestAdapter.software(row.get("digest"));
        } else if (!pss) {
            raw = new ByteArrayOutputStream();
        }
    }

    @Override
    protected void engineInitSign(PrivateKey privateKey) throws InvalidKeyException {
        Object argument = KeyArguments.own(client, privateKey, row.get("key"), "SIGN", "signature");
        KeyArguments.requireSet((HsmKey) privateKey, row);
        begin(argument, privateKey, true);
    }

    @Override
    protected void engineInitSign(PrivateKey privateKey, SecureRandom random) throws InvalidKeyException {
        engineInitSign(privateKey);
    }

    @Override
    protected void engineInitVerify(PublicKey publicKey) throws InvalidKeyException {
        Object argument = KeyArguments.anyPublic(client, publicKey, row.get("key"), "VERIFY", "signature");
        if (publicKey instanceof HsmKey) {
            KeyArguments.requireSet((HsmKey) publicKey, row);
        }
        begin(argument, publicKey, false);
    }

    private void begin(Object argument, Key given, boolean toSign) throws InvalidKeyException {
        if (parameters != null && saltIsTooLong(given, parameters)) {
            throw new InvalidKeyException("The key is too short for a salt of " + parameters.getSaltLength() + " bytes");
        }
        key = given;
        prepared = new PreparedOperation(toSign ? Operation.SIGN : Operation.VERIFY, argument, row.mechanism(), false);
        signing = toSign;
        lost.begin();
        reset();
    }

    private void reset() {
        inMessage = false;
        if (raw != null) {
            raw.reset();
        }
        if (digest != null) {
            digest.reset();
        }
    }

    private MessageDigest digest() throws SignatureException {
        if (digest == null) {
            throw new SignatureException("RSASSA-PSS needs a PSSParameterSpec first: call setParameter");
        }
        return digest;
    }

    @Override
    protected void engineUpdate(byte b) throws SignatureException {
        lost.require();
        if (raw != null) {
            raw.write(b);
        } else {
            digest().update(b);
        }
        inMessage = true;
    }

    @Override
    protected void engineUpdate(byte[] data, int offset, int length) throws SignatureException {
        lost.require();
        if (raw != null) {
            raw.write(data, offset, length);
        } else {
            digest().update(data, offset, length);
        }
        inMessage = true;
    }

    @Override
    protected void engineUpdate(ByteBuffer data) {
        lost.require();
        if (raw != null) {
            byte[] bytes = new byte[data.remaining()];
            data.get(bytes);
            raw.write(bytes, 0, bytes.length);
        } else if (digest == null) {
            throw new ProviderException("RSASSA-PSS needs a PSSParameterSpec first: call setParameter");
        } else {
            digest.update(data);
        }
        inMessage = true;
    }

    private byte[] message() throws SignatureException {
        byte[] message = raw != null ? raw.toByteArray() : digest().digest();
        reset();
        return message;
    }

    private Map<String, Object> parameterMap() {
        return Map.of("hash", parameters.getDigestAlgorithm(), "mgf_hash", parameters.getDigestAlgorithm(),
                "salt_length", (long) parameters.getSaltLength());
    }

    @Override
    protected byte[] engineSign() throws SignatureException {
        if (!signing) {
            throw new SignatureException("not initialised for signing");
        }
        try {
            byte[] message = message();
            return lost.sent(() -> parameters == null
                    ? client.run(prepared, NOTHING, new Slice(message, 0, message.length)).result()
                    : client.bytes(Operation.SIGN, prepared.key(), row.mechanism(), parameterMap(), message));
        } catch (HsmException e) {
            throw Errors.signature(e);
        }
    }

    @Override
    protected boolean engineVerify(byte[] signature) throws SignatureException {
        byte[] message = message();
        if (signature == null) {
            throw new SignatureException("The signature to verify is null");
        }
        boolean isRight = verifies(message, signature);
        if (!isRight) {
            SignatureForm.require(row, key, signature);
        }
        return isRight;
    }

    private boolean verifies(byte[] message, byte[] signature) throws SignatureException {
        try {
            return lost.sent(() -> parameters == null
                    ? client.verifies(prepared, message, new Slice(signature, 0, signature.length))
                    : (Boolean) client.call(Operation.VERIFY, prepared.key(), row.mechanism(), parameterMap(), message,
                            signature).get(0));
        } catch (HsmException e) {
            throw Errors.signature(e);
        }
    }

    /** Accepts the parameters that the JDK's own signatures accept: PSS, the curve of an ECDSA key, plain Ed25519. */
    @Override
    protected void engineSetParameter(AlgorithmParameterSpec spec) throws InvalidAlgorithmParameterException {
        if (spec == null && !row.algorithm().equals("RSASSA-PSS")) {
            return;
        }
        if (pss && spec instanceof PSSParameterSpec) {
            requireUsable((PSSParameterSpec) spec);
        } else if (!takesUnchanged(spec)) {
            throw new InvalidAlgorithmParameterException(row.algorithm() + " does not take "
                    + (spec == null ? "null" : spec.getClass().getName() + " with these values"));
        }
        if (inMessage && !(spec instanceof ECParameterSpec)) {
            throw new ProviderException("Parameters cannot change after data of the message: sign, verify or init first");
        }
        if (pss) {
            parameters = (PSSParameterSpec) spec;
            digest = digestOf(parameters);
        }
    }

    /** Returns whether the parameters equal those that the algorithm and its key imply. */
    private boolean takesUnchanged(AlgorithmParameterSpec spec) throws InvalidAlgorithmParameterException {
        if (EdwardsParameters.are(spec)) {
            return row.algorithm().equals("Ed25519") && EdwardsParameters.arePlain(spec);
        }
        return spec instanceof ECParameterSpec && "EC".equals(row.get("key")) && (!(key instanceof ECKey)
                || Arrays.equals(Curves.encode(((ECKey) key).getParams()), Curves.encode(spec)));
    }

    private void requireUsable(PSSParameterSpec given) throws InvalidAlgorithmParameterException {
        String hash = given.getDigestAlgorithm();
        boolean sameHash = given.getMGFParameters() instanceof MGF1ParameterSpec
                && ((MGF1ParameterSpec) given.getMGFParameters()).getDigestAlgorithm().equalsIgnoreCase(hash);
        if (!sameHash || given.getTrailerField() != PSSParameterSpec.TRAILER_FIELD_BC) {
            throw new InvalidAlgorithmParameterException("MGF1 must use the message's hash, " + hash + ", and the trailer be 1");
        }
        String fixed = row.get("digest");
        if (fixed != null && !fixed.equalsIgnoreCase(hash)) {
            throw new InvalidAlgorithmParameterException(row.algorithm() + " hashes with " + fixed + ", not " + hash);
        }
        if (!Services.has("MessageDigest", hash)) {
            throw new InvalidAlgorithmParameterException("The HSM has no hash " + hash);
        }
        if (saltIsTooLong(key, given)) {
            throw new InvalidAlgorithmParameterException(
                    "The key is too short for a salt of " + given.getSaltLength() + " bytes");
        }
    }

    /** Returns whether a salt is too long for the key's encoded message (RFC 8017, 9.1.1). */
    private static boolean saltIsTooLong(Key key, PSSParameterSpec given) {
        if (!(key instanceof RSAKey)) {
            return false;
        }
        int encoded = (((RSAKey) key).getModulus().bitLength() - 1 + 7) / 8;
        return given.getSaltLength() > encoded - digestOf(given).getDigestLength() - 2;
    }

    private static MessageDigest digestOf(PSSParameterSpec given) {
        try {
            return DigestAdapter.software(given.getDigestAlgorithm());
        } catch (NoSuchAlgorithmException e) {
            throw new ProviderException(e);
        }
    }

    @Override
    @Deprecated
    protected void engineSetParameter(String name, Object value) {
        throw new InvalidParameterException("use setParameter(AlgorithmParameterSpec)");
    }

    @Override
    @Deprecated
    protected Object engineGetParameter(String name) {
        throw new InvalidParameterException("use getParameters()");
    }

    @Override
    protected AlgorithmParameters engineGetParameters() {
        PSSParameterSpec spec = parameters;
        if (spec == null && pss && digest != null) {
            String hash = row.get("digest");
            spec = new PSSParameterSpec(hash, "MGF1", new MGF1ParameterSpec(hash), digest.getDigestLength(), 1);
        }
        if (spec == null) {
            return null;
        }
        try {
            AlgorithmParameters result = AlgorithmParameters.getInstance("RSASSA-PSS");
            result.init(spec);
            return result;
        } catch (GeneralSecurityException e) {
            throw new ProviderException(e);
        }
    }
}
