package io.hsmbridge.junit5;

import com.amazonaws.cloudhsm.jce.provider.CloudHsmCluster;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmProviderConfig;
import com.amazonaws.cloudhsm.jce.provider.CloudHsmServer;
import com.amazonaws.cloudhsm.jce.provider.OptionalParameters;
import java.security.GeneralSecurityException;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.PasswordCallback;

/** Providers of the HSMs for tests. */
final class Providers {
    private Providers() {}

    /** Returns a new provider named {@code CloudHSM} that is logged in. */
    static CloudHsmProvider loggedIn(HsmProcess process) {
        CloudHsmServer server = CloudHsmServer.builder().withHostIP(process.socket().toString()).build();
        CloudHsmCluster cluster = CloudHsmCluster.builder()
                .withClusterUniqueIdentifier(CloudHsmProvider.PROVIDER_NAME)
                .withOptions(OptionalParameters.KEY_AVAILABILITY_CHECK, false)
                .withServer(server)
                .build();
        try {
            CloudHsmProvider provider =
                    new CloudHsmProvider(CloudHsmProviderConfig.builder().withCluster(cluster).build());
            login(provider, process);
            return provider;
        } catch (Exception e) {
            throw new IllegalStateException("The provider cannot be made: " + e.getMessage(), e);
        }
    }

    /** Logs a provider in, unless it logs in by itself with the credentials of the environment. */
    static void login(CloudHsmProvider provider, HsmProcess process) {
        if (process.usesEnvironment()) {
            return;
        }
        char[] credentials = (process.fact("user") + ":" + process.fact("password")).toCharArray();
        try {
            provider.login(null, callbacks -> {
                for (Callback callback : callbacks) {
                    if (callback instanceof PasswordCallback) {
                        ((PasswordCallback) callback).setPassword(credentials);
                    }
                }
            });
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("The provider cannot log in: " + e.getMessage(), e);
        }
    }
}
