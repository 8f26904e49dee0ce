package io.hsmbridge.junit5;

import com.amazonaws.cloudhsm.jce.provider.CloudHsmProvider;
import java.nio.file.Path;

/** An HSM for tests, and a provider that is logged in to it. */
public final class Hsm {
    private final HsmProcess process;
    private final CloudHsmProvider provider;

    Hsm(HsmProcess process) {
        this.process = process;
        provider = Providers.loggedIn(process);
    }

    /** Returns a provider of this HSM, logged in as {@link #user}. */
    public CloudHsmProvider provider() {
        return provider;
    }

    /** Returns the name of the crypto user. */
    public String user() {
        return process.fact("user");
    }

    /** Returns the password of the crypto user. */
    public String password() {
        return process.fact("password");
    }

    /** Returns the password of the user {@code admin}. */
    public String adminPassword() {
        return process.fact("admin_password");
    }

    /** Returns the socket of the HSM. */
    public Path socket() {
        return process.socket();
    }

    /** Returns the directory to set as {@code HSM_HOME} for commands on this HSM. */
    public Path home() {
        return Path.of(process.fact("home"));
    }

    /** Returns the faults of this HSM; a reset ends them. */
    public Faults faults() {
        return new Faults(process);
    }

    /**
     * Destroys all keys and all other users, ends all sessions, and logs {@link #provider} in again.
     *
     * @throws IllegalStateException if the HSM does not answer
     */
    public void reset() {
        process.reset();
        Providers.login(provider, process);
    }

    @Override
    public String toString() {
        return "HSM at " + socket();
    }

    HsmProcess process() {
        return process;
    }
}
