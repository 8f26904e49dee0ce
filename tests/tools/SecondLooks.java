import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import com.amazonaws.cloudhsm.jce.provider.KeyStoreWithAttributes;
import com.amazonaws.cloudhsm.jce.provider.attributes.EcParams;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMapBuilder;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyPairAttributesMapBuilder;
import java.security.Key;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.SecureRandom;
import java.security.Security;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Scanner;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;
import javax.crypto.Mac;
import javax.crypto.SecretKey;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.SecretKeySpec;
import javax.security.auth.Destroyable;

/** Holds one object of each class of the public API in use, and uses all of them again after each line of input. */
public final class SecondLooks {
    /** Makes an object, brings it into use, and returns its next use. */
    private interface Begin {
        Callable<Object> begin() throws Exception;
    }

    private static final byte[] TEXT = new byte[64];

    private final Provider hsm = new CloudHsmProvider();
    private final SecretKey aes = secret("AES", true);
    private final SecretKey ofSession = secret("AES", false);
    private final SecretKey hmac = secret("HmacSHA256", true);
    private final KeyPair pair = pair();
    private final Map<String, Begin> classes = new LinkedHashMap<>();
    private final ExecutorService pool = Executors.newFixedThreadPool(100);

    private SecondLooks() throws Exception {
        Security.addProvider(hsm);
        byte[] signature = (byte[]) signing().call();
        classes.put("Cipher", () -> {
            Cipher cipher = cipher(aes);
            return () -> cipher.doFinal(TEXT);
        });
        classes.put("Cipher in mid-message", () -> {
            Cipher cipher = cipher(aes);
            cipher.update(TEXT);
            return cipher::doFinal;
        });
        classes.put("Mac", () -> {
            Mac mac = mac();
            return () -> mac.doFinal(TEXT);
        });
        classes.put("Mac in mid-message", () -> {
            Mac mac = mac();
            mac.update(new byte[100_000]);
            return mac::doFinal;
        });
        classes.put("Signature", this::signing);
        classes.put("Signature that verifies", () -> {
            Signature verifying = Signature.getInstance("SHA256withECDSA", hsm);
            verifying.initVerify(pair.getPublic());
            return () -> {
                verifying.update(TEXT);
                return verifying.verify(signature);
            };
        });
        classes.put("KeyGenerator", () -> {
            KeyGenerator generator = KeyGenerator.getInstance("AES", hsm);
            generator.init(256);
            return () -> gone(generator.generateKey());
        });
        classes.put("KeyPairGenerator", () -> {
            KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", hsm);
            generator.initialize(256);
            return () -> {
                KeyPair made = generator.generateKeyPair();
                return gone(made.getPublic(), made.getPrivate());
            };
        });
        classes.put("KeyFactory", () -> {
            KeyFactory factory = KeyFactory.getInstance("EC", hsm);
            return () -> gone(factory.generatePublic(new X509EncodedKeySpec(pair.getPublic().getEncoded())));
        });
        classes.put("SecretKeyFactory", () -> {
            SecretKeyFactory factory = SecretKeyFactory.getInstance("AES", hsm);
            return () -> gone(factory.generateSecret(new SecretKeySpec(new byte[16], "AES")));
        });
        classes.put("SecureRandom", () -> {
            SecureRandom random = SecureRandom.getInstance("AES-CTR-DRBG", hsm);
            return () -> {
                random.nextBytes(new byte[10]);
                return 10;
            };
        });
        classes.put("KeyStore", () -> {
            KeyStore store = KeyStore.getInstance(CloudHsmProvider.CLOUDHSM_KEYSTORE_TYPE, hsm);
            store.load(null, null);
            return () -> store.size() + " " + (store.getKey("aes", null) != null);
        });
        classes.put("KeyStoreWithAttributes", () -> {
            KeyStoreWithAttributes store = KeyStoreWithAttributes.getInstance(CloudHsmProvider.CLOUDHSM_KEYSTORE_TYPE);
            store.load(null, null);
            KeyAttributesMap template = new KeyAttributesMapBuilder().put(KeyAttribute.LABEL, "aes").build();
            return () -> store.getKeys(template).size();
        });
        classes.put("SecretKey", () -> () -> cipher(aes).doFinal(TEXT));
        classes.put("SecretKey of the session", () -> () -> cipher(ofSession).doFinal(TEXT));
        classes.put("PrivateKey", () -> () -> signing().call());
    }

