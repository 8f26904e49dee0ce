package com.amazonaws.cloudhsm.jce.jni;

import java.util.Objects;

/** A user's credentials, as the answer to an {@code AuthenticationStrategyCallback}. It holds a secret. */
public final class AuthenticationStrategy {
    private final UserType userType;
    private final String username;
    private final char[] password;

    private AuthenticationStrategy(UserType userType, String username, char[] password) {
        this.userType = Objects.requireNonNull(userType, "userType");
        this.username = Objects.requireNonNull(username, "username");
        this.password = password.clone();
    }

    /**
     * Returns a login by name and password. The method copies the password; the login wipes the copy.
     *
     * @throws NullPointerException if one of them is null
     */
    public static AuthenticationStrategy createUsernamePasswordStrategy(
            UserType userType, String username, char[] password) {
        return new AuthenticationStrategy(userType, username, password);
    }

    /** Returns the kind of user. */
    public UserType getUserType() {
        return userType;
    }

    /** Returns the user's name. */
    public String getUsername() {
        return username;
    }

    /** Returns the password itself and not a copy, so that the login can wipe it. */
    public char[] getPassword() {
        return password;
    }
}
