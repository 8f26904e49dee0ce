package io.hsmbridge.jce.settings;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * An object of the configuration file, and its path there. Each getter throws an IOException for a value of another
 * type.
 */
final class Section {
    private final Map<?, ?> members;
    private final String where;

    /** Creates the value of its parts. */
    Section(Map<?, ?> members, String where) {
        this.members = members;
        this.where = where;
    }

    Map<?, ?> members() {
        return members;
    }

    String where() {
        return where;
    }

    static Section of(Object value, String where) throws IOException {
        if (!(value instanceof Map)) {
            throw new IOException(where + " is not an object");
        }
        return new Section((Map<?, ?>) value, where);
    }

    /** Returns the section with that name; an empty one if there is none. */
    Section section(String name) throws IOException {
        Object value = members.get(name);
        return of(value == null ? Map.of() : value, where + "." + name);
    }

    /** Returns the sections of a list; none if there is no list. */
    List<Section> sections(String name) throws IOException {
        List<Section> sections = new ArrayList<>();
        for (Object value : get(name, List.class, List.of(), "a list")) {
            sections.add(of(value, where + "." + name + "[" + sections.size() + "]"));
        }
        return sections;
    }

    boolean has(String name) {
        return members.get(name) != null;
    }

    String text(String name) throws IOException {
        return get(name, String.class, null, "a text");
    }

    boolean flag(String name, boolean otherwise) throws IOException {
        return get(name, Boolean.class, otherwise, "true or false");
    }

    long number(String name, long otherwise) throws IOException {
        return get(name, Long.class, otherwise, "a whole number");
    }

    /**
     * Returns all members.
     *
     * @throws IOException if one is not text
     */
    Map<String, String> texts() throws IOException {
        Map<String, String> texts = new LinkedHashMap<>();
        for (Object name : members.keySet()) {
            texts.put((String) name, text((String) name));
        }
        return texts;
    }

    private <T> T get(String name, Class<T> type, T otherwise, String kind) throws IOException {
        Object value = members.get(name);
        if (value == null) {
            return otherwise;
        }
        if (!type.isInstance(value)) {
            throw new IOException(where + "." + name + " is not " + kind);
        }
        return type.cast(value);
    }
}
