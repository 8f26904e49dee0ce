package org.junit.jupiter.api.extension;

import java.lang.reflect.Method;
import java.util.Optional;
import java.util.function.Function;

public interface ExtensionContext {
    Optional<ExtensionContext> getParent();

    ExtensionContext getRoot();

    Class<?> getRequiredTestClass();

    Optional<Method> getTestMethod();

    Optional<String> getConfigurationParameter(String key);

    Store getStore(Namespace namespace);

    interface Store {
        <K, V> V getOrComputeIfAbsent(K key, Function<K, V> defaultCreator, Class<V> requiredType);

        interface CloseableResource {
            void close() throws Throwable;
        }
    }

    class Namespace {
        private Namespace() {}

        public static Namespace create(Object... parts) {
            throw new UnsupportedOperationException(parts.length + " parts");
        }
    }
}
