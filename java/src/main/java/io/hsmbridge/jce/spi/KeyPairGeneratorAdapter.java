package io.hsmbridge.jce.spi;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyPairAttributesMap;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.keys.Keys;
import io.hsmbridge.jce.wire.Operation;
import java.security.InvalidAlgorithmParameterException;
import java.security.InvalidParameterException;
import java.security.KeyPair;
import java.security.KeyPairGeneratorSpi;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.RSAKeyGenParameterSpec;
import java.util.List;
import java.util.Map;

/** Generates key pairs in the HSM; the HSM chooses what the caller does not. */
final class KeyPairGeneratorAdapter extends KeyPairGeneratorSpi {
    private final HsmClient client;
    private final Row row;
    private Map<String, Object> publicAttributes;
    private Map<String, Object> privateAttributes = Map.of();

    KeyPairGeneratorAdapter(HsmClient client, Row row) {
        this.client = client;
        this.row = row;
        publicAttributes = row.algorithm().equals("RSA") ? Map.of("MODULUS_BITS", 2048) : curveOfSize(256);
    }

    @Override
    public void initialize(int bits, SecureRandom random) {
        publicAttributes = row.algorithm().equals("RSA") ? Map.of("MODULUS_BITS", bits) : curveOfSize(bits);
    }

    private static Map<String, Object> curveOfSize(int bits) {
        try {
            return Map.of("EC_PARAMS", Curves.encode(new ECGenParameterSpec("secp" + bits + "r1")));
        } catch (InvalidAlgorithmParameterException e) {
            throw new InvalidParameterException("No curve of " + bits + " bits");
        }
    }

    @Override
    public void initialize(AlgorithmParameterSpec spec, SecureRandom random) throws InvalidAlgorithmParameterException {
        if (spec instanceof KeyPairAttributesMap) {
            publicAttributes = Attributes.toFields(((KeyPairAttributesMap) spec).getPublic());
            privateAttributes = Attributes.toFields(((KeyPairAttributesMap) spec).getPrivate());
        } else if (spec instanceof RSAKeyGenParameterSpec && row.algorithm().equals("RSA")) {
            RSAKeyGenParameterSpec rsa = (RSAKeyGenParameterSpec) spec;
            publicAttributes = Map.of("MODULUS_BITS", rsa.getKeysize(),
                    "PUBLIC_EXPONENT", rsa.getPublicExponent().toByteArray());
        } else if ((spec instanceof ECGenParameterSpec || spec instanceof ECParameterSpec) && row.algorithm().equals("EC")) {
            publicAttributes = Map.of("EC_PARAMS", Curves.encode(spec));
        } else {
            throw new InvalidAlgorithmParameterException(row.algorithm() + " keys are not generated from "
                    + (spec == null ? "null" : spec.getClass().getName()));
        }
    }

    @Override
    public KeyPair generateKeyPair() {
        try {
            List<Object> records =
                    client.call(Operation.GENERATE_KEY_PAIR, row.mechanism(), publicAttributes, privateAttributes);
            return new KeyPair((PublicKey) Keys.of(client, records.get(0)), (PrivateKey) Keys.of(client, records.get(1)));
        } catch (HsmException e) {
            InvalidParameterException refused = new InvalidParameterException(e.getMessage());
            refused.initCause(e);
            throw refused;
        }
    }
}
