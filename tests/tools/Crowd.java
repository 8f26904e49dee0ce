import java.security.*;
import java.util.concurrent.*;
import javax.crypto.*;
public class Crowd {
    public static void main(String[] words) throws Exception {
        int threads = Integer.parseInt(words[0]);
        int operations = Integer.parseInt(words[1]);
        Provider hsm = new com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider();
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", hsm);
        generator.initialize(256);
        KeyPair pair = generator.generateKeyPair();
        KeyGenerator secrets = KeyGenerator.getInstance("AES", hsm);
        secrets.init(256);
        SecretKey key = secrets.generateKey();
        ConcurrentMap<Integer, Integer> done = new ConcurrentHashMap<>();
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        // All begin together, and each goes on until the slowest has done its part.
        CyclicBarrier start = new CyclicBarrier(threads);
        CountDownLatch slowest = new CountDownLatch(threads);
        for (int i = 0; i < threads; i++) {
            int number = i;
            pool.submit(() -> {
                start.await();
                while (slowest.getCount() > 0) {
                    Signature signature = Signature.getInstance("SHA256withECDSA", hsm);
                    signature.initSign(pair.getPrivate());
                    signature.update(new byte[number]);
                    signature.sign();
                    Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding", hsm);
                    cipher.init(Cipher.ENCRYPT_MODE, key);
                    cipher.doFinal(new byte[1024]);
                    if (done.merge(number, 1, Integer::sum) == operations) {
                        slowest.countDown();
                    }
                }
                return null;
            });
        }
        slowest.await();
        pool.shutdown();
        pool.awaitTermination(60, TimeUnit.SECONDS);
        System.out.println(done.values().stream().mapToInt(Integer::intValue).min().getAsInt());
    }
}
