package com.amazonaws.cloudhsm.jce.provider;

import com.amazonaws.cloudhsm.jce.jni.AuthenticationStrategy;
import com.amazonaws.cloudhsm.jce.jni.exception.FailedLoginException;
import com.amazonaws.cloudhsm.jce.provider.authentication.AuthenticationStrategyCallback;
import io.hsmbridge.jce.client.Credentials;
import java.io.IOException;
import java.util.Arrays;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.CallbackHandler;
import javax.security.auth.callback.PasswordCallback;
import javax.security.auth.callback.UnsupportedCallbackException;

/**
 * The questions of {@code login} to a callback handler: a password callback and an authentication strategy callback.
 * One answer is enough.
 */
final class LoginDialogue {
    private final PasswordCallback password = new PasswordCallback("CloudHSM user:password: ", false);
    private final AuthenticationStrategyCallback strategy = new AuthenticationStrategyCallback();

    private LoginDialogue() {}

    /**
     * Returns the credentials that the handler supplies.
     *
     * @throws FailedLoginException if the handler supplies none, or a password without a colon after the user's name
     * @throws UnsupportedCallbackException if the handler supports neither callback
     * @throws IOException if the handler throws it
     */
    static Credentials ask(CallbackHandler handler)
            throws FailedLoginException, IOException, UnsupportedCallbackException {
        LoginDialogue dialogue = new LoginDialogue();
        try {
            dialogue.put(handler);
            return dialogue.answer();
        } finally {
            dialogue.password.clearPassword();
        }
    }

    private void put(CallbackHandler handler) throws IOException, UnsupportedCallbackException {
        try {
            handler.handle(new Callback[] {password, strategy});
        } catch (UnsupportedCallbackException e) {
            if (e.getCallback() == password) {
                handler.handle(new Callback[] {strategy});
            } else if (e.getCallback() != strategy) {
                throw e;
            }
        }
    }

    private Credentials answer() throws FailedLoginException {
        AuthenticationStrategy chosen = strategy.getAuthenticationStrategy();
        if (chosen != null) {
            return Credentials.of(chosen);
        }
        char[] pin = password.getPassword();
        Credentials parsed = pin == null ? null : Credentials.parse(pin);
        if (pin != null) {
            Arrays.fill(pin, '\0');
        }
        if (parsed == null) {
            throw new FailedLoginException(
                    "The callback handler must answer user:password, or an AuthenticationStrategyCallback.");
        }
        return parsed;
    }
}
