package com.amazonaws.cloudhsm.jce.provider;

import com.amazonaws.cloudhsm.jce.jni.exception.AccountAlreadyLoggedInException;
import com.amazonaws.cloudhsm.jce.jni.exception.FailedLoginException;
import com.amazonaws.cloudhsm.jce.jni.exception.ProviderInitializationException;
import com.amazonaws.cloudhsm.jce.provider.authentication.AuthenticationStrategyCallback;
import io.hsmbridge.jce.carrier.NoHsmException;
import io.hsmbridge.jce.carrier.OwnTls;
import io.hsmbridge.jce.client.Credentials;
import io.hsmbridge.jce.client.Errors;
import io.hsmbridge.jce.client.HsmClient;
import io.hsmbridge.jce.client.HsmException;
import io.hsmbridge.jce.log.Log;
import io.hsmbridge.jce.settings.Settings;
import io.hsmbridge.jce.spi.Services;
import java.io.IOException;
import java.security.AuthProvider;
import java.security.InvalidParameterException;
import java.security.Provider;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.Set;
import javax.security.auth.Subject;
import javax.security.auth.callback.CallbackHandler;
import javax.security.auth.callback.PasswordCallback;
import javax.security.auth.callback.UnsupportedCallbackException;
import javax.security.auth.login.LoginException;

/**
 * The JCE provider of the HSM. A crypto user logs in with {@link #login}, or implicitly with {@code HSM_USER} and
 * {@code HSM_PASSWORD} as system properties or in the environment.
 */
public final class CloudHsmProvider extends AuthProvider {
    /** The provider's name. */
    public static final String PROVIDER_NAME = "CloudHSM";
    /** The type of its key store. */
    public static final String CLOUDHSM_KEYSTORE_TYPE = "CloudHSM";

    private static final long serialVersionUID = 1L;
    private static final String VERSION = "5";

    private transient Service random;
    private transient HsmClient client;
    private transient boolean configured;
    /**
     * Whether the first operation logs in with implicit credentials, because a call of configure may come before it.
     */
    private transient boolean deferred;
    private transient CallbackHandler defaultHandler;

    /**
     * Creates the provider {@code CloudHSM} for the first cluster of the configuration file, if there is one, and logs in if there are
     * implicit credentials. An instance that the JDK creates logs in at its first operation, because the JDK may
     * configure another HSM before. An application cannot create a second instance while its first one is registered.
     *
     * @throws IOException if the configuration file cannot be read or has an invalid value
     * @throws ProviderInitializationException if a default provider of the application is registered, or there are
     *     implicit credentials and no HSM answers
     * @throws LoginException if the HSM refuses the credentials
     */
    public CloudHsmProvider() throws IOException, ProviderInitializationException, LoginException {
        this(PROVIDER_NAME, admittedSettings(), DefaultInstance.isCreatedByJdk());
        if (!deferred) {
            loginImplicitly();
        }
        DefaultInstance.created(this);
    }

    /**
     * Creates a provider for one cluster, independent of other instances, and logs in if there are implicit
     * credentials. Its name is the cluster's unique identifier, else a random one.
     *
     * @throws IOException if the configuration has an invalid value
     * @throws ProviderInitializationException if there are implicit credentials, and no HSM answers
     * @throws LoginException if the HSM refuses the credentials
     */
    public CloudHsmProvider(CloudHsmProviderConfig config)
            throws IOException, ProviderInitializationException, LoginException {
        this(config.name(), config.settings(), false);
        loginImplicitly();
    }

    private CloudHsmProvider(String name, Settings settings, boolean deferred) throws IOException {
        super(name, VERSION, "hsmbridge, a software HSM behind the classes of AWS CloudHSM's JCE provider");
        this.deferred = deferred;
        register(new HsmClient(settings, deferred));
    }

    private void register(HsmClient created) {
        client = created;
        for (Provider.Service service : Services.of(this, () -> client)) {
            putService(service);
        }
    }

    private static Settings admittedSettings() throws IOException, ProviderInitializationException {
        DefaultInstance.admit();
        try {
            return Settings.standard();
        } catch (IOException e) {
            if (DefaultInstance.isCreatedByJdk()) {
                Log.ofFirstError().write(Log.Level.ERROR, e.getMessage());
            }
            throw e;
        }
    }

    private void loginImplicitly() throws ProviderInitializationException, LoginException {
        configured = true;
        deferred = false;
        try (Credentials credentials = Credentials.implicit()) {
            if (credentials != null) {
                client.login(credentials, true);
            }
        } catch (HsmException e) {
            throw Errors.login(e);
        } catch (IOException e) {
            if (e instanceof NoHsmException && !((NoHsmException) e).chosen()) {
                // No configuration names an HSM. configure may; otherwise the first operation logs in or reports the failure.
                configured = false;
                return;
            }
            ProviderInitializationException failed = new ProviderInitializationException(e.getMessage());
            failed.initCause(e);
            throw failed;
        }
    }

