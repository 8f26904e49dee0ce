import com.amazonaws.cloudhsm.jce.jni.exception.ProviderInitializationException;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmCluster;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmProviderConfig;
import java.io.IOException;
import java.security.InvalidParameterException;
import java.security.KeyStore;
import java.security.Provider;
import java.security.Security;
import java.util.Collections;
import java.util.TreeSet;

/** Prints the name and the labels of the default provider, of the clusters named in the arguments, and of registered ones. */
public final class Clusters {
    public static void main(String[] identifiers) throws Exception {
        for (Provider registered : Security.getProviders()) {
            if (registered instanceof CloudHsmProvider) {
                print(registered);
            }
        }
        try {
            print(new CloudHsmProvider());
        } catch (ProviderInitializationException e) {
            System.out.println(e.getMessage());
        }
        for (String identifier : identifiers) {
            try {
                print(of(identifier));
            } catch (IOException e) {
                System.out.println(e.getMessage());
            }
        }
        try {
            print(new CloudHsmProvider().configure("cluster=yellow"));
        } catch (InvalidParameterException | ProviderInitializationException e) {
            System.out.println(e.getMessage());
        }
        try {
            CloudHsmCluster.builder().withClusterUniqueIdentifier("green").withHsmCAFilePath("/other.crt").build();
        } catch (IllegalArgumentException e) {
            System.out.println(e.getMessage());
        }
    }

    private static CloudHsmProvider of(String identifier) throws Exception {
        CloudHsmCluster cluster = CloudHsmCluster.builder().withClusterUniqueIdentifier(identifier).build();
        return new CloudHsmProvider(CloudHsmProviderConfig.builder().withCluster(cluster).build());
    }

    private static void print(Provider provider) throws Exception {
        KeyStore store = KeyStore.getInstance("CloudHSM", provider);
        store.load(null, null);
        System.out.println(provider.getName() + " " + new TreeSet<>(Collections.list(store.aliases())));
    }
}
