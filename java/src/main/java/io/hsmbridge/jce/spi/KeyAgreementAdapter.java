package io.hsmbridge.jce.spi;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import com.amazonaws.cloudhsm.jce.provider.spec.EcdhWithX963KdfParamSpec;
import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidKeyException;
import java.security.Key;
import java.security.NoSuchAlgorithmException;
import java.security.ProviderException;
import java.security.SecureRandom;
import java.security.spec.AlgorithmParameterSpec;
import java.util.HashMap;
import java.util.Map;
import javax.crypto.KeyAgreementSpi;
import javax.crypto.SecretKey;

/** ECDH with a KDF in the HSM: what two parties agree on is a key that stays there. */
final class KeyAgreementAdapter extends KeyAgreementSpi {
    private final HsmClient client;
    private final Row row;
    private Object key;
    private KeyAttributesMap wanted;
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
        } else if (spec instanceof EcdhWithX963KdfParamSpec) {
            EcdhWithX963KdfParamSpec parameters = (EcdhWithX963KdfParamSpec) spec;
            begin(given, parameters.getKeyAttributesMap(), parameters.getSharedInfo());
        } else if (spec == null) {
            engineInit(given, random);
        } else {
            throw new InvalidAlgorithmParameterException(
                    "A KeyAttributesMap or EcdhWithX963KdfParamSpec is needed, not " + spec.getClass().getName());
        }
    }

    private void begin(Key given, KeyAttributesMap attributes, byte[] info) throws InvalidKeyException {
        key = KeyArguments.own(client, given, row.get("key"), "DERIVE", "key agreement");
        wanted = attributes;
        sharedInfo = info;
        peer = null;
    }

    @Override
    protected Key engineDoPhase(Key given, boolean lastPhase) throws InvalidKeyException {
        if (key == null || !lastPhase) {
            throw new IllegalStateException("Two parties agree in one phase, after init");
        }
        peer = KeyArguments.encoding(client, given, row.get("key"));
        return null;
    }

    /** The secret is a key of the HSM: {@link #engineGenerateSecret(String)} makes it. */
    @Override
    protected byte[] engineGenerateSecret() {
        throw new ProviderException("The secret does not leave the HSM: use generateSecret(\"AES\")");
    }

    @Override
    protected int engineGenerateSecret(byte[] secret, int offset) {
        engineGenerateSecret();
        return 0;
    }

    @Override
    protected SecretKey engineGenerateSecret(String algorithm) throws NoSuchAlgorithmException, InvalidKeyException {
        if (peer == null) {
            throw new IllegalStateException("doPhase comes before generateSecret");
        }
        Map<String, Object> parameters = new HashMap<>();
        parameters.put("peer", peer);
        parameters.put("shared_info", sharedInfo);
        try {
            SecretKey agreed =
                    Derivation.run(client, key, row.mechanism(), parameters, wanted, Services.secretKeyFactory(algorithm));
            peer = null;
            return agreed;
        } catch (InvalidAlgorithmParameterException e) {
            throw new InvalidKeyException(e.getMessage(), e);
        } catch (HsmException e) {
            throw Errors.invalidKey(e);
        }
    }
}
