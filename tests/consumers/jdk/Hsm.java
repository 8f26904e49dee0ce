import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.Provider;
import java.security.Security;

/** Registers the provider and opens the key store, as each consumer does first. */
final class Hsm {
    static final char[] STORE_PASSWORD = "changeit".toCharArray();

    private Hsm() {}

    /** Puts the provider {@code first} or {@code last} in the JVM's list, and returns it. */
    static Provider register(String position) throws Exception {
        Provider provider = Security.getProvider(CloudHsmProvider.PROVIDER_NAME);
        if (provider == null) {
            provider = new CloudHsmProvider();
        } else {
            Security.removeProvider(provider.getName());
        }
        Security.insertProviderAt(provider, position.equals("first") ? 1 : Security.getProviders().length + 1);
        return provider;
    }

    /** Loads the key store from its file. */
    static KeyStore keyStore(String file) throws Exception {
        KeyStore store = KeyStore.getInstance(CloudHsmProvider.CLOUDHSM_KEYSTORE_TYPE);
        try (InputStream in = Files.newInputStream(Path.of(file))) {
            store.load(in, STORE_PASSWORD);
        }
        return store;
    }
}
