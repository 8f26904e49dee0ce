package org.junit.jupiter.api.extension;

public class ParameterResolutionException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public ParameterResolutionException(String message) {
        super(message);
    }
}
