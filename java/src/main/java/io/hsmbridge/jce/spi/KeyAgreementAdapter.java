package io.hsmbridge.jce.spi;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import com.amazonaws.cloudhsm.jce.provider.spec.EcdhWithX963KdfParamSpec;
import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.keys.HsmKey;
import java.security.GeneralSecurityException;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidKeyException;
import java.security.Key;
import java.security.NoSuchAlgorithmException;
import java.security.ProviderException;
import java.security.SecureRandom;
import java.security.interfaces.ECKey;
import java.security.spec.AlgorithmParameterSpec;
import java.util.HashMap;
import java.util.Map;
import javax.crypto.KeyAgreementSpi;
import javax.crypto.SecretKey;
import javax.crypto.ShortBufferException;
import javax.security.auth.DestroyFailedException;

/** ECDH in the HSM. The agreed secret stays there as a key; without a KDF the HSM may permit its clear extraction. */
final class KeyAgreementAdapter extends KeyAgreementSpi {
    private static final int MOST_AES_BITS = 256;

    private final HsmClient client;
    private final Row row;
    private Object key;
    /** Length of the secret in bits: an element of the curve's field, in whole bytes. */
    private int fieldBits;
    private KeyAttributesMap template;
    private byte[] sharedInfo;
    private byte[] peer;

    KeyAgreementAdapter(HsmClient client, Row row) {
        this.client = client;
        this.row = row;
    }

    @Override
    protected void engineInit(Key given, SecureRandom random) throws InvalidKeyException {
        begin(given, new KeyAttributesMap(), null);
    }

    @Override
    protected void engineInit(Key given, AlgorithmParameterSpec spec, SecureRandom random)
            throws InvalidKeyException, InvalidAlgorithmParameterException {
        if (spec instanceof KeyAttributesMap) {
            begin(given, (KeyAttributesMap) spec, null);
        } else if (spec instanceof EcdhWithX963KdfParamSpec && !isPlain()) {
            EcdhWithX963KdfParamSpec parameters = (EcdhWithX963KdfParamSpec) spec;
            begin(given, parameters.getKeyAttributesMap(), parameters.getSharedInfo());
        } else if (spec == null) {
            engineInit(given, random);
        } else {
            throw new InvalidAlgorithmParameterException(
                    "A KeyAttributesMap" + (isPlain() ? "" : " or EcdhWithX963KdfParamSpec") + " is required, not "
                            + spec.getClass().getName());
        }
    }

    private void begin(Key given, KeyAttributesMap attributes, byte[] info) throws InvalidKeyException {
        key = KeyArguments.own(client, given, row.get("key"), "DERIVE", "key agreement");
        fieldBits = (((ECKey) given).getParams().getCurve().getField().getFieldSize() + 7) / 8 * 8;
        template = attributes;
        sharedInfo = info;
        peer = null;
    }

    @Override
    protected Key engineDoPhase(Key given, boolean lastPhase) throws InvalidKeyException {
        if (key == null || !lastPhase) {
            throw new IllegalStateException("A key agreement has one phase, after init");
        }
        peer = KeyArguments.encoding(client, given, row.get("key"));
        return null;
    }

    /**
     * Returns the secret if the HSM permits clear extraction; otherwise the secret is available only as a key of the
     * HSM.
     */
    @Override
    protected byte[] engineGenerateSecret() {
        if (!isPlain()) {
            throw new ProviderException("The secret does not leave the HSM: use generateSecret(\"AES\")");
        }
        try {
            HsmKey agreed = (HsmKey) agree("GenericSecret", Map.of("EXTRACTABLE", true));
            byte[] secret;
            try {
                secret = agreed.getEncoded();
            } finally {
                agreed.destroy();
            }
            if (secret == null) {
                throw new ProviderException("The HSM does not permit clear extraction: `hsm init --enable-clear-key-extraction` creates"
                        + " one that does; generateSecret(\"AES\") does not need it");
            }
            return secret;
        } catch (GeneralSecurityException | DestroyFailedException e) {
            throw new ProviderException(e.getMessage(), e);
        }
    }

    @Override
    protected int engineGenerateSecret(byte[] secret, int offset) throws ShortBufferException {
        if (isPlain() && key != null) {
            CipherAdapter.requireRoom(secret.length - offset, fieldBits / 8);
        }
        byte[] agreed = engineGenerateSecret();
        System.arraycopy(agreed, 0, secret, offset, agreed.length);
        return agreed.length;
    }

    @Override
    protected SecretKey engineGenerateSecret(String algorithm) throws NoSuchAlgorithmException, InvalidKeyException {
        try {
            return agree(algorithm, Attributes.toFields(template));
        } catch (InvalidAlgorithmParameterException e) {
            throw new InvalidKeyException(e.getMessage(), e);
        }
    }

    private boolean isPlain() {
        return row.get("option") != null;
    }

    private SecretKey agree(String algorithm, Map<String, Object> template)
            throws NoSuchAlgorithmException, InvalidKeyException, InvalidAlgorithmParameterException {
        if (peer == null) {
            throw new IllegalStateException("doPhase comes before generateSecret");
        }
        Map<String, Object> parameters = new HashMap<>();
        parameters.put("peer", peer);
        if (!isPlain()) {
            parameters.put("shared_info", sharedInfo);
        }
        Map<String, Object> attributes = new HashMap<>(template);
        Row factory = Services.secretKeyFactory(algorithm);
        if (isPlain()) {
            attributes.putIfAbsent("SIZE", (long) (factory.get("type").equals("AES") ? Math.min(fieldBits, MOST_AES_BITS) : fieldBits));
        }
        try {
            SecretKey agreed = Derivation.run(client, key, row.mechanism(), parameters, attributes, factory);
            peer = null;
            return agreed;
        } catch (HsmException e) {
            throw Errors.invalidKey(e);
        }
    }
}
