import com.amazonaws.cloudhsm.jce.provider.AesCmacKdfFixedInputData;
import com.amazonaws.cloudhsm.jce.provider.AesCmacKdfParameterSpec;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMapBuilder;
import java.security.Key;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;
import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;
import javax.crypto.Mac;
import javax.crypto.SecretKey;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.GCMParameterSpec;
import javax.security.auth.Destroyable;

/**
 * Keys that go out wrapped and come back the same: {@code wrap}. Keys that are derived: {@code derive KEY LABEL}, where KEY
 * is the AES base key and LABEL the fixed input, both in hex; it prints a block of zeros under the derived key.
 */
final class Wrapping {
    private static final String PROVIDER = "CloudHSM";
    private static final List<String> WITH_AES = List.of("AESWrap/ECB/NoPadding", "AESWrap/ECB/PKCS5Padding",
            "AESWrap/ECB/ZeroPadding", "AES/GCM/NoPadding");
    private static final List<String> WITH_RSA = List.of("RSA/ECB/PKCS1Padding", "RSA/ECB/OAEPPadding",
            "RSA/ECB/OAEPWithSHA-256ANDMGF1Padding", "RSAAESWrap/ECB/OAEPPadding",
            "RSAAESWrap/ECB/OAEPWithSHA-512ANDMGF1Padding");

    private Wrapping() {}

    public static void main(String[] arguments) throws Exception {
        Hsm.register("last");
        if (arguments[0].equals("derive")) {
            System.out.println(derived(HexFormat.of().parseHex(arguments[1]), HexFormat.of().parseHex(arguments[2])));
            return;
        }
        SecretKey payload = generated("HmacSHA256", 192);
        SecretKey wrapping = generated("AES", 256);
        for (String transformation : WITH_AES) {
            assertComesBack(transformation, wrapping, wrapping, payload);
        }
        KeyPairGenerator generator = KeyPairGenerator.getInstance("RSA", PROVIDER);
        generator.initialize(2048);
        KeyPair pair = generator.generateKeyPair();
        for (String transformation : WITH_RSA) {
            assertComesBack(transformation, pair.getPublic(), pair.getPrivate(), payload);
        }
        for (Key key : List.of(payload, wrapping, pair.getPublic(), pair.getPrivate())) {
            ((Destroyable) key).destroy();
            assert ((Destroyable) key).isDestroyed();
        }
    }

    private static SecretKey generated(String algorithm, int bits) throws Exception {
        KeyGenerator generator = KeyGenerator.getInstance(algorithm, PROVIDER);
        generator.init(bits);
        return generator.generateKey();
    }

    private static void assertComesBack(String transformation, Key wrapping, Key unwrapping, Key payload) throws Exception {
        Cipher cipher = Cipher.getInstance(transformation, PROVIDER);
        cipher.init(Cipher.WRAP_MODE, wrapping);
        byte[] wrapped = cipher.wrap(payload);
        if (cipher.getIV() == null) {
            cipher.init(Cipher.UNWRAP_MODE, unwrapping);
        } else {
            cipher.init(Cipher.UNWRAP_MODE, unwrapping, new GCMParameterSpec(128, cipher.getIV()));
        }
        Key returned = cipher.unwrap(wrapped, "HmacSHA256", Cipher.SECRET_KEY);
        assert returned.getEncoded() == null : transformation;
        assert MessageDigest.isEqual(mac(payload), mac(returned)) : transformation;
        ((Destroyable) returned).destroy();
        assert MessageDigest.isEqual(mac(payload), mac(payload)) : transformation;
    }

    private static byte[] mac(Key key) throws Exception {
        Mac mac = Mac.getInstance("HmacSHA256", PROVIDER);
        mac.init(key);
        return mac.doFinal(new byte[] {1, 2, 3});
    }

    private static String derived(byte[] base, byte[] label) throws Exception {
        SecretKeyFactory factory = SecretKeyFactory.getInstance("AES", PROVIDER);
        SecretKey key = factory.generateSecret(new KeyAttributesMapBuilder().put(KeyAttribute.VALUE, base)
                .put(KeyAttribute.DERIVE, true).build());
        KeyAttributesMap wanted = new KeyAttributesMapBuilder().put(KeyAttribute.SIZE, 256).build();
        AesCmacKdfFixedInputData input = new AesCmacKdfFixedInputData(8, null, label);
        Cipher cipher = Cipher.getInstance("AES/ECB/NoPadding", PROVIDER);
        cipher.init(Cipher.ENCRYPT_MODE, factory.generateSecret(new AesCmacKdfParameterSpec(wanted, input, key)));
        return HexFormat.of().formatHex(cipher.doFinal(new byte[16]));
    }
}
