import java.nio.file.Path;
import java.security.Key;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.Provider;
import java.security.Security;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.LongAdder;
import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;
import javax.crypto.SecretKey;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.IvParameterSpec;

/**
 * Measures one provider through the JCA and prints a line per cell: operation, threads, operations per second.
 *
 * <p>Arguments: {@code jdk}, {@code hsm} or {@code pkcs11:<configuration file>:<PIN>}; milliseconds a cell; thread counts.
 */
public final class Bench {
    private static final int[] SIZES = {16, 1024, 16384};

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

    /** Runs every cell. */
    public static void main(String[] arguments) throws Exception {
        Bench bench = new Bench(arguments[0]);
        long milliseconds = Long.parseLong(arguments[1]);
        for (Map.Entry<String, Maker> cell : bench.cells().entrySet()) {
            for (int i = 2; i < arguments.length; i++) {
                int threads = Integer.parseInt(arguments[i]);
                measure(cell.getValue(), threads, milliseconds / 3);
                double rate = measure(cell.getValue(), threads, milliseconds);
                System.out.println(cell.getKey() + "\t" + threads + "\t" + Math.round(rate));
            }
        }
    }

    private Map<String, Maker> cells() throws Exception {
        Map<String, Maker> cells = new LinkedHashMap<>();
        KeyPairGenerator rsa = generator("RSA");
        rsa.initialize(2048);
        signatures(cells, "RSA-2048", "SHA256withRSA", rsa.generateKeyPair());
        KeyPairGenerator ec = generator("EC");
        ec.initialize(new ECGenParameterSpec("secp256r1"));
        signatures(cells, "P-256", "SHA256withECDSA", ec.generateKeyPair());
        KeyGenerator aes = provider == null ? KeyGenerator.getInstance("AES") : KeyGenerator.getInstance("AES", provider);
        aes.init(256);
        SecretKey key = aes.generateKey();
        for (int size : SIZES) {
            cells.put("AES-256-GCM encrypt " + size + " B", () -> gcm(key, new byte[size]));
        }
        for (int size : SIZES) {
            cells.put("AES-256-CBC encrypt " + size + " B", () -> cbc(key, new byte[size]));
        }
        return cells;
    }

    private KeyPairGenerator generator(String algorithm) throws Exception {
        return provider == null ? KeyPairGenerator.getInstance(algorithm) : KeyPairGenerator.getInstance(algorithm, provider);
    }

    private void signatures(Map<String, Maker> cells, String name, String algorithm, KeyPair pair) throws Exception {
        byte[] message = new byte[32];
        Signature once = signature(algorithm);
        once.initSign(pair.getPrivate());
        once.update(message);
        byte[] signed = once.sign();
        cells.put(name + " sign", () -> {
            Signature signature = signature(algorithm);
            signature.initSign(pair.getPrivate());
            return () -> {
                signature.update(message);
                signature.sign();
            };
        });
        cells.put(name + " verify", () -> {
            Signature signature = signature(algorithm);
            signature.initVerify(pair.getPublic());
            return () -> {
                signature.update(message);
                if (!signature.verify(signed)) {
                    throw new IllegalStateException(name + " does not verify");
                }
            };
        });
    }

    private Signature signature(String algorithm) throws Exception {
        return provider == null ? Signature.getInstance(algorithm) : Signature.getInstance(algorithm, provider);
    }

    private Cipher cipher(String transformation) throws Exception {
        return provider == null ? Cipher.getInstance(transformation) : Cipher.getInstance(transformation, provider);
    }

    private Work gcm(Key key, byte[] data) throws Exception {
        Cipher cipher = cipher("AES/GCM/NoPadding");
        if (hsmMakesNonce) {
            return () -> {
                cipher.init(Cipher.ENCRYPT_MODE, key);
                cipher.doFinal(data);
            };
        }
        byte[] nonce = new byte[12];
        long[] counter = {Thread.currentThread().getId() << 40};
        return () -> {
            long value = counter[0]++;
            for (int i = 4; i < 12; i++) {
                nonce[i] = (byte) (value >>> (8 * (11 - i)));
            }
            cipher.init(Cipher.ENCRYPT_MODE, key, new GCMParameterSpec(128, nonce));
            cipher.doFinal(data);
        };
    }

    private Work cbc(Key key, byte[] data) throws Exception {
        Cipher cipher = cipher("AES/CBC/PKCS5Padding");
        IvParameterSpec iv = new IvParameterSpec(new byte[16]);
        return () -> {
            cipher.init(Cipher.ENCRYPT_MODE, key, iv);
            cipher.doFinal(data);
        };
    }

    private static double measure(Maker maker, int threads, long milliseconds) throws Exception {
        LongAdder done = new LongAdder();
        CountDownLatch ready = new CountDownLatch(threads);
        CountDownLatch go = new CountDownLatch(1);
        List<Thread> running = new ArrayList<>();
        List<Throwable> failures = java.util.Collections.synchronizedList(new ArrayList<>());
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
            throw new IllegalStateException("a thread failed", failures.get(0));
        }
        return done.sum() * 1e9 / (System.nanoTime() - start);
    }
}
