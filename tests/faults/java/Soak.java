import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMapBuilder;
import java.security.Key;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.Provider;
import java.security.SecureRandom;
import java.security.Signature;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.atomic.LongAdder;
import javax.crypto.AEADBadTagException;
import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;
import javax.crypto.Mac;
import javax.crypto.SecretKey;
import javax.security.auth.Destroyable;

/** Uses one provider from many threads for some time, checks each result, and prints how often it did what. */
public final class Soak {
    private interface Action {
        void run(SplittableRandom chance) throws Exception;
    }

    private static final Provider HSM = hsm();
    private static final byte[] MESSAGE = new byte[1000];

    private final SecretKey aes = secret("AES", 256, false);
    private final SecretKey hmac = secret("HmacSHA256", 256, false);
    private final KeyPair rsa = pair("RSA", 2048);
    private final KeyPair ec = pair("EC", 256);
    private final byte[] code = mac();
    private final Map<String, Action> actions = new LinkedHashMap<>();

    private static Provider hsm() {
        try {
            return new CloudHsmProvider();
        } catch (Exception e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private Soak() throws Exception {
        actions.put("GCM", this::gcm);
        actions.put("CBC in parts", this::cbc);
        actions.put("dropped cipher", chance -> encrypting("AES/CBC/PKCS5Padding", aes).update(new byte[64]));
        actions.put("RSA signature", chance -> sign("SHA256withRSA", rsa));
        actions.put("EC signature", chance -> sign("SHA256withECDSA", ec));
        actions.put("MAC", chance -> require(Arrays.equals(code, mac())));
        actions.put("session key", chance -> use(secret("AES", 128, false)));
        actions.put("token key", chance -> use(secret("AES", 256, true)));
        actions.put("wrapped key", this::wrap);
        actions.put("key store", this::keyStore);
        actions.put("refused tag", this::refused);
        actions.put("interrupted", this::interrupted);
        actions.put("random bytes", chance -> SecureRandom.getInstance("AES-CTR-DRBG", HSM).nextBytes(new byte[100]));
        actions.put("another provider", this::another);
    }

    /**
     * Runs the actions.
     *
     * @param arguments the number of threads, and the seconds
     */
    public static void main(String[] arguments) throws Exception {
        int threads = Integer.parseInt(arguments[0]);
        long length = Long.parseLong(arguments[1]) * 1_000_000_000L;
        Soak soak = new Soak();
        Map<String, LongAdder> counts = new LinkedHashMap<>();
        soak.actions.keySet().forEach(name -> counts.put(name, new LongAdder()));
        AtomicReference<Throwable> failure = new AtomicReference<>();
        long begin = System.nanoTime();
        List<Thread> all = new ArrayList<>();
        for (int number = 0; number < threads; number++) {
            SplittableRandom chance = new SplittableRandom(number);
            all.add(new Thread(() -> {
                while (System.nanoTime() - begin < length && failure.get() == null) {
                    soak.one(chance, counts, failure);
                }
            }));
        }
        System.out.println("begun");
        all.forEach(Thread::start);
        for (Thread thread : all) {
            thread.join();
        }
        if (failure.get() != null) {
            failure.get().printStackTrace();
            System.exit(1);
        }
        counts.forEach((name, count) -> System.out.println(name + "=" + count.sum()));
        System.gc();
        Runtime runtime = Runtime.getRuntime();
        System.out.println("heap KiB=" + (runtime.totalMemory() - runtime.freeMemory()) / 1024);
    }

    private void one(SplittableRandom chance, Map<String, LongAdder> counts, AtomicReference<Throwable> failure) {
        List<String> names = new ArrayList<>(actions.keySet());
        String name = names.get(chance.nextInt(names.size()));
        if (name.equals("another provider") && chance.nextInt(50) != 0) {
            return;
        }
        try {
            actions.get(name).run(chance);
            counts.get(name).increment();
        } catch (Exception | AssertionError e) {
            failure.compareAndSet(null, new AssertionError(name, e));
        }
    }

    private static void require(boolean condition) {
        if (!condition) {
            throw new AssertionError("a wrong result");
        }
    }

    private static SecretKey secret(String algorithm, int bits, boolean token) throws Exception {
        KeyGenerator generator = KeyGenerator.getInstance(algorithm, HSM);
        generator.init(new KeyAttributesMapBuilder()
                .put(KeyAttribute.SIZE, bits)
                .put(KeyAttribute.TOKEN, token)
                .put(KeyAttribute.EXTRACTABLE, true)
                .build());
        return generator.generateKey();
    }

    private static KeyPair pair(String algorithm, int bits) throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance(algorithm, HSM);
        generator.initialize(bits);
        return generator.generateKeyPair();
    }

    private static Cipher encrypting(String transformation, Key key) throws Exception {
        Cipher cipher = Cipher.getInstance(transformation, HSM);
        cipher.init(Cipher.ENCRYPT_MODE, key);
        return cipher;
    }

    private static Cipher decrypting(Cipher encrypted, Key key) throws Exception {
        Cipher cipher = Cipher.getInstance(encrypted.getAlgorithm(), HSM);
        cipher.init(Cipher.DECRYPT_MODE, key, encrypted.getParameters());
        return cipher;
    }

    private static byte[] text(SplittableRandom chance) {
        byte[] text = new byte[1 + chance.nextInt(5000)];
        chance.nextBytes(text);
        return text;
    }

    private void gcm(SplittableRandom chance) throws Exception {
        byte[] text = text(chance);
        Cipher encrypting = encrypting("AES/GCM/NoPadding", aes);
        byte[] sealed = encrypting.doFinal(text);
        require(Arrays.equals(text, decrypting(encrypting, aes).doFinal(sealed)));
    }

    private void cbc(SplittableRandom chance) throws Exception {
        byte[] text = text(chance);
        Cipher encrypting = encrypting("AES/CBC/PKCS5Padding", aes);
        byte[] sealed = new byte[encrypting.getOutputSize(text.length)];
        int half = text.length / 2;
        int length = encrypting.update(text, 0, half, sealed, 0);
        length += encrypting.doFinal(text, half, text.length - half, sealed, length);
        require(Arrays.equals(text, decrypting(encrypting, aes).doFinal(sealed, 0, length)));
    }

    private static void sign(String algorithm, KeyPair pair) throws Exception {
        Signature signature = Signature.getInstance(algorithm, HSM);
        signature.initSign(pair.getPrivate());
        signature.update(MESSAGE);
        byte[] signed = signature.sign();
        signature.initVerify(pair.getPublic());
        signature.update(MESSAGE);
        require(signature.verify(signed));
    }

    private byte[] mac() throws Exception {
        Mac mac = Mac.getInstance("HmacSHA256", HSM);
        mac.init(hmac);
        return mac.doFinal(MESSAGE);
    }

    private static void use(SecretKey key) throws Exception {
        encrypting("AES/GCM/NoPadding", key).doFinal(MESSAGE);
        ((Destroyable) key).destroy();
    }

    private void wrap(SplittableRandom chance) throws Exception {
        SecretKey key = secret("AES", 128, false);
        Cipher wrapping = Cipher.getInstance("AESWrap/ECB/ZeroPadding", HSM);
        wrapping.init(Cipher.WRAP_MODE, aes);
        byte[] wrapped = wrapping.wrap(key);
        wrapping.init(Cipher.UNWRAP_MODE, aes);
        Key unwrapped = wrapping.unwrap(wrapped, "AES", Cipher.SECRET_KEY);
        Cipher encrypting = encrypting("AES/CTR/NoPadding", key);
        byte[] sealed = encrypting.doFinal(MESSAGE);
        require(Arrays.equals(MESSAGE, decrypting(encrypting, unwrapped).doFinal(sealed)));
        ((Destroyable) key).destroy();
        ((Destroyable) unwrapped).destroy();
    }

    private void keyStore(SplittableRandom chance) throws Exception {
        KeyStore store = KeyStore.getInstance(CloudHsmProvider.CLOUDHSM_KEYSTORE_TYPE, HSM);
        store.load(null, null);
        require(store.containsAlias("kept"));
        require(store.getKey("kept", null) != null);
    }

    private void refused(SplittableRandom chance) throws Exception {
        Cipher encrypting = encrypting("AES/GCM/NoPadding", aes);
        byte[] sealed = encrypting.doFinal(text(chance));
        sealed[chance.nextInt(sealed.length)] ^= 1;
        try {
            decrypting(encrypting, aes).doFinal(sealed);
        } catch (AEADBadTagException e) {
            return;
        }
        throw new AssertionError("a changed ciphertext was decrypted");
    }

    private void interrupted(SplittableRandom chance) throws Exception {
        Thread.currentThread().interrupt();
        gcm(chance);
        require(Thread.interrupted());
    }

    private void another(SplittableRandom chance) throws Exception {
        SecureRandom.getInstance("AES-CTR-DRBG", new CloudHsmProvider()).nextBytes(new byte[10]);
    }
}
