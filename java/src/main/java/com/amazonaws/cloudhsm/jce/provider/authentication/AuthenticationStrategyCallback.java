package com.amazonaws.cloudhsm.jce.provider.authentication;

import com.amazonaws.cloudhsm.jce.jni.AuthenticationStrategy;
import javax.security.auth.callback.Callback;

/** Asks a handler how the user logs in. A handler answers it, or the {@code PasswordCallback} that comes with it. */
public class AuthenticationStrategyCallback implements Callback {
    private AuthenticationStrategy strategy;

    /** Makes one without an answer. */
    public AuthenticationStrategyCallback() {}

    /** Answers; null takes the answer back. */
    public void setAuthenticationStrategy(AuthenticationStrategy authenticationStrategy) {
        strategy = authenticationStrategy;
    }

    /** Returns the answer, or null. */
    public AuthenticationStrategy getAuthenticationStrategy() {
        return strategy;
    }
}
