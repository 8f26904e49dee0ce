package com.amazonaws.cloudhsm.jce.provider;

import io.hsmbridge.jce.settings.Settings.LogSettings;

/** Builds a {@link CloudHsmLoggingConfig}. Values are not case-sensitive; null selects the default. */
public final class CloudHsmLoggingConfigBuilder {
    private String type;
    private String file;
    private String level;
    private String interval;

    CloudHsmLoggingConfigBuilder() {}

    /** Sets the path of the log file. The default is {@code /opt/cloudhsm/run/cloudhsm-jce.log}. */
    public CloudHsmLoggingConfigBuilder withLogFile(String path) {
        file = path;
        return this;
    }

    /**
     * Sets the interval after which a new file begins: {@code hourly}, {@code daily} (the default), {@code weekly} or
     * {@code never}.
     */
    public CloudHsmLoggingConfigBuilder withLogInterval(String name) {
        interval = name;
        return this;
    }

    /** Sets the destination: {@code file} (the default), or {@code term}, the standard error stream. */
    public CloudHsmLoggingConfigBuilder withLogType(String name) {
        type = name;
        return this;
    }

    /** Sets the threshold: {@code error}, {@code warn}, {@code info} (the default), {@code debug} or {@code trace}. */
    public CloudHsmLoggingConfigBuilder withLogLevel(String name) {
        level = name;
        return this;
    }

    /**
     * Returns the configuration. Its values are not checked here: the constructor of {@link CloudHsmProvider} refuses
     * unknown ones.
     */
    public CloudHsmLoggingConfig build() {
        return new CloudHsmLoggingConfig(new LogSettings(type, file, level, interval));
    }
}
