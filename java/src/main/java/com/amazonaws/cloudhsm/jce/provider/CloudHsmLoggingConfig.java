package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.settings.Settings.LogSettings;

/** Where the provider logs, how much, and how often it begins a new file. */
public final class CloudHsmLoggingConfig {
    private final LogSettings settings;

    CloudHsmLoggingConfig(LogSettings settings) {
        this.settings = settings;
    }

    /** Begins one; everything has a default. */
    public static CloudHsmLoggingConfigBuilder builder() {
        return new CloudHsmLoggingConfigBuilder();
    }

    LogSettings settings() {
        return settings;
    }
}