    /**
     * Configures this instance with {@code -providerarg} or the argument of a line in {@code java.security}.
     *
     * @param argument path of a configuration file, {@code socket=<path>}, or {@code cluster=<id>} for a cluster of the
     *     configuration file
     * @return this instance; for a cluster a new one, whose name is the id
     * @throws InvalidParameterException if the argument is invalid, no HSM answers there, or the login fails
     */
    @Override
    public Provider configure(String argument) {
        try {
            String cluster = Settings.clusterOf(argument);
            if (cluster != null) {
                CloudHsmProvider ofCluster = new CloudHsmProvider(cluster, Settings.ofCluster(cluster), false);
                ofCluster.loginImplicitly();
                return ofCluster;
            }
            register(new HsmClient(Settings.ofArgument(argument), true));
            loginImplicitly();
            return this;
        } catch (IOException | ProviderInitializationException | LoginException e) {
            InvalidParameterException refused = new InvalidParameterException(e.getMessage());
            refused.initCause(e);
            throw refused;
        }
    }

    /** Returns false if no configuration names an HSM, and none answers at the default socket. */
    @Override
    public boolean isConfigured() {
        return configured;
    }

    /**
     * Logs a crypto user in. The handler answers a {@link PasswordCallback} with {@code user:password}, or an {@link
     * AuthenticationStrategyCallback}. It may ignore or refuse the other one.
     *
     * @param subject not used
     * @param handler null for the handler of {@link #setCallbackHandler}
     * @throws IllegalStateException if the provider has logged in with implicit credentials
     * @throws AccountAlreadyLoggedInException if the provider is logged in
     * @throws FailedLoginException if there is no handler or no answer, or the HSM refuses the credentials
     * @throws LoginException if the account is locked ({@code AccountLockedException}), or the HSM does not answer
     */
    @Override
    public synchronized void login(Subject subject, CallbackHandler handler) throws LoginException {
        loginIfDeferred();
        if (client.loggedInImplicitly()) {
            throw new IllegalStateException("Explict login unavailable using system credentials.");
        }
        requireNoSession();
        CallbackHandler asked = handler != null ? handler : defaultHandler;
        if (asked == null) {
            throw new FailedLoginException("Login needs a callback handler: pass one to login or to setCallbackHandler.");
        }
        try (Credentials credentials = LoginDialogue.ask(asked)) {
            client.login(credentials, false);
        } catch (HsmException e) {
            throw Errors.login(e);
        } catch (IOException | UnsupportedCallbackException e) {
            throw failed(e);
        }
    }

    private void loginIfDeferred() throws LoginException {
        try {
            if (deferred) {
                loginImplicitly();
            }
        } catch (ProviderInitializationException e) {
            throw failed(e);
        }
    }

    private void requireNoSession() throws LoginException {
        try {
            if (client.hasSession()) {
                throw new AccountAlreadyLoggedInException("This provider is already logged in; log out first.");
            }
        } catch (IOException e) {
            throw failed(e);
        }
    }

    private static LoginException failed(Exception cause) {
        LoginException failed = new LoginException(cause.getMessage());
        failed.initCause(cause);
        return failed;
    }

    /**
     * Ends an explicit login and destroys its session keys.
     *
     * @throws LoginException if there is no explicit login
     */
    @Override
    public synchronized void logout() throws LoginException {
        if (client.loggedInImplicitly() || !client.loggedIn()) {
            throw new LoginException("There is no explicit login to end.");
        }
        client.logout();
    }

    @Override
    public synchronized void setCallbackHandler(CallbackHandler handler) {
        defaultHandler = handler;
    }

    /**
     * Keeps the SecureRandom service out of the provider's map, so that only callers who name this provider get it. In
     * the map it would become the default of the whole JVM wherever this provider comes first, before a login and
     * inside its own connection too.
     */
    @Override
    protected void putService(Service service) {
        if (service.getType().equals("SecureRandom")) {
            random = service;
        } else {
            super.putService(service);
        }
    }

    @Override
    public Service getService(String type, String algorithm) {
        if (OwnTls.isActive()) {
            return null;
        }
        return type.equals("SecureRandom") && algorithm.equalsIgnoreCase(random.getAlgorithm()) ? random
                : super.getService(type, algorithm);
    }

    @Override
    public Set<Service> getServices() {
        Set<Service> services = new LinkedHashSet<>(super.getServices());
        services.add(random);
        return Collections.unmodifiableSet(services);
    }
}
