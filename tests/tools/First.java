import java.security.Provider;
import java.security.Security;
import javax.crypto.KeyGenerator;

/** Lists the JVM's providers, or generates a key for each algorithm and prints its class; names no provider. */
public final class First {
    public static void main(String[] words) throws Exception {
        if (words[0].equals("list")) {
            for (Provider provider : Security.getProviders()) {
                System.out.println(provider.getName());
            }
        } else {
            for (String algorithm : words) {
                System.out.println(KeyGenerator.getInstance(algorithm).generateKey().getClass().getName());
            }
        }
    }
}
