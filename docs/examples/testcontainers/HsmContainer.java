import com.amazonaws.cloudhsm.jce.provider.CloudHsmCluster;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmProviderConfig;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmServer;
import com.amazonaws.cloudhsm.jce.provider.OptionalParameters;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.UUID;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.PasswordCallback;
import org.testcontainers.DockerClientFactory;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.utility.DockerImageName;

/** An HSM in a container of the image that {@code make image} builds. Tests reach it over TLS. */
public final class HsmContainer extends GenericContainer<HsmContainer> {
    private static final int PORT = 2223;
    private static final String AUTHORITY = "/var/lib/hsmbridge/customerCA.crt";
    private static final String USER = "cu1";

    /** A password has at most 32 characters. */
    private final String password = UUID.randomUUID().toString().replace("-", "");

    /**
     * Creates a container, which {@code start} starts.
     *
     * @param image name of the image, such as {@code hsmbridge}
     */
    public HsmContainer(String image) {
        super(DockerImageName.parse(image));
        withExposedPorts(PORT);
        withEnv("HSM_USER", USER);
        withEnv("HSM_PASSWORD", password);
    }

    @Override
    protected void configure() {
        // The HSM's certificate has the name by which this JVM reaches the container.
        withEnv("HSM_TLS_NAME", DockerClientFactory.instance().dockerHostIpAddress());
    }

    /**
     * Returns a provider that is logged in.
     *
     * @throws Exception if the container does not run, or the login fails
     */
    public CloudHsmProvider provider() throws Exception {
        Path authority = Files.createTempFile("customerCA", ".crt");
        copyFileFromContainer(AUTHORITY, authority.toString());
        CloudHsmServer server = CloudHsmServer.builder()
                .withHostIP(getHost())
                .withPort(getMappedPort(PORT))
                .build();
        CloudHsmCluster cluster = CloudHsmCluster.builder()
                .withHsmCAFilePath(authority.toString())
                .withOptions(OptionalParameters.KEY_AVAILABILITY_CHECK, false)
                .withServer(server)
                .build();
        CloudHsmProvider provider =
                new CloudHsmProvider(CloudHsmProviderConfig.builder().withCluster(cluster).build());
        char[] credentials = (USER + ":" + password).toCharArray();
        provider.login(null, callbacks -> {
            for (Callback callback : callbacks) {
                if (callback instanceof PasswordCallback) {
                    ((PasswordCallback) callback).setPassword(credentials);
                }
            }
        });
        return provider;
    }
}
