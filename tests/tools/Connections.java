import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import java.io.File;
import java.net.StandardProtocolFamily;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.security.AuthProvider;
import java.security.Key;
import java.security.Provider;
import java.security.Security;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.CallbackHandler;
import javax.security.auth.callback.PasswordCallback;

/** Programs whose connections break, hang, are interrupted or are dropped; each says how it went, a line a step. */
public final class Connections {
    private static Provider provider;

    public static void main(String[] words) throws Exception {
        switch (words[0]) {
            case "interrupted" -> interrupted();
            case "dropped" -> dropped(Integer.parseInt(words[1]));
            case "redeployed" -> redeployed(Integer.parseInt(words[1]), new File(words[2]).toURI().toURL());
            case "burst" -> burst(Integer.parseInt(words[1]));
            case "explicit" -> explicit(words[1]);
            case "steps" -> steps(Integer.parseInt(words[1]));
            default -> throw new IllegalArgumentException(words[0]);
        }
    }

    private static Key sessionKey() throws Exception {
        KeyGenerator generator = KeyGenerator.getInstance("AES", provider);
        generator.init(256);
        return generator.generateKey();
    }

    private static byte[] encrypt(Key key) throws Exception {
        Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding", provider);
        cipher.init(Cipher.ENCRYPT_MODE, key);
        return cipher.doFinal(new byte[16]);
    }

    /** Every operation is interrupted: before it, or by another thread while it waits. */
    private static void interrupted() throws Exception {
        provider = new CloudHsmProvider();
        Key key = sessionKey();
        Thread self = Thread.currentThread();
        Thread nuisance = new Thread(() -> {
            while (true) {
                self.interrupt();
                Thread.onSpinWait();
            }
        });
        nuisance.setDaemon(true);
        int done = 0;
        for (int i = 0; i < 300; i++) {
            if (i == 200) {
                nuisance.start();
            }
            self.interrupt();
            encrypt(key);
            done += Thread.interrupted() ? 1 : 0;
        }
        System.out.println(done + " done, connections " + sockets());
    }

    /** Each provider does an operation and is dropped for the next. */
    private static void dropped(int count) throws Exception {
        for (int i = 0; i < count; i++) {
            Security.removeProvider(CloudHsmProvider.PROVIDER_NAME);
            provider = new CloudHsmProvider();
            Security.addProvider(provider);
            encrypt(sessionKey());
        }
        System.out.println("dropped " + (count - 1));
    }

    /** An application server deploys the provider with a class loader of its own, and drops it. */
    private static void redeployed(int count, URL jar) throws Exception {
        for (int i = 0; i < count; i++) {
            deploy(jar);
        }
        while (sockets() > 0) {
            System.gc();
            Thread.sleep(50);
        }
        System.out.println("redeployed " + count);
    }

    private static void deploy(URL jar) throws Exception {
        ClassLoader loader = new URLClassLoader(new URL[] {jar}, ClassLoader.getPlatformClassLoader());
        Provider deployed = (Provider) loader.loadClass(CloudHsmProvider.class.getName()).getDeclaredConstructor().newInstance();
        Security.addProvider(deployed);
        KeyGenerator.getInstance("AES", deployed).generateKey();
        Security.removeProvider(deployed.getName());
    }

    /** Many threads at once, then none, until one connection is left, then a logout. */
    private static void burst(int threads) throws Exception {
        AuthProvider account = new CloudHsmProvider();
        provider = account;
        account.login(null, answering("cu1:" + System.getenv("PASSWORD")));
        Key key = sessionKey();
        CountDownLatch all = new CountDownLatch(threads);
        List<Callable<byte[]>> tasks = new ArrayList<>();
        for (int i = 0; i < threads; i++) {
            tasks.add(() -> {
                all.countDown();
                all.await();
                return encrypt(key);
            });
        }
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        for (Future<byte[]> one : pool.invokeAll(tasks)) {
            one.get();
        }
        pool.shutdown();
        System.out.println("most " + (sockets() <= 64));
        while (sockets() > 1) {
            Thread.sleep(50);
        }
        encrypt(key);
        account.logout();
        System.out.println("after logout " + sockets());
    }

    private static CallbackHandler answering(String pin) {
        return callbacks -> {
            for (Callback callback : callbacks) {
                if (callback instanceof PasswordCallback) {
                    ((PasswordCallback) callback).setPassword(pin.toCharArray());
                }
            }
        };
    }

    /** Returns how many connections this process has; NIO has a socket of its own once it has opened one. */
    private static long sockets() throws Exception {
        SocketChannel.open(StandardProtocolFamily.UNIX).close();
        long count = -1;
        for (File descriptor : new File("/proc/self/fd").listFiles()) {
            try {
                count += Files.readSymbolicLink(descriptor.toPath()).toString().startsWith("socket:") ? 1 : 0;
            } catch (java.io.IOException e) {
                continue; // The descriptor of the listing itself.
            }
        }
        return count;
    }

    /** Logs in explicitly; after each line of input does an operation, or logs in again. */
    private static void explicit(String pin) throws Exception {
        AuthProvider account = new CloudHsmProvider();
        provider = account;
        account.login(null, answering(pin));
        System.out.println("logged in");
        for (int word = System.in.read(); word >= 0; word = System.in.read()) {
            if (word == 'o') {
                System.out.println(said(() -> encrypt(sessionKey())));
            } else if (word == 'l') {
                System.out.println(said(() -> {
                    account.login(null, answering(pin));
                    return null;
                }));
            }
        }
    }

    /** Uses one session key in this many threads after each line of input. */
    private static void steps(int threads) throws Exception {
        System.out.println(said(() -> provider = new CloudHsmProvider()));
        if (provider == null) {
            return;
        }
        Key key = sessionKey();
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        System.out.println("ready");
        while (System.in.read() >= 0) {
            List<Callable<String>> tasks = new ArrayList<>();
            for (int i = 0; i < threads; i++) {
                tasks.add(() -> said(() -> encrypt(key)));
            }
            StringBuilder outcomes = new StringBuilder();
            for (Future<String> one : pool.invokeAll(tasks)) {
                outcomes.append(one.get()).append('|');
            }
            System.out.println(outcomes);
        }
        pool.shutdown();
    }

    private static String said(Callable<?> task) {
        try {
            task.call();
            return "done";
        } catch (Exception e) {
            return e.getClass().getSimpleName() + ": " + e.getMessage();
        }
    }
}
