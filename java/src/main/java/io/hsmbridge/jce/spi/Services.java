package io.hsmbridge.jce.spi;

import com.amazonaws.cloudhsm.jce.provider.CloudHsmKeyStore;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.keys.HsmKey;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.security.NoSuchAlgorithmException;
import java.security.Provider;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;

/** The provider's services. The build of the jar writes their list from the HSM's mechanism table. */
public final class Services {
    private static final String RESOURCE = "/io/hsmbridge/jce/services.tsv";
    private static final List<Row> ROWS = read();
    /**
     * Engines for which the JDK tries several providers until one accepts the key. It skips this provider for other
     * keys.
     */
    private static final Set<String> CHOSEN_BY_KEY = Set.of("Signature", "Cipher", "Mac", "KeyAgreement");

    private Services() {}

    /**
     * Returns the services of a provider, without those whose option is off.
     *
     * @param provider the provider of the services
     * @param client supplies the login of a new engine object
     */
    public static List<Provider.Service> of(Provider provider, Supplier<HsmClient> client) {
        List<Provider.Service> services = new ArrayList<>();
        for (Row row : ROWS) {
            String option = row.get("option");
            if (option == null || client.get().offers(option)) {
                services.add(new RowService(provider, row, client));
            }
        }
        return services;
    }

    private static List<Row> read() {
        try (InputStream in = Services.class.getResourceAsStream(RESOURCE);
                BufferedReader lines = new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8))) {
            return lines.lines().map(Row::parse).collect(Collectors.toUnmodifiableList());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Returns the row of the SecretKeyFactory for an algorithm, which has the type of its keys. */
    static Row secretKeyFactory(String algorithm) throws NoSuchAlgorithmException {
        return find("SecretKeyFactory", algorithm)
                .orElseThrow(() -> new NoSuchAlgorithmException("The HSM has no secret keys for " + algorithm));
    }

    /** Returns whether the provider has a service with this name, in any case. */
    static boolean has(String engine, String algorithm) {
        return find(engine, algorithm).isPresent();
    }

    private static Optional<Row> find(String engine, String algorithm) {
        return ROWS.stream().filter(row -> row.engine().equals(engine) && row.algorithm().equalsIgnoreCase(algorithm)).findFirst();
    }

    private static final class RowService extends Provider.Service {
        private final Row row;
        private final Supplier<HsmClient> client;

        RowService(Provider provider, Row row, Supplier<HsmClient> client) {
            super(provider, row.engine(), row.algorithm(), CloudHsmKeyStore.class.getName(), row.aliases(), attributes(row));
            this.row = row;
            this.client = client;
        }

        private static Map<String, String> attributes(Row row) {
            return CHOSEN_BY_KEY.contains(row.engine()) ? Map.of("SupportedKeyClasses", HsmKey.class.getName()) : Map.of();
        }

        /**
         * Returns whether the engine accepts the key. The default loads the key class by name, and fails if another
         * class loader loaded this code than the provider.
         */
        @Override
        public boolean supportsParameter(Object parameter) {
            return !CHOSEN_BY_KEY.contains(row.engine()) || parameter instanceof HsmKey;
        }

        @Override
        public Object newInstance(Object parameter) throws NoSuchAlgorithmException {
            switch (row.engine()) {
                case "Signature":
                    return new SignatureAdapter(client.get(), row);
                case "Mac":
                    return new MacAdapter(client.get(), row);
                case "MessageDigest":
                    return new DigestAdapter(row);
                case "KeyGenerator":
                    return new KeyGeneratorAdapter(client.get(), row);
                case "KeyPairGenerator":
                    return new KeyPairGeneratorAdapter(client.get(), row);
                case "KeyFactory":
                    return new KeyFactoryAdapter(client.get(), row);
                case "SecretKeyFactory":
                    return new SecretKeyFactoryAdapter(client.get(), row);
                case "KeyAgreement":
                    return new KeyAgreementAdapter(client.get(), row);
                case "SecureRandom":
                    if (parameter != null) {
                        throw new NoSuchAlgorithmException(row.algorithm() + " takes no parameters");
                    }
                    return new SecureRandomAdapter(client.get());
                case "KeyStore":
                    return new CloudHsmKeyStore(client.get());
                case "Cipher":
                    return cipher();
                default:
                    throw new NoSuchAlgorithmException(row.engine() + " is not an engine of this provider");
            }
        }

        private CipherAdapter cipher() {
            switch (row.get("form")) {
                case "aead":
                    return new GcmCipherAdapter(client.get(), row);
                case "wrap":
                    return new KeyWrapAdapter(client.get(), row);
                case "rsa":
                    return new RsaCipherAdapter(client.get(), row);
                default:
                    return new BlockCipherAdapter(client.get(), row);
            }
        }
    }
}
