import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;
import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;
import javax.crypto.SecretKey;
import javax.crypto.spec.GCMParameterSpec;

/** Threads that encrypt and decrypt around the sizes at which buffers grow, all at a time. */
public final class LargeData {
    private static final int[] SIZES = {100, 65_300, 65_500, 65_536, 300_000, 1_048_576, 1_114_000, 1_300_000};

    private LargeData() {
    }

    public static void main(String[] words) throws Exception {
        int threads = Integer.parseInt(words[0]);
        CloudHsmProvider hsm = new CloudHsmProvider();
        KeyGenerator generator = KeyGenerator.getInstance("AES", hsm);
        generator.init(256);
        SecretKey key = generator.generateKey();
        CyclicBarrier start = new CyclicBarrier(threads);
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        List<Future<Integer>> counts = new ArrayList<>();
        for (int i = 0; i < threads; i++) {
            int first = i;
            counts.add(pool.submit(() -> {
                start.await();
                int right = 0;
                for (int round = 0; round < 3 * SIZES.length; round++) {
                    right += comesBack(hsm, key, SIZES[(first + round) % SIZES.length]) ? 1 : 0;
                }
                return right;
            }));
        }
        int right = 0;
        for (Future<Integer> count : counts) {
            right += count.get();
        }
        pool.shutdown();
        System.out.println(right + " of " + threads * 3 * SIZES.length);
    }

    private static boolean comesBack(CloudHsmProvider hsm, SecretKey key, int size) throws Exception {
        byte[] data = new byte[size];
        ThreadLocalRandom.current().nextBytes(data);
        Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding", hsm);
        cipher.init(Cipher.ENCRYPT_MODE, key);
        byte[] sealed = cipher.doFinal(data);
        Cipher reader = Cipher.getInstance("AES/GCM/NoPadding", hsm);
        reader.init(Cipher.DECRYPT_MODE, key, new GCMParameterSpec(128, cipher.getIV()));
        return Arrays.equals(reader.doFinal(sealed), data);
    }
}
