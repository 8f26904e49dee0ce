package com.amazonaws.cloudhsm.jce.provider;

/** Builds a {@link CloudHsmProviderConfig}. */
public final class CloudHsmProviderConfigBuilder {
    private CloudHsmCluster cluster;
    private CloudHsmLoggingConfig logging;

    CloudHsmProviderConfigBuilder() {}

    /** Sets the cluster. */
    public CloudHsmProviderConfigBuilder withCluster(CloudHsmCluster hsms) {
        cluster = hsms;
        return this;
    }

    /** Sets the log settings. The default is no log. */
    public CloudHsmProviderConfigBuilder withCloudHsmLogging(CloudHsmLoggingConfig config) {
        logging = config;
        return this;
    }

    /**
     * Returns the configuration.
     *
     * @throws IllegalArgumentException if there is no cluster
     */
    public CloudHsmProviderConfig build() {
        if (cluster == null) {
            throw new IllegalArgumentException("A provider needs a cluster: call withCluster");
        }
        return new CloudHsmProviderConfig(cluster, logging);
    }
}
