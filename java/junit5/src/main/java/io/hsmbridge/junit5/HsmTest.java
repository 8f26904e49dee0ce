package io.hsmbridge.junit5;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Inherited;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * Gives the tests of a class an HSM: a parameter of type {@link Hsm} in a test method or a life-cycle method.
 *
 * <p>The HSM is a process of the {@code hsm} command. It is in memory only, and ends with this JVM, also if the JVM is
 * killed. The extension finds the command in the system property {@code hsmbridge.command}, else the environment variable
 * {@code HSM_COMMAND}, else on {@code PATH}.
 *
 * <p>Unless JUnit runs tests in parallel, the HSM's provider is also the JVM's provider {@code CloudHSM} during the
 * test, and {@code new CloudHsmProvider()} finds the HSM.
 */
@Documented
@Inherited
@Target(ElementType.TYPE)
@Retention(RetentionPolicy.RUNTIME)
@ExtendWith(HsmExtension.class)
public @interface HsmTest {
    /** The tests that share an HSM. */
    Scope scope() default Scope.TEST;

    /** Further options of {@code hsm start --ephemeral}, such as {@code --strict-limits}. */
    String[] options() default {};

    /** The tests that share an HSM. */
    enum Scope {
        /**
         * Each test has an HSM in the state after initialisation, which no other test uses meanwhile. The extension resets
         * an HSM for the next test, and starts as many as there are tests at a time.
         */
        TEST,
        /** The tests of a class share an HSM, which is not reset between them. */
        CLASS,
        /** All classes with this scope and the same options share an HSM. */
        RUN
    }
}
