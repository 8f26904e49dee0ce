import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.Key;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.Provider;
import java.security.Security;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.LongAdder;
import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;
import javax.crypto.Mac;
import javax.crypto.SecretKey;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.IvParameterSpec;

/**
 * Measures one provider through the JCA, a window at a time, as it is told to.
 *
 * <p>Arguments: {@code jdk}, {@code hsm} or {@code pkcs11:<configuration file>:<PIN>}; payload sizes in bytes with commas.
 * It prints the names of its operations and an empty line; then, for each line of operation, threads and milliseconds with
 * tabs between them, operations per second, 0 for one that the provider does not have.
 */
public final class Bench {
    /** One operation, repeated; each thread has its own. */
    interface Work {
        void run() throws Exception;
    }

    /** Makes the work of one thread. */
    interface Maker {
        Work make() throws Exception;
    }

    private final Provider provider;
    private final boolean hsmMakesNonce;
    private final Map<String, Maker> cells = new LinkedHashMap<>();
    private final Map<String, Object> keys = new LinkedHashMap<>();

    private Bench(String which) throws Exception {
        hsmMakesNonce = which.equals("hsm");
        if (which.equals("jdk")) {
            provider = null;
        } else if (hsmMakesNonce) {
            provider = Security.getProvider("CloudHSM");
        } else {
            String[] parts = which.split(":", 3);
            provider = Security.getProvider("SunPKCS11").configure(Path.of(parts[1]).toString());
            Security.addProvider(provider);
            KeyStore.getInstance("PKCS11", provider).load(null, parts[2].toCharArray());
        }
    }

