package io.hsmbridge.jce.spi;

import com.amazonaws.cloudhsm.jce.provider.attributes.KeyPairAttributesMap;
import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.keys.Keys;
import io.hsmbridge.jce.wire.Operation;
import java.math.BigInteger;
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
import java.security.spec.NamedParameterSpec;
import java.security.spec.RSAKeyGenParameterSpec;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Generates key pairs in the HSM, which has a default for each attribute. */
final class KeyPairGeneratorAdapter extends KeyPairGeneratorSpi {
    private final HsmClient client;
    private final Row row;
    private Map<String, Object> publicAttributes;
    private Map<String, Object> privateAttributes = Map.of();

    KeyPairGeneratorAdapter(HsmClient client, Row row) {
        this.client = client;
        this.row = row;
        publicAttributes = named(row.get("set"), Map.of());
    }

    @Override
    public void initialize(int bits, SecureRandom random) {
        if (row.get("named") != null && (row.get("sizes") == null || !row.takes(bits))) {
            throw new InvalidParameterException(row.algorithm() + " keys have no choice of size");
        }
        try {
            begin(ofSize(bits), Map.of());
        } catch (InvalidAlgorithmParameterException e) {
            throw new InvalidParameterException(e.getMessage());
        }
    }

    private Map<String, Object> ofSize(int bits) throws InvalidAlgorithmParameterException {
        if (row.get("named") != null) {
            return named(row.get("set"), Map.of());
        }
        return row.algorithm().equals("RSA") ? Map.of("MODULUS_BITS", bits)
                : Map.of("EC_PARAMS", curve(new ECGenParameterSpec("secp" + bits + "r1")));
    }

    @Override
    public void initialize(AlgorithmParameterSpec spec, SecureRandom random) throws InvalidAlgorithmParameterException {
        if (spec instanceof KeyPairAttributesMap) {
            Map<String, Object> publicTemplate = Attributes.toFields(((KeyPairAttributesMap) spec).getPublic());
            for (String needed : row.list("needs")) {
                if (!publicTemplate.containsKey(needed)) {
                    throw new InvalidAlgorithmParameterException("The public key's attribute " + needed + " is missing");
                }
            }
            begin(named(row.get("set"), publicTemplate), Attributes.toFields(((KeyPairAttributesMap) spec).getPrivate()));
        } else if (spec instanceof NamedParameterSpec && row.list("named").contains(((NamedParameterSpec) spec).getName())) {
            String name = ((NamedParameterSpec) spec).getName();
            begin(named(row.get("set") == null ? null : name, Map.of()), Map.of());
        } else if (spec instanceof RSAKeyGenParameterSpec && row.algorithm().equals("RSA")) {
            RSAKeyGenParameterSpec rsa = (RSAKeyGenParameterSpec) spec;
            if (rsa.getPublicExponent() == null) {
                throw new InvalidAlgorithmParameterException("The public exponent is null");
            }
            begin(Map.of("MODULUS_BITS", rsa.getKeysize(), "PUBLIC_EXPONENT", rsa.getPublicExponent().toByteArray()),
                    Map.of());
        } else if ((spec instanceof ECGenParameterSpec || spec instanceof ECParameterSpec) && row.algorithm().equals("EC")) {
            begin(Map.of("EC_PARAMS", curve(spec)), Map.of());
        } else {
            throw new InvalidAlgorithmParameterException(row.algorithm() + " keys are not generated from "
                    + (spec == null ? "null" : spec.getClass().getName()));
        }
    }

    /** Returns the attributes with a parameter set, if there is one. */
    private static Map<String, Object> named(String set, Map<String, Object> attributes) {
        Map<String, Object> named = new HashMap<>(attributes);
        if (set != null) {
            named.putIfAbsent("PARAMETER_SET", set);
        }
        return named;
    }

    /**
     * Sets the templates.
     *
     * @throws InvalidAlgorithmParameterException if the mechanism's row shows that the HSM will refuse them
     */
    private void begin(Map<String, Object> publicTemplate, Map<String, Object> privateTemplate)
            throws InvalidAlgorithmParameterException {
        Object bits = publicTemplate.get("MODULUS_BITS");
        Object exponent = publicTemplate.get("PUBLIC_EXPONENT");
        Object curve = publicTemplate.get("EC_PARAMS");
        if (row.get("sizes") != null && bits instanceof Integer && !row.takes((Integer) bits)) {
            throw new InvalidAlgorithmParameterException(row.wrongSize((Integer) bits));
        }
        if (row.get("exponent") != null && exponent instanceof byte[]
                && !new BigInteger(1, (byte[]) exponent).toString().equals(row.get("exponent"))) {
            throw new InvalidAlgorithmParameterException("PUBLIC_EXPONENT is " + row.get("exponent") + " in generated keys");
        }
        if (row.get("curves") != null && curve instanceof byte[]
                && row.list("curves").stream().noneMatch(known -> known.endsWith(":" + Hexadecimal.encode((byte[]) curve)))) {
            throw new InvalidAlgorithmParameterException("The HSM has no keys on the curve of EC_PARAMS");
        }
        publicAttributes = publicTemplate;
        privateAttributes = privateTemplate;
    }

    /**
     * Returns the DER object identifier of a curve. The row has more names than the JDK, and the JDK finds a curve by
     * its numbers.
     */
    private byte[] curve(AlgorithmParameterSpec spec) throws InvalidAlgorithmParameterException {
        if (spec instanceof ECGenParameterSpec) {
            String name = ((ECGenParameterSpec) spec).getName();
            for (String known : row.list("curves")) {
                String[] parts = known.split(":");
                if (parts[0].equalsIgnoreCase(name)) {
                    return Hexadecimal.decode(parts[1]);
                }
            }
        }
        return Curves.encode(spec);
    }

    @Override
    public KeyPair generateKeyPair() {
        try {
            List<Object> records =
                    client.call(Operation.GENERATE_KEY_PAIR, row.mechanism(), publicAttributes, privateAttributes);
            return new KeyPair((PublicKey) Keys.of(client, records.get(0)), (PrivateKey) Keys.of(client, records.get(1)));
        } catch (HsmException e) {
            throw Errors.generation(e);
        }
    }
}
