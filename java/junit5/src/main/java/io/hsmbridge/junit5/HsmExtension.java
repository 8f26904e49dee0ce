package io.hsmbridge.junit5;

import java.util.List;
import org.junit.jupiter.api.extension.BeforeAllCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolutionException;
import org.junit.jupiter.api.extension.ParameterResolver;

/** The extension behind {@link HsmTest}. */
public final class HsmExtension implements BeforeAllCallback, BeforeEachCallback, ParameterResolver {
    private static final Namespace NAMESPACE = Namespace.create("io.hsmbridge.junit5");
    private static final String PARALLEL = "junit.jupiter.execution.parallel.enabled";

    /** Creates the extension. */
    public HsmExtension() {}

    /** Takes the HSM of the class, if its tests share one. */
    @Override
    public void beforeAll(ExtensionContext context) {
        if (annotation(context).scope() != HsmTest.Scope.TEST) {
            lease(context);
        }
    }

    /** Takes the HSM of the test. */
    @Override
    public void beforeEach(ExtensionContext context) {
        lease(context);
    }

    /** Returns whether the parameter is an {@link Hsm}. */
    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
        return parameter.getParameter().getType() == Hsm.class;
    }

    /** Returns the HSM of the test, its class or the run. */
    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
        if (annotation(context).scope() == HsmTest.Scope.TEST && context.getTestMethod().isEmpty()) {
            throw new ParameterResolutionException("Each test has an HSM of its own, so constructors and the methods before and"
                    + " after all tests have none: use @HsmTest(scope = Scope.CLASS)");
        }
        return lease(context).hsm();
    }

    private static Lease lease(ExtensionContext context) {
        HsmTest annotation = annotation(context);
        List<String> options = List.of(annotation.options());
        ExtensionContext holder = holder(context, annotation.scope());
        Pool pool = context.getRoot().getStore(NAMESPACE).getOrComputeIfAbsent("pool", key -> new Pool(), Pool.class);
        boolean alone = !context.getConfigurationParameter(PARALLEL).map(Boolean::parseBoolean).orElse(false);
        return holder.getStore(NAMESPACE)
                .getOrComputeIfAbsent(List.of("lease", options), key -> new Lease(pool, options, alone), Lease.class);
    }

    /** Returns the context with whose end the HSM is given back. */
    private static ExtensionContext holder(ExtensionContext context, HsmTest.Scope scope) {
        switch (scope) {
            case RUN:
                return context.getRoot();
            case CLASS:
                ExtensionContext holder = context;
                while (holder.getTestMethod().isPresent()) {
                    holder = holder.getParent().orElseThrow();
                }
                return holder;
            default:
                return context;
        }
    }

    private static HsmTest annotation(ExtensionContext context) {
        Class<?> tests = context.getRequiredTestClass();
        for (Class<?> found = tests; found != null; found = found.getEnclosingClass()) {
            HsmTest annotation = found.getAnnotation(HsmTest.class);
            if (annotation != null) {
                return annotation;
            }
        }
        throw new ParameterResolutionException(tests.getName() + " has no annotation @HsmTest");
    }
}
