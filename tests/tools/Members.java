import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMap;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.security.Key;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.Signature;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;

/**
 * A provider with several HSMs. Each line of standard input is a command: {@code use <n>} signs with the token key "shared"
 * in four threads, {@code session} makes a session key, {@code old} uses it, {@code multi} encrypts in parts. The answer is one
 * line, "ok" or the exception.
 */
public final class Members {
    private static final int THREADS = 4;

    public static void main(String[] words) throws Exception {
        Provider provider = new CloudHsmProvider();
        KeyStore store = KeyStore.getInstance("CloudHSM", provider);
        store.load(null, null);
        Key[] session = new Key[1];
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String answer = "ok";
            try {
                String[] parts = line.split(" ");
                switch (parts[0]) {
                    case "use":
                        use(provider, (PrivateKey) store.getKey("shared", null), Integer.parseInt(parts[1]));
                        break;
                    case "session":
                        KeyGenerator generator = KeyGenerator.getInstance("AES", provider);
                        KeyAttributesMap attributes = new KeyAttributesMap();
                        attributes.put(KeyAttribute.SIZE, 256);
                        attributes.put(KeyAttribute.TOKEN, false);
                        generator.init(attributes);
                        session[0] = generator.generateKey();
                        break;
                    case "multi":
                        Cipher cipher = Cipher.getInstance("AES/CBC/PKCS5Padding", provider);
                        cipher.init(Cipher.ENCRYPT_MODE, session[0]);
                        for (int i = 0; i < 20; i++) {
                            cipher.update(new byte[100_000]);
                        }
                        cipher.doFinal();
                        break;
                    default:
                        for (int i = 0; i < 40; i++) {
                            Cipher gcm = Cipher.getInstance("AES/GCM/NoPadding", provider);
                            gcm.init(Cipher.ENCRYPT_MODE, session[0]);
                            gcm.doFinal(new byte[100]);
                        }
                }
            } catch (Exception e) {
                answer = e.getClass().getSimpleName() + " " + e.getMessage();
            }
            System.out.println(answer);
        }
    }

    private static void use(Provider provider, PrivateKey key, int times) throws Exception {
        AtomicInteger left = new AtomicInteger(times);
        List<Exception> failures = new ArrayList<>();
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < THREADS; i++) {
            Thread thread = new Thread(() -> {
                try {
                    while (left.getAndDecrement() > 0) {
                        Signature signature = Signature.getInstance("SHA256withECDSA", provider);
                        signature.initSign(key);
                        signature.update(new byte[10]);
                        signature.sign();
                    }
                } catch (Exception e) {
                    synchronized (failures) {
                        failures.add(e);
                    }
                }
            });
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.join();
        }
        if (!failures.isEmpty()) {
            throw failures.get(0);
        }
    }
}
