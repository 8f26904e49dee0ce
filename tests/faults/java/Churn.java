import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttribute;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyAttributesMapBuilder;
import com.amazonaws.cloudhsm.jce.provider.attributes.EcParams;
import com.amazonaws.cloudhsm.jce.provider.attributes.KeyPairAttributesMapBuilder;
import java.security.Key;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Provider;
import java.security.Signature;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.LongAdder;
import javax.crypto.KeyGenerator;
import javax.crypto.SecretKey;
import javax.security.auth.Destroyable;

/**
 * Makes, uses, renames and destroys token keys in many threads until the end of standard input. Prints what was
 * acknowledged, a line each: {@code made LABEL}, {@code destroyed LABEL}, {@code unknown LABEL} for a key whose last change
 * failed, and counts.
 */
public final class Churn {
    private static final Provider HSM = hsm();
    private static final byte[] MESSAGE = new byte[200];

    private final AtomicBoolean ended = new AtomicBoolean();
    private final List<String> lines = new ArrayList<>();
    private final LongAdder signatures = new LongAdder();
    private final LongAdder failures = new LongAdder();
    private final LongAdder wrong = new LongAdder();

    private static Provider hsm() {
        try {
            return new CloudHsmProvider();
        } catch (Exception e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    public static void main(String[] words) throws Exception {
        new Churn().run(words[0], Integer.parseInt(words[1]));
    }

    private void run(String name, int threads) throws Exception {
        List<Thread> running = new ArrayList<>();
        for (int i = 0; i < threads; i++) {
            String prefix = name + "-" + i + "-";
            Thread thread = new Thread(() -> work(prefix));
            thread.start();
            running.add(thread);
        }
        System.out.println("ready");
        while (System.in.read() >= 0) {
            // Until the end.
        }
        ended.set(true);
        for (Thread thread : running) {
            thread.join();
        }
        lines.forEach(System.out::println);
        System.out.println("signatures=" + signatures);
        System.out.println("failures=" + failures);
        System.out.println("wrong=" + wrong);
    }

    private void work(String prefix) {
        SplittableRandom chance = new SplittableRandom(prefix.hashCode());
        for (int count = 0; !ended.get(); count++) {
            String label = prefix + count;
            try {
                if (chance.nextInt(4) == 0) {
                    pair(label);
                } else {
                    secret(label, chance);
                }
            } catch (Exception e) {
                failures.increment();
                pause();
            }
        }
    }

    private synchronized void note(String what, String label) {
        lines.add(what + " " + label);
    }

    private void secret(String label, SplittableRandom chance) throws Exception {
        KeyGenerator generator = KeyGenerator.getInstance("AES", HSM);
        generator.init(new KeyAttributesMapBuilder().put(KeyAttribute.LABEL, label).put(KeyAttribute.SIZE, 256)
                .put(KeyAttribute.TOKEN, true).build());
        SecretKey key;
        try {
            key = generator.generateKey();
        } catch (RuntimeException e) {
            note("unknown", label);
            throw e;
        }
        note("made", label);
        if (chance.nextBoolean()) {
            destroy(key, label);
        }
    }

    private void pair(String label) throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", HSM);
        generator.initialize(new KeyPairAttributesMapBuilder()
                .withPublic(KeyAttribute.EC_PARAMS, EcParams.EC_CURVE_PRIME256)
                .withPublic(KeyAttribute.LABEL, label + "-public").withPublic(KeyAttribute.TOKEN, true)
                .withPrivate(KeyAttribute.LABEL, label).withPrivate(KeyAttribute.TOKEN, true).build());
        KeyPair pair;
        try {
            pair = generator.generateKeyPair();
        } catch (RuntimeException e) {
            note("unknown", label);
            note("unknown", label + "-public");
            throw e;
        }
        note("made", label);
        note("made", label + "-public");
        for (int i = 0; i < 5; i++) {
            sign(pair);
        }
        destroy(pair.getPrivate(), label);
    }

    private void sign(KeyPair pair) throws Exception {
        Signature signature = Signature.getInstance("SHA256withECDSA", HSM);
        signature.initSign(pair.getPrivate());
        signature.update(MESSAGE);
        byte[] signed = signature.sign();
        signature.initVerify(pair.getPublic());
        signature.update(MESSAGE);
        if (!signature.verify(signed)) {
            wrong.increment();
        }
        signatures.increment();
    }

    private void destroy(Key key, String label) throws Exception {
        try {
            ((Destroyable) key).destroy();
        } catch (Exception e) {
            note("unknown", label);
            throw e;
        }
        note("destroyed", label);
    }

    private static void pause() {
        try {
            Thread.sleep(100);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
