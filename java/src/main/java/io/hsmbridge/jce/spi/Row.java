package io.hsmbridge.jce.spi;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** One service of the provider: a line of the resource that the build writes from the HSM's mechanism table. */
public final class Row {
    private final String engine;
    private final String algorithm;
    private final String mechanism;
    private final List<String> aliases;
    private final Map<String, String> properties;

    /** Creates the value of its parts. */
    public Row(String engine, String algorithm, String mechanism, List<String> aliases, Map<String,
            String> properties) {
        this.engine = engine;
        this.algorithm = algorithm;
        this.mechanism = mechanism;
        this.aliases = aliases;
        this.properties = properties;
    }

    /** Returns the JCA engine. */
    public String engine() {
        return engine;
    }

    /** Returns the JCA algorithm. */
    public String algorithm() {
        return algorithm;
    }

    /** Returns the mechanism of the HSM. */
    public String mechanism() {
        return mechanism;
    }

    /** Returns further names of the algorithm. */
    public List<String> aliases() {
        return aliases;
    }

    /** Returns the properties by name. */
    public Map<String, String> properties() {
        return properties;
    }

    /** Returns the row of a line with engine, algorithm, mechanism, aliases and properties, separated by tabs. */
    public static Row parse(String line) {
        String[] columns = line.split("\t", -1);
        Map<String, String> properties = new HashMap<>();
        for (String pair : split(columns[4], ";")) {
            int at = pair.indexOf('=');
            properties.put(pair.substring(0, at), pair.substring(at + 1));
        }
        return new Row(columns[0], columns[1], columns[2], split(columns[3], ","), properties);
    }

    private static List<String> split(String text, String separator) {
        return text.isEmpty() ? List.of() : List.of(text.split(separator));
    }

    /** Returns a property, or null. */
    public String get(String name) {
        return properties.get(name);
    }

    /** Returns the message for a size that {@link #takes} refuses. */
    String wrongSize(int bits) {
        String[] limits = get("sizes").split("[-/]");
        return algorithm + " keys have " + limits[0] + " to " + limits[1] + " bits in steps of " + limits[2] + ", not " + bits;
    }

    /** Returns whether a key may have this many bits. The property {@code sizes} holds least, most and step. */
    boolean takes(int bits) {
        String[] sizes = get("sizes").split("[-/]");
        int least = Integer.parseInt(sizes[0]);
        return bits >= least && bits <= Integer.parseInt(sizes[1]) && (bits - least) % Integer.parseInt(sizes[2]) == 0;
    }

    /** Returns the items of a list property; none if the property is missing. */
    List<String> list(String name) {
        return split(properties.getOrDefault(name, ""), ",");
    }

    /** Returns a number property; 0 if the property is missing. */
    int number(String name) {
        return Integer.parseInt(properties.getOrDefault(name, "0"));
    }
}
