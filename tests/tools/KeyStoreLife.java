import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Security;
import java.security.Signature;
import java.security.cert.Certificate;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.crypto.KeyGenerator;
import javax.crypto.SecretKey;

/** Uses a key store across a restart of the HSM, and from many threads at once. */
public final class KeyStoreLife {
    private static final char[] PASSWORD = "changeit".toCharArray();

    public static void main(String[] words) throws Exception {
        Security.addProvider(new CloudHsmProvider());
        KeyStore store = load("certs.store");
        if (words[0].equals("threads")) {
            threads(store);
        } else {
            restart(store);
        }
    }

    private static KeyStore load(String file) throws Exception {
        KeyStore store = KeyStore.getInstance("CloudHSM");
        try (InputStream in = new FileInputStream(file)) {
            store.load(in, PASSWORD);
        }
        return store;
    }

    private static void restart(KeyStore store) throws Exception {
        KeyGenerator generator = KeyGenerator.getInstance("AES", "CloudHSM");
        generator.init(256);
        store.setKeyEntry("lost", generator.generateKey(), null, null);
        System.out.println("ready");
        System.in.read();
        signs(store);
        System.out.println("signed");
        try {
            store.store(new ByteArrayOutputStream(), PASSWORD);
        } catch (IOException e) {
            System.out.println(e.getMessage());
        }
        store.deleteEntry("lost");
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        store.store(out, PASSWORD);
        store.load(new ByteArrayInputStream(out.toByteArray()), PASSWORD);
        signs(store);
        System.out.println("stored");
    }

    private static void signs(KeyStore store) throws Exception {
        Signature signature = Signature.getInstance("SHA256withRSA", "CloudHSM");
        signature.initSign((PrivateKey) store.getKey("kept", null));
        signature.update(new byte[10]);
        byte[] signed = signature.sign();
        signature.initVerify(store.getCertificate("kept"));
        signature.update(new byte[10]);
        check(signature.verify(signed), "the signature is wrong");
    }

    private static void threads(KeyStore store) throws Exception {
        Certificate certificate = store.getCertificate("kept");
        ExecutorService pool = Executors.newFixedThreadPool(20);
        List<Callable<Void>> tasks = new ArrayList<>();
        for (int thread = 0; thread < 20; thread++) {
            String own = "thread " + thread;
            tasks.add(() -> use(store, certificate, own));
        }
        for (Future<Void> done : pool.invokeAll(tasks)) {
            done.get();
        }
        pool.shutdown();
        check(store.size() == 41, "entries: " + Collections.list(store.aliases()));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        store.store(out, PASSWORD);
        KeyStore again = KeyStore.getInstance("CloudHSM");
        again.load(new ByteArrayInputStream(out.toByteArray()), PASSWORD);
        check(again.size() == 41, "entries: " + Collections.list(again.aliases()));
        System.out.println("20 threads");
    }

    private static Void use(KeyStore store, Certificate certificate, String own) throws Exception {
        KeyGenerator generator = KeyGenerator.getInstance("AES", "CloudHSM");
        generator.init(256);
        SecretKey key = generator.generateKey();
        store.setKeyEntry(own + " key", key, null, null);
        for (int round = 0; round < 10; round++) {
            store.setCertificateEntry(own, certificate);
            check(Collections.list(store.aliases()).contains(own), own + " is not listed");
            check(store.isCertificateEntry(own) && !store.isKeyEntry(own), own + " is no certificate");
            check(store.getKey(own + " key", null) instanceof SecretKey, own + " has no key");
            check(store.getCertificateAlias(certificate).equals("kept"), own + " is first");
            store.store(new ByteArrayOutputStream(), PASSWORD);
            if (round < 9) {
                store.deleteEntry(own);
                check(!store.containsAlias(own), own + " is still there");
            }
        }
        return null;
    }

    private static void check(boolean condition, String message) {
        if (!condition) {
            throw new IllegalStateException(message);
        }
    }
}
