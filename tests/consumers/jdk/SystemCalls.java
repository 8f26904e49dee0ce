import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.Signature;
import java.util.List;
import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;
import javax.crypto.Mac;
import javax.crypto.SecretKey;

/** Prints how many system calls that read and that write each operation takes in the JVM, as the kernel counts them. */
final class SystemCalls {
    private static final int TIMES = 500;

    private interface Work {
        void run() throws Exception;
    }

    private SystemCalls() {}

    /** Measures a few operations, first used once each. */
    public static void main(String[] arguments) throws Exception {
        Hsm.register("last");
        String name = CloudHsmProvider.PROVIDER_NAME;
        KeyGenerator generator = KeyGenerator.getInstance("AES", name);
        generator.init(256);
        SecretKey key = generator.generateKey();
        KeyPairGenerator pairs = KeyPairGenerator.getInstance("EC", name);
        pairs.initialize(256);
        PrivateKey half = pairs.generateKeyPair().getPrivate();
        KeyGenerator macs = KeyGenerator.getInstance("HmacSHA256", name);
        SecretKey macKey = macs.generateKey();

        Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding", name);
        Mac mac = Mac.getInstance("HmacSHA256", name);
        Signature signature = Signature.getInstance("SHA256withECDSA", name);
        for (int length : new int[] {16, 1024, 16 * 1024, 48 * 1024}) {
            byte[] data = new byte[length];
            measure("encrypt " + length, () -> {
                cipher.init(Cipher.ENCRYPT_MODE, key);
                cipher.update(data, 0, length / 2);
                cipher.doFinal(data, length / 2, length - length / 2);
            });
        }
        measure("mac", () -> {
            mac.init(macKey);
            mac.doFinal(new byte[100]);
        });
        measure("sign", () -> {
            signature.initSign(half);
            signature.update(new byte[100]);
            signature.sign();
        });
    }

    private static void measure(String name, Work work) throws Exception {
        work.run();
        work.run();
        long[] before = calls();
        for (int i = 0; i < TIMES; i++) {
            work.run();
        }
        long[] after = calls();
        System.out.printf("%s\t%.2f\t%.2f%n", name, (after[0] - before[0]) / (double) TIMES,
                (after[1] - before[1]) / (double) TIMES);
    }

    /** Returns the counts of this thread; to ask for them adds a few to those that read. */
    private static long[] calls() throws Exception {
        List<String> lines = Files.readAllLines(Path.of("/proc/thread-self/io"));
        return new long[] {number(lines, "syscr"), number(lines, "syscw")};
    }

    private static long number(List<String> lines, String name) {
        for (String line : lines) {
            if (line.startsWith(name)) {
                return Long.parseLong(line.substring(line.indexOf(' ') + 1));
            }
        }
        throw new IllegalStateException("the kernel does not count " + name);
    }
}
