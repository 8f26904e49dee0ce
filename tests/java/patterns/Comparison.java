import java.security.KeyPair;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.zip.CRC32;
import javax.crypto.SecretKey;

/** Does the same calls with two providers and collects the cells whose outcomes differ. */
public final class Comparison {
    /** A provider and its objects of the same keys, by name: AES, DESede, HMAC, RSA, EC. */
    public record Side(String provider, Map<String, SecretKey> secrets, Map<String, KeyPair> pairs) {}

    /** A cell that came out differently: its name and what each provider did. */
    public record Difference(String cell, String ours, String theirs) {}

    /** The calls of one cell. */
    interface Script {
        void run(Side side, Trace trace) throws Exception;
    }

    /** The outcomes of the calls of one cell, each a value or the class of an exception. */
    static final class Trace {
        private final StringBuilder text = new StringBuilder();

        /** Makes a call and notes its outcome; returns its value, or null if it threw. */
        <T> T call(String name, Callable<T> call) {
            try {
                T value = call.call();
                text.append(name).append('=').append(shown(value)).append(' ');
                return value;
            } catch (Exception e) {
                text.append(name).append('!').append(e.getClass().getSimpleName()).append(' ');
                return null;
            }
        }

        /** Notes a value. */
        void note(String name, Object value) {
            text.append(name).append('=').append(shown(value)).append(' ');
        }

        /** Returns whether the last call threw this. */
        boolean threw(String exception) {
            return text.toString().endsWith("!" + exception + " ");
        }

        String text() {
            return text.toString();
        }

        private static String shown(Object value) {
            if (!(value instanceof byte[])) {
                return String.valueOf(value);
            }
            CRC32 sum = new CRC32();
            sum.update((byte[]) value);
            return ((byte[]) value).length + ":" + Long.toHexString(sum.getValue());
        }
    }

    private final Side ours;
    private final Side theirs;
    private final List<Difference> differences = new ArrayList<>();
    private int cells;

    public Comparison(Side ours, Side theirs) {
        this.ours = ours;
        this.theirs = theirs;
    }

    Side theirs() {
        return theirs;
    }

    void cell(String name, Script script) {
        cells++;
        String first = traced(ours, script);
        String second = traced(theirs, script);
        if (!first.equals(second)) {
            differences.add(new Difference(name, first, second));
        }
    }

    private static String traced(Side side, Script script) {
        Trace trace = new Trace();
        try {
            script.run(side, trace);
        } catch (Exception e) {
            trace.note("stopped", e.getClass().getSimpleName());
        }
        return trace.text.toString();
    }

    /** Returns how many cells were compared. */
    public int cells() {
        return cells;
    }

    public List<Difference> differences() {
        return differences;
    }
}
