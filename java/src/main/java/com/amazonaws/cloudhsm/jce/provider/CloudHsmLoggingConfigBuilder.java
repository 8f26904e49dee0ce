package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.settings.Settings.LogSettings;

/** Builds a {@link CloudHsmLoggingConfig}; letters' case does not matter, a null is a value not given. */
public final class CloudHsmLoggingConfigBuilder {
    private String type;
    private String file;
    private String level;
    private String interval;

    CloudHsmLoggingConfigBuilder() {}

    /** Sets the file's path, {@code /opt/cloudhsm/run/cloudhsm-jce.log} where nobody does. */
    public CloudHsmLoggingConfigBuilder withLogFile(String path) {
        file = path;
        return this;
    }

    /** Sets when a new file begins: {@code hourly}, {@code daily} (the default), {@code weekly} or {@code never}. */
    public CloudHsmLoggingConfigBuilder withLogInterval(String name) {
        interval = name;
        return this;
    }

    /** Sets where the log goes: to a {@code file} (the default), or to the standard error stream, {@code term}. */
    public CloudHsmLoggingConfigBuilder withLogType(String name) {
        type = name;
        return this;
    }

    /** Sets the threshold: {@code error}, {@code warn}, {@code info} (the default), {@code debug} or {@code trace}. */
    public CloudHsmLoggingConfigBuilder withLogLevel(String name) {
        level = name;
        return this;
    }

    /** Returns the configuration. The provider that gets it refuses what is not among the values above. */
    public CloudHsmLoggingConfig build() {
        return new CloudHsmLoggingConfig(new LogSettings(type, file, level, interval));
    }
}