    /** Reads words: {@code begin}, {@code use}, {@code hundred}, {@code drop}; answers with a line for each class. */
    public static void main(String[] arguments) throws Exception {
        SecondLooks looks = new SecondLooks();
        Map<String, Callable<Object>> held = looks.begun();
        System.out.println("ready");
        Scanner input = new Scanner(System.in);
        while (input.hasNext()) {
            switch (input.next()) {
                case "begin" -> held = looks.begun();
                case "use" -> looks.each(held, SecondLooks::said);
                case "hundred" -> looks.each(held, looks::byHundred);
                case "drop" -> looks.drop();
                default -> throw new IllegalArgumentException();
            }
            System.out.println("done");
        }
        looks.pool.shutdownNow();
    }

    private interface Look {
        String at(Callable<Object> use) throws Exception;
    }

    private void each(Map<String, Callable<Object>> held, Look look) throws Exception {
        for (Map.Entry<String, Callable<Object>> one : held.entrySet()) {
            System.out.println(one.getKey() + ": " + look.at(one.getValue()));
        }
    }

    private Map<String, Callable<Object>> begun() throws Exception {
        Map<String, Callable<Object>> held = new LinkedHashMap<>();
        for (Map.Entry<String, Begin> one : classes.entrySet()) {
            held.put(one.getKey(), one.getValue().begin());
        }
        return held;
    }

    /** Uses an object from a hundred threads at once. JCA objects are not made for it; each thread gets an answer. */
    private String byHundred(Callable<Object> use) throws Exception {
        List<Callable<String>> tasks = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            tasks.add(() -> said(use));
        }
        int answers = 0;
        for (Future<String> one : pool.invokeAll(tasks)) {
            answers += one.get().contains("InternalException") ? 0 : 1;
        }
        return answers + " answers";
    }

    private void drop() throws Exception {
        for (int i = 0; i < 200; i++) {
            begun();
        }
        System.gc();
    }

    private static String said(Callable<Object> use) {
        try {
            use.call();
            return "works";
        } catch (Exception e) {
            return e.getClass().getSimpleName() + ": " + e.getMessage();
        }
    }

    private static Object gone(Key... keys) throws Exception {
        for (Key key : keys) {
            ((Destroyable) key).destroy();
        }
        return keys.length;
    }

    private SecretKey secret(String algorithm, boolean token) throws Exception {
        KeyGenerator generator = KeyGenerator.getInstance(algorithm, hsm);
        generator.init(new KeyAttributesMapBuilder()
                .put(KeyAttribute.SIZE, 256)
                .put(KeyAttribute.TOKEN, token)
                .put(KeyAttribute.LABEL, token ? algorithm.toLowerCase() : "of the session")
                .build());
        return generator.generateKey();
    }

    private KeyPair pair() throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", hsm);
        generator.initialize(new KeyPairAttributesMapBuilder()
                .withPublic(new KeyAttributesMapBuilder()
                        .put(KeyAttribute.EC_PARAMS, EcParams.EC_CURVE_PRIME256)
                        .put(KeyAttribute.TOKEN, true)
                        .build())
                .withPrivate(new KeyAttributesMapBuilder().put(KeyAttribute.TOKEN, true).build())
                .build());
        return generator.generateKeyPair();
    }

    private Cipher cipher(Key key) throws Exception {
        Cipher cipher = Cipher.getInstance("AES/CBC/PKCS5Padding", hsm);
        cipher.init(Cipher.ENCRYPT_MODE, key);
        return cipher;
    }

    private Mac mac() throws Exception {
        Mac mac = Mac.getInstance("HmacSHA256", hsm);
        mac.init(hmac);
        return mac;
    }

    private Callable<Object> signing() throws Exception {
        Signature signature = Signature.getInstance("SHA256withECDSA", hsm);
        PrivateKey key = pair.getPrivate();
        signature.initSign(key);
        return () -> {
            signature.update(TEXT);
            return signature.sign();
        };
    }
}
