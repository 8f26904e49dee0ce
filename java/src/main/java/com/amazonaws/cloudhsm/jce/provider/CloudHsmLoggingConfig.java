package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.settings.Settings.LogSettings;

/** The log settings of a provider: destination, threshold, and interval after which a new file begins. */
public final class CloudHsmLoggingConfig {
    private final LogSettings settings;

    CloudHsmLoggingConfig(LogSettings settings) {
        this.settings = settings;
    }

    /** Returns a builder in which every value has its default. */
    public static CloudHsmLoggingConfigBuilder builder() {
        return new CloudHsmLoggingConfigBuilder();
    }

    LogSettings settings() {
        return settings;
    }
}
