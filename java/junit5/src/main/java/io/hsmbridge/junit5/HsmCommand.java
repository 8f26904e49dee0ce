package io.hsmbridge.junit5;

import java.io.File;
import java.util.regex.Pattern;

/** Finds the {@code hsm} command. */
final class HsmCommand {
    private static final String PROPERTY = "hsmbridge.command";
    private static final String VARIABLE = "HSM_COMMAND";

    private HsmCommand() {}

    /**
     * Returns the path of the command.
     *
     * @throws IllegalStateException if it is nowhere
     */
    static String find() {
        String named = System.getProperty(PROPERTY);
        String source = "the system property " + PROPERTY;
        if (named == null || named.isEmpty()) {
            named = System.getenv(VARIABLE);
            source = "the environment variable " + VARIABLE;
        }
        if (named != null && !named.isEmpty()) {
            if (new File(named).canExecute()) {
                return named;
            }
            throw new IllegalStateException("There is no hsm command at " + named + ", which " + source + " names");
        }
        String path = System.getenv("PATH");
        for (String folder : Pattern.compile(File.pathSeparator, Pattern.LITERAL).split(path == null ? "" : path)) {
            File candidate = new File(folder, "hsm");
            if (candidate.canExecute() && candidate.isFile()) {
                return candidate.getPath();
            }
        }
        throw new IllegalStateException("The command hsm is not on PATH. Install hsmbridge (README, \"Install\"), or name the"
                + " command, such as /path/of/hsmbridge/.venv/bin/hsm, in the system property " + PROPERTY + " or the environment variable " + VARIABLE);
    }
}
