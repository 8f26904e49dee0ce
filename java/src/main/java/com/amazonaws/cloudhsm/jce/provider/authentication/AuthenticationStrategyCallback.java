package com.amazonaws.cloudhsm.jce.provider.authentication;

import com.amazonaws.cloudhsm.jce.jni.AuthenticationStrategy;
import javax.security.auth.callback.Callback;

/**
 * Callback that asks a handler for a user's credentials. The handler answers this callback, or the {@code
 * PasswordCallback} in the same request.
 */
public class AuthenticationStrategyCallback implements Callback {
    private AuthenticationStrategy strategy;

    /** Creates a callback without an answer. */
    public AuthenticationStrategyCallback() {}

    /** Sets the answer; null removes it. */
    public void setAuthenticationStrategy(AuthenticationStrategy authenticationStrategy) {
        strategy = authenticationStrategy;
    }

    /** Returns the answer, or null. */
    public AuthenticationStrategy getAuthenticationStrategy() {
        return strategy;
    }
}