    /** Prints the names of the cells, then measures those it is asked for. */
    public static void main(String[] arguments) throws Exception {
        Bench bench = new Bench(arguments[0]);
        for (String size : arguments[1].split(",")) {
            bench.symmetric(Integer.parseInt(size));
        }
        bench.asymmetric();
        bench.cells.keySet().forEach(System.out::println);
        System.out.println();
        BufferedReader asked = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = asked.readLine(); line != null; line = asked.readLine()) {
            String[] parts = line.split("\t");
            System.out.println(bench.rate(bench.cells.get(parts[0]), Integer.parseInt(parts[1]), Long.parseLong(parts[2])));
        }
    }

    private long rate(Maker maker, int threads, long milliseconds) {
        try {
            return Math.round(measure(maker, threads, milliseconds));
        } catch (Exception missing) {
            System.err.println(missing);
            return 0;
        }
    }

    private void asymmetric() {
        for (int bits : new int[] {2048, 3072, 4096}) {
            signatures("RSA-" + bits, "RSA", bits, null, "SHA256withRSA");
        }
        signatures("P-256", "EC", 256, "secp256r1", "SHA256withECDSA");
        signatures("P-384", "EC", 384, "secp384r1", "SHA384withECDSA");
        for (boolean encrypts : new boolean[] {true, false}) {
            cells.put("RSA-2048 OAEP " + (encrypts ? "encrypt" : "decrypt"), () -> oaep(encrypts));
        }
    }

    private void symmetric(int size) {
        String sized = " " + size + " B";
        for (String mode : new String[] {"GCM", "CBC", "CTR"}) {
            cells.put("AES-256-" + mode + " encrypt" + sized, () -> mode.equals("GCM") ? gcm(size) : block(mode, size, true));
        }
        cells.put("AES-256-GCM decrypt" + sized, () -> gcmDecrypt(size));
        cells.put("AES-256-CBC decrypt" + sized, () -> block("CBC", size, false));
        cells.put("HMAC-SHA256" + sized, () -> hmac(size));
        cells.put("SHA-256" + sized, () -> digest(size));
    }

    private void signatures(String name, String algorithm, int bits, String curve, String signatureName) {
        byte[] message = new byte[32];
        cells.put(name + " sign", () -> {
            Signature signature = provider == null ? Signature.getInstance(signatureName)
                    : Signature.getInstance(signatureName, provider);
            signature.initSign(pair(algorithm, bits, curve).getPrivate());
            return () -> {
                signature.update(message);
                signature.sign();
            };
        });
        cells.put(name + " verify", () -> {
            Signature signature = provider == null ? Signature.getInstance(signatureName)
                    : Signature.getInstance(signatureName, provider);
            KeyPair pair = pair(algorithm, bits, curve);
            signature.initSign(pair.getPrivate());
            signature.update(message);
            byte[] signed = signature.sign();
            signature.initVerify(pair.getPublic());
            return () -> {
                signature.update(message);
                if (!signature.verify(signed)) {
                    throw new IllegalStateException(name + " does not verify");
                }
            };
        });
    }

    private synchronized KeyPair pair(String algorithm, int bits, String curve) throws Exception {
        KeyPair made = (KeyPair) keys.get(algorithm + bits);
        if (made == null) {
            KeyPairGenerator generator = provider == null ? KeyPairGenerator.getInstance(algorithm)
                    : KeyPairGenerator.getInstance(algorithm, provider);
            if (curve == null) {
                generator.initialize(bits);
            } else {
                generator.initialize(new ECGenParameterSpec(curve));
            }
            made = generator.generateKeyPair();
            keys.put(algorithm + bits, made);
        }
        return made;
    }

    private synchronized SecretKey secret(String algorithm) throws Exception {
        SecretKey made = (SecretKey) keys.get(algorithm);
        if (made == null) {
            KeyGenerator generator =
                    provider == null ? KeyGenerator.getInstance(algorithm) : KeyGenerator.getInstance(algorithm, provider);
            generator.init(256);
            made = generator.generateKey();
            keys.put(algorithm, made);
        }
        return made;
    }

    private Cipher cipher(String transformation) throws Exception {
        return provider == null ? Cipher.getInstance(transformation) : Cipher.getInstance(transformation, provider);
    }

    private Work oaep(boolean encrypts) throws Exception {
        Cipher cipher = cipher("RSA/ECB/OAEPWithSHA-256AndMGF1Padding");
        KeyPair pair = pair("RSA", 2048, null);
        cipher.init(Cipher.ENCRYPT_MODE, pair.getPublic());
        byte[] data = encrypts ? new byte[32] : cipher.doFinal(new byte[32]);
        cipher.init(encrypts ? Cipher.ENCRYPT_MODE : Cipher.DECRYPT_MODE, encrypts ? pair.getPublic() : pair.getPrivate());
        return () -> cipher.doFinal(data);
    }

    private Work gcm(int size) throws Exception {
        byte[] data = new byte[size];
        Key key = secret("AES");
        Cipher cipher = cipher("AES/GCM/NoPadding");
        if (hsmMakesNonce) {
            return () -> {
                cipher.init(Cipher.ENCRYPT_MODE, key);
                cipher.doFinal(data);
            };
        }
        byte[] nonce = new byte[12];
        long[] counter = {Thread.currentThread().getId() << 40 | System.nanoTime() & 0xffffffffL};
        return () -> {
            long value = counter[0]++;
            for (int i = 4; i < 12; i++) {
                nonce[i] = (byte) (value >>> (8 * (11 - i)));
            }
            cipher.init(Cipher.ENCRYPT_MODE, key, new GCMParameterSpec(128, nonce));
            cipher.doFinal(data);
        };
    }

    private Work gcmDecrypt(int size) throws Exception {
        Key key = secret("AES");
        Cipher cipher = cipher("AES/GCM/NoPadding");
        byte[] nonce = new byte[12];
        java.nio.ByteBuffer.wrap(nonce).putLong(4, System.nanoTime() ^ Thread.currentThread().getId() << 48);
        if (hsmMakesNonce) {
            cipher.init(Cipher.ENCRYPT_MODE, key);
        } else {
            cipher.init(Cipher.ENCRYPT_MODE, key, new GCMParameterSpec(128, nonce));
        }
        byte[] sealed = cipher.doFinal(new byte[size]);
        GCMParameterSpec parameters = new GCMParameterSpec(128, cipher.getIV());
        return () -> {
            cipher.init(Cipher.DECRYPT_MODE, key, parameters);
            cipher.doFinal(sealed);
        };
    }

    private Work block(String mode, int size, boolean encrypts) throws Exception {
        Key key = secret("AES");
        Cipher cipher = cipher("AES/" + mode + (mode.equals("CBC") ? "/PKCS5Padding" : "/NoPadding"));
        IvParameterSpec iv = new IvParameterSpec(new byte[16]);
        cipher.init(Cipher.ENCRYPT_MODE, key, iv);
        byte[] data = encrypts ? new byte[size] : cipher.doFinal(new byte[size]);
        return () -> {
            cipher.init(encrypts ? Cipher.ENCRYPT_MODE : Cipher.DECRYPT_MODE, key, iv);
            cipher.doFinal(data);
        };
    }

    private Work hmac(int size) throws Exception {
        byte[] data = new byte[size];
        Mac mac = provider == null ? Mac.getInstance("HmacSHA256") : Mac.getInstance("HmacSHA256", provider);
        mac.init(secret("HmacSHA256"));
        return () -> mac.doFinal(data);
    }

    private Work digest(int size) throws Exception {
        byte[] data = new byte[size];
        MessageDigest digest =
                provider == null ? MessageDigest.getInstance("SHA-256") : MessageDigest.getInstance("SHA-256", provider);
        return () -> digest.digest(data);
    }

    private static double measure(Maker maker, int threads, long milliseconds) throws Exception {
        LongAdder done = new LongAdder();
        CountDownLatch ready = new CountDownLatch(threads);
        CountDownLatch go = new CountDownLatch(1);
        List<Thread> running = new ArrayList<>();
        List<Throwable> failures = Collections.synchronizedList(new ArrayList<>());
        long[] end = new long[1];
        for (int i = 0; i < threads; i++) {
            Thread thread = new Thread(() -> {
                try {
                    Work work = maker.make();
                    ready.countDown();
                    go.await();
                    long count = 0;
                    while (System.nanoTime() < end[0]) {
                        work.run();
                        count++;
                    }
                    done.add(count);
                } catch (Throwable failure) {
                    failures.add(failure);
                    ready.countDown();
                }
            });
            thread.setDaemon(true);
            thread.start();
            running.add(thread);
        }
        ready.await();
        long start = System.nanoTime();
        end[0] = start + milliseconds * 1_000_000;
        go.countDown();
        for (Thread thread : running) {
            thread.join();
        }
        if (!failures.isEmpty()) {
            throw new IllegalStateException("a thread failed: " + failures.get(0), failures.get(0));
        }
        return done.sum() * 1e9 / (System.nanoTime() - start);
    }
}
