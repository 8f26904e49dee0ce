package io.hsmbridge.jce.keys;

import com.amazonaws.cloudhsm.jce.provider.CloudHsmEcPrivateKey;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmEcPublicKey;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmEdPrivateKey;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmEdPublicKey;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmImportedEcPrivateKey;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmMlDsaPrivateKey;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmMlDsaPublicKey;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmRsaPrivateCrtKey;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmRsaPublicKey;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmSecretKey;
import io.hsmbridge.jce.client.HsmClient;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.NoSuchAlgorithmException;
import java.security.ProviderException;
import java.security.PublicKey;
import java.security.interfaces.ECPublicKey;
import java.security.interfaces.RSAPublicKey;
import java.security.spec.X509EncodedKeySpec;
import java.util.Locale;
import java.util.Map;

/** Converts key records of the protocol to key objects. */
public final class Keys {
    private static final Map<Object, String> SECRET_ALGORITHMS =
            Map.of("AES", "AES", "DESEDE", "DESede", "GENERIC_SECRET", "GenericSecret");
    private static final Map<String, String> SECRET_TYPES =
            Map.of("AES", "AES", "DESEDE", "DESEDE", "GENERICSECRET", "GENERIC_SECRET");
    private static final Map<String, String> PRIVATE_TYPES = Map.of("RSA", "RSA", "EC", "EC", "ED25519", "EC_EDWARDS",
            "EDDSA", "EC_EDWARDS", "ML-DSA", "ML_DSA", "ML-DSA-44", "ML_DSA", "ML-DSA-65", "ML_DSA", "ML-DSA-87", "ML_DSA");

    private Keys() {}

    /** Returns the key object of a key record. */
    public static HsmKey of(HsmClient client, Object record) {
        Map<?, ?> map = (Map<?, ?>) record;
        String type = (String) map.get("KEY_TYPE");
        String secret = SECRET_ALGORITHMS.get(type);
        if (secret != null) {
            return new CloudHsmSecretKey(client, map, secret);
        }
        boolean isPrivate = "PRIVATE_KEY".equals(map.get("OBJECT_CLASS"));
        if (type.equals("ML_DSA")) {
            return isPrivate ? new CloudHsmMlDsaPrivateKey(client, map) : new CloudHsmMlDsaPublicKey(client, map);
        }
        if (type.equals("EC_EDWARDS")) {
            return isPrivate ? new CloudHsmEdPrivateKey(client, map) : new CloudHsmEdPublicKey(client, map);
        }
        PublicKey software = parse(type, (byte[]) map.get("PUBLIC_KEY_INFO"));
        if (software instanceof RSAPublicKey) {
            RSAPublicKey rsa = (RSAPublicKey) software;
            return isPrivate ? new CloudHsmRsaPrivateCrtKey(client, map, rsa) : new CloudHsmRsaPublicKey(client, map, rsa);
        }
        ECPublicKey ec = (ECPublicKey) software;
        return isPrivate ? new CloudHsmEcPrivateKey(client, map, ec) : new CloudHsmEcPublicKey(client, map, ec);
    }

    /**
     * Returns the type of a key from the name of its algorithm in Java.
     *
     * @throws NoSuchAlgorithmException if the HSM has no such keys
     */
    public static String type(String algorithm, boolean isSecret) throws NoSuchAlgorithmException {
        String name = String.valueOf(algorithm).toUpperCase(Locale.ROOT);
        if (isSecret && name.startsWith("HMAC")) {
            return "GENERIC_SECRET";
        }
        String type = (isSecret ? SECRET_TYPES : PRIVATE_TYPES).get(name);
        if (type == null) {
            throw new NoSuchAlgorithmException("The HSM has no " + (isSecret ? "secret" : "private") + " key for " + algorithm);
        }
        return type;
    }

    /** Returns the key object of a key record; a generic secret gets the name of the algorithm, such as HmacSHA256. */
    public static HsmKey named(HsmClient client, Object record, String algorithm) {
        return "GENERIC_SECRET".equals(((Map<?, ?>) record).get("KEY_TYPE")) ? secret(client, record, algorithm)
                : of(client, record);
    }

    /** Returns the key object of a key that a key factory has imported, of the class to which callers cast. */
    public static HsmKey imported(HsmClient client, Object record) {
        Map<?, ?> map = (Map<?, ?>) record;
        if ("EC".equals(map.get("KEY_TYPE")) && "PRIVATE_KEY".equals(map.get("OBJECT_CLASS"))) {
            return new CloudHsmImportedEcPrivateKey(client, map, (ECPublicKey) parse("EC", (byte[]) map.get("PUBLIC_KEY_INFO")));
        }
        return of(client, record);
    }

    /** Returns the key object of a secret key with the name of its algorithm, such as HmacSHA256. */
    public static CloudHsmSecretKey secret(HsmClient client, Object record, String algorithm) {
        return new CloudHsmSecretKey(client, (Map<?, ?>) record, algorithm);
    }

    /** Returns the JDK's object of an encoded public key (SubjectPublicKeyInfo in DER). */
    public static PublicKey parse(String type, byte[] encoded) {
        try {
            return software(type).generatePublic(new X509EncodedKeySpec(encoded));
        } catch (GeneralSecurityException e) {
            throw new ProviderException("The HSM's public key does not decode", e);
        }
    }

    /**
     * Returns the JDK's own key factory. The method names the provider, so that the order of providers has no effect.
     *
     * @throws GeneralSecurityException if this JDK has none
     */
    public static KeyFactory software(String type) throws GeneralSecurityException {
        return KeyFactory.getInstance(type, type.equals("RSA") ? "SunRsaSign" : "SunEC");
    }
}
